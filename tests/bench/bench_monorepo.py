"""One repository of 5,000 applications in 50,000 files: the first load, and a commit that touches one application.

The floor of the first load is one process that reads the same files from a working tree and parses their YAML, and does
nothing with it. A commit is measured in repositories of 500 and of 5,000 applications: its time should be that of what
it touches. While the hub works, a 10 ms timer in its event loop tells how late it is for everything else.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml

from shared.bus import Bus
from tests.bench.figures import Figure, percentile
from tests.bench.rig import COUNTING_HUB, HubProcess, counted, hub_process, say, until, workspace
from tests.bench.workload import CONFIGMAP, application_document, cluster_documents, write_application
from tests.fakes.gitrepo import GitRepo

SIZES = (500, 5000)
FILES = 10
"""For each application: its document, eight manifests, and a text that is none."""
CLUSTERS = 3
REPEATS = 11
PAUSE = 1.2
"""Seconds between commits: the hub looks at a repository at most once a second, however often it is told to."""
LATE_LIMIT = 50.0
LOAD_LIMIT = 3.0
CURVE_LIMIT = 1.5


@dataclass(frozen=True)
class _Measured:
    """Seconds, and how late the timer was: (p99, most)."""

    floor: float
    load: float
    load_late: tuple[float, float]
    one: list[float]
    none: list[float]
    late: tuple[float, float]
    memory: float


async def measure() -> list[Figure]:
    found = {size: await _of(size) for size in SIZES}
    small, large = (found[size] for size in SIZES)
    few, many = SIZES
    return [
        Figure(f"first load of {many} applications in {many * FILES} files, published", large.load, "s", large.floor,
               ratio_limit=LOAD_LIMIT, note=f"with the hub's start; the hub then has {large.memory:.0f} MB resident"),
        Figure(f"first load of {few} applications in {few * FILES} files, published", small.load, "s", small.floor,
               note=f"with the hub's start; the hub then has {small.memory:.0f} MB resident"),
        Figure(f"commit that touches one of {many} applications, median", percentile(large.one, 0.5) * 1000, "ms",
               percentile(small.one, 0.5) * 1000, ratio_limit=CURVE_LIMIT, note=f"the floor is one of {few}"),
        Figure(f"commit that touches none of {many} applications, median", percentile(large.none, 0.5) * 1000, "ms",
               percentile(small.none, 0.5) * 1000, note=f"the floor is none of {few}"),
        Figure(f"event loop at the first load of {many}: a 10 ms timer is late by, p99", large.load_late[0] * 1000, "ms",
               limit=LATE_LIMIT, note=f"at most {large.load_late[1] * 1000:.0f} ms"),
        Figure(f"event loop while commits touch one of {many}: late by, p99", large.late[0] * 1000, "ms",
               limit=LATE_LIMIT, note=f"at most {large.late[1] * 1000:.0f} ms"),
    ]  # fmt: skip


async def _of(size: int) -> _Measured:
    with workspace("monorepo") as folder:
        repo, names = GitRepo(folder / "fleet"), [f"app-{number:04}" for number in range(size)]
        repo.write("fleet/clusters.yaml", cluster_documents(f"c{number}" for number in range(CLUSTERS)))
        for name in names:
            repo.write(f"fleet/{name}.yaml", application_document(name, f"apps/{name}"))
            write_application(repo, name, f"apps/{name}")
            repo.write(f"apps/{name}/README.md", f"# {name}\n")
        first = repo.commit("everything")
        floor = _read_and_parse(repo.path, size * FILES)
        start = time.monotonic()
        async with (
            hub_process(folder / "hub", str(repo.path), module=COUNTING_HUB, ready=600) as hub,
            hub.bus() as bus,
            hub.session() as session,
        ):
            await _settled(bus, first, 600)
            load, load_late = time.monotonic() - start, await _late(bus)
            say(f"{size}: loaded after {load:.1f} s, floor {floor:.1f} s; timer late p99 {load_late[0] * 1000:.0f} ms")
            none = [await _commit(repo, hub, bus, session, "README.md", f"{n}\n", 0) for n in range(REPEATS)]
            one = [
                await _commit(
                    repo, hub, bus, session, f"apps/{name}/settings.yaml", CONFIGMAP.format(name=f"{name}-settings", value=n + 1), 1
                )
                for n, name in enumerate(names[-REPEATS:])
            ]  # fmt: skip
            late = await _late(bus)
            say(f"{size}: a commit takes {percentile(one, 0.5) * 1000:.0f} ms, {percentile(none, 0.5) * 1000:.0f} ms")
            return _Measured(floor, load, load_late, one, none, late, hub.program.rss)


def _read_and_parse(folder: Path, least: int) -> float:
    """Seconds to read every file of a working tree and to parse those that are YAML."""
    start, count, objects = time.monotonic(), 0, 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.relative_to(folder).parts[0] == ".git":
            continue
        data, count = path.read_bytes(), count + 1
        if path.suffix == ".yaml":
            objects += len(list(yaml.load_all(data, yaml.CSafeLoader)))
    if count < least or objects < count:
        raise RuntimeError(f"{count} files with {objects} objects are not what was written")
    return time.monotonic() - start


async def _settled(bus: Bus, sha: str, seconds: float = 60) -> None:
    async def done() -> bool:
        counts = await counted(bus)
        return counts["looked"] == sha and not counts["busy"]

    await until(done, seconds, f"commit {sha[:8]} worked off", step=0.005)


async def _late(bus: Bus) -> tuple[float, float]:
    """How late the hub's timer was since this was last asked, in seconds: p99, most."""
    answer: dict[str, Any] = orjson.loads((await bus.request("bench.late")).data)
    return answer["p99"], answer["most"]


async def _commit(
    repo: GitRepo, hub: HubProcess, bus: Bus, session: aiohttp.ClientSession, file: str, content: str, renders: int
) -> float:
    """Seconds from the webhook until nothing is left to do.

    Raises:
        RuntimeError: it took another number of renders.
    """
    repo.write(file, content)
    sha, before = repo.commit(f"change {file}"), await counted(bus)
    await asyncio.sleep(PAUSE)
    start = time.monotonic()
    await hub.push(session)
    await _settled(bus, sha)
    seconds, after = time.monotonic() - start, await counted(bus)
    if after["rendered"] - before["rendered"] != renders:
        raise RuntimeError(f"{file}: {after['rendered'] - before['rendered']} renders")
    return seconds
