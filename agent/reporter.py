"""Tells the hub: the last report of every unit, events, and heartbeats. Newest wins, nothing waits for the hub.

The first changes of a unit go out at once, further ones at most one per interval. A report counts as said only when
JetStream has stored it; until then it is tried again, or a newer one takes its place. While NATS is away reports
collapse to the last of each unit, and events to the last thousand.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from agent.settings import AgentSettings
from shared import __version__, subjects
from shared.bus import Bus, Refused
from shared.errors import Unavailable
from shared.messages import VERSION, Event, Heartbeat, Phase, Report, ServedApis, apis_digest, encode, states_digest
from shared.model import UnitKey
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

EVENTS_KEPT = 1000
IN_FLIGHT = 8
BEAT_AGAIN = 1.0
"""Seconds until a heartbeat that was not stored is tried again."""
BURST = 3
"""Reports of a unit that go out without a pause: applied, then healthy, is what everybody waits for."""

Vitals = Callable[[], tuple[dict[str, Any], Iterable[str]]]
"""Facts about the cluster, and what keeps the agent from working."""
Apis = Callable[[], tuple[str, ...]]
"""What the cluster serves: the list that the fact `apis` names."""


class Reporter:
    """One agent's voice. Start `run` in a TaskGroup; `report` and `event` never block."""

    def __init__(self, bus: Bus, settings: AgentSettings, clock: Clock, vitals: Vitals, apis: Apis = tuple) -> None:
        self._bus = bus
        self._cluster = settings.cluster
        self._interval = settings.report_interval
        self._heartbeat = settings.heartbeat
        self._clock = clock
        self._vitals = vitals
        self._apis = apis
        self._apis_told = ""
        self.boot = secrets.token_hex(4)
        self._silent = False
        self._number = 0
        self._due: Mailbox[UnitKey, None] = Mailbox()
        self._timers: dict[UnitKey, asyncio.TimerHandle] = {}
        self._latest: dict[UnitKey, Report] = {}
        self._stored: dict[UnitKey, Report] = {}
        self._allowance: dict[UnitKey, tuple[float, float]] = {}
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._events_arrived = asyncio.Event()

    def report(self, report: Report) -> None:
        """Says how a unit is doing. `at` is set here, so that no two reports of a unit are equal."""
        unit = report.unit
        self._latest[unit] = msgspec.structs.replace(report, at=self._clock.now())
        if self._silent or unit in self._timers:
            return
        wait = self._take_allowance(unit)
        if wait > 0:
            self._timers[unit] = asyncio.get_running_loop().call_later(wait, self._now_due, unit)
        else:
            self._due.put(unit, None)

    def _take_allowance(self, unit: UnitKey) -> float:
        """Seconds until the unit may be reported. One report per interval on average, the first few at once."""
        now = self._clock.monotonic()
        left, at = self._allowance.get(unit, (float(BURST), now))
        left = min(float(BURST), left + (now - at) / self._interval) - 1
        self._allowance[unit] = (left, now)
        return max(0.0, -left * self._interval)

    def report_all(self) -> None:
        """Says everything again: the hub has lost track. As of now, lest it takes what it hears for old."""
        if self._silent:
            return
        for unit, report in self._latest.items():
            self._latest[unit] = msgspec.structs.replace(report, at=self._clock.now())
            self._due.put(unit, None)

    def silence(self, silent: bool) -> None:  # noqa: FBT001
        """Whether to keep quiet about units because another agent speaks of them. Afterwards everything is said."""
        if silent is self._silent:
            return
        self._silent = silent
        self.report_all()

    def event(self, event: Event) -> None:
        """Adds to the history. `type` is a subject token (`apply`, `drift`, …); id, time and cluster are set here."""
        if self._silent and event.application:
            return
        complete = msgspec.structs.replace(event, id=self._message_id(), at=self._clock.now(), cluster=self._cluster)
        self._events.append(complete)
        self._events_arrived.set()

    def _now_due(self, unit: UnitKey) -> None:
        self._timers.pop(unit, None)
        self._due.put(unit, None)

    async def run(self) -> None:
        """Sends for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(self._send_reports())
            group.create_task(self._send_events())
            group.create_task(self._beat())

    async def _send_reports(self) -> None:
        backoff = Backoff(0.2, 10)
        while True:
            await self._bus.wait_connected()
            unit, _ = await self._due.get()
            report = self._latest.get(unit)
            if report is None or self._silent:
                continue
            try:
                await self._store(subjects.report(unit), encode(report))
            except (Unavailable, Refused) as error:
                log.info("a report was not stored", extra={"unit": str(unit), "error": str(error)})
                self._due.put(unit, None)
                await self._clock.sleep(backoff.next())
            else:
                backoff.reset()
                self._was_stored(unit, report)

    def _was_stored(self, unit: UnitKey, report: Report) -> None:
        if report.phase is Phase.REMOVED and self._latest.get(unit) == report:
            # The hub knows, and has nothing to compare it with any more.
            self._latest.pop(unit, None)
            self._stored.pop(unit, None)
            self._allowance.pop(unit, None)
        elif report.at >= self._stored.get(unit, report).at:
            self._stored[unit] = report

    async def _send_events(self) -> None:
        backoff = Backoff(0.2, 10)
        while True:
            if not self._events:
                self._events_arrived.clear()
                await self._events_arrived.wait()
            await self._bus.wait_connected()
            event = self._events[0]
            try:
                subject = subjects.event(self._cluster, event.type)
                await self._bus.publish_stored(subject, encode(event), msg_id=event.id)
            except (Unavailable, Refused) as error:
                log.info("an event was not stored", extra={"error": str(error)})
                await self._clock.sleep(backoff.next())
            else:
                backoff.reset()
                if self._events and self._events[0] is event:
                    self._events.popleft()

    async def _beat(self) -> None:
        while True:
            await self._bus.wait_connected()
            try:
                await self._tell_apis()
                await self._bus.publish_stored(subjects.beat(self._cluster), encode(self.heartbeat()))
            except (Unavailable, Refused) as error:
                log.info("a heartbeat was not stored", extra={"error": str(error)})
                # the hub may be about to make its streams; it waits for the first sign of life
                await self._clock.sleep(min(BEAT_AGAIN, self._heartbeat))
                continue
            await self._clock.sleep(self._heartbeat)

    async def _tell_apis(self) -> None:
        """Before the heartbeat that speaks of it: the list of APIs, when it is another than the hub was told."""
        apis = self._apis()
        digest = apis_digest(apis)
        if apis and digest != self._apis_told:
            message = ServedApis(VERSION, self._cluster, digest, apis)
            await self._bus.publish_stored(subjects.apis(self._cluster), encode(message))
            self._apis_told = digest

    def heartbeat(self) -> Heartbeat:
        """The sign of life as of now."""
        facts, problems = self._vitals()
        return Heartbeat(
            v=VERSION,
            cluster=self._cluster,
            at=self._clock.now(),
            interval=self._heartbeat,
            agent=__version__,
            boot=self.boot,
            units=0 if self._silent else len(self._latest),
            states="" if self._silent else states_digest(self._stored.values()),
            facts=facts,
            problems=tuple(problems),
        )

    async def _store(self, subject: str, data: bytes) -> None:
        await self._bus.publish_stored(subject, data, msg_id=self._message_id())

    def _message_id(self) -> str:
        self._number += 1
        return f"{self._cluster}:{self.boot}:{self._number}"
