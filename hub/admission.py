"""Whether what was rendered may be given to a cluster: what its project allows, and what rules demand of its objects.

Nothing is asked where nothing is written down. Rules are put to a worker process, which may be ended at any time; who
asks remembers the answer for as long as objects and fence are the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Literal

import msgspec
import orjson

from hub.domain.blending import Part
from hub.domain.projects import ProjectSpec
from hub.domain.rules import Rule, images_of
from hub.domain.tenancy import Fence, address_refused, refused, source_refused
from hub.render.job import Broken, Judged, Rendered, RenderedObject, RenderError, RulesJob
from hub.render.parts import Materials, Reading, Supplies
from shared.errors import DocumentError, Unavailable
from shared.limits import any_kind
from shared.model import Problem

MOST = 50
"""Findings about one result that are told."""
NAMED = 5
"""Clusters that a finding names."""

Judge = Callable[[RulesJob], Awaitable[Judged]]
"""Holds objects against rules: `RenderPool.judge`."""


async def nobody(job: RulesJob) -> Judged:
    """A judge for where no rules are expected: it lets nothing through.

    Raises:
        RenderError: always.
    """
    message = f"there is nobody here who could hold objects against {job.rules[0]}"
    raise RenderError((Problem("error", message, application=job.application),))


async def objections(application: str, rendered: Rendered, fence: Fence, judge: Judge) -> tuple[Problem, ...]:
    """What is to be said against the objects: with an error among it, nothing of them may be published.

    Raises:
        Unavailable: the worker was lost; trying again may help.
    """
    if not fence.digest:
        return ()
    found = list(_beyond(application, rendered, fence))
    if fence.rules:
        found += await _broken(application, rendered, fence, judge)
    return tuple(found[:MOST])


def _beyond(application: str, rendered: Rendered, fence: Fence) -> Iterator[Problem]:
    for each in refused(fence.limits, rendered.refs):
        hint = "take it out, or have the Project allow it"
        yield Problem("error", f"{each.ref}: {each.reason}", rendered.objects[each.number].place, hint, application)


async def _broken(application: str, rendered: Rendered, fence: Fence, judge: Judge) -> list[Problem]:
    asked = [each for each in rendered.objects if _concerned(each, fence.rules)]
    if not asked:
        return []
    job = RulesJob(application, tuple(each.line for each in asked), fence.rules, MOST)
    try:
        judged = await judge(job)
    except RenderError as error:
        if error.transient:
            raise Unavailable(f"{application}: {error}") from error
        names = ", ".join(map(str, fence.rules))
        severity: Literal["error", "warning"] = "warning" if all(rule.warns for rule in fence.rules) else "error"
        return [
            Problem(severity, f"{each.message}; rules: {names}", each.place, "mend the rule", application)
            for each in error.problems
        ]
    return [_told(application, asked[each.object], fence.rules[each.rule], each) for each in judged.broken]


def _concerned(each: RenderedObject, rules: tuple[Rule, ...]) -> bool:
    return any(not rule.kinds or any_kind(rule.kinds, each.ref.group, each.ref.kind) for rule in rules)


def _told(application: str, each: RenderedObject, rule: Rule, broken: Broken) -> Problem:
    images = f" (it has {', '.join(images_of(orjson.loads(each.line)))})" if rule.on_images else ""
    why = f": {broken.reason}" if broken.reason else ""
    message = f"{each.ref} breaks {rule}: {rule.message}{images}{why}"
    severity: Literal["error", "warning"] = "warning" if rule.warns else "error"
    return Problem(severity, message, each.place, "change the object, or the rule", application)


def denied(against: Iterable[Problem] | None) -> bool:
    """Whether objections keep a result from being published."""
    return any(problem.severity == "error" for problem in against or ())


def by_cluster(clusters: Iterable[str], against: Mapping[str, tuple[Problem, ...]]) -> Iterator[Problem]:
    """Each objection once, with the clusters that it is about: those that keep what they have, if it is an error."""
    found: dict[Problem, list[str]] = {}
    for name in clusters:
        for problem in against.get(name, ()):
            found.setdefault(problem, []).append(name)
    for problem, names in found.items():
        more = f" and {len(names) - NAMED} more clusters" if len(names) > NAMED else ""
        where = f"{', '.join(names[:NAMED])}{more}"
        then = f"{where} keep what they have" if problem.severity == "error" else f"on {where}"
        yield msgspec.structs.replace(problem, message=f"{problem.message}; {then}")


class Guarded:
    """The supplies of an application of a project that lists its sources: from anywhere else comes nothing.

    Its own document was checked before; this is for what others write: charts that a HelmRelease names, dependencies
    of charts, and what kustomizations take from elsewhere.
    """

    def __init__(self, supplies: Supplies, project: str, rules: ProjectSpec) -> None:
        self._supplies = supplies
        self._project = project
        self._rules = rules

    async def reading(self, part: Part) -> Reading:
        """See `hub.render.parts.Supplies`."""
        self._check(source_refused(self._rules, part.source))
        reading = await self._supplies.reading(part)
        for repo, chart in reading.elsewhere:
            self._check(address_refused(self._rules, repo, chart))
        return reading

    async def materials(self, part: Part) -> Materials:
        """See `hub.render.parts.Supplies`."""
        self._check(source_refused(self._rules, part.source))
        return await self._supplies.materials(part)

    def _check(self, reason: str) -> None:
        if reason:
            raise DocumentError(f"project {self._project}: {reason}", hint="have the Project allow it")


def guarded(supplies: Supplies, project: str, rules: ProjectSpec | None) -> Supplies:
    """The supplies, as far as the project may use them."""
    if rules is None or not (rules.sources or rules.charts):
        return supplies
    return Guarded(supplies, project, rules)
