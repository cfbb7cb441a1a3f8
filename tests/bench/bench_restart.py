"""A hub that starts with 50,000 units in its streams: how long until it is ready, and until it leads with nothing to do.

The streams are filled by a hub that published 100 applications to 500 clusters, and by a report for each unit. The
floor reads the last message of every subject of the same streams, and does nothing with it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp

from hub import streams
from hub.embedded import EmbeddedServer
from hub.identity import Identity
from shared import subjects
from shared.bus import Bus
from shared.messages import Assignment, decode
from tests.bench.figures import Figure
from tests.bench.filling import healthy, store
from tests.bench.rig import (
    COUNTING_HUB,
    PYTHON,
    Program,
    counted,
    hub_process,
    say,
    stream_state,
    workspace,
    write_settings,
)
from tests.bench.workload import application_document, cluster_documents, write_application
from tests.fakes.gitrepo import GitRepo
from tests.fakes.natshub import running
from tests.fakes.natsserver import free_port

CLUSTERS = 500
APPLICATIONS = 100
UNITS = CLUSTERS * APPLICATIONS


async def measure() -> list[Figure]:
    with workspace("restart") as folder:
        repo = GitRepo(folder / "fleet")
        repo.write("fleet/clusters.yaml", cluster_documents(f"c{number:03}" for number in range(CLUSTERS)))
        for number in range(APPLICATIONS):
            repo.write(f"fleet/app-{number}.yaml", application_document(f"app-{number}", f"apps/app-{number}"))
            write_application(repo, f"app-{number}", f"apps/app-{number}")
        sha = repo.commit("the fleet")
        published = await _publish(folder, str(repo.path), sha)
        floor, sequence = await _fill_and_read(folder / "hub")
        figures = await _restart(folder, str(repo.path), sha, floor, sequence)
        return [*figures, Figure(f"{UNITS} units published for the first time", published, "s")]


async def _publish(folder: Path, repo: str, sha: str) -> float:
    """Has a hub publish everything; returns the seconds that took, from its start."""
    start = time.monotonic()
    async with hub_process(folder / "hub", repo, module=COUNTING_HUB) as hub, hub.bus() as bus:

        async def all_there() -> bool:
            return await _at_rest(bus, sha) and (await stream_state(bus, "DESIRED"))["messages"] > UNITS

        await hub.program.answers(all_there, 120, f"{UNITS} units published")
        seconds = time.monotonic() - start
    say(f"{UNITS} units published after {seconds:.1f} s")
    return seconds


async def _at_rest(bus: Bus, sha: str) -> bool:
    counts = await counted(bus)
    return counts["looked"] == sha and not counts["busy"]


async def _fill_and_read(folder: Path) -> tuple[float, int]:
    """Stores a report for each unit, then reads both streams bare.

    Returns the seconds of the latter, and the last sequence of DESIRED.
    """
    identity = Identity.load_or_create(folder / "state")
    async with (
        EmbeddedServer(identity, folder / "state" / "nats") as server,
        running(Bus(server.url, name="bench", credentials=identity.hub_credentials())) as bus,
    ):
        found = [
            data
            async for subject, data, _ in streams.last_per_subject(bus, "DESIRED", "desired.*.*.*")
            if subject != subjects.EPOCH
        ]
        count = await store(bus, (healthy(decode(data, Assignment)) for data in found))
        say(f"{count} reports stored")
        start, read = time.monotonic(), 0
        for stream, subject in (("DESIRED", subjects.DESIRED_ALL), ("REPORTS", subjects.REPORTS_ALL)):
            async for _, data, _ in streams.last_per_subject(bus, stream, subject):
                read += len(data)
        seconds = time.monotonic() - start
        sequence = (await stream_state(bus, "DESIRED"))["last_seq"]
    say(f"a bare read of both streams ({read / 1e6:.0f} MB) takes {seconds:.1f} s")
    return seconds, sequence


async def _restart(folder: Path, repo: str, sha: str, floor: float, sequence: int) -> list[Figure]:
    port = free_port()
    settings = write_settings(folder / "hub", repo, port=port)
    state = folder / "hub" / "state"
    identity, start = Identity.load_or_create(state), time.monotonic()
    command = [PYTHON, "-m", *COUNTING_HUB, settings]
    async with Program(command, folder / "restarted.log") as program:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            await program.answers(lambda: _answers(session, "/healthz"), 60, "the API answers")
            alive = time.monotonic() - start
            await program.answers(lambda: _answers(session, "/readyz"), 120, "the hub is ready")
            ready = time.monotonic() - start
        url = f"nats://127.0.0.1:{(state / 'nats' / 'port').read_text().strip()}"
        async with running(Bus(url, name="bench", credentials=identity.hub_credentials())) as bus:
            await program.answers(lambda: _at_rest(bus, sha), 120, "the hub leads and has nothing to do")
            rest = time.monotonic() - start
            await asyncio.sleep(1)
            written = (await stream_state(bus, "DESIRED"))["last_seq"] - sequence
            memory, renders = program.rss, (await counted(bus))["rendered"]
    say(f"ready after {ready:.1f} s, at rest after {rest:.1f} s; {written} messages written, {renders} renders")
    return [
        Figure(f"hub start to ready with {UNITS} units", ready, "s", floor,
               note=f"its API answers after {alive:.1f} s: Python, nats-server and its store"),
        Figure(f"hub start to leading with nothing left to do, {UNITS} units", rest, "s", floor,
               note=f"{renders} renders to know the bundles again; {written} messages written to DESIRED"),
        Figure("messages the restarted hub wrote to DESIRED", written, "", limit=1, note="its epoch"),
        Figure(f"hub resident per 1,000 of {UNITS} units", memory / UNITS * 1000, "MB", note=f"{memory:.0f} MB in all"),
    ]  # fmt: skip


async def _answers(session: aiohttp.ClientSession, path: str) -> bool:
    try:
        async with session.get(path) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False
