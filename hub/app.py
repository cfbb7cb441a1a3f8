"""One hub process, put together: NATS, the read model and its API, and, while it leads, sources, planning, publishing.

Every hub serves the API; one of them leads (`hub.leader`). All tasks are in one TaskGroup.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any

import uvicorn

from hub import ledger, registered, shelf, steering, streams
from hub.api.app import create_app
from hub.api.context import Context
from hub.asking import Asker
from hub.branches import Branches
from hub.carrier import Carrier, Rate
from hub.checks.measuring import Measuring
from hub.domain.egress import Egress
from hub.domain.fleet import Facts, FleetModel
from hub.domain.preview.model import Preview
from hub.domain.records import Consent
from hub.domain.requests import Asked
from hub.domain.runs import Hold, Rollout
from hub.embedded import EmbeddedServer
from hub.explainer import FleetExplainer
from hub.garbage import collect_seldom
from hub.identity import Identity
from hub.keeping import KeptTemplates
from hub.kept import KeptBodies
from hub.leader import Leader
from hub.ledger import Ledger
from hub.loops import consents
from hub.loops.applications import Applications
from hub.loops.consents import Consents
from hub.loops.fleet import FleetLoop, FleetSource
from hub.loops.reports import REJECTED, ReportsLoop
from hub.loops.rollouts import Rollouts
from hub.metrics import Metrics
from hub.moves import Moves
from hub.publisher import Publisher
from hub.render.pool import PoolLimits, RenderPool
from hub.render.programs import Programs
from hub.render.renderer import Renderer
from hub.render.templates import Templates
from hub.repositories import Repositories
from hub.settings import HubSettings
from hub.shelf import Shelf
from hub.sources import access, webhooks
from hub.sources.access import Limits
from hub.sources.charts.charts import Charts
from hub.sources.mirror import Notice
from hub.sources.poller import Pace
from hub.sources.web import Web
from hub.steering import Steering
from hub.store import Store
from hub.streams import Fence
from hub.supply.charts import WatchedCharts
from hub.supply.git import Warehouse
from hub.supply.pins import Pins
from hub.supply.releases import Expanding
from hub.surroundings import Surroundings
from hub.suspicion import Suspicion
from hub.sweeper import Sweeper
from hub.turns import Turns
from hub.verifying import Verifying
from hub.view import View
from hub.view.history import EventFilter
from shared import __version__
from shared.bus import Bus
from shared.credentials import Credentials
from shared.errors import InvalidMessage, InvalidSignature, Unavailable
from shared.messages import Event, Severity
from shared.model import UnitKey
from shared.signing import Trust
from shared.tasks import Clock, supervise

log = logging.getLogger(__name__)


class Hub:
    """`await Hub(settings).run()` runs until cancelled. `ready` is set once the API answers at `url`."""

    def __init__(self, settings: HubSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.identity = Identity.load_or_create(settings.state, self.clock)
        self.ready = asyncio.Event()
        self.url = ""
        self.nats_url = settings.nats.url
        self.view = View(self.clock, self._on_event)
        self.metrics = Metrics(self.view, __version__)
        self.token = settings.token.get_secret_value() or _own_token(settings)
        self._reports: ReportsLoop | None = None
        self._bus: Bus | None = None
        self._leader: Leader | None = None
        self._lead: _Lead | None = None
        self._stored: dict[str, bytes] = {}
        self._rollouts = ledger.Reader()

    async def run(self) -> None:
        """Runs everything until cancelled."""
        async with self._nats() as url:
            self.nats_url = url
            bus = self._bus = Bus(url, name=self.settings.name, credentials=self._credentials(), clock=self.clock)
            self._reports = ReportsLoop(
                bus,
                self.view,
                self.metrics,
                self.clock,
                on_facts=self._poke,
                on_removed=self._removed,
                on_record=self._record,
                on_rejected=self._rejected,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(bus.run())
                group.create_task(collect_seldom(self.clock))
                group.create_task(self._serve())
                await bus.wait_connected()
                await streams.ensure(bus, replicas=self.settings.nats.replicas)
                group.create_task(self._reports.run())
                self._leader = Leader(bus, self.settings.name, ttl=self.settings.lease, clock=self.clock)
                group.create_task(supervise("leading", self._take_part, self.clock))

    @property
    def model(self) -> FleetModel | None:
        """The fleet model, on the leading hub once the fleet repository has been read."""
        return self._lead.fleet.model if self._lead is not None else None

    def wake(self) -> None:
        """Looks at all repositories at once."""
        if self._lead is not None:
            self._lead.repositories.wake()
            self._lead.charts.wake()

    @contextlib.asynccontextmanager
    async def _nats(self) -> AsyncIterator[str]:
        if not self.settings.embedded:
            yield self.settings.nats.url
            return
        folder = self.settings.state / "nats"
        async with EmbeddedServer(self.identity, folder, port=self.settings.nats.port, clock=self.clock) as server:
            yield server.url

    def _credentials(self) -> Credentials:
        given = self.settings.nats.credentials
        return Credentials.parse(given.read_text()) if given is not None else self.identity.hub_credentials()

    async def _take_part(self) -> None:
        if self._leader is not None:
            await self._leader.run(self._on_lead)

    async def _on_lead(self, fence: Fence) -> None:
        """What only the leader does."""
        if self._bus is None or self._reports is None:
            return
        await self._reports.loaded.wait()
        pool = RenderPool(
            PoolLimits(
                workers=self.settings.render.workers,
                timeout=self.settings.render.timeout,
                memory=self.settings.render.memory * 2**20,
            )
        )
        async with pool:
            self._lead = _Lead(self, self._bus, pool)
            try:
                await self._lead.run(fence)
            finally:
                self._lead = None
                self.view.watcher = None
                self._show_stored()

    def tell(self, event: Event) -> None:
        """Adds an event of this hub's own to the history."""
        if self.view.event(event):
            self._on_event(event)

    def _on_event(self, event: Event) -> None:
        if self._reports is not None:
            self._reports.store(event)

    def _poke(self) -> None:
        if self._lead is not None:
            self._lead.fleet.poke()

    def _removed(self, unit: UnitKey, generation: int) -> None:
        if self._lead is not None:
            self._lead.publisher.forget(unit, generation)
            self._lead.applications.left(unit.application)

    def _rejected(self, cluster: str) -> None:
        if self._lead is not None:
            self._lead.suspicion.doubt(cluster)

    def _show_stored(self) -> None:
        stored, self._stored = self._stored, {}
        for key, value in stored.items():
            try:
                self._record(key, value)
            except InvalidMessage as error:
                log.warning("a record cannot be read", extra={"key": key, "error": str(error)})

    def _record(self, key: str, value: bytes) -> None:
        """What the leader has worked out.

        Who leads knows better than what it stored a moment ago. But it may have been deposed without knowing yet, so
        what comes is kept until that is certain.
        """
        kind = key.partition(".")[0]
        if kind == consents.PREFIX:
            if self._lead is not None:
                self._lead.consents.heard(key, value)
        elif kind == steering.REQUESTS:
            if self._lead is not None:
                self._lead.steering.heard(key, value)
        elif kind == steering.HOLDS:
            self.view.rollouts.held(*steering.holds_in(key, value))
        elif kind == ledger.PREFIX:
            self._rollout(key, value)
        elif self._lead is None:
            shelf.show(self.view, key, value)
        elif key.startswith(f"{shelf.PREFIX}."):
            self._stored[key] = value

    def _rollout(self, key: str, value: bytes) -> None:
        """How far a rollout is, as the leading hub has stored it; who leads knows better."""
        rollout = self._rollouts.read(key, value)
        if self._lead is not None:
            return
        if value == ledger.GONE:
            self.view.rollouts.forget(key.split(".")[2])
        elif rollout is not None:
            self.view.rollouts.put(rollout)

    async def _serve(self) -> None:
        app = create_app(
            Context(
                view=self.view,
                metrics=self.metrics,
                explainer=FleetExplainer(lambda: self.model, self.view_facts, self._units),
                webhooks=self,
                readiness=self,
                confirmations=self,
                previews=self,
                rollouts=self,
                token=self.token,
                version=__version__,
                tokens=tuple(each.known for each in self.settings.tokens),
            )
        )
        listener = _listen(self.settings.host, self.settings.port)
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2)
        server = _Server(config, self.ready)
        log.info("the API is being served", extra={"url": self.url})
        with listener:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(server.serve(sockets=[listener]))
                try:
                    await asyncio.shield(serving)
                finally:
                    server.should_exit = True
                    await asyncio.wait({serving})

    def view_facts(self) -> Facts:
        """What the agents reported, by cluster; the fact `apis` only where the list that it names is here."""
        facts = {name: record.beat.facts for name, record in self.view.clusters.items() if record.beat is not None}
        unknown = [name for name, each in facts.items() if each.get("apis", "") not in self.view.apis]
        return facts | {name: {k: v for k, v in facts[name].items() if k != "apis"} for name in unknown}

    def served_apis(self, digest: str) -> tuple[str, ...]:
        """The APIs that a cluster serves, by the digest that its facts name."""
        return self.view.apis.get(digest, ())

    def _units(self, application: str) -> Mapping[UnitKey, Any]:
        return self._lead.publisher.of_application(application) if self._lead is not None else {}

    async def confirm(self, consents_given: Sequence[Consent]) -> None:
        """Stores what a person has agreed to, for whichever hub leads; the history tells who and why."""
        await consents.record(self._store(), consents_given)
        for event in map(consents.event, consents_given):
            if self.view.event(event):
                self._on_event(event)

    def busy(self) -> bool:
        """Whether one more preview would have to wait."""
        return self._lead is not None and self._lead.branches.busy

    async def preview(
        self, before: str, after: str, applications: Collection[str], *, live: bool
    ) -> tuple[Preview, FleetModel, Facts]:
        """See `Branches.preview`; only the leading hub has the repositories."""
        if self._lead is None:
            raise Unavailable("this hub is a follower: ask the one that leads")
        return await self._lead.branches.preview(before, after, applications, self._lead.asker.ask if live else None)

    async def ask(self, application: str, asked: Asked) -> None:
        """Stores a request about a rollout, for whichever hub leads."""
        await steering.ask(self._store(), application, asked)

    async def hold(self, application: str, hold: Hold) -> None:
        """Stores a hold, for every hub."""
        await steering.hold(self._store(), application, hold)

    async def release(self, application: str, by: str, reason: str, cluster: str, environment: str) -> int:  # noqa: ARG002
        """Lets go of a hold."""
        return await steering.release(self._store(), application, cluster, environment)

    async def sync(self, application: str) -> str:
        """Has an application looked at anew; only the leading hub looks."""
        if self._lead is None:
            raise Unavailable("this hub is a follower: ask the one that leads")
        self.wake()
        self._lead.fleet.again(application)
        return f"its repositories are looked at now, and {application} is worked out anew"

    def _store(self) -> Store:
        if self._bus is None:
            raise Unavailable("this hub has no connection to NATS yet")
        return Store(self._bus)

    def role(self) -> str:
        """`leader` or `follower`."""
        return "leader" if self._lead is not None else "follower"

    def missing(self) -> Mapping[str, str]:
        """What this hub waits for."""
        waits: dict[str, str] = {}
        if self._bus is None or not self._bus.connected:
            waits["nats"] = f"no connection to {self.nats_url or 'the embedded server'}"
        elif self._reports is None or not self._reports.loaded.is_set():
            waits["state"] = "reading reports and desired state"
        elif self._lead is not None and self._lead.fleet.model is None:
            waits["sources"] = f"the fleet repository {self.settings.fleet_repo} has not been read yet"
        return waits

    async def received(self, provider: str, headers: Mapping[str, str], body: bytes) -> str:
        """Has the repositories of a genuine webhook looked at."""
        delivery = None
        refusal = InvalidSignature("no webhook secret is set on this hub: set webhook_secrets")
        for secret in self.settings.webhook_secrets:
            try:
                delivery = webhooks.receive(provider, headers, body, secret.get_secret_value(), self.clock.now())
                break
            except InvalidSignature as error:
                refusal = error
        if delivery is None:
            raise refusal
        if delivery.ping:
            return "pong"
        if self._lead is None:
            return "this hub is a follower: the leader polls"
        count = self._lead.repositories.deliver(delivery)
        return f"looking at {count} repositories" if count else "none of these repositories is used by the fleet"


class _Lead:
    """What runs only while this hub leads."""

    def __init__(self, hub: Hub, bus: Bus, pool: RenderPool) -> None:
        settings, clock = hub.settings, hub.clock
        self._hub = hub
        limits = Limits(
            connect_timeout=settings.git.connect_timeout,
            server_timeout=settings.git.server_timeout,
            fetch_bytes=settings.git.max_fetch_bytes,
            file_bytes=settings.git.max_file_bytes,
        )
        access.configure(limits, settings.git.known_hosts, settings.state / "git-home")
        turns = Turns(clock)
        self.publisher = Publisher(bus, hub.identity.signing_key, turns, hub.metrics, clock, hub.view.assigned)
        self.shelf = Shelf(bus, hub.view, clock)
        self.consents = Consents(Store(bus), self.publisher, self._again, clock)
        moves = Moves(self.publisher, hub.view, clock)
        self.bodies = KeptBodies(bus)
        self.carrier = Carrier(
            self.publisher,
            self.bodies,
            moves,
            self.consents.allows,
            self._history_of,
            Rate(settings.rollouts.rate, clock),
            clock,
        )
        self.steering = Steering(Store(bus), self._asked, clock)
        self.surroundings = Surroundings(
            lambda: self.fleet.model, self._newest, hub.view.rollouts.holds, self._unready, clock
        )
        self.rollouts = Rollouts(
            Ledger(Store(bus)),
            self.bodies,
            hub.view,
            self.carrier,
            self.surroundings.around,
            follows=self.surroundings.follows,
            tell=hub.tell,
            again=self._again,
            done=self.steering.done,
            clock=clock,
        )
        self.applications = Applications(
            self.publisher,
            self.carrier,
            self.rollouts,
            self.shelf,
            moves,
            self.consents.allows,
            self._again,
            turns,
            hub.metrics,
            clock,
        )
        self.carrier.on_published = self.applications.published
        egress = Egress(settings.egress.allow, settings.egress.deny)
        self.verifying = Verifying(
            self.rollouts.active,
            self.carrier.evaluation,
            Measuring(Web(egress, registered.check_access(settings.checks)), clock).measure,
            self.rollouts.measured,
            self.publisher,
            hub.view,
            hub.metrics,
            clock,
        )
        trust = Trust((hub.identity.signing_key.public,))
        self.suspicion = Suspicion(bus, self.publisher, trust, self._again, clock)
        self.sweeper = Sweeper(bus, self.publisher, self._packs, clock)
        self.repositories = Repositories(
            settings.state / "mirrors",
            registered.terms(settings, clock),
            limits,
            Pace(interval=settings.git.poll_interval),
            self._moved,
            hub.metrics,
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
        render = Expanding(Renderer(pool, Templates(pool, kept), hub.served_apis, programs).render).render
        self.asker = Asker(bus, hub.identity.signing_key)
        self.branches = Branches(
            (settings.fleet_repo, settings.fleet_ref, settings.fleet_path or "."),
            pins,
            warehouse,
            render,
            hub.view_facts,
            self._clusters_of,
            lambda: registered.clusters(settings.clusters_file),
        )
        self.fleet = FleetLoop(
            FleetSource(settings.fleet_repo, settings.fleet_ref, settings.fleet_path or "."),
            pins,
            warehouse,
            render,
            self.applications,
            hub.view_facts,
            self.shelf.fleet_changed,
            self.consents.allows,
            turns,
            hub.metrics,
            clock,
        )

    async def run(self, fence: Fence) -> None:
        """Until cancelled or fenced."""
        await self.publisher.load(fence)
        for unit, generation in self.publisher.leaving():
            if self._hub.view.is_gone(unit, generation):
                self.publisher.forget(unit, generation)
        for event in self._hub.view.events.newest(EventFilter(type=REJECTED)):
            self.suspicion.doubt(event.cluster)
        self.applications.restore(await self.shelf.load())
        await self.rollouts.load()
        await self.steering.load()
        self._hub.view.watcher = self.rollouts.noticed
        await self.consents.load()
        self.fleet.register(registered.clusters(self._hub.settings.clusters_file))
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publisher.run(fence))
            group.create_task(self.sweeper.run())
            group.create_task(self.suspicion.run())
            group.create_task(self.shelf.run())
            group.create_task(self.rollouts.run())
            group.create_task(self.verifying.run())
            group.create_task(self.steering.run())
            group.create_task(self.applications.run())
            group.create_task(self.consents.run())
            group.create_task(self.consents.sweep())
            group.create_task(self.repositories.run())
            group.create_task(self.charts.run())
            group.create_task(self.fleet.run())

    def _moved(self, notices: tuple[Notice, ...]) -> None:
        now = self._hub.clock.now()
        for notice in notices:
            identity = f"{notice.kind}-{notice.ref}-{notice.old[:12]}-{notice.new[:12]}-{now:.0f}"
            self._hub.tell(Event(identity, now, f"source.{notice.kind}", Severity.WARNING, notice.message))
        self.fleet.poke()

    def _clusters_of(self, application: str) -> set[str]:
        """The clusters that have an application now."""
        given = self.publisher.of_application(application)
        return {unit.cluster for unit, each in given.items() if not each.removed}

    def _asked(self, application: str, asked: Asked) -> None:
        self.rollouts.ask(application, asked)

    def _newest(self, application: str) -> Rollout | None:
        return self.rollouts.newest(application)

    def _unready(self, applications: Collection[str]) -> dict[str, str]:
        """Those that have not been worked out for the newest commit."""
        looking = self.fleet.looking
        return {name: "is being worked out" for name in applications if looking or self.applications.busy(name)}

    def _history_of(self, application: str) -> tuple[Rollout, ...]:
        return self.rollouts.history(application)

    def _packs(self) -> set[str]:
        return self.applications.packs() | self.bodies.packs(self.rollouts.needed())

    def _look_again(self) -> None:
        self.fleet.poke()

    def _again(self, application: str) -> None:
        if not application:
            self.fleet.poke()
        elif not self.applications.remove_again(application):
            self.fleet.again(application)


class _Server(uvicorn.Server):
    """Says when it answers. Signals are the program's business, not the web server's."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens."""
        await super().startup(sockets)
        self._ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, because asyncio sets TCP_NODELAY only then; without it every answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _own_token(settings: HubSettings) -> str:
    """A token made once and kept beside the keys, for a hub that was given none."""
    path = settings.state / "token"
    if not path.exists():
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text().strip()
