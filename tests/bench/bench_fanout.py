"""A commit reaches 200 clusters, and one alone: one application of ten objects on all, one object changed per commit.

The floor sends each cluster the same number of bytes over bare NATS, and each answers by one server-side apply of the
same object: 200 connections, 200 sandbox clusters and one HTTP client in one process, as in the measured layout.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from hub.domain.yamldoc import load_documents
from shared import subjects
from shared.bus import Bus, Message
from shared.messages import Report, Timeline, decode
from shared.model import UnitKey
from tests.bench.figures import Figure, percentile
from tests.bench.rig import (
    PYTHON,
    HubProcess,
    Program,
    SandboxProcess,
    hub_process,
    sandbox_process,
    say,
    until,
    workspace,
)
from tests.bench.workload import CONFIGMAP, DEPLOYMENT, application_document, cluster_documents, write_application
from tests.fakes.gitrepo import GitRepo
from tests.fakes.natshub import running
from tests.fakes.natsserver import NatsServer

CLUSTERS = 200
HUB_LIMIT = 150.0
WARMUPS = 2
GOAL = 3.0
SETTLE = 2.0
"""Seconds after each commit: reports are throttled to one a second, and what is told and kept then counts as well."""
APP = "shop"


@dataclass(frozen=True)
class Change:
    """What each commit changes. `write` puts version n into the tree; `manifest` is the same object for the floor."""

    name: str
    file: str
    content: Callable[[int], str]
    commits: int
    goal: float | None


CHANGES = (
    Change("a ConfigMap", "settings.yaml", lambda n: CONFIGMAP.format(name=f"{APP}-settings", value=n), 8, GOAL),
    Change("a Deployment", "web.yaml", lambda n: DEPLOYMENT.format(name=f"{APP}-web", app=APP, version=n), 4, None),
)
"""The goal is on the first: what a Deployment needs to become healthy is mostly the sandbox's own controllers."""


@dataclass
class Commit:
    """One commit on its way. Times are unix seconds on this machine's clock."""

    sha: str
    start: float
    published: float = 0.0
    """When the last assignment was seen on NATS."""
    stored: dict[str, float] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    times: dict[str, Timeline] = field(default_factory=dict)
    cpu: float = 0.0
    """Seconds of processor time that the process of all agents and their clusters has spent, afterwards included."""

    def after(self, point: str) -> list[float]:
        """Seconds from the commit to a point of the timeline, for every cluster."""
        return [getattr(each, point) - self.start for each in self.times.values()]


class Listener:
    """Everything that is said about the newest commit, as it is said."""

    def __init__(self) -> None:
        self.commit: Commit | None = None

    async def start(self, bus: Bus) -> None:
        await bus.subscribe(subjects.REPORTS_ALL, self._report)
        await bus.subscribe(subjects.NOTIFY_PREFIX + subjects.DESIRED_ALL, self._assignment)

    async def _assignment(self, message: Message) -> None:
        now, commit = time.time(), self.commit
        is_unit = isinstance(subjects.parse_desired(message.subject), UnitKey)
        if is_unit and commit is not None and commit.sha.encode() in message.data:
            commit.published = now
            commit.sizes.append(len(message.data))

    async def _report(self, message: Message) -> None:
        if self.commit is None or message.subject.endswith("._beat") or self.commit.sha.encode() not in message.data:
            return
        report = decode(message.data, Report)
        if report.commit == self.commit.sha and report.timeline.healthy is not None:
            self.commit.times[report.cluster] = report.timeline


async def measure() -> list[Figure]:
    return [*await _fleet(1, CHANGES[:1], None), *await _fleet(CLUSTERS, CHANGES, HUB_LIMIT)]


async def _fleet(count: int, changes: Sequence[Change], limit: float | None) -> list[Figure]:
    """All figures of a fleet of `count` clusters. The goals are for the large one, `limit` is the hub's in MB."""
    with workspace("fanout") as folder:
        clusters = [f"c{number:03}" for number in range(count)]
        runs, memory, size = await _measured(folder, clusters, changes, limit)
        figures = []
        for change in changes:
            floors, cpu = await _floor(folder, clusters, change, size)
            figures += _figures(change, count, runs[change.name], floors)
            if limit is not None:
                figures.append(_processor_time(change, count, runs[change.name], cpu))
        return figures + (memory if limit is not None else [])


async def _measured(
    folder: Path, clusters: list[str], changes: Sequence[Change], limit: float | None
) -> tuple[dict[str, list[Commit]], list[Figure], int]:
    repo = GitRepo(folder / "fleet")
    repo.write("fleet/clusters.yaml", cluster_documents(clusters))
    repo.write("fleet/app.yaml", application_document(APP, "apps/shop"))
    write_application(repo, APP, "apps/shop")
    first = repo.commit("the whole fleet")
    runs: dict[str, list[Commit]] = {}
    count = len(clusters)
    async with (
        hub_process(folder / "hub", str(repo.path)) as hub,
        hub.bus() as bus,
        hub.session() as session,
    ):
        listener = Listener()
        await listener.start(bus)
        listener.commit = Commit(first, time.time())
        empty = hub.program.rss
        async with sandbox_process(folder / "sandbox", hub.nats, hub.identity, clusters) as sandbox:
            await until(lambda: _all_healthy(listener, sandbox, hub), 180, f"the first roll-out to {count} is healthy")
            say(f"{count} clusters healthy for the first time after {time.time() - listener.commit.start:.1f} s")
            await asyncio.sleep(SETTLE)
            for change in changes:
                runs[change.name] = []
                for number in range(WARMUPS + change.commits):
                    used = sandbox.program.cpu
                    done = await _one_commit(repo, change, number + 2, hub, session, listener, sandbox)
                    await asyncio.sleep(SETTLE)
                    done.cpu = sandbox.program.cpu - used
                    say(f"{change.name}, commit {number}: {_split(done)}")
                    if number >= WARMUPS:
                        runs[change.name].append(done)
            await asyncio.sleep(5)
            memory = [
                Figure(f"hub resident, clusters: {count}", hub.program.rss, "MB", limit=limit,
                       note=f"{empty:.0f} MB before the first agent connected"),
                Figure(f"sandbox process resident, per cluster of {count}", sandbox.program.rss / count, "MB",
                       note="a cluster in memory, its API server's connections and its agent"),
            ]  # fmt: skip
    sizes = [size for change in runs.values() for commit in change for size in commit.sizes]
    return runs, memory, round(statistics.mean(sizes))


def _all_healthy(listener: Listener, sandbox: SandboxProcess, hub: HubProcess) -> bool:
    sandbox.program.alive()
    hub.program.alive()
    return listener.commit is not None and len(listener.commit.times) == len(sandbox.servers)


async def _one_commit(
    repo: GitRepo,
    change: Change,
    number: int,
    hub: HubProcess,
    session: aiohttp.ClientSession,
    listener: Listener,
    sandbox: SandboxProcess,
) -> Commit:
    repo.write(f"apps/shop/{change.file}", change.content(number))
    sha = repo.commit(f"{change.name}: {number}")
    listener.commit = Commit(sha, time.time())
    await hub.push(session)
    await until(lambda: _all_healthy(listener, sandbox, hub), 60, f"commit {number} healthy on all clusters")
    return listener.commit


def _split(commit: Commit) -> str:
    """Where the time of a commit goes, in ms: when each point was reached by half and by all of the clusters."""
    parts = [f"published {(commit.published - commit.start) * 1000:.0f}"]
    for point in ("received", "fetched", "applied", "healthy"):
        seconds = commit.after(point)
        parts.append(f"{point} {percentile(seconds, 0.5) * 1000:.0f}/{max(seconds) * 1000:.0f}")
    return ", ".join(parts)


async def _floor(folder: Path, clusters: list[str], change: Change, size: int) -> tuple[list[list[float]], list[float]]:
    """Seconds until each cluster has its answer, and of processor time, for as many rounds as there are commits."""
    rounds: list[list[float]] = []
    spent: list[float] = []
    async with NatsServer(folder / f"floor-{change.file}") as nats:
        bus = Bus(nats.url, name="floor")
        answered: dict[str, float] = {}

        async def take(message: Message) -> None:
            answered[message.subject] = orjson.loads(message.data)

        async with running(bus):
            await bus.subscribe("floor.done.*", take)
            file = folder / f"floor-{change.file}.json"
            file.write_bytes(orjson.dumps({"clusters": clusters, "nats": nats.url, "manifest": _manifest(change)}))
            async with Program([PYTHON, "-m", "tests.bench.child_floor", file], folder / "floor.log") as program:

                async def up() -> bool:
                    return len(answered) == len(clusters)

                await program.answers(up, 120, "the floor's connections are up")
                for number in range(WARMUPS + change.commits):
                    await asyncio.sleep(0.5)
                    answered.clear()
                    used, start = program.cpu, time.time()
                    payload = str(number).encode().ljust(size)
                    for cluster in clusters:
                        await bus.publish(f"floor.{cluster}", payload)
                    await program.answers(up, 60, "the floor's round is done")
                    if number >= WARMUPS:
                        rounds.append([at - start for at in answered.values()])
                        spent.append(program.cpu - used)
    say(f"floor, {change.name}: {size} bytes each, last {max(map(max, rounds)) * 1000:.0f} ms")
    return rounds, spent


def _manifest(change: Change) -> dict[str, object]:
    manifest = load_documents(change.content(1).encode(), file=change.file)[0].value
    assert isinstance(manifest, dict)
    return manifest


def _figures(change: Change, count: int, commits: list[Commit], floors: list[list[float]]) -> list[Figure]:
    healthy = [seconds * 1000 for commit in commits for seconds in commit.after("healthy")]
    floor = [seconds * 1000 for each in floors for seconds in each]
    last = [max(commit.after("healthy")) * 1000 for commit in commits]
    floor_last = [max(each) * 1000 for each in floors]
    what = f"{change.name}, clusters: {count}: commit → healthy"
    goal = change.goal if count == CLUSTERS else None
    return [
        Figure(f"{what}, p50 of units", percentile(healthy, 0.5), "ms", percentile(floor, 0.5)),
        Figure(f"{what}, p99 of units", percentile(healthy, 0.99), "ms", percentile(floor, 0.99),
               ratio_limit=goal, note=_where(commits)),
        Figure(f"{what}, last unit, median of {len(last)} commits", statistics.median(last), "ms",
               statistics.median(floor_last)),
        Figure(f"{what}, last unit, worst of {len(last)} commits", max(last), "ms", max(floor_last),
               ratio_limit=goal),
    ]  # fmt: skip


def _processor_time(change: Change, count: int, commits: list[Commit], floor: list[float]) -> Figure:
    """Of the agents' process: what a machine with nothing else to do needs for a commit, to the last event told."""
    return Figure(
        f"{change.name}, clusters: {count}: processor time of a commit, per cluster",
        statistics.median(commit.cpu for commit in commits) / count * 1000,
        "ms",
        statistics.median(floor) / count * 1000,
        note=f"with the clusters' API servers, and with all that follows within {SETTLE:g} s",
    )


def _where(commits: list[Commit]) -> str:
    """The medians of the points in between."""
    published = statistics.median(commit.published - commit.start for commit in commits)
    points = {
        point: statistics.median(percentile(commit.after(point), 0.5) for commit in commits)
        for point in ("received", "fetched", "applied", "healthy")
    }
    steps = [f"last published {published * 1000:.0f}"]
    steps += [f"{point} {seconds * 1000:.0f}" for point, seconds in points.items()]
    return "ms after the commit, median: " + ", ".join(steps)
