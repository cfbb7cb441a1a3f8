"""Bundles for the clusters of one application: every distinct variant is rendered once, and not at all when known.

What cannot be rendered, or must not be published (`hub.admission`), leaves its clusters as they are, and says why; the
others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from hub.admission import Judge, by_cluster, denied, guarded, nobody, objections
from hub.domain.documents import Application
from hub.domain.fleet import Facts, FleetModel
from hub.domain.publishing import Body
from hub.domain.records import Commit, PathTimes, SourceInfo
from hub.domain.tenancy import Fence, Fences
from hub.domain.variants import ContentKey, Inputs, Variant, Variants, policy_of
from hub.metrics import Metrics
from hub.render.job import Rendered, RenderError
from hub.render.parts import Supplies
from hub.turns import Turns
from shared import bundle, telemetry
from shared.errors import DocumentError, Unavailable
from shared.messages import encode
from shared.model import Problem
from shared.tasks import Clock

POLICY_LIMIT = 256 * 1024
"""Bytes of a policy as JSON: it travels in every assignment, and NATS takes a mebibyte with the body's 16 KiB."""

CALLERS = 16
"""Clusters of one application that are worked on at once. Renders beyond the workers wait for one."""

MOST_USED = 8
"""Sets of variables in use that are remembered of one kind of variant."""

Render = Callable[[Inputs, Supplies], Awaitable[Rendered]]
"""Renders one variant: `Renderer.render`."""


@dataclass(frozen=True)
class Evaluation:
    """One application as it stands at one commit, and how to read, render and judge its content.

    `supplies` are its sources as of that moment; where they cannot be had at all is in `problems`.
    """

    application: Application
    fleet: FleetModel
    facts: Facts
    source: SourceInfo
    commit: Commit
    supplies: Supplies
    render: Render
    traceparent: str
    times: PathTimes
    problems: tuple[Problem, ...] = ()
    renamed: str = ""
    """The application that is gone and had the same source: this one takes its place."""
    judge: Judge = nobody

    @property
    def name(self) -> str:
        """The application's name."""
        return self.application.name

    @property
    def basis(self) -> Basis:
        """What of it can be kept."""
        return Basis(
            self.application, self.source, self.commit, self.supplies, self.render, self.traceparent, self.judge
        )


@dataclass(frozen=True)
class Basis:
    """An evaluation without the fleet it was made in: one that is kept must not keep a fleet of its own."""

    application: Application
    source: SourceInfo
    commit: Commit
    supplies: Supplies
    render: Render
    traceparent: str
    judge: Judge = nobody

    def at(self, fleet: FleetModel, facts: Facts) -> Evaluation:
        """The same in another fleet."""
        return Evaluation(
            self.application,
            fleet,
            facts,
            self.source,
            self.commit,
            self.supplies,
            self.render,
            self.traceparent,
            PathTimes(),
            judge=self.judge,
        )


@dataclass
class Outcome:
    """Bundles by cluster, the clusters that stay as they are, and everything there is to say."""

    bodies: dict[str, Body] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    rendered: int = 0
    """How many renders it took."""


@dataclass
class _Known:
    """What was worked out for an application last: bundles by variant, and which variables each kind of it uses.

    The values of some may decide whether others are used, so that there may be several sets of them, newest first.
    """

    bodies: dict[str, Body] = field(default_factory=dict)
    used: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    warnings: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    objections: dict[tuple[str, str], tuple[Problem, ...]] = field(default_factory=dict)
    """What is to be said against a variant within a fence, by the digests of both."""


class Bundles:
    """Remembers the bundles of every application as of its last evaluation."""

    def __init__(
        self, store: Callable[[list[bundle.Pack]], Awaitable[None]], turns: Turns, metrics: Metrics, clock: Clock
    ) -> None:
        """`store` keeps bundle bodies that are too large to travel in an assignment."""
        self._store = store
        self._turns = turns
        self._metrics = metrics
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def forget(self, application: str) -> None:
        """The application is gone."""
        self._known.pop(application, None)

    def packs(self) -> set[str]:
        """The digests of the packs of every bundle that is remembered, and so may be given out without a render."""
        bodies = (body for known in self._known.values() for body in known.bodies.values())
        return {pack.digest for body in bodies for pack in body.packs}

    async def make(self, evaluation: Evaluation, clusters: tuple[str, ...], *, remember: bool = True) -> Outcome:
        """A bundle for every cluster.

        Args:
            evaluation: the newest of the application; an earlier one only without `remember`.
            clusters: those that are to get one.
            remember: whether what was worked out takes the place of what is remembered.

        Raises:
            Unavailable: a worker was lost, or a body could not be stored; trying again may help.
        """
        known = self._known.get(evaluation.name, _Known())
        work = _Work(evaluation, known, self._store, self._turns, self._metrics, self._clock)
        outcome = await work.outcome(clusters)
        if remember:
            self._known[evaluation.name] = work.fresh
        return outcome


class _Work:
    """One evaluation under way: several clusters at once, each render once."""

    def __init__(
        self,
        evaluation: Evaluation,
        known: _Known,
        store: Callable[[list[bundle.Pack]], Awaitable[None]],
        turns: Turns,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._evaluation = evaluation
        self._turns = turns
        self._metrics = metrics
        application, fleet = evaluation.application, evaluation.fleet
        self._policy = policy_of(application, fleet)
        self._variants = Variants(application, fleet)
        self._fences = Fences(application, fleet)
        self._fence: dict[str, Fence] = {}
        self._asked: tuple[Fence, ...] = ()
        self._against: dict[str, tuple[Problem, ...]] = {}
        project = fleet.projects.get(application.spec.project)
        rules = project.spec if project is not None else None
        self._supplies = guarded(evaluation.supplies, application.spec.project, rules)
        self._known = known
        self._store = store
        self._clock = clock
        self._contents: dict[str, ContentKey] = {}
        self._failed: dict[str, RenderError] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._said: dict[str, tuple[Problem, ...]] = {}
        self._lost: Unavailable | None = None
        self._outcome = Outcome()
        self.fresh = _Known()

    async def outcome(self, clusters: tuple[str, ...]) -> Outcome:
        """What comes of these clusters, findings without repetition.

        Raises:
            Unavailable: as `Bundles.make`.
        """
        waiting = iter(clusters)
        facts = self._evaluation.facts
        self._fence = {name: self._fences.on(name, facts.get(name)) for name in clusters}
        self._asked = tuple({fence.digest: fence for fence in self._fence.values()}.values())

        async def caller() -> None:
            for name in waiting:
                try:
                    await self._cluster(name)
                except Unavailable as error:
                    self._lost = error
                if self._lost is not None:
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(min(CALLERS, len(clusters))):
                group.create_task(caller())
        if self._lost is not None:
            raise self._lost
        # In the order of the clusters, whichever was done first: what is said must not differ from time to time.
        said = [problem for name in clusters for problem in self._said.get(name, ())]
        said += by_cluster(clusters, self._against)
        about = [p if p.application else msgspec.structs.replace(p, application=self._evaluation.name) for p in said]
        self._outcome.problems = list(dict.fromkeys(about))
        return self._outcome

    async def _cluster(self, name: str) -> None:
        """Finds or makes the bundle of one cluster."""
        await self._turns.turn()
        try:
            made = await self._variant(name)
            if made.undecided:
                self._keep(name, _undecided(name, made))
                return
            digest = await self._made(made)
            fence = self._fence[name].digest
            against = self._against[name] = self.fresh.objections[digest, fence] if fence else ()
            if denied(against):
                self._keep(name)
                return
            self._outcome.bodies[name] = self.fresh.bodies[digest]
            self._said[name] = self.fresh.warnings[digest]
        except DocumentError as error:
            self._keep(name, self._unusable(error))
        except RenderError as error:
            if error.transient:
                raise Unavailable(f"{self._evaluation.name}: {error}") from error
            self._keep(name, *error.problems)

    def _keep(self, name: str, *problems: Problem) -> None:
        """The cluster stays as it is."""
        self._outcome.kept.add(name)
        self._said[name] = problems

    async def _variant(self, cluster: str) -> Variant:
        """The variant of a cluster, every variable counting.

        Raises:
            DocumentError: one of its sources cannot be used.
        """
        facts = self._evaluation.facts.get(cluster)
        for part in self._variants.blend(cluster, facts).parts:
            if part.footing not in self._contents:
                self._contents[part.footing] = (await self._supplies.reading(part)).content
        return self._variants.of(cluster, facts=facts, contents=self._contents)

    def _unusable(self, error: DocumentError) -> Problem:
        name = self._evaluation.name
        written = self._evaluation.fleet.place("Application", name, "spec.source")
        what = str(error) if error.place is not None else error.message
        return Problem("error", what, written, "" if error.place is not None else error.hint, name)

    async def _made(self, made: Variant) -> str:
        """The digest of the variant, of which there is a bundle now.

        The first of a kind is rendered alone: it tells which variables count, and so which others are different.
        """
        while True:
            turn = self._turn(made)
            async with self._locks.setdefault(turn, asyncio.Lock()):
                ready = self._ready(made)
                if ready:
                    self._metrics.renders.labels("cached").inc()
                    return ready
                if self._turn(made) != turn:
                    continue  # more is known now than when it began to wait
                failed = turn if turn != made.kind else made.digest
                if failed in self._failed:
                    raise self._failed[failed]
                try:
                    return await self._bundle(made)
                except RenderError as error:
                    self._failed[failed] = error
                    raise

    def _turn(self, made: Variant) -> str:
        """Those with equal turns wait for each other."""
        used = self._used(made)
        return made.by(used[0]) if used else made.kind

    def _used(self, made: Variant) -> tuple[tuple[str, ...], ...]:
        return self.fresh.used.get(made.kind) or self._known.used.get(made.kind, ())

    def _ready(self, made: Variant) -> str:
        """The digest of a variant that is known already; empty when it is not."""
        for used in self._used(made):
            digest = made.by(used)
            body = self.fresh.bodies.get(digest) or self._known.bodies.get(digest)
            if body is not None and body.policy != self._policy:
                continue
            against = [self._objections(digest, fence) for fence in self._asked]
            if None not in against and (body is not None or all(map(denied, against))):
                warnings = self.fresh.warnings.get(digest) or self._known.warnings.get(digest, ())
                return self._remember(made, used, body, warnings)
        return ""

    async def _bundle(self, made: Variant) -> str:
        rendered = await self._render(made)
        await self._turns.turn()
        digest = made.by(rendered.used)
        found = {
            fence.digest: await objections(self._evaluation.name, rendered, fence, self._evaluation.judge)
            for fence in self._asked
        }
        self.fresh.objections.update({(digest, fence): against for fence, against in found.items() if fence})
        # What no cluster may have is not stored either.
        body = None if all(map(denied, found.values())) else await self._compose(rendered)
        return self._remember(made, rendered.used, body, rendered.warnings)

    def _objections(self, digest: str, fence: Fence) -> tuple[Problem, ...] | None:
        """What there is against a variant within a fence; None when that is not known."""
        if not fence.digest:
            return ()
        key = digest, fence.digest
        found = self.fresh.objections.get(key, self._known.objections.get(key))
        if found is not None:
            self.fresh.objections[key] = found
        return found

    def _remember(self, made: Variant, used: tuple[str, ...], body: Body | None, warnings: tuple[Problem, ...]) -> str:
        known = self._used(made)
        if used not in known:
            known = (used, *known)[:MOST_USED]
        self.fresh.used[made.kind] = known
        digest = made.by(used)
        if body is not None:
            self.fresh.bodies[digest] = body
        self.fresh.warnings[digest] = warnings
        return digest

    async def _render(self, made: Variant) -> Rendered:
        start = self._clock.now()
        try:
            rendered = await self._evaluation.render(made.inputs, self._supplies)
        except RenderError:
            self._metrics.renders.labels("error").inc()
            raise
        self._metrics.renders.labels("ok").inc()
        self._metrics.render_seconds.observe(max(0.0, self._clock.now() - start))
        self._outcome.rendered += 1
        attributes = {"yardarm.application": self._evaluation.name}
        telemetry.record_span("render", self._evaluation.traceparent, start, self._clock.now(), attributes)
        return rendered

    async def _compose(self, rendered: Rendered) -> Body:
        size = sum(map(len, rendered.lines))
        if size > bundle.BODY_LIMIT:
            message = f"renders to {size / 2**20:.0f} MiB, one application may have {bundle.BODY_LIMIT // 2**20} MiB"
            raise RenderError((Problem("error", message, hint="split it into several applications"),))
        if len(encode(self._policy)) > POLICY_LIMIT:
            message = f"sync and health come to more than {POLICY_LIMIT // 1024} KiB, which no message may carry"
            raise RenderError((Problem("error", message, hint="write fewer ignore and health rules"),))
        digest, count = bundle.Bundle(self._policy, rendered.lines).digest, len(rendered.lines)
        inline = bundle.inline(rendered.lines)
        if inline is not None:
            return Body(digest, self._policy, count, rendered.refs, inline=inline)
        packs = bundle.packs(rendered.lines)
        await self._store(packs)
        return Body(digest, self._policy, count, rendered.refs, packs=tuple(pack.ref for pack in packs))


def _undecided(name: str, made: Variant) -> Problem:
    message = f"{name} has not reported the facts that are needed ({', '.join(made.undecided)}): it keeps what it has"
    return Problem("warning", message, application=made.inputs.application)
