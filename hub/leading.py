"""What runs only on the hub that leads, put together: sources, planning, rollouts, publishing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection
from typing import Protocol

from hub import registered
from hub.asking import Asker
from hub.branches import Branches
from hub.domain.egress import Egress
from hub.domain.fleet import Facts, FleetModel
from hub.domain.runs import Rollout
from hub.identity import Identity
from hub.keeping import KeptTemplates
from hub.ledger import Reader
from hub.loops.applications import Applications
from hub.loops.consents import Consents
from hub.loops.fleet import FleetLoop, FleetSource
from hub.loops.reports import REJECTED
from hub.metrics import Metrics
from hub.moves import Moves
from hub.outward import FleetRepository, Outward
from hub.publisher import Publisher
from hub.render.pool import RenderPool
from hub.render.programs import Programs
from hub.render.renderer import Renderer
from hub.render.templates import Templates
from hub.repositories import Repositories
from hub.rolling import Rolling
from hub.settings import HubSettings
from hub.shelf import Shelf
from hub.sources import access
from hub.sources.access import Limits
from hub.sources.charts.charts import Charts
from hub.sources.mirror import Notice
from hub.sources.poller import Pace
from hub.sources.web import Web
from hub.sources.writing import Writer
from hub.statuses import Statuses
from hub.store import Store
from hub.streams import Fence
from hub.supply.charts import WatchedCharts
from hub.supply.git import Warehouse
from hub.supply.pins import Pins
from hub.supply.releases import Expanding
from hub.suspicion import Suspicion
from hub.sweeper import Sweeper
from hub.turns import Turns
from hub.view import View
from hub.view.history import EventFilter
from shared.bus import Bus
from shared.messages import Event, Severity
from shared.signing import Trust
from shared.tasks import Clock


class Host(Protocol):
    """The hub that leads."""

    settings: HubSettings
    clock: Clock
    identity: Identity
    view: View
    rollouts: Reader
    metrics: Metrics

    def tell(self, event: Event) -> None:
        """Adds an event of its own to the history."""

    def view_facts(self) -> Facts:
        """What the agents reported, by cluster."""

    def served_apis(self, digest: str) -> tuple[str, ...]:
        """The APIs that a cluster serves, by the digest that its facts name."""


class Lead:
    """What runs only while this hub leads."""

    def __init__(self, host: Host, bus: Bus, pool: RenderPool) -> None:
        settings, clock = host.settings, host.clock
        self._host = host
        limits = Limits(
            connect_timeout=settings.git.connect_timeout,
            server_timeout=settings.git.server_timeout,
            fetch_bytes=settings.git.max_fetch_bytes,
            file_bytes=settings.git.max_file_bytes,
        )
        access.configure(limits, settings.git.known_hosts, settings.state / "git-home")
        turns = Turns(clock)
        self.publisher = Publisher(bus, host.identity.signing_key, turns, host.metrics, clock, host.view.assigned)
        self.shelf = Shelf(bus, host.view, clock)
        self.consents = Consents(Store(bus), self.publisher, self._again, clock)
        moves = Moves(self.publisher, host.view, clock)
        self.rolling = Rolling(
            bus,
            settings,
            self.publisher,
            moves,
            self.consents.allows,
            host.view,
            self._model,
            host.view_facts,
            self._unready,
            self._again,
            self._rolled,
            host.tell,
            turns,
            host.metrics,
            clock,
        )
        self.applications = Applications(
            self.publisher,
            self.rolling.carrier,
            self.rolling.rollouts,
            self.shelf,
            moves,
            self.consents.allows,
            self._again,
            turns,
            host.metrics,
            clock,
        )
        self.rolling.basis_of = self.applications.basis_of
        trust = Trust((host.identity.signing_key.public,))
        self.suspicion = Suspicion(bus, self.publisher, trust, self._again, clock)
        self.sweeper = Sweeper(bus, self.publisher, self._packs, clock)
        self.repositories = Repositories(
            settings.state / "mirrors",
            registered.terms(settings, clock),
            limits,
            Pace(interval=settings.git.poll_interval),
            self._moved,
            host.metrics,
            clock,
        )
        egress = Egress(settings.egress.allow, settings.egress.deny)
        statuses = Statuses(registered.status_hosts(settings.git), egress, settings.url, clock)
        self.statuses = statuses
        self.outward = Outward(
            FleetRepository(settings.fleet_repo, settings.fleet_ref, settings.fleet_path or "."),
            self._model,
            host.view_facts,
            self.rolling.carrier.basis,
            self.rolling.rollouts.history,
            lambda name: bool(host.view.rollouts.holds(name)),
            self.applications.busy,
            self.repositories,
            Writer(registered.author(settings.git), clock),
            statuses,
            host.tell,
            clock,
        )
        web = Web(egress, registered.chart_access(settings.charts))
        pace = Pace(interval=settings.charts.poll_interval)
        self.charts = Charts(settings.state / "charts", web, pace, self._look_again, clock)
        kept = KeptTemplates(Store(bus), secrets.token_hex(4))
        programs = Programs(settings.render.helm_binary, settings.render.kustomize_binary)
        pins, warehouse = (
            Pins(self.repositories, clock),
            Warehouse(WatchedCharts(self.charts), settings.render.kustomize_remotes),
        )
        render = Expanding(Renderer(pool, Templates(pool, kept), host.served_apis, programs).render).render
        self.asker = Asker(bus, host.identity.signing_key)
        self.branches = Branches(
            (settings.fleet_repo, settings.fleet_ref, settings.fleet_path or "."),
            pins,
            warehouse,
            render,
            host.view_facts,
            self._clusters_of,
            lambda: registered.clusters(settings.clusters_file),
            pool.judge,
        )
        self.fleet = FleetLoop(
            FleetSource(settings.fleet_repo, settings.fleet_ref, settings.fleet_path or "."),
            pins,
            warehouse,
            render,
            pool.judge,
            self.applications,
            host.view_facts,
            self.shelf.fleet_changed,
            self.outward.problems,
            self.consents.allows,
            turns,
            host.metrics,
            clock,
        )

    async def run(self, fence: Fence) -> None:
        """Until cancelled or fenced."""
        await self.publisher.load(fence)
        for unit, generation in self.publisher.leaving():
            if self._host.view.is_gone(unit, generation):
                self.publisher.forget(unit, generation)
        for event in self._host.view.events.newest(EventFilter(type=REJECTED)):
            self.suspicion.doubt(event.cluster)
        self.applications.restore(await self.shelf.load())
        await self.rolling.load(self._host.rollouts)
        await self.consents.load()
        self.fleet.register(registered.clusters(self._host.settings.clusters_file))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publisher.run(fence))
            group.create_task(self.sweeper.run())
            group.create_task(self.suspicion.run())
            group.create_task(self.shelf.run())
            group.create_task(self.rolling.run())
            group.create_task(self.statuses.run())
            group.create_task(self.outward.run())
            group.create_task(self.applications.run())
            group.create_task(self.consents.run())
            group.create_task(self.consents.sweep())
            group.create_task(self.repositories.run())
            group.create_task(self.charts.run())
            group.create_task(self.fleet.run())

    def _moved(self, notices: tuple[Notice, ...]) -> None:
        now = self._host.clock.now()
        for notice in notices:
            identity = f"{notice.kind}-{notice.ref}-{notice.old[:12]}-{notice.new[:12]}-{now:.0f}"
            self._host.tell(Event(identity, now, f"source.{notice.kind}", Severity.WARNING, notice.message))
        self.fleet.poke()

    def _clusters_of(self, application: str) -> set[str]:
        """The clusters that have an application now."""
        given = self.publisher.of_application(application)
        return {unit.cluster for unit, each in given.items() if not each.removed}

    def _rolled(self, rollout: Rollout) -> None:
        self.outward.changed(rollout)

    def _model(self) -> FleetModel | None:
        return self.fleet.model

    def _unready(self, applications: Collection[str]) -> dict[str, str]:
        """Those that have not been worked out for the newest commit."""
        looking = self.fleet.looking
        return {name: "is being worked out" for name in applications if looking or self.applications.busy(name)}

    def _packs(self) -> set[str]:
        return self.applications.packs() | self.rolling.packs()

    def _look_again(self) -> None:
        self.fleet.poke()

    def _again(self, application: str) -> None:
        if not application:
            self.fleet.poke()
        elif not self.applications.remove_again(application):
            self.fleet.again(application)
