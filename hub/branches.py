"""What a branch, tag or commit of the fleet repository would do to the fleet, for the API: see `hub.previewing`.

Nothing is watched or remembered because somebody asked; at most `AT_ONCE` are worked on, since each may render a lot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

import msgspec

from hub.admission import Judge
from hub.asking import Ask, asked
from hub.domain.fleet import Facts, FleetModel, build_fleet
from hub.domain.items import lookups_of
from hub.domain.preview.compare import compare
from hub.domain.preview.model import Live, Preview, Side
from hub.domain.preview.outdated import versions
from hub.domain.reading import FleetDocument, Parsed
from hub.previewing import Have, Previewer, Render, Snapshot
from hub.sources.scan import FleetScanner
from hub.supply.git import Warehouse, recognised_at
from hub.supply.listings import Lister
from hub.supply.pins import Moment, Origin, Pins
from shared.errors import DocumentError
from shared.model import Problem

AT_ONCE = 2

Questions = Callable[[Iterable[Ask]], Awaitable[tuple[Live, ...]]]


class Branches:
    """Of one fleet repository. `repo`, `ref` and `path` say where the fleet is described."""

    def __init__(  # noqa: PLR0913, PLR0917 - called once, by the composition root
        self,
        fleet: tuple[str, str, str],
        pins: Pins,
        warehouse: Warehouse,
        render: Render,
        facts: Callable[[], Facts],
        have: Have,
        registered: Callable[[], tuple[FleetDocument, ...]],
        judge: Judge,
    ) -> None:
        self._repo, self._ref, self._path = fleet
        self._pins = pins
        self._warehouse = warehouse
        self._render = render
        self._facts = facts
        self._have = have
        self._registered = registered
        self._judge = judge
        self._turns = asyncio.Semaphore(AT_ONCE)

    @property
    def busy(self) -> bool:
        """Whether one more would have to wait."""
        return self._turns.locked()

    async def preview(
        self, before: str, after: str, applications: Collection[str] = (), ask: Questions | None = None
    ) -> tuple[Preview, FleetModel, Facts]:
        """All that changes from one ref to the other, the fleet after it, and what clusters have reported.

        An empty `before` is what counts now. `ask` puts what changes to the clusters that it changes on.

        Raises:
            DocumentError: there is no such ref.
            Unavailable: the repository cannot be read now, or a worker was lost.
        """
        async with self._turns:
            await self._pins.refresh(self._repo)
            facts = self._facts()
            old, new = await self._snapshot(before or self._ref), await self._snapshot(after)
            states = await Previewer(self._render, facts, self._have, self._judge).states(old, new, applications)
            found = compare(*states, versions(facts))
            if ask is not None:
                described = new.model.applications
                asks = asked(*states, lambda name: described[name].spec.namespace)
                found = msgspec.structs.replace(found, live=await ask(asks))
            return found, new.model, facts

    async def _snapshot(self, ref: str) -> Snapshot:
        origin = await self._pins.peek(self._repo, ref)
        if isinstance(origin, Problem):
            raise DocumentError(origin.message, origin.place, origin.hint)
        scanned = await origin.mirror.read(lambda objects: FleetScanner().scan(objects, origin.commit.sha, self._path))
        moment = Moment(self._pins, self._repo, origin)
        supplies = self._warehouse.supplies(moment)
        registered = self._registered()
        documents: tuple[Parsed, ...] = scanned.documents
        notes: tuple[Problem, ...] = ()
        if not documents:
            fleet = self._repo, self._ref, self._path
            meant = await recognised_at(origin, fleet, registered, {}, supplies, self._render)
            documents, notes = tuple(meant.parsed()), meant.findings
        listings = await Lister().listings(lookups_of(documents), moment)
        model = build_fleet(documents, None, registered, listings, notes)
        return Snapshot(_side(ref, origin), model, supplies, supplies.prepare, problems=scanned.problems)


def _side(ref: str, origin: Origin) -> Side:
    return Side(ref or "HEAD", origin.commit.sha, origin.commit.subject)
