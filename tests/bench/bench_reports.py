"""Reports per second into the hub's view, against a bare nats-py consumer that reads the same stream and only counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from hub import streams
from shared.bus import Bus
from shared.messages import Assignment
from tests.bench.figures import Figure
from tests.bench.filling import healthy, store
from tests.bench.rig import PYTHON, say, workspace
from tests.fakes.fleetview import assignment
from tests.fakes.natshub import running
from tests.fakes.natsserver import NatsServer

REPORTS = 50_000
CLUSTERS = 500
TRIES = 3


def units(count: int, clusters: int) -> Iterator[Assignment]:
    """The units that report."""
    return (assignment(f"c{number % clusters:04}", f"app-{number // clusters}") for number in range(count))


async def measure() -> list[Figure]:
    with workspace("reports") as folder:
        async with NatsServer(folder / "nats") as server:
            async with running(Bus(server.url, name="bench")) as bus:
                await streams.ensure(bus)
                await store(bus, map(healthy, units(REPORTS, CLUSTERS)))
            say(f"{REPORTS} reports are stored")
            view = min([await _run(folder, "view", server.url) for _ in range(TRIES)])
            bare = min([await _run(folder, "bare", server.url) for _ in range(TRIES)])
    rates = f"{REPORTS / view:,.0f} reports a second; the bare consumer {REPORTS / bare:,.0f}"
    return [
        Figure("time of a report into the hub's view", view / REPORTS * 1e6, "µs", bare / REPORTS * 1e6, note=rates)
    ]


async def _run(folder: Path, mode: str, url: str) -> float:
    """The seconds that a process of its own took."""
    command = [PYTHON, "-m", "tests.bench.child_reports", mode, url, str(REPORTS), str(CLUSTERS)]
    with (folder / f"{mode}.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=log)
        async with asyncio.timeout(60):
            said, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"{mode} ended with {child.returncode}:\n{(folder / f'{mode}.log').read_text()[-2000:]}")
    say(f"{mode}: {float(said):.2f} s")
    return float(said)
