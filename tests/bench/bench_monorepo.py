"""One repository of 5,000 applications in 50,000 files: the first load, and a commit that touches one application.

The floor of the first load is one process that reads the same files from a working tree and parses their YAML, and does
nothing with it. A commit is measured in repositories of 500 and of 5,000 applications, from the webhook until its first
assignment is on its way to an agent. Git serves the repository over HTTP; a bare `git fetch` beside it tells what that alone
takes. While the hub works, a 10 ms timer in its event loop tells how late it is for everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml

from hub import streams
from shared import bundle, subjects
from shared.bus import Bus, Message
from shared.messages import Root, decode
from shared.model import UnitKey
from tests.bench.child_hub import tick
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
SETTLING = 5.0
"""Seconds after the first load until what the pages show is stored, too."""
LATE_LIMIT = 50.0
LOAD_LIMIT = 3.0
CURVE_LIMIT = 1.5


@dataclass(frozen=True)
class Measured:
    """Seconds, and how late the timer was: (p99, most); `idle` that of a loop that does nothing meanwhile.

    `lists` is the size of the longest list of a cluster's units as it travels, in bytes.
    """

    floor: float
    load: float
    load_late: tuple[float, float]
    load_idle: float
    one: list[float]
    fetch: list[float]
    all_done: list[float]
    late: tuple[float, float]
    idle: float
    memory: float
    lists: int


async def measure() -> list[Figure]:
    found = {size: await measured(size) for size in SIZES}
    small, large = (found[size] for size in SIZES)
    few, many = SIZES
    return [
        Figure(f"first load of {many} applications in {many * FILES} files, published", large.load, "s", large.floor,
               ratio_limit=LOAD_LIMIT, note=f"with the hub's start; the hub then has {large.memory:.0f} MB resident"),
        Figure(f"first load of {few} applications in {few * FILES} files, published", small.load, "s", small.floor,
               note=f"with the hub's start; the hub then has {small.memory:.0f} MB resident"),
        Figure(f"commit that touches one of {many} applications, median", percentile(large.one, 0.5) * 1000, "ms",
               percentile(large.fetch, 0.5) * 1000, note="the floor is a bare `git fetch` of that commit"),
        Figure(f"commit that touches one of {few} applications, median", percentile(small.one, 0.5) * 1000, "ms",
               percentile(small.fetch, 0.5) * 1000, note="the floor is a bare `git fetch` of that commit"),
        Figure("… and of that, beside the other", percentile(large.one, 0.5) * 1000, "ms", percentile(small.one, 0.5) * 1000,
               ratio_limit=CURVE_LIMIT, note=f"the floor is the commit that touches one of {few}"),
        Figure("the same until nothing is left to do, lists of units included", percentile(large.all_done, 0.5) * 1000, "ms",
               percentile(small.all_done, 0.5) * 1000, note="a cluster's list is as long as it has units"),
        Figure(f"event loop at the first load of {many}: a 10 ms timer is late by, p99", large.load_late[0] * 1000, "ms",
               large.load_idle * 1000, limit=LATE_LIMIT, note=f"at most {large.load_late[1] * 1000:.0f} ms; the floor is a loop with nothing to do"),
        Figure(f"event loop while commits touch one of {many}: late by, p99", large.late[0] * 1000, "ms",
               large.idle * 1000, limit=LATE_LIMIT, note=f"at most {large.late[1] * 1000:.0f} ms"),
    ]  # fmt: skip


async def measured(size: int, clusters: int = CLUSTERS) -> Measured:
    """A repository of `size` applications, each on every cluster."""
    with workspace("monorepo") as folder:
        repo, names = GitRepo(folder / "fleet"), [f"app-{number:04}" for number in range(size)]
        repo.git("config", "gc.auto", "0")  # it would run beside what is measured
        repo.write("fleet/clusters.yaml", cluster_documents(f"c{number}" for number in range(clusters)))
        for name in names:
            repo.write(f"fleet/{name}.yaml", application_document(name, f"apps/{name}"))
            write_application(repo, name, f"apps/{name}")
            repo.write(f"apps/{name}/README.md", f"# {name}\n")
        first = repo.commit("everything")
        repo.git("gc", "--quiet")
        floor = _read_and_parse(repo.path, size * FILES)
        start = time.monotonic()
        async with (
            _served(repo) as address,
            hub_process(folder / "hub", address, module=COUNTING_HUB, ready=600) as hub,
            hub.bus() as bus,
            hub.session() as session,
            _ticking() as ticks,
        ):
            await _settled(bus, first, 600)
            load, load_late = time.monotonic() - start, await _late(bus)
            load_idle = _taken(ticks)
            used = hub.program.cpu
            say(
                f"{size}: loaded after {load:.1f} s, floor {floor:.1f} s; timer late p99 {load_late[0] * 1000:.0f} ms; hub CPU {used:.1f} s"
            )
            bare = folder / "bare.git"
            repo.git("clone", "--quiet", "--mirror", address, str(bare))
            await asyncio.sleep(SETTLING)
            await _late(bus)
            _taken(ticks)
            times = [await _commit(repo, bare, hub, bus, session, name) for name in names[-REPEATS:]]
            late, idle, lists = await _late(bus), _taken(ticks), await _lists(bus, size, clusters)
            one, all_done, fetch = (list(each) for each in zip(*times, strict=True))
            say(f"{size}: a commit takes {percentile(one, 0.5) * 1000:.0f} ms, at most {max(one) * 1000:.0f} ms")
            return Measured(floor, load, load_late, load_idle, one, fetch, all_done, late, idle, hub.program.rss, lists)


@contextlib.asynccontextmanager
async def _served(repo: GitRepo) -> AsyncIterator[str]:
    with repo.serve_http() as url:
        yield url


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


async def _lists(bus: Bus, size: int, clusters: int) -> int:
    """Bytes of the longest list of units.

    Raises:
        RuntimeError: a list does not name every application.
    """
    found = [
        data
        async for subject, data, _ in streams.last_per_subject(bus, streams.DESIRED.name, subjects.DESIRED_ALL)
        if subjects.parse_desired(subject) == "_root"
    ]
    named = [len(bundle.listed(decode(data, Root))) for data in found]
    if named != [size] * clusters:
        raise RuntimeError(f"the lists of {clusters} clusters name {named} applications")
    return max(map(len, found))


async def _late(bus: Bus) -> tuple[float, float]:
    """How late the hub's timer was since this was last asked, in seconds: p99, most."""
    answer: dict[str, Any] = orjson.loads((await bus.request("bench.late")).data)
    return answer["p99"], answer["most"]


@contextlib.asynccontextmanager
async def _ticking() -> AsyncIterator[list[float]]:
    """How late the same timer is in this process, which only waits: that is the machine's doing."""
    late: list[float] = []
    task = asyncio.create_task(tick(late))
    try:
        yield late
    finally:
        task.cancel()


def _taken(ticks: list[float]) -> float:
    p99 = percentile(ticks, 0.99)
    ticks.clear()
    return p99


async def _commit(
    repo: GitRepo, bare: Path, hub: HubProcess, bus: Bus, session: aiohttp.ClientSession, name: str
) -> tuple[float, float, float]:
    """Seconds from the webhook until the first assignment, and until nothing is left to do; those of a bare fetch.

    Raises:
        RuntimeError: it was not one render.
    """
    file = f"apps/{name}/settings.yaml"
    repo.write(file, CONFIGMAP.format(name=f"{name}-settings", value=1))
    repo.git("add", file)
    repo.git("commit", "--quiet", "--message", name)
    sha, before = repo.head, await counted(bus)
    arrived = asyncio.Event()

    async def arrive(_: Message) -> None:
        arrived.set()

    await bus.subscribe(subjects.desired(UnitKey("c0", name, name)), arrive)
    await asyncio.sleep(PAUSE)
    start = time.monotonic()
    await hub.push(session)
    async with asyncio.timeout(60):
        await arrived.wait()
    first = time.monotonic() - start
    await _settled(bus, sha)
    last, after = time.monotonic() - start, await counted(bus)
    if after["rendered"] - before["rendered"] != 1:
        raise RuntimeError(f"{file}: {after['rendered'] - before['rendered']} renders")
    start = time.monotonic()
    fetching = await asyncio.create_subprocess_exec("git", "-C", bare, "fetch", "--quiet")
    if await fetching.wait():
        raise RuntimeError("the bare fetch failed")
    return first, last, time.monotonic() - start
