"""A hundred rollouts at once over a thousand clusters, and a hub that is killed and started in the midst of them.

100 applications on 1,000 clusters, whose agents are played by `child_fleet`. Each goes out in three stages: 10 clusters,
200 of which half at once, and all others, 200 at once. One commit changes all of them.
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

from shared.bus import Bus
from tests.bench.child_hub import tick
from tests.bench.figures import Figure, percentile
from tests.bench.rig import (
    COUNTING_HUB,
    PYTHON,
    HubProcess,
    Program,
    counted,
    hub_process,
    say,
    stream_state,
    until,
    workspace,
)
from tests.bench.workload import CONFIGMAP, application_document, cluster_documents, write_application
from tests.fakes.gitrepo import GitRepo
from tests.fakes.natsserver import free_port

APPLICATIONS = 100
CLUSTERS = 1000
UNITS = APPLICATIONS * CLUSTERS
RINGS = {"canary": 10, "early": 200, "late": CLUSTERS - 210}
SECONDS = (0.3, 2.0)
"""From assigned to healthy, the least and the most."""
LATE_LIMIT = 50.0
RESUME_LIMIT = 30.0
STRATEGY = """\
---
apiVersion: yardarm.dev/v1alpha1
kind: RolloutStrategy
metadata: {name: ringed}
spec:
  stages:
    - {name: canary, where: [{labels: {ring: canary}}]}
    - {name: early, where: [{labels: {ring: early}}], maxConcurrent: 50%}
    - {name: late, where: [{labels: {ring: late}}], maxConcurrent: 200}
"""
ASKED = ("/api/v1/summary", "/api/v1/rollouts/app-00", "/api/v1/units?limit=100", "/api/v1/rollouts?limit=20")
"""What is asked of the API meanwhile, in turn."""


@dataclass(frozen=True)
class Run:
    """One commit that changes every application, from the webhook until all rollouts are Completed.

    Times in seconds, `late` is how late a 10 ms timer of the hub's loop was (p99, most), `idle` the p99 of one in a
    process that only waits, `answers` of the API by path, `written` are messages to the hub's own store.
    """

    wall: float
    cpu: float
    late: tuple[float, float]
    idle: float
    answers: dict[str, list[float]]
    memory: float
    peak: float
    written: int


async def measure() -> list[Figure]:
    with workspace("rollouts") as folder:
        names = [f"app-{number:02}" for number in range(APPLICATIONS)]
        clusters = _clusters()
        repo = GitRepo(folder / "fleet")
        repo.write(
            "fleet/clusters.yaml",
            "".join(cluster_documents((name,), ring) for name, ring in clusters.items()) + STRATEGY,
        )
        for name in names:
            repo.write(f"fleet/{name}.yaml", application_document(name, f"apps/{name}", rollout="ringed"))
            write_application(repo, name, f"apps/{name}")
        first = repo.commit("a hundred applications")
        settings = {"nats": {"port": free_port()}}
        async with contextlib.AsyncExitStack() as agents:
            async with _hub(folder, repo, settings) as (hub, bus):
                fleet = await agents.enter_async_context(_fleet(folder, hub, list(clusters)))
                start, used = time.monotonic(), hub.program.cpu
                await _completed(bus, fleet, first, 900)
                begun, begun_cpu = time.monotonic() - start, hub.program.cpu - used
                say(f"first rollouts of {UNITS} units: {begun:.1f} s, hub CPU {begun_cpu:.1f} s")
                await asyncio.sleep(3)
                run = await _run(repo, hub, bus, fleet, names)
                say(f"a commit for all: {run.wall:.1f} s, hub CPU {run.cpu:.1f} s, RSS {run.memory:.0f} MB, "
                    f"late p99 {run.late[0] * 1000:.0f} ms, most {run.late[1] * 1000:.0f} ms")  # fmt: skip
                await asyncio.sleep(3)
                sha = await _stuck(repo, hub, bus, fleet, names, clusters)
                before = await _sequences(bus)
                hub.program.kill()
            resumed = await _resumed(folder, repo, settings, fleet, sha, before)
    return [*_figures(begun, begun_cpu, run), *resumed]


def _clusters() -> dict[str, str]:
    """Cluster → its ring."""
    rings = [ring for ring, count in RINGS.items() for _ in range(count)]
    return {f"c{number:04}": ring for number, ring in enumerate(rings)}


@contextlib.asynccontextmanager
async def _hub(folder: Path, repo: GitRepo, settings: dict[str, Any]) -> AsyncIterator[tuple[HubProcess, Bus]]:
    async with (
        hub_process(folder / "hub", str(repo.path), module=COUNTING_HUB, ready=120, **settings) as hub,
        hub.bus() as bus,
    ):
        yield hub, bus


@contextlib.asynccontextmanager
async def _fleet(folder: Path, hub: HubProcess, clusters: list[str]) -> AsyncIterator[Program]:
    file = folder / "agents.json"
    setup = {"nats": hub.nats, "state": str(hub.folder / "state"), "clusters": clusters, "seconds": SECONDS}
    file.write_bytes(orjson.dumps(setup))
    async with Program([PYTHON, "-m", "tests.bench.child_fleet", file], folder / "agents.log") as program:
        yield program


async def _completed(bus: Bus, fleet: Program, sha: str, seconds: float) -> None:
    async def done() -> bool:
        fleet.alive()
        counts = await counted(bus, "rollouts")
        return counts["looked"] == sha and not counts["busy"] and counts["rollouts"] == {"Completed": APPLICATIONS}

    await until(done, seconds, f"all rollouts of {sha[:8]} are completed", step=0.5)


def _change(repo: GitRepo, names: list[str], value: int) -> str:
    for name in names:
        repo.write(f"apps/{name}/settings.yaml", CONFIGMAP.format(name=f"{name}-settings", value=value))
    return repo.commit(f"value {value} for all")


async def _run(repo: GitRepo, hub: HubProcess, bus: Bus, fleet: Program, names: list[str]) -> Run:
    sha = _change(repo, names, 1)
    await bus.request("bench.late")
    used, written = hub.program.cpu, (await stream_state(bus, "KV_HUB"))["last_seq"]
    answers: dict[str, list[float]] = {path: [] for path in ASKED}
    async with hub.session() as session:
        await hub.push(session)
        start = time.monotonic()
        ticks: list[float] = []
        meanwhile = [asyncio.create_task(each) for each in (_ask(session, answers), tick(ticks))]
        try:
            await _completed(bus, fleet, sha, 900)
        finally:
            for task in meanwhile:
                task.cancel()
    wall = time.monotonic() - start
    late = orjson.loads((await bus.request("bench.late")).data)
    return Run(
        wall,
        hub.program.cpu - used,
        (late["p99"], late["most"]),
        percentile(ticks, 0.99),
        answers,
        hub.program.rss,
        hub.program.peak,
        (await stream_state(bus, "KV_HUB"))["last_seq"] - written,
    )


async def _ask(session: aiohttp.ClientSession, answers: dict[str, list[float]]) -> None:
    while True:
        for path, times in answers.items():
            start = time.monotonic()
            async with session.get(path) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{path} was answered with {answer.status}")
            times.append(time.monotonic() - start)
            await asyncio.sleep(0.1)


async def _stuck(
    repo: GitRepo, hub: HubProcess, bus: Bus, fleet: Program, names: list[str], clusters: dict[str, str]
) -> str:
    """A commit of which only the canaries say that it is healthy: every rollout stands in its second stage."""
    only = [name for name, ring in clusters.items() if ring == "canary"]
    before = orjson.loads((await bus.request("bench.fleet", orjson.dumps({"only": only}))).data)["assigned"]
    sha = _change(repo, names, 2)
    async with hub.session() as session:
        await hub.push(session)

        async def there() -> bool:
            fleet.alive()
            counts = await counted(bus, "rollouts")
            given = orjson.loads((await bus.request("bench.fleet")).data)["assigned"] - before
            return given == APPLICATIONS * (RINGS["canary"] + RINGS["early"] // 2) and not counts["busy"]

        await until(there, 300, "all rollouts are in their second stage", step=0.1)
        await asyncio.sleep(3)
    return sha


async def _sequences(bus: Bus) -> dict[str, int]:
    return {stream: (await stream_state(bus, stream))["last_seq"] for stream in ("DESIRED", "BLOBS", "KV_HUB")}


async def _resumed(
    folder: Path, repo: GitRepo, settings: dict[str, Any], fleet: Program, sha: str, before: dict[str, int]
) -> list[Figure]:
    """Starts a hub again, and looks when every rollout has been taken up, and whether anything was published."""
    start = time.monotonic()
    async with _hub(folder, repo, settings) as (hub, bus):
        ready = time.monotonic() - start

        async def taken_up() -> bool:
            hub.program.alive()
            counts = await counted(bus, "rollouts")
            under_way = sum(counts["rollouts"].values()) if counts["looked"] == sha else counts["underway"]
            return under_way == APPLICATIONS and not counts["stepping"]

        await until(taken_up, 300, "all rollouts are taken up")
        resumed = time.monotonic() - start

        async def at_rest() -> bool:
            counts = await counted(bus, "rollouts")
            return counts["looked"] == sha and not counts["busy"] and not counts["stepping"]

        await until(at_rest, 300, "the hub has worked everything out again")
        rest, memory, used = time.monotonic() - start, hub.program.rss, hub.program.cpu
        await asyncio.sleep(2)
        after = await _sequences(bus)
        say(f"resumed after {resumed:.1f} s (ready {ready:.1f}, at rest {rest:.1f}); {before} → {after}")
        start = time.monotonic()
        await bus.request("bench.fleet", orjson.dumps({"only": None}))
        await _completed(bus, fleet, sha, 900)
        ended = time.monotonic() - start
    more = {stream: after[stream] - before[stream] for stream in before}
    return [
        Figure(f"hub start to the first step of {APPLICATIONS} rollouts, {UNITS} units", resumed, "s", limit=RESUME_LIMIT,
               note=f"ready after {ready:.1f} s, all worked out again after {rest:.1f} s; {used:.1f} s of processor time; {memory:.0f} MB resident"),
        Figure("messages that it wrote to DESIRED", more["DESIRED"], "", limit=1,
               note=f"its epoch; last sequence {before['DESIRED']}, then {after['DESIRED']}; to BLOBS {more['BLOBS']}, to its own store {more['KV_HUB']}"),
        Figure("from there until all are Completed", ended, "s"),
    ]  # fmt: skip


def _figures(begun: float, begun_cpu: float, run: Run) -> list[Figure]:
    what = f"{APPLICATIONS} rollouts over {CLUSTERS} clusters"
    figures = [
        Figure(f"{what}, from a commit until all are Completed", run.wall, "s",
               note=f"the first ones, with the hub's start: {begun:.1f} s, {begun_cpu:.1f} s of processor time"),
        Figure("… processor time of the hub", run.cpu, "s", note=f"{run.cpu / UNITS * 1e6:.0f} µs for each unit, with its two reports and its event"),
        Figure("… hub resident", run.memory, "MB", note=f"at most {run.peak:.0f} MB; {run.memory / UNITS * 1000:.1f} MB per 1,000 units"),
        Figure("… messages to the hub's own store", run.written, ""),
        Figure("… event loop: a 10 ms timer is late by, p99", run.late[0] * 1000, "ms", run.idle * 1000, limit=LATE_LIMIT,
               note=f"at most {run.late[1] * 1000:.0f} ms; the floor is a loop with nothing to do, meanwhile"),
    ]  # fmt: skip
    for path, times in run.answers.items():
        figures.append(
            Figure(f"… GET {path}: p99", percentile(times, 0.99) * 1000, "ms",
                   note=f"p50 {percentile(times, 0.5) * 1000:.1f} ms, {len(times)} times")
        )  # fmt: skip
    return figures
