"""From repositories that moved to applications that have to be looked at again.

Reads the fleet documents of the newest commit, joins them into the fleet model, and hands on exactly those
applications whose inputs differ from the last time: a commit that touches one of a thousand applications evaluates one.
A repository that cannot be read, or is empty, changes nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from hub.admission import Judge
from hub.bundles import Evaluation, Render
from hub.domain import budget, succession
from hub.domain.blending import Part, candidates
from hub.domain.documents import Application
from hub.domain.fleet import Facts, FleetModel, build_fleet, fleet_of, touched, with_clusters
from hub.domain.items import lookups_of
from hub.domain.publishing import TooLong
from hub.domain.reading import FleetDocument
from hub.domain.records import (
    ApplicationInfo,
    ClusterInfo,
    Commit,
    EnvironmentInfo,
    Fleet,
    PathTimes,
    Pending,
    SourceInfo,
)
from hub.domain.urls import redact
from hub.importing.recognising import Recognised
from hub.metrics import Metrics
from hub.publisher import Cause
from hub.sources.scan import FleetScanner
from hub.supply.git import Warehouse, recognised_at
from hub.supply.listings import Lister
from hub.supply.pinned import Key, Supplies, key_of
from hub.supply.pins import FLEET, Moment, Origin, Pins
from hub.turns import Turns
from shared.errors import YardarmError
from shared.model import Place, Problem
from shared.tasks import Clock

log = logging.getLogger(__name__)

SOURCES_INTERVAL = 2.0
"""Seconds between looks at whether sources have failed."""
BATCH = 250
"""Applications whose content is looked at in one go: the first are rendered meanwhile."""
STRETCH = 10
"""Applications whose documents are looked at until others get on."""


class Downstream(Protocol):
    """Who does the rest."""

    def put(self, evaluation: Evaluation) -> None:
        """An application whose inputs have changed."""

    def remove(self, name: str, cause: Cause) -> None:
        """An application whose document is gone."""

    def present(self) -> set[str]:
        """The applications that some cluster has, or had and was told to let go."""

    def live(self) -> set[str]:
        """The applications that some cluster has and was not told to let go."""

    def heirs(self) -> dict[str, str]:
        """Application → the one that takes its place on some cluster."""

    def too_long(self) -> Iterable[TooLong]:
        """The clusters that have more units than their lists can name."""

    @property
    def infos(self) -> Mapping[str, ApplicationInfo]:
        """What is known of each application."""


@dataclass(frozen=True)
class FleetSource:
    """Where the fleet is described."""

    repo: str
    ref: str = ""
    path: str = "."


@dataclass(frozen=True, slots=True)
class _Described:
    """What the document of an application says by itself: the parts it may have, and where they are from."""

    application: Application
    parts: tuple[Part, ...]
    keys: tuple[Key, ...]
    uses_facts: bool

    @classmethod
    def of(cls, application: Application) -> _Described:
        parts = candidates(application)
        keys = (key_of(part) for part in parts)
        return cls(application, parts, tuple(key for key in keys if key is not None), _uses_facts(application))


@dataclass
class _Look:
    """What one look at everything found, before it is handed on."""

    model: FleetModel
    previous: FleetModel | None
    moment: Moment
    supplies: Supplies


class FleetLoop:
    """Runs on the leading hub. `poke` after anything that may have changed the outcome."""

    def __init__(  # noqa: PLR0913, PLR0917 - called once, by the composition root
        self,
        source: FleetSource,
        pins: Pins,
        warehouse: Warehouse,
        render: Render,
        judge: Judge,
        downstream: Downstream,
        facts: Callable[[], Facts],
        on_fleet: Callable[[Fleet], None],
        findings: Callable[[], Iterable[Problem]],
        allows: Callable[[str, str, str], bool],
        turns: Turns,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """`findings` are what others have found.

        `allows` says whether removals of (kind, application, token) were confirmed.
        """
        self._source = source
        self._pins = pins
        self._warehouse = warehouse
        self._render = render
        self._judge = judge
        self._downstream = downstream
        self._facts = facts
        self._on_fleet = on_fleet
        self._findings = findings
        self._allows = allows
        self._turns = turns
        self._pending: tuple[Pending, ...] = ()
        self._metrics = metrics
        self._clock = clock
        self._scanner = FleetScanner()
        self._lister = Lister()
        self._poked = asyncio.Event()
        self._registered: tuple[FleetDocument, ...] = ()
        self._commit: Commit | None = None
        self._prints: dict[str, tuple[Any, ...]] = {}
        self._described: dict[str, _Described] = {}
        self._by_footing: dict[str, str] = {}
        self._keys: set[Key] = set()
        self._unread: tuple[Problem, ...] = ()
        self._recognised = False
        self._told: tuple[Problem, ...] = ()
        self._moment: Moment | None = None
        self._fleet: Fleet | None = None
        self.model: FleetModel | None = None
        """The fleet as of the last good look, None before the first."""
        self.looked = ""
        """The commit of the last look that came to its end."""
        self.evaluated = 0
        """Applications handed on since the start."""

    @property
    def looking(self) -> bool:
        """Whether there is a newer commit than the last look has come to the end of."""
        return self._commit is not None and self._commit.sha != self.looked

    def poke(self) -> None:
        """Look again, soon."""
        self._poked.set()

    def again(self, application: str) -> None:
        """Hands this application on again, though nothing of it has changed."""
        self._prints.pop(application, None)
        self.poke()

    def register(self, clusters: Iterable[FleetDocument]) -> None:
        """The clusters that are known from elsewhere than Git; replaces those registered before."""
        self._registered = tuple(clusters)
        self.poke()

    async def run(self) -> None:
        """Looks whenever it is poked, until cancelled."""
        self.poke()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_of_sources())
            while True:
                await self._poked.wait()
                self._poked.clear()
                start = self._clock.monotonic()
                try:
                    await self._look()
                    self._metrics.plan_seconds.observe(self._clock.monotonic() - start)
                except YardarmError as error:
                    place = Place(self._source.path) if self._source.path != "." else None
                    log.warning("the fleet cannot be read", extra={"repo": self._source.repo, "error": str(error)})
                    self._tell(Problem("error", f"{error}; everything stays as it is", place))

    async def _tell_of_sources(self) -> None:
        """A source that fails moves nothing, so nobody pokes: its error is shown all the same."""
        while True:
            await self._clock.sleep(SOURCES_INTERVAL)
            self._tell(*self._told)

    async def _look(self) -> None:
        found = await self._pins.origin(self._source.repo, self._source.ref)
        if isinstance(found, Problem):
            self._tell(found)
            return
        moment = Moment(self._pins, self._source.repo, found)
        supplies = self._warehouse.supplies(moment)
        model = await self._read(found, moment, supplies)
        if model is None:
            return
        previous, self.model, self._commit = self.model, model, found.commit
        self._moment = moment
        look = _Look(model, previous, moment, supplies)
        self._tell(*map(self._waiting, self._pending))
        renamed = await self._hand_on(look)
        self._let_go(look, found, renamed)
        self.looked = found.commit.sha

    async def _read(self, found: Origin, moment: Moment, supplies: Supplies) -> FleetModel | None:
        """The model of a commit; None (and a finding) when it says nothing at all, where something was before."""
        path, sha = self._source.path, found.commit.sha
        same = self.model is not None and self._commit is not None and self._commit.sha == sha
        if self.model is not None and same and not (self._recognised and self.model.registered != self._registered):
            listings = await self._lister.listings(lookups_of(_sets_of(self.model)), moment)
            return with_clusters(self.model, self._registered, listings)
        scanned = await found.mirror.read(lambda objects: self._scanner.scan(objects, sha, path))
        self._unread = scanned.problems
        self._recognised = not scanned.files
        # In threads: what thousands of documents come to takes a while, and this loop has other things to do.
        if scanned.files:
            listings = await self._lister.listings(lookups_of((*scanned.documents, *_sets_of(self.model))), moment)
            return await asyncio.to_thread(fleet_of, scanned.files, self.model, self._registered, listings)
        meant = await self._recognise(found, supplies)
        parsed = meant.parsed()
        listings = await self._lister.listings(lookups_of((*parsed, *_sets_of(self.model))), moment)
        model = await asyncio.to_thread(build_fleet, parsed, self.model, self._registered, listings, meant.findings)
        before = set(self.model.applications) if self.model is not None else self._downstream.present()
        # Definitions and directories come and go; but all of them at once, or what runs as one, is no one's intention.
        follows = meant.how in ("definitions", "directories") and bool(before & set(model.applications))
        if (before - set(model.applications) and not follows) or not scanned.manifests:
            lost = "no fleet documents any more" if before else "no YAML or JSON files"
            message = f"commit {sha[:12]} has {lost}; everything stays as it is"
            self._tell(Problem("error", message, Place(path), "is this the right repository, ref and path?"))
            return None
        return model

    async def _recognise(self, found: Origin, supplies: Supplies) -> Recognised:
        """What a commit without fleet documents means."""
        infos, live = self._downstream.infos, self._downstream.live()
        fleet = self._source.repo, self._source.ref, self._source.path
        present = {name: infos[name].source.path for name in live & infos.keys()}
        return await recognised_at(found, fleet, self._registered, present, supplies, self._render)

    async def _hand_on(self, look: _Look) -> dict[str, str]:
        """Evaluations for the applications whose inputs have changed. Returns what was renamed, new name by old."""
        facts = self._facts()
        capabilities = {cluster: (each.get("kubernetes"), each.get("apis")) for cluster, each in facts.items()}

        async def compare(batch: Sequence[Application], before: Mapping[str, str]) -> None:
            described = [self._describe(application) async for application in self._in_turns(batch)]
            await look.supplies.prepare(part for each in described for part in each.parts)
            for each in described:
                name = each.application.name
                seen: Any = facts if each.uses_facts else None
                if seen is None and look.supplies.has_charts(each.parts):
                    seen = capabilities
                old, contents = before.get(name, ""), look.supplies.mark(each.parts)
                mark = (each.application, look.model.shape, name in look.model.blocked, contents, seen, old)
                if self._prints.get(name) == mark:
                    continue
                await self._turns.turn()
                self._prints[name] = mark
                self.evaluated += 1
                evaluation = self._evaluation(look, each.application, facts)
                self._downstream.put(dataclasses.replace(evaluation, renamed=old))

        if not self._lost(look):
            await compare(await self._stirred(look), {})
        applications = tuple(look.model.applications.values())
        self._keys = set()
        async for application in self._in_turns(applications):
            self._keys.update(self._describe(application).keys)
        for key in self._keys:
            await look.moment.origin(key)
        renamed = self._renamed(look)
        before = {new: old for old, new in renamed.items()}
        for batch in _batches(applications):
            await compare(batch, before)
        self._warehouse.keep(look.supplies)
        self._pins.keep(look.moment.repos)
        return renamed

    async def _in_turns(self, applications: Sequence[Application]) -> AsyncIterator[Application]:
        """The same, and others get on in between."""
        for number, application in enumerate(applications):
            if number % STRETCH == 0:
                await self._turns.turn()
            yield application

    async def _stirred(self, look: _Look) -> list[Application]:
        """Applications that something of has changed, as far as it can be told without a look at all of them.

        They come first, so that a commit to one of thousands does not wait for the others.
        """
        names = set(touched(look.model, look.previous) or ())
        for key in self._keys:
            origin = await look.moment.glance(key)  # of the look before: not all of them may be needed any more
            moved = await self._warehouse.moved(key, origin) if isinstance(origin, Origin) else ()
            names.update(self._by_footing[footing] for footing in moved if footing in self._by_footing)
        found = [look.model.applications[name] for name in sorted(names & look.model.applications.keys())]
        for key in {key for application in found for key in self._describe(application).keys}:
            await look.moment.origin(key)
        return found

    def _lost(self, look: _Look) -> set[str]:
        """Applications of clusters that nothing describes any more."""
        model = look.model.applications
        return {name for name in self._downstream.live() - model.keys() if not look.model.may_be_made(name)}

    def _renamed(self, look: _Look) -> dict[str, str]:
        """Applications that go on under another name: those gone and those new that have the same source."""
        model, live = look.model.applications, self._downstream.live()
        lost = self._lost(look)
        if not lost:
            return {}
        gone = {name: info.source for name, info in self._downstream.infos.items() if name in lost}
        known = {old: new for old, new in self._downstream.heirs().items() if old in gone and new in model}
        gone = {name: source for name, source in gone.items() if name not in known}
        new = {name: self._source_of(look, model[name]) for name in model.keys() - live}
        return known | succession.renames(gone, new)

    def _source_of(self, look: _Look, application: Application) -> SourceInfo:
        source = self._describe(application).parts[0].source
        if source.chart:
            return SourceInfo(source.repo, chart=source.chart, version=source.version)
        origin = look.moment.origins[source.repo, source.ref]
        repo = self._source.repo if source.repo == FLEET else source.repo
        return SourceInfo(origin.mirror.name if isinstance(origin, Origin) else repo, source.ref, source.path)

    def _origin_of(self, look: _Look, application: Application) -> Origin | Problem:
        """The commit that its revisions are named after: that of its own repository, or that of the fleet's."""
        key = key_of(self._describe(application).parts[0])
        return look.moment.fleet if key is None else look.moment.origins[key]

    def _describe(self, application: Application) -> _Described:
        """What its document says; worked out once for each version of it."""
        known = self._described.get(application.name)
        if known is None or known.application is not application:
            self._forget(application.name)
            known = self._described[application.name] = _Described.of(application)
            self._by_footing.update(dict.fromkeys((part.footing for part in known.parts), application.name))
        return known

    def _forget(self, name: str) -> None:
        known = self._described.pop(name, None)
        for part in known.parts if known is not None else ():
            self._by_footing.pop(part.footing, None)

    def _evaluation(self, look: _Look, application: Application, facts: Facts) -> Evaluation:
        origin = self._origin_of(look, application)
        problems: tuple[Problem, ...] = ()
        if isinstance(origin, Problem):
            problems = (msgspec.structs.replace(origin, application=application.name),)
            commit, traceparent, times = self._commit or Commit(""), "", PathTimes()
        else:
            commit, traceparent = origin.commit, origin.traceparent
            times = msgspec.structs.replace(origin.times, planned=self._clock.now())
        return Evaluation(
            application=application,
            fleet=look.model,
            facts=facts,
            source=self._source_of(look, application),
            commit=commit,
            supplies=look.supplies.only(self._describe(application).parts),
            render=self._render,
            traceparent=traceparent,
            times=times,
            problems=problems,
            judge=self._judge,
        )

    def _let_go(self, look: _Look, found: Origin, renamed: Mapping[str, str]) -> None:
        """Applications that nothing describes any more; not while other documents cannot be read: it may be among them.

        Nor those that a set may have, which cannot be evaluated now.

        Too many at once wait until a person has confirmed it. Renamed ones are not gone: they are moved.
        """
        lost = (self._downstream.present() | set(self._prints)) - set(look.model.applications)
        gone = sorted(name for name in lost if not look.model.may_be_made(name))
        held = self._held_back(look, renamed)
        if not gone:
            return
        unreadable = [problem for problem in look.model.reading_problems if problem.severity == "error"]
        if unreadable:
            message = f"{', '.join(gone)}: not described any more, but kept while documents cannot be read"
            self._tell(Problem("warning", message, unreadable[0].place, "mend the documents first"))
            return
        for name in gone:
            if name in held:
                continue
            self._prints.pop(name, None)
            self._forget(name)
            self._downstream.remove(name, Cause(found.commit.sha, f"{found.commit.sha[:12]}-gone", found.traceparent))

    def _held_back(self, look: _Look, renamed: Mapping[str, str]) -> set[str]:
        """The applications that stay although their documents are gone."""
        live = self._downstream.live()
        lost = live - look.model.applications.keys() - renamed.keys()
        leaving = {name for name in lost if not look.model.may_be_made(name)}
        pending = budget.applications(leaving, live - leaving, self._clock.now())
        if self._allows("applications", "", pending.token if pending is not None else "") or pending is None:
            held: tuple[Pending, ...] = ()
        else:
            held = (budget.since_first(pending, self._pending),)
        if held != self._pending:
            self._pending = held
            self._tell(*map(self._waiting, held))
        return {name for each in held for name in each.items}

    def _waiting(self, pending: Pending) -> Problem:
        where = Place(self._source.path) if self._source.path != "." else None
        hint = f"`yardarm confirm {pending.items[0]}` lets them go; or put their documents back"
        return Problem("warning", f"{pending.reason}: that waits to be confirmed", where, hint)

    def _tell(self, *more: Problem) -> None:
        """Shows the fleet as it is known, with what is wrong with its sources."""
        model = self.model
        clusters = tuple(_cluster_info(model, name) for name in model.clusters) if model is not None else ()
        refused = self._moment.problems() if self._moment is not None else ()
        sources = *self._pins.problems(), *refused, *self._warehouse.problems()
        crowded = [
            each.problem(model.place("Cluster", each.cluster) if model is not None else None)
            for each in self._downstream.too_long()
        ]
        counts: dict[str, int] = {}
        for info in clusters:
            for environment in info.environments:
                counts[environment] = counts.get(environment, 0) + 1
        fleet = Fleet(
            commit=self._commit,
            repo=redact(self._source.repo),
            clusters=clusters,
            environments=tuple(
                EnvironmentInfo(name, environment.spec.order, counts.get(name, 0))
                for name, environment in (model.environments.items() if model is not None else ())
            ),
            problems=(
                *more,
                *sources,
                *crowded,
                *self._findings(),
                *self._unread,
                *(model.problems if model is not None else ()),
            ),
            pending=self._pending,
            repositories=self._pins.repositories(),
        )
        self._told = more
        if fleet != self._fleet:
            self._fleet = fleet
            self._on_fleet(fleet)


def _sets_of(model: FleetModel | None) -> tuple[FleetDocument, ...]:
    return tuple(each.document for each in model.sets.expansions.values()) if model is not None else ()


def _batches(applications: Sequence[Application]) -> Iterator[Sequence[Application]]:
    return (applications[start : start + BATCH] for start in range(0, len(applications), BATCH))


def _uses_facts(application: Application) -> bool:
    spec = application.spec
    return spec.placement.uses_facts or any(override.when.uses_facts for override in spec.overrides)


def _cluster_info(model: FleetModel, name: str) -> ClusterInfo:
    cluster = model.clusters[name]
    return ClusterInfo(
        name=name,
        labels=cluster.metadata.labels,
        environment=model.environment_of(name),
        environments=model.membership.get(name, ()),
        paused=cluster.spec.paused,
        origin="git" if ("Cluster", name) in model.documents else "registered",
    )
