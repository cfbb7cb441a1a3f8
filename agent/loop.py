"""One agent: inbox, units, cache, reporter, put together and run in one TaskGroup.

A fault in one unit stays in it, a fault in a loop restarts that loop. What ends the agent is only being told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from agent.asked import Asked
from agent.cache import LiveCache
from agent.diagnosis import Diagnosis
from agent.evaluator import Evaluator
from agent.facts import Facts
from agent.inbox import Delivery, Inbox
from agent.inventory import Inventory
from agent.keeper import Keeper
from agent.kube.client import Kube
from agent.lease import Lease
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.state import State
from agent.steady import SteadyClock
from agent.tools import Tools
from agent.unit import Unit
from agent.unsealing import AgeKeys, KeyFile, NoKeys, Unsealer
from shared import subjects
from shared.bus import Bus
from shared.credentials import Credentials
from shared.errors import InvalidMessage
from shared.messages import Event, Severity
from shared.model import UnitKey
from shared.signing import Trust
from shared.tasks import Backoff, Clock, supervise

log = logging.getLogger(__name__)

WRITES_IN_FLIGHT = 32
REJECTED_KEPT = 10
MOMENT = 5.0
"""Seconds between times noted on disk; less than `agent.steady.TOLERANCE`."""


class Agent:
    """The agent of one cluster. `run` until cancelled."""

    def __init__(
        self,
        settings: AgentSettings,
        kube: Kube,
        credentials: Credentials,
        state: State | None,
        clock: Clock,
        evaluator: Evaluator,
        keys: AgeKeys,
    ) -> None:
        """`state` must be locked by the caller; None keeps nothing over a restart. `evaluator` is the caller's too."""
        cluster = settings.cluster
        clock = SteadyClock(clock)
        if state is not None:
            clock.not_before(state.moment())
        self._settings = settings
        self._clock = clock
        self._state = state
        self._trust = Trust(credentials.hub_keys)
        self._bus = Bus(
            settings.nats, name=f"agent {cluster}", credentials=credentials, clock=clock, inbox=f"_INBOX.{cluster}"
        )
        self._facts = Facts(kube, clock, keys)
        self._keeper = Keeper(state, clock)
        self._cache = LiveCache(kube, clock, namespaces=settings.namespace_scope)
        self._reporter = Reporter(self._bus, settings, clock, self._vitals, lambda: self._facts.apis)
        self._diagnosis = Diagnosis(kube, self._cache, clock, self._diagnosed)
        self._lease = Lease(
            kube,
            clock,
            settings.inventory_namespace,
            state.identity() if state is not None else secrets.token_hex(6),
            self._reporter.boot,
            self._lease_changed,
            expires=settings.lease,
        )
        self._inbox = Inbox(self._bus, settings, self._trust, clock, self)
        self._tools = Tools(
            kube=kube,
            cache=self._cache,
            inventory=Inventory(kube, settings.inventory_namespace),
            reporter=self._reporter,
            diagnosis=self._diagnosis,
            keeper=self._keeper,
            evaluator=evaluator,
            unsealer=Unsealer(keys),
            clock=clock,
            settings=settings,
            lanes=asyncio.Semaphore(WRITES_IN_FLIGHT),
            waits_for=self._waits_for,
            state_changed=self._state_changed,
            on_hold=lambda: self._lease.on_hold,
            heirs=self._heirs,
        )
        self._asked = Asked(self._bus, self._trust, self._tools, lambda: self._lease.standing_by)
        self._units: dict[UnitKey, Unit] = {}
        self._by_set: dict[str, Unit] = {}
        self._rejected: dict[str, str] = {}
        self._on_hold = self._lease.on_hold
        self._told_of_lease = ""
        self._group = asyncio.TaskGroup()

    async def run(self) -> None:
        """Works until cancelled; then writes down what is not yet on disk."""
        try:
            async with self._group as group:
                group.create_task(self._cache.run())
                group.create_task(self._dispatch())
                self._reporter.silence(True)  # until it is known whether another agent speaks
                self._restore()
                loops: dict[str, Callable[[], Any]] = {
                    "bus": self._bus.run,
                    "inbox": self._inbox.run,
                    "asked": self._asked.run,
                    "reporter": self._reporter.run,
                    "keeper": self._keeper.run,
                    "facts": self._facts.run,
                    "diagnosis": self._diagnosis.run,
                    "lease": self._lease.run,
                    "moment": self._note_time,
                }
                for name, loop in loops.items():
                    group.create_task(supervise(name, loop, self._clock), name=name)
        finally:
            await self._keeper.flush()
            await self._lease.release()

    async def _note_time(self) -> None:
        """Keeps the time on disk, for the next run; see `SteadyClock`."""
        while True:
            self._keeper.keep_moment(self._clock.now())
            await self._clock.sleep(MOMENT)

    def _lease_changed(self) -> None:
        lease = self._lease
        self._reporter.silence(lease.standing_by)
        if lease.problem and lease.problem != self._told_of_lease:
            self._reporter.event(Event("", 0.0, "lease", Severity.WARNING, lease.problem))
        self._told_of_lease = lease.problem
        if lease.on_hold != self._on_hold:
            self._on_hold = lease.on_hold
            for unit in self._units.values():
                unit.again()

    def _restore(self) -> None:
        """Takes up what was assigned when the agent last ran; hub and NATS need not be there."""
        if self._state is None:
            return
        now = self._clock.now()
        for saved in self._state.load(self._trust, self._settings.cluster):
            unit = saved.assignment.unit
            self._inbox.known(unit, saved.assignment.generation)
            delivery = Delivery(saved.assignment, saved.bundle, b"", now, now)
            self._unit(unit).restore(delivery, saved)
        log.info("started", extra={"cluster": self._settings.cluster, "units": len(self._units)})

    # --- what the inbox tells (agent.inbox.Receiver) --------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> None:
        """See `Receiver`."""
        unit = delivery.assignment.unit
        self._rejected.pop(subjects.desired(unit), None)
        self._keeper.keep(unit, delivery.signed, delivery.bundle)
        self._unit(unit).assign(delivery)

    def reject(self, subject: str, error: InvalidMessage) -> None:
        """See `Receiver`. Told once per subject and reason: the same message may come again and again."""
        if self._rejected.get(subject) == str(error):
            return
        if len(self._rejected) >= REJECTED_KEPT:
            self._rejected.pop(next(iter(self._rejected)))
        self._rejected[subject] = str(error)
        self._reporter.event(Event("", 0.0, "rejected", Severity.ERROR, f"{subject}: {error}"))

    def report_all(self) -> None:
        """See `Receiver`."""
        self._reporter.report_all()

    # --- units ----------------------------------------------------------------------------------------------------

    def _unit(self, key: UnitKey) -> Unit:
        unit = self._units.get(key)
        if unit is None:
            unit = self._units[key] = Unit(key, self._tools)
            self._by_set[self._tools.inventory.set_id(key)] = unit
            self._group.create_task(self._keep_running(unit), name=str(key))
        return unit

    async def _keep_running(self, unit: Unit) -> None:
        backoff = Backoff(1, 60)
        while True:
            try:
                await unit.run()
                break
            except Exception as error:
                log.exception("a unit crashed", extra={"unit": str(unit.key)})
                self._tell_of_crash(unit, error)
                await self._clock.sleep(backoff.next())
        # No await since the unit ended: no assignment can have come in between.
        self._units.pop(unit.key, None)
        self._by_set.pop(self._tools.inventory.set_id(unit.key), None)

    def _tell_of_crash(self, unit: Unit, error: Exception) -> None:
        """An error of our own must not look like waiting."""
        text = f"the agent's own error, {type(error).__name__}: {error}; it starts the unit again"
        key = unit.key
        self._reporter.event(
            Event("", 0.0, "crashed", Severity.ERROR, text, namespace=key.namespace, application=key.application)
        )

    async def _dispatch(self) -> None:
        changes = self._cache.subscribe()
        while True:
            _, change = await changes.get()
            unit = self._by_set.get(change.part_of)
            if unit is None:
                continue
            try:
                unit.changed(change)
            except Exception:
                log.exception("a change was not taken in", extra={"object": str(change.ref)})

    def _waits_for(self, unit: UnitKey, applications: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        waits: list[tuple[str, str]] = []
        for application in applications:
            found = [each for key, each in self._units.items() if key.application == application and key != unit]
            if not found:
                waits.append((application, f"application {application} is not on this cluster (yet)"))
            reasons = (each.blocks() for each in found)
            waits += [(application, reason) for reason in reasons if reason][:1]
        return tuple(waits)

    def _diagnosed(self, key: UnitKey) -> None:
        unit = self._units.get(key)
        if unit is not None:
            unit.diagnosed()

    def _heirs(self, unit: UnitKey) -> frozenset[str]:
        """The ApplySets of the units that take the place of this one."""
        name = f"{unit.namespace}/{unit.application}"
        return frozenset(
            self._tools.inventory.set_id(key)
            for key, other in self._units.items()
            if key != unit and name in other.succeeds
        )

    def _state_changed(self, changed: UnitKey) -> None:
        for key, unit in self._units.items():
            if key != changed:
                unit.poke()

    def _vitals(self) -> tuple[dict[str, Any], Iterable[str]]:
        problems = [self._keeper.problem, self._facts.problem, self._lease.problem]
        problems += [f"message rejected: {subject}: {text}" for subject, text in self._rejected.items()]
        return self._facts.values, [problem for problem in problems if problem]


async def run_agent(
    settings: AgentSettings,
    kube: Kube,
    credentials: Credentials,
    clock: Clock | None = None,
    evaluator: Evaluator | None = None,
    keys: AgeKeys | None = None,
) -> None:
    """Runs the agent of one cluster until cancelled. Several in one process may share an `evaluator`.

    Without `keys`, those of the settings' key file, if there is one, open what is encrypted for the cluster.

    Raises:
        InUse: another agent holds the state directory.
    """
    clock = clock or Clock()
    state = State(settings.state) if settings.state is not None else None
    with contextlib.ExitStack() as held:
        if state is not None:
            held.enter_context(state.locked())
        evaluator = evaluator or held.enter_context(Evaluator())
        await Agent(settings, kube, credentials, state, clock, evaluator, keys or keys_of(settings)).run()


def keys_of(settings: AgentSettings) -> AgeKeys:
    """The age keys that the settings name."""
    return KeyFile(settings.age_key) if settings.age_key is not None else NoKeys()


def read_credentials(settings: AgentSettings) -> Credentials:
    """The agent's credentials.

    Raises:
        InvalidMessage: there are none, they cannot be read, or no hub key is in them.
    """
    if settings.creds is None:
        raise InvalidMessage("--creds (or YARDARM_CREDS) is missing: the file comes from `yardarm keys agent CLUSTER`")
    try:
        credentials = Credentials.parse(settings.creds.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidMessage(f"cannot read the credentials {settings.creds}: {error}") from error
    if not credentials.hub_keys:
        raise InvalidMessage(f"{settings.creds} names no hub key to trust: see `yardarm keys agent`")
    return credentials
