"""Bundles for the clusters of one application: every distinct variant is rendered once, and not at all when known.

What cannot be rendered leaves its clusters as they are, and says why; the others go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from hub.domain.blending import Part
from hub.domain.documents import Application
from hub.domain.fleet import Facts, FleetModel
from hub.domain.publishing import Body
from hub.domain.records import Commit, PathTimes, SourceInfo
from hub.domain.variants import ContentKey, Inputs, Variant, Variants, policy_of
from hub.metrics import Metrics
from hub.render.job import Rendered, RenderError
from hub.render.parts import Supplies
from shared import bundle, telemetry
from shared.errors import DocumentError, Unavailable
from shared.messages import encode
from shared.model import Problem
from shared.tasks import Clock

POLICY_LIMIT = 256 * 1024
"""Bytes of a policy as JSON: it travels in every assignment, and NATS takes a mebibyte with the body's 16 KiB."""


Render = Callable[[Inputs, Supplies], Awaitable[Rendered]]
"""Renders one variant: `Renderer.render`."""


@dataclass(frozen=True)
class Evaluation:
    """One application as it stands at one commit, and how to read and render its content.

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

    @property
    def name(self) -> str:
        """The application's name."""
        return self.application.name


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
    """What was worked out for an application last: bundles by variant, and which variables its content uses."""

    bodies: dict[str, Body] = field(default_factory=dict)
    used: dict[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: dict[str, tuple[Problem, ...]] = field(default_factory=dict)


class Bundles:
    """Remembers the bundles of every application as of its last evaluation."""

    def __init__(self, store: Callable[[list[bundle.Pack]], Awaitable[None]], metrics: Metrics, clock: Clock) -> None:
        """`store` keeps bundle bodies that are too large to travel in an assignment."""
        self._store = store
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

    async def make(self, evaluation: Evaluation, clusters: tuple[str, ...]) -> Outcome:
        """A bundle for every cluster.

        Raises:
            Unavailable: a worker was lost, or a body could not be stored; trying again may help.
        """
        work = _Work(evaluation, self._known.get(evaluation.name, _Known()), self._store, self._metrics, self._clock)
        for cluster in clusters:
            await work.cluster(cluster)
        self._known[evaluation.name] = work.fresh
        return work.finish()


class _Work:
    """One evaluation under way."""

    def __init__(
        self,
        evaluation: Evaluation,
        known: _Known,
        store: Callable[[list[bundle.Pack]], Awaitable[None]],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._evaluation = evaluation
        self._metrics = metrics
        self._policy = policy_of(evaluation.application, evaluation.fleet)
        self._variants = Variants(evaluation.application, evaluation.fleet)
        self._known = known
        self._store = store
        self._clock = clock
        self._contents: dict[str, ContentKey] = {}
        self._failed: dict[str, RenderError] = {}
        self._outcome = Outcome()
        self.fresh = _Known(used=dict(known.used))

    async def cluster(self, name: str) -> None:
        """Finds or makes the bundle of one cluster."""
        try:
            made = await self._variant(name)
            if made.undecided:
                self._outcome.problems.append(_undecided(name, made))
                self._outcome.kept.add(name)
            else:
                self._outcome.bodies[name] = await self._body(name, made)
        except DocumentError as error:
            self._outcome.problems.append(self._unusable(error))
            self._outcome.kept.add(name)
        except RenderError as error:
            if error.transient:
                raise Unavailable(f"{self._evaluation.name}: {error}") from error
            self._outcome.kept.add(name)

    def finish(self) -> Outcome:
        """The outcome, findings without repetition."""
        found = [problem for failure in self._failed.values() for problem in failure.problems]
        found += [problem for warnings in self.fresh.warnings.values() for problem in warnings]
        name = self._evaluation.name
        about = [p if p.application else msgspec.structs.replace(p, application=name) for p in found]
        self._outcome.problems = list(dict.fromkeys([*self._outcome.problems, *about]))
        return self._outcome

    async def _variant(self, cluster: str) -> Variant:
        """The variant of a cluster; only variables that its content is known to use tell variants apart.

        Raises:
            DocumentError: one of its sources cannot be used.
        """
        facts = self._evaluation.facts.get(cluster)
        parts = self._variants.blend(cluster, facts).parts
        for part in parts:
            if part.footing not in self._contents:
                self._contents[part.footing] = (await self._evaluation.supplies.reading(part)).content
        used = self.fresh.used.get(self._contents_of(parts))
        return self._variants.of(cluster, facts=facts, contents=self._contents, used_names=used)

    def _contents_of(self, parts: Iterable[Part]) -> str:
        return " ".join(self._contents[part.footing].key for part in parts)

    def _unusable(self, error: DocumentError) -> Problem:
        name = self._evaluation.name
        written = self._evaluation.fleet.place("Application", name, "spec.source")
        what = str(error) if error.place is not None else error.message
        return Problem("error", what, written, "" if error.place is not None else error.hint, name)

    async def _body(self, cluster: str, made: Variant) -> Body:
        if made.digest in self._failed:
            raise self._failed[made.digest]
        body = self.fresh.bodies.get(made.digest) or self._known.bodies.get(made.digest)
        warnings = self.fresh.warnings.get(made.digest) or self._known.warnings.get(made.digest, ())
        if body is None or body.policy != self._policy:
            try:
                rendered = await self._render(made)
                self.fresh.used[self._contents_of(made.inputs.blend.parts)] = rendered.used
                made = await self._variant(cluster)  # named anew, now that the variables in use are known
                body, warnings = await self._compose(rendered), rendered.warnings
            except RenderError as error:
                self._failed[made.digest] = error
                raise
        else:
            self._metrics.renders.labels("cached").inc()
        self.fresh.bodies[made.digest] = body
        self.fresh.warnings[made.digest] = warnings
        return body

    async def _render(self, made: Variant) -> Rendered:
        start = self._clock.now()
        try:
            rendered = await self._evaluation.render(made.inputs, self._evaluation.supplies)
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
