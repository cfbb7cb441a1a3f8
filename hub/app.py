"""One hub process, put together: NATS, the read model and its API, and, while it leads, sources, planning, publishing.

Every hub serves the API; one of them leads (`hub.leader`). All tasks are in one TaskGroup.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import uvicorn

from hub import auditlog, ledger, shelf, steering, streams
from hub.api.app import create_app
from hub.api.context import Context
from hub.api.wire import Prompt
from hub.auditlog import AuditLog
from hub.callers import Callers
from hub.domain import auditing
from hub.domain.fleet import Facts, FleetModel
from hub.domain.preview.model import Preview
from hub.domain.records import Consent
from hub.domain.requests import Asked
from hub.domain.runs import Hold
from hub.embedded import EmbeddedServer
from hub.explainer import FleetExplainer
from hub.garbage import collect_seldom
from hub.identity import Identity, keyfile
from hub.leader import Leader
from hub.leading import Lead
from hub.loops import consents
from hub.loops.reports import ReportsLoop
from hub.metrics import Metrics
from hub.render.pool import PoolLimits, RenderPool
from hub.settings import HubSettings
from hub.sources import webhooks
from hub.store import Store
from hub.streams import Fence
from hub.view import View
from shared import __version__
from shared.bus import Bus
from shared.credentials import Credentials
from shared.errors import InvalidMessage, InvalidSignature, Unavailable
from shared.messages import Event
from shared.model import UnitKey
from shared.tasks import Clock, supervise

log = logging.getLogger(__name__)


class Hub:
    """`await Hub(settings).run()` runs until cancelled. `ready` is set once the API answers at `url`."""

    def __init__(self, settings: HubSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self._new_keys = not keyfile.where(settings.state).exists()
        self.identity = Identity.load_or_create(settings.state, self.clock)
        self.ready = asyncio.Event()
        self.url = ""
        self.nats_url = settings.nats.url
        self.view = View(self.clock, self._on_event)
        self.metrics = Metrics(self.view, __version__)
        self.token = settings.token.get_secret_value() or _own_token(settings)
        self._reports: ReportsLoop | None = None
        self._bus: Bus | None = None
        self._audit: AuditLog | None = None
        self._leader: Leader | None = None
        self._lead: Lead | None = None
        self._stored: dict[str, bytes] = {}
        self._callers = Callers(settings.login, settings.url, self._store, self._is_loaded, self.clock)
        self._heard: Mapping[str, Callable[[str, bytes], None]] = {
            **self._callers.heard,
            steering.HOLDS: lambda key, value: self.view.rollouts.held(*steering.holds_in(key, value)),
        }
        """Who takes over records of the store, whoever leads, by the first part of their keys."""
        self.rollouts = ledger.Reader()
        """The rollouts that are stored, as far as this hub has read them."""

    async def run(self) -> None:
        """Runs everything until cancelled."""
        async with self._nats() as url:
            self.nats_url = url
            bus = self._bus = Bus(url, name=self.settings.name, credentials=self._credentials(), clock=self.clock)
            audit = self._audit = AuditLog(bus, self.settings.name, self.metrics, self.clock)
            self._reports = ReportsLoop(
                bus,
                self.view,
                self.metrics,
                self.clock,
                on_facts=self._poke,
                on_removed=self._removed,
                on_record=self._record,
                on_rejected=self._rejected,
                on_refused=self._refused,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(bus.run())
                group.create_task(collect_seldom(self.clock))
                group.create_task(audit.run())
                group.create_task(self._serve(audit))
                await bus.wait_connected()
                kept = (*streams.ALL, auditlog.stream(self.settings.audit_retention))
                await streams.ensure(bus, kept, self.settings.nats.replicas)
                if self._new_keys:
                    await audit.own("keys.create", str(self.identity), "this hub's identity is new")
                await audit.own("hub.start", self.settings.name, f"version {__version__}")
                group.create_task(self._reports.run())
                group.create_task(self._callers.tokens.run())
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
            if self._audit is not None:
                await self._audit.own("hub.lead", self.settings.name, f"epoch {fence.epoch}")
            self._lead = Lead(self, self._bus, pool)
            try:
                await self._lead.run(fence)
            finally:
                self._lead = None
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

    def _rejected(self, event: Event) -> None:
        """An agent would not believe a message: somebody forges, or its keys are not this hub's."""
        if self._lead is not None:
            self._lead.suspicion.doubt(event.cluster)
        self._suspect("assignment.reject", event)

    def _refused(self, event: Event) -> None:
        """This hub would not believe a message of an agent."""
        self._suspect("report.refuse", event)

    def _suspect(self, action: str, event: Event) -> None:
        if self._audit is not None and self._reports is not None and self._reports.loaded.is_set():
            self._audit.note(auditing.told(action, event))

    def _show_stored(self) -> None:
        stored, self._stored = self._stored, {}
        for key, value in (*stored.items(), *self.rollouts.unread()):
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
        if kind in self._heard:
            self._heard[kind](key, value)
        elif kind == consents.PREFIX:
            if self._lead is not None:
                self._lead.consents.heard(key, value)
        elif kind == steering.REQUESTS:
            if self._lead is not None:
                self._lead.rolling.steering.heard(key, value)
        elif kind == ledger.PREFIX:
            self._rollout(key, value)
        elif self._lead is None:
            shelf.show(self.view, key, value)
        elif key.startswith(f"{shelf.PREFIX}."):
            self._stored[key] = value

    def _rollout(self, key: str, value: bytes) -> None:
        """How far a rollout is, as the leading hub has stored it; who leads knows better."""
        if self._lead is not None:
            self.rollouts.keep(key, value)
            return
        rollout = self.rollouts.read(key, value)
        if value == ledger.GONE:
            self.view.rollouts.forget(key.split(".")[2])
        elif rollout is not None:
            self.view.rollouts.put(rollout)

    async def _serve(self, audit: AuditLog) -> None:
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
                audit=audit,
                issued=self._callers.tokens,
                login=self._callers.login,
                limits=self.settings.limits.limits,
                https=self.settings.https,
            )
        )
        listener = _listen(self.settings.host, self.settings.port)
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        config = uvicorn.Config(
            app,
            http=Prompt,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=2,
            # Whoever connects from elsewhere, this machine included, could say that it comes from anywhere.
            proxy_headers=bool(self.settings.proxies),
            forwarded_allow_ips=list(self.settings.proxies),
        )
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

    def _is_loaded(self) -> bool:
        return self._reports is not None and self._reports.loaded.is_set()

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
        if self._audit is not None and (late := self._audit.late()):
            waits["audit"] = late
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
