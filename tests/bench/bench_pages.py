"""API pages over 100,000 units while 500 reports a second come in, against a bare route that sends as many bytes.

Latency is what a client on the same machine sees, one request after the other on one connection.
"""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import orjson

from tests.bench.child_api import TOKEN
from tests.bench.figures import Figure, percentile
from tests.bench.rig import PYTHON, Program, say, workspace
from tests.fakes.natsserver import free_port

CLUSTERS = 1000
APPLICATIONS = 100
RATE = 500
REQUESTS = 200
LIMIT = 50.0

PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "summary": ("summary", {}),
    "units, first page": ("units", {}),
    "units, page after page": ("units", {"cursor": "next"}),
    "units, 1,000 on a page": ("units", {"limit": 1000}),
    "units of a cluster": ("units", {"cluster": "c0500"}),
    "units of an application": ("units", {"application": "app-050"}),
    "units that failed in prod": ("units", {"state": "Failed", "environment": "prod"}),
    "units ready of an application in an environment": (
        "units",
        {"state": "Ready", "environment": "stage", "application": "app-077"},
    ),
    "drift": ("drift", {}),
    "drift of an application": ("drift", {"application": "app-002", "standing": "true"}),
    "events": ("events", {}),
    "clusters": ("clusters", {}),
    "applications": ("applications", {}),
    "one unit": ("units/c0001/app-001/app-001", {}),
}


async def measure() -> list[Figure]:
    port = free_port()
    command = [PYTHON, "-m", "tests.bench.child_api", *map(str, (port, CLUSTERS, APPLICATIONS, RATE))]
    figures: list[Figure] = []
    with workspace("pages") as folder:
        async with (
            Program(command, folder / "api.log") as program,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"}) as session,
        ):
            await program.answers(lambda: _up(session), 120, f"a view of {CLUSTERS * APPLICATIONS} units is served")
            say(f"{CLUSTERS * APPLICATIONS} units in the view: {program.rss:.0f} MB")
            for name, (path, query) in PAGES.items():
                program.alive()
                figures.append(await _page(session, name, path, query))
            memory = program.rss
    worst = max(figures, key=lambda figure: figure.value)
    say(f"slowest: {worst.name}, {worst.value:.1f} ms")
    each = memory / CLUSTERS / APPLICATIONS * 1e6
    return [
        *figures,
        Figure("view and API resident per 1,000 units", each / 1000, "MB", note=f"{memory:.0f} MB in all"),
    ]


async def _up(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/healthz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _page(session: aiohttp.ClientSession, name: str, path: str, query: dict[str, Any]) -> Figure:
    """Latency of one kind of page, and of the bare route with as many bytes."""
    seconds, sizes = [], []
    following = dict(query)
    if following.get("cursor"):
        del following["cursor"]
    for _ in range(REQUESTS):
        took, body = await _ask(session, f"/api/v1/{path}", following)
        seconds.append(took)
        sizes.append(len(body))
        if "cursor" in query:
            following["cursor"] = orjson.loads(body)["next"] or ""
    bare = [(await _ask(session, f"/bare/{sizes[number]}", {}))[0] for number in range(REQUESTS)]
    note = f"p50 {percentile(seconds, 0.5) * 1000:.2f} ms; {sum(sizes) / len(sizes) / 1000:.0f} KB"
    return Figure(
        f"{name}: p99", percentile(seconds, 0.99) * 1000, "ms", percentile(bare, 0.99) * 1000, limit=LIMIT, note=note
    )


async def _ask(session: aiohttp.ClientSession, path: str, query: dict[str, Any]) -> tuple[float, bytes]:
    start = time.monotonic()
    async with session.get(path, params=query) as answer:
        body = await answer.read()
        took = time.monotonic() - start
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
    return took, body
