"""A change goes to 100 clusters in three stages, without soak: how long, beside what its stages themselves take.

The floor is the sum over the stages of the slowest cluster's time from assigned to healthy, as its agent reports it:
what is left of the rollout if the hub took no time at all to decide, to store and to publish.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from shared import subjects
from shared.bus import Bus, Message
from shared.messages import Assignment, Report, decode
from shared.model import Health, UnitKey
from tests.bench.figures import Figure
from tests.bench.rig import HubProcess, hub_process, sandbox_process, say, until, workspace
from tests.bench.workload import CONFIGMAP, application_document, cluster_documents, write_application
from tests.fakes.gitrepo import GitRepo

APP = "shop"
RINGS = {"canary": 10, "early": 30, "late": 60}
COMMITS = 5
WARMUPS = 1
PAUSE = 2.0
GOAL = 2.0
STRATEGY = """\
---
apiVersion: yardarm.dev/v1alpha1
kind: RolloutStrategy
metadata: {name: ringed}
spec:
  stages:
    - {name: canary, where: [{labels: {ring: canary}}]}
    - {name: early, where: [{labels: {ring: early}}]}
    - {name: late, where: [{labels: {ring: late}}]}
"""


@dataclass(frozen=True)
class Run:
    """One rollout, in seconds: from the webhook, and from its own beginning, until Completed.

    `slowest` is by stage the longest of its clusters from assigned to healthy, `stages` how long each stage took.
    """

    whole: float
    own: float
    slowest: dict[str, float]
    stages: dict[str, float]


class Listener:
    """What is assigned and reported, as it is said."""

    def __init__(self) -> None:
        self.assigned: dict[str, Assignment] = {}
        self.healthy: dict[str, Report] = {}

    async def start(self, bus: Bus) -> None:
        await bus.subscribe(subjects.NOTIFY_PREFIX + subjects.DESIRED_ALL, self._assignment)
        await bus.subscribe(subjects.REPORTS_ALL, self._report)

    async def _assignment(self, message: Message) -> None:
        if isinstance(subjects.parse_desired(message.subject.removeprefix(subjects.NOTIFY_PREFIX)), UnitKey):
            assignment = decode(message.data, Assignment)
            self.assigned[assignment.cluster] = assignment

    async def _report(self, message: Message) -> None:
        if isinstance(subjects.parse_report(message.subject), UnitKey):
            report = decode(message.data, Report)
            if report.health is Health.HEALTHY:
                self.healthy.setdefault(f"{report.cluster} {report.generation}", report)

    def took(self, cluster: str) -> float:
        """Seconds from assigned to healthy, as the agent says."""
        assignment = self.assigned[cluster]
        healthy = self.healthy[f"{cluster} {assignment.generation}"].timeline.healthy
        if healthy is None:
            raise RuntimeError(f"{cluster} is healthy and does not say since when")
        return healthy - assignment.at


async def measure() -> list[Figure]:
    clusters = {f"{ring}-{number:02}": ring for ring, count in RINGS.items() for number in range(count)}
    with workspace("rollouts") as folder:
        repo = GitRepo(folder / "fleet")
        documents = "".join(cluster_documents((name,), ring=ring) for name, ring in clusters.items())
        repo.write("fleet/clusters.yaml", documents + STRATEGY)
        repo.write("fleet/app.yaml", application_document(APP, "apps/shop", rollout="ringed"))
        write_application(repo, APP, "apps/shop")
        first = repo.commit("the whole fleet")
        async with (
            hub_process(folder / "hub", str(repo.path)) as hub,
            hub.bus() as bus,
            hub.session() as session,
            sandbox_process(folder / "sandbox", hub.nats, hub.identity, clusters) as sandbox,
        ):
            listener = Listener()
            await listener.start(bus)
            await _completed(session, sandbox.program.alive, first)
            runs = []
            for number in range(WARMUPS + COMMITS):
                await asyncio.sleep(PAUSE)
                run = await _run(repo, hub, session, listener, sandbox.program.alive, clusters, number + 1)
                say(f"commit {number}: {run.whole:.2f} s, stages {_shown(run.stages)}, slowest {_shown(run.slowest)}")
                runs += [run] if number >= WARMUPS else []
    return _figures(runs)


async def _completed(session: aiohttp.ClientSession, alive: Any, sha: str) -> dict[str, Any]:
    """The rollout of a commit, once it is Completed."""
    found: dict[str, Any] = {}

    async def done() -> bool:
        nonlocal found
        alive()
        async with session.get(f"/api/v1/rollouts/{APP}") as answer:
            found = await answer.json() if answer.status == 200 else {}
        return bool(found) and found["commit"]["sha"] == sha and found["phase"] == "Completed"

    await until(done, 180, f"the rollout of {sha[:8]} is Completed")
    return found


async def _run(
    repo: GitRepo,
    hub: HubProcess,
    session: aiohttp.ClientSession,
    listener: Listener,
    alive: Any,
    clusters: dict[str, str],
    number: int,
) -> Run:
    repo.write("apps/shop/settings.yaml", CONFIGMAP.format(name=f"{APP}-settings", value=number))
    sha, start = repo.commit(f"number {number}"), time.time()
    await hub.push(session)
    rollout = await _completed(session, alive, sha)
    slowest = {
        ring: max(listener.took(name) for name, of in clusters.items() if of == ring) for ring in dict.fromkeys(clusters.values())
    }  # fmt: skip
    stages = {each["name"]: each["doneAt"] - each["turnAt"] for each in rollout["stages"]}
    ended = rollout["endedAt"]
    return Run(ended - start, ended - rollout["startedAt"], slowest, stages)


def _shown(times: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in times.items())


def _figures(runs: list[Run]) -> list[Figure]:
    def middle(values: list[float]) -> float:
        return statistics.median(values) * 1000

    total = sum(RINGS.values())
    floors = [sum(run.slowest.values()) for run in runs]
    worst = max(runs, key=lambda run: run.whole / sum(run.slowest.values()))
    what = f"{total} clusters in {len(RINGS)} stages: webhook → Completed"
    return [
        Figure(f"{what}, median of {len(runs)} commits", middle([run.whole for run in runs]), "ms", middle(floors),
               ratio_limit=GOAL, note="the floor is the sum of the stages' slowest clusters, from assigned to healthy"),
        Figure(f"{what}, worst ratio", worst.whole * 1000, "ms", sum(worst.slowest.values()) * 1000, ratio_limit=GOAL),
        Figure("… from the rollout's own beginning, median", middle([run.own for run in runs]), "ms", middle(floors)),
        *(
            Figure(f"… stage {ring}, {count} clusters, median", middle([run.stages[ring] for run in runs]), "ms",
                   middle([run.slowest[ring] for run in runs]), note="the floor is its slowest cluster")
            for ring, count in RINGS.items()
        ),
    ]  # fmt: skip
