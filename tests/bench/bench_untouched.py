"""Work follows change: a commit that touches one of a thousand applications renders one, and writes only its units.

Counted, not timed: renders by the worker pool's statistics, messages by the sequence of the stream DESIRED. There are
three clusters and no agents. The times beside it have no goal.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp

from shared.bus import Bus
from tests.bench.figures import Figure, percentile
from tests.bench.rig import COUNTING_HUB, HubProcess, counted, hub_process, say, stream_state, until, workspace
from tests.bench.workload import CONFIGMAP, application_document, cluster_documents, write_application
from tests.fakes.gitrepo import GitRepo

APPLICATIONS = 1000
CLUSTERS = 3
REPEATS = 5
PAUSE = 1.2
"""Seconds between commits: the hub looks at a repository at most once a second, however often it is told to."""


async def measure() -> list[Figure]:
    with workspace("untouched") as folder:
        repo = GitRepo(folder / "fleet")
        names = [f"app-{number:04}" for number in range(APPLICATIONS)]
        repo.write("fleet/clusters.yaml", cluster_documents(f"c{number}" for number in range(CLUSTERS)))
        for name in names:
            repo.write(f"fleet/{name}.yaml", application_document(name, f"apps/{name}"))
            write_application(repo, name, f"apps/{name}")
        first, start = repo.commit("a thousand applications"), time.monotonic()
        async with (
            hub_process(folder / "hub", str(repo.path), module=COUNTING_HUB) as hub,
            hub.bus() as bus,
            hub.session() as session,
        ):
            await _settled(bus, first, 120)
            whole = time.monotonic() - start
            units = (await stream_state(bus, "DESIRED"))["messages"]
            say(f"{APPLICATIONS} applications on {CLUSTERS} clusters published after {whole:.1f} s: {units} messages")
            nothing = [await _commit(repo, hub, bus, session, "README.md", f"{n}\n") for n in range(REPEATS)]
            one = [
                await _commit(
                    repo, hub, bus, session, f"apps/{name}/settings.yaml", CONFIGMAP.format(name=f"{name}-settings", value=n + 1)
                )
                for n, name in enumerate(names[100 : 100 + REPEATS])
            ]  # fmt: skip
            memory = hub.program.rss
        return _figures(whole, nothing, one, memory)


async def _settled(bus: Bus, sha: str, seconds: float = 60) -> None:
    async def done() -> bool:
        counts = await counted(bus)
        return counts["looked"] == sha and not counts["busy"]

    await until(done, seconds, f"commit {sha[:8]} worked off", step=0.005)


async def _commit(
    repo: GitRepo, hub: HubProcess, bus: Bus, session: aiohttp.ClientSession, file: str, content: str
) -> tuple[float, int, int]:
    """Seconds from the webhook until nothing is left to do, renders, messages written to DESIRED."""
    repo.write(file, content)
    sha = repo.commit(f"change {file}")
    before, sequence = await counted(bus), (await stream_state(bus, "DESIRED"))["last_seq"]
    await asyncio.sleep(PAUSE)
    start = time.monotonic()
    await hub.push(session)
    await _settled(bus, sha)
    seconds = time.monotonic() - start
    after = await counted(bus)
    written = (await stream_state(bus, "DESIRED"))["last_seq"] - sequence
    say(f"{file}: {seconds * 1000:.0f} ms, {after['rendered'] - before['rendered']} renders, {written} messages")
    return seconds, after["rendered"] - before["rendered"], written


def _figures(
    whole: float, nothing: list[tuple[float, int, int]], one: list[tuple[float, int, int]], memory: float
) -> list[Figure]:
    units = 2 * CLUSTERS  # an assignment each, and the list of units of each cluster
    if min(renders for _, renders, _ in one) < 1:
        raise RuntimeError("a commit that changed an application rendered nothing")
    of = f"of {APPLICATIONS} applications"
    return [
        Figure(f"renders for a commit that touches one {of}", max(each[1] for each in one), "", limit=1),
        Figure(f"messages for a commit that touches one {of}", max(each[2] for each in one), "", limit=units,
               note=f"{CLUSTERS} assignments and {CLUSTERS} roots"),
        Figure(f"renders for a commit that touches none {of}", max(each[1] for each in nothing), "", limit=0),
        Figure(f"messages for a commit that touches none {of}", max(each[2] for each in nothing), "", limit=0),
        Figure(f"time of a commit that touches one {of}, median", percentile([e[0] for e in one], 0.5) * 1000, "ms",
               percentile([e[0] for e in nothing], 0.5) * 1000, note="beside a commit that touches none of them"),
        Figure(f"time until {APPLICATIONS} applications are published, from nothing", whole, "s",
               note=f"with the hub's start; the hub then has {memory:.0f} MB resident"),
    ]  # fmt: skip
