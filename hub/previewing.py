"""What a change does to the whole fleet before anybody has it: two snapshots of the fleet, rendered where they differ.

A variant is named by what it is made of, so that equal names on both sides are never rendered: the preview of a commit
that touches one of a thousand applications costs one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from hub.admission import Judge, denied, guarded, nobody, objections
from hub.domain import succession
from hub.domain.blending import Part, candidates, digest_of
from hub.domain.documents import Application
from hub.domain.fleet import Facts, FleetModel
from hub.domain.placement import place
from hub.domain.preview.compare import compare
from hub.domain.preview.model import Preview, Side
from hub.domain.preview.outdated import Versions
from hub.domain.preview.states import About, Failed, Made, Result, State, Unseen, differing, origin
from hub.domain.records import SourceInfo
from hub.domain.tenancy import Fence, Fences
from hub.domain.variants import ContentKey, Inputs, Variants, policy_of
from hub.render.job import Rendered, RenderError
from hub.render.parts import Supplies
from shared.errors import DocumentError, Unavailable
from shared.model import Problem

Render = Callable[[Inputs, Supplies], Awaitable[Rendered]]
Have = Callable[[str], Collection[str]]
"""The clusters that have an application now."""

_KEPT = "it is {}: what it has stays"


@dataclass(frozen=True)
class Snapshot:
    """The fleet as some commit, or some folder, describes it, and what its applications are made of.

    `unseen` says why what a part reads cannot be had here, nothing when it can; `problems` were met while it was read.
    """

    side: Side
    model: FleetModel
    supplies: Supplies
    prepare: Callable[[Iterable[Part]], Awaitable[None]]
    unseen: Callable[[Part], str] = lambda _part: ""
    problems: tuple[Problem, ...] = ()


@dataclass
class _Survey:
    """A state, and what its results have to be rendered from."""

    snapshot: Snapshot
    state: State
    inputs: dict[str, tuple[Inputs, Fence]] = field(default_factory=dict)
    known: dict[str, Result] = field(default_factory=dict)


class Previewer:
    """Compares snapshots as the clusters are now."""

    def __init__(self, render: Render, facts: Facts, have: Have, judge: Judge = nobody) -> None:
        """`facts` are what clusters have reported, `have` says which clusters have an application."""
        self._render = render
        self._judge = judge
        self._facts = facts
        self._have = have

    async def preview(
        self,
        before: Snapshot,
        after: Snapshot,
        applications: Collection[str] = (),
        versions: Versions | None = None,
    ) -> Preview:
        """All that changes from one to the other, of `applications` alone when there are any.

        `versions` are what clusters run, where that is known.

        Raises:
            Unavailable: a worker was lost; trying again may help.
        """
        return compare(*await self.states(before, after, applications), versions)

    async def states(
        self, before: Snapshot, after: Snapshot, applications: Collection[str] = ()
    ) -> tuple[State, State]:
        """Both states, with the results of what differs.

        Raises:
            Unavailable: as `preview`.
        """
        old, new = await self._survey(before, applications), await self._survey(after, applications)
        new.state = _with_unmade(old.state, new.state, after.model)
        new.state = _held_still(old.state, replace(new.state, renamed=_renamed(before.model, after.model)))
        needed_before, needed_after = differing(old.state, new.state)
        results = await self._results(new, needed_after)
        results |= await self._results(old, needed_before - results.keys())
        return replace(old.state, results=results), replace(new.state, results=results)

    async def check(
        self, snapshot: Snapshot, applications: Collection[str] = (), clusters: Collection[str] = ()
    ) -> State:
        """The whole state with all results, of some applications or clusters when any are named.

        Raises:
            Unavailable: as `preview`.
        """
        survey = await self._survey(snapshot, applications)
        units = {
            name: {cluster: key for cluster, key in each.items() if not clusters or cluster in clusters}
            for name, each in survey.state.units.items()
        }
        survey.state = replace(survey.state, units=units)
        keys = {key for each in units.values() for key in each.values()}
        return replace(survey.state, results=await self._results(survey, keys))

    async def _survey(self, snapshot: Snapshot, applications: Collection[str]) -> _Survey:
        model = snapshot.model
        wanted = {
            name: application
            for name, application in model.applications.items()
            if not applications or name in applications
        }
        await snapshot.prepare(part for application in wanted.values() for part in candidates(application))
        units: dict[str, dict[str, str]] = {}
        unmoved: dict[str, dict[str, str]] = {}
        survey = _Survey(snapshot, State(snapshot.side))
        for name, application in sorted(wanted.items()):
            placement = place(application, model, self._facts, self._have(name))
            making = _Making(application, model, snapshot.supplies)
            units[name] = {cluster: await self._key(survey, making, cluster) for cluster in placement.selected}
            kept = {cluster: _KEPT.format(_why(application, model, cluster)) for cluster in placement.frozen}
            if kept:
                unmoved[name] = kept
        survey.state = State(
            side=snapshot.side,
            units=units,
            applications={name: about(application, model) for name, application in wanted.items()},
            environments={cluster: model.environment_of(cluster) for cluster in model.clusters},
            problems=(*snapshot.problems, *model.problems),
            unmoved=unmoved,
        )
        return survey

    async def _key(self, survey: _Survey, making: _Making, cluster: str) -> str:
        """Names the result of an application on a cluster, and notes how it is come by."""
        application, facts = making.application.name, self._facts.get(cluster)
        contents: dict[str, ContentKey] = {}
        for part in making.variants.blend(cluster, facts).parts:
            unseen = survey.snapshot.unseen(part)
            if unseen:
                # Equal parts of a place that nobody can look into here are taken to be equal.
                return _noted(survey, Unseen(unseen), application, part.footing)
            try:
                content = (await making.supplies.reading(part)).content
                # What a cluster's API can do is not known without it: charts get Helm's own idea of a cluster then.
                contents[part.footing] = content if facts else replace(content, capabilities=False)
            except (DocumentError, Unavailable) as error:
                return _noted(survey, Failed((_problem(error, application),)), application)
        made = making.variants.of(cluster, facts=facts, contents=contents)
        if made.undecided:
            return _noted(survey, Unseen("; ".join(made.undecided)), application, made.digest)
        fence = making.fences.on(cluster, facts)
        key = digest_of([made.digest, fence.digest]) if fence.digest else made.digest
        survey.inputs[key] = made.inputs, fence
        return key

    async def _results(self, survey: _Survey, keys: Collection[str]) -> dict[str, Result]:
        results: dict[str, Result] = {}
        for key in sorted(keys):
            known = survey.known.get(key)
            results[key] = known if known is not None else await self._result(survey, *survey.inputs[key])
        return results

    async def _result(self, survey: _Survey, inputs: Inputs, fence: Fence) -> Result:
        name, model = inputs.application, survey.snapshot.model
        try:
            rendered = await self._render(inputs, _supplies(model.applications[name], model, survey.snapshot.supplies))
            against = await objections(name, rendered, fence, self._judge)
        except RenderError as error:
            if error.transient:
                raise Unavailable(f"{name}: {error}") from error
            return Failed(error.problems)
        except (DocumentError, Unavailable) as error:
            return Failed((_problem(error, name),))
        if denied(against):
            return Failed(against)
        return Made(
            {each.ref.key: (each.ref, each.line) for each in rendered.objects},
            (*rendered.warnings, *against),
            {each.ref.key: each.place for each in rendered.objects},
        )


class _Making:
    """What an application is made of, and what its objects have to keep to."""

    def __init__(self, application: Application, model: FleetModel, supplies: Supplies) -> None:
        self.application = application
        self.variants = Variants(application, model)
        self.fences = Fences(application, model)
        self.supplies = _supplies(application, model, supplies)


def _supplies(application: Application, model: FleetModel, supplies: Supplies) -> Supplies:
    project = model.projects.get(application.spec.project)
    return guarded(supplies, application.spec.project, project.spec if project is not None else None)


def _why(application: Application, model: FleetModel, cluster: str) -> str:
    """Why a cluster is to keep what it has."""
    if application.name in model.blocked:
        return "blocked by an error"
    if model.clusters[cluster].spec.paused:
        return "paused"
    return f"waiting to be promoted to {model.environment_of(cluster)}"


def about(application: Application, model: FleetModel) -> About:
    """What an application's document says of how it is kept."""
    spec = application.spec
    settings = spec.model_dump(
        mode="json",
        by_alias=True,
        include={"sync", "health", "depends_on", "release_set", "rollout", "project"},
    )
    return About(policy_of(application, model), settings, spec.placement.on_leave)


def _with_unmade(before: State, after: State, model: FleetModel) -> State:
    """The state after with those of before that a set may have, which it cannot make as it is written now."""
    unmade = {name for name in before.units.keys() - after.units.keys() if model.may_be_made(name)}
    units = {name: before.units[name] for name in unmade}
    applications = {name: before.applications[name] for name in unmade}
    return replace(after, units={**after.units, **units}, applications={**after.applications, **applications})


def _held_still(before: State, after: State) -> State:
    """The state after in which those who are to keep what they have do so, as far as something else is written."""
    units = {name: dict(clusters) for name, clusters in after.units.items()}
    unmoved: dict[str, dict[str, str]] = {}
    for name, clusters in after.unmoved.items():
        had = before.units.get(origin(name, after), {})
        for cluster, reason in clusters.items():
            if cluster in had and had[cluster] != units[name][cluster]:
                units[name][cluster] = had[cluster]
                unmoved.setdefault(name, {})[cluster] = reason
    return replace(after, units=units, unmoved=unmoved)


def _noted(survey: _Survey, result: Result, application: str, *more: str) -> str:
    key = digest_of([application, *(more or map(str, result.problems if isinstance(result, Failed) else ()))])
    survey.known[key] = result
    return key


def _problem(error: DocumentError | Unavailable, application: str) -> Problem:
    if isinstance(error, DocumentError):
        return Problem("error", error.message, error.place, error.hint, application)
    return Problem("error", str(error), application=application)


def _renamed(before: FleetModel, after: FleetModel) -> Mapping[str, str]:
    """Applications that go on under another name, old by new: see `succession`."""
    lost = before.applications.keys() - after.applications.keys()
    gone = {name: _source(before.applications[name]) for name in lost if not after.may_be_made(name)}
    new = {name: _source(each) for name, each in after.applications.items() if name not in before.applications}
    return {heir: old for old, heir in succession.renames(gone, new).items()}


def _source(application: Application) -> SourceInfo:
    source = candidates(application)[0].source
    return SourceInfo(source.repo, source.ref, source.path, source.chart, source.version)
