"""A thousand clusters and one Helm chart with three kinds of values: three renders; and what a per-cluster variable adds.

The chart makes ten objects. Its templates are executed three times in either case, because a variable that occurs in
the output only is put in afterwards. The floor is that step alone, by bare calls in one process.
"""

from __future__ import annotations

import time
from pathlib import Path

from hub.bundles import Bundles, Evaluation, Outcome
from hub.cli.supplies import OneTree
from hub.cli.worktree import Worktree
from hub.domain.documents import API_VERSION, Application
from hub.domain.fleet import FleetModel, build_fleet
from hub.domain.reading import FleetDocument, parse_document
from hub.domain.records import Commit, PathTimes, SourceInfo
from hub.domain.yamldoc import Document
from hub.metrics import Metrics
from hub.render.job import PlainJob, Rendered
from hub.render.plain import render
from hub.render.pool import RenderPool
from hub.render.programs import Programs
from hub.render.renderer import Renderer
from hub.render.templates import Templates
from hub.sources.memo import Memo
from hub.supply.pinned import Supplies
from hub.turns import Turns
from hub.view import View
from shared.tasks import Clock
from tests.bench.figures import Figure
from tests.bench.rig import say, workspace
from tests.bench.workload import CONFIGMAP, DEPLOYMENT, SERVICE

CLUSTERS = 1000
TIERS = ("bronze", "silver", "gold")
LIMIT = 2.0


class _Watched:
    """The pool, remembering the object steps that went through it."""

    def __init__(self, pool: RenderPool) -> None:
        self.jobs: list[PlainJob] = []
        self._pool = pool

    async def render(self, job: PlainJob) -> Rendered:
        self.jobs.append(job)
        return await self._pool.render(job)


async def measure() -> list[Figure]:
    with workspace("variants") as folder:
        async with RenderPool() as pool:
            await _make(folder, pool, "warm", "")  # the workers are up
            shared, same, _ = await _make(folder, pool, "same", "")
            own, different, jobs = await _make(folder, pool, "own", "${domain}")
        bare = _bare(jobs)
    if shared.rendered != len(TIERS) or own.rendered != CLUSTERS:
        raise RuntimeError(f"{shared.rendered} and {own.rendered} renders")
    if len({body.digest for body in own.bodies.values()}) != CLUSTERS:
        raise RuntimeError("the clusters do not differ")
    say(f"{CLUSTERS} clusters: {same:.2f} s with three variants, {different:.2f} s with a variable of each cluster")
    return [
        Figure(f"renders for {CLUSTERS} clusters and one chart with three kinds of values", shared.rendered, "renders",
               limit=len(TIERS)),
        Figure("time of one cluster, all variants known but for three", same / CLUSTERS * 1000, "ms"),
        Figure("what a per-cluster variable adds, for each cluster", (different - same) / CLUSTERS * 1000, "ms",
               bare / CLUSTERS * 1000, limit=LIMIT, note="ten objects; the floor is the object step by a bare call"),
    ]  # fmt: skip


async def _make(folder: Path, pool: RenderPool, name: str, text: str) -> tuple[Outcome, float, list[PlainJob]]:
    _write_chart(folder / name, text)
    fleet, application = _fleet(name)
    trees, watched, templates = OneTree(Worktree(folder)), _Watched(pool), Templates(pool)
    renderer = Renderer(watched, templates, lambda _: (), Programs())
    clock = Clock()
    evaluation = Evaluation(
        application=application,
        fleet=fleet,
        facts={},
        source=SourceInfo(".", path=name),
        commit=Commit("0" * 40),
        supplies=Supplies(trees, _NoCharts(), Memo(100)),
        render=renderer.render,
        traceparent="",
        times=PathTimes(),
    )
    bundles = Bundles(_stored, Turns(clock), Metrics(View(clock), "bench"), clock)
    start = time.monotonic()
    outcome = await bundles.make(evaluation, tuple(fleet.clusters))
    seconds = time.monotonic() - start
    if templates.made != len(TIERS) or outcome.kept:
        raise RuntimeError(f"{templates.made} template steps, {outcome.problems[:3]}")
    return outcome, seconds, watched.jobs


class _NoCharts:
    """There are no chart repositories here."""

    async def resolve(self, wanted: object) -> None:
        raise NotImplementedError(wanted)

    async def archive(self, chart: object) -> None:
        raise NotImplementedError(chart)


async def _stored(_packs: object) -> None:
    pass


def _bare(jobs: list[PlainJob]) -> float:
    """Seconds that the object steps take in this process, one after the other."""
    start = time.monotonic()
    for job in jobs:
        render(job)
    return time.monotonic() - start


def _write_chart(folder: Path, text: str) -> None:
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n")
    (folder / "values.yaml").write_text("tier: none\n")
    objects = [DEPLOYMENT.format(name=f"part-{n}", app="shop", version=1) for n in range(3)]
    objects += [SERVICE.format(name=f"part-{n}") for n in range(3)]
    objects += [CONFIGMAP.format(name=f"map-{n}", value="{{ .Values.tier }}") for n in range(3)]
    objects += [CONFIGMAP.format(name="own", value=text or "none")]
    for number, each in enumerate(objects):
        (folder / "templates" / f"{number}.yaml").write_text(each)


def _fleet(name: str) -> tuple[FleetModel, Application]:
    clusters = [
        _document(
            "Cluster", f"c-{n:04}", {"variables": {"domain": f"c{n}.example.com"}}, {"tier": TIERS[n % len(TIERS)]}
        )
        for n in range(CLUSTERS)
    ]
    overrides = [{"when": {"where": [{"labels": {"tier": tier}}]}, "values": {"tier": tier}} for tier in TIERS]
    spec = {"namespace": "shop", "source": {"path": name}, "overrides": overrides}
    fleet = build_fleet([*clusters, _document("Application", name, spec)])
    return fleet, fleet.applications[name]


def _document(kind: str, name: str, spec: dict, labels: dict | None = None) -> FleetDocument:
    value = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
    parsed = parse_document(Document("bench.yaml", 1, value))
    if not isinstance(parsed, FleetDocument):
        raise TypeError(parsed.problems)
    return parsed
