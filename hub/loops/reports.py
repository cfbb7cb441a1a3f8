"""From the streams into the view: desired state, reports, heartbeats and events; at start all of it, then what comes.

Each hub reads for itself, followers too. The consumers are forgotten with the process: a new one reads everything
again, which is how the view is rebuilt. A message that cannot be read or claims to be another cluster's is dropped,
counted, logged and shown as an event. Events that the hub makes itself are written to EVENTS from here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from hub.ingest import Ingest
from hub.metrics import Metrics
from hub.pull import Delivery, stored_at
from hub.store import PREFIX
from hub.streams import DESIRED, EVENTS, KV_HUB, REPORTS
from hub.view import View
from hub.view.history import EVENTS as REMEMBERED
from shared import subjects
from shared.bus import Bus, Message, Refused, acknowledged
from shared.errors import InvalidMessage, Unavailable
from shared.messages import (
    Assignment,
    Event,
    Heartbeat,
    Phase,
    Report,
    ServedApis,
    Severity,
    apis_digest,
    decode,
    encode,
)
from shared.model import UnitKey, is_token
from shared.tasks import Backoff, Clock, together

log = logging.getLogger(__name__)

BREATH = 50
"""Messages after which other tasks get their turn: 50 reports are about 5 ms."""
FORGOTTEN = 300
"""Seconds after which JetStream forgets the consumers of a process that is gone."""
WAITING = 10_000
"""Events of our own that wait for NATS at the most; older ones are dropped."""
WRITTEN_TOGETHER = 64
"""Events on their way to NATS at one time: a change to the whole fleet makes one for each unit."""
COMPLAINT = 60.0
"""Seconds between two events about bad messages of one cluster."""
REJECTED = "rejected"
"""The type of event by which an agent says that a message from the hub was not the hub's own word."""
TICK = 1.0
AT_ONCE = 500
"""Units judged in one go when time passes: about 10 ms."""


@dataclass(slots=True)
class _Follower:
    """One stream on its way into the view. It is `caught_up` once what was there at the start has come."""

    name: str
    take: Callable[[Message], None]
    target: int = 0
    caught_up: bool = False


class ReportsLoop:
    """Feeds the view. `loaded` is set once the view shows what was stored when `run` began."""

    def __init__(  # noqa: PLR0913 - one callback for each kind of news
        self,
        bus: Bus,
        view: View,
        metrics: Metrics,
        clock: Clock,
        *,
        on_facts: Callable[[], None] | None = None,
        on_removed: Callable[[UnitKey, int], None] | None = None,
        on_record: Callable[[str, bytes], None] | None = None,
        on_rejected: Callable[[Event], None] | None = None,
        on_refused: Callable[[Event], None] | None = None,
    ) -> None:
        """Calls back when a cluster's agent reports other facts than before, and when it has removed a unit.

        `on_record` gets every key and value of the hub's own store, `on_rejected` the event by which an agent tells
        that it rejected a message, `on_refused` the one by which this hub tells that it dropped one.
        """
        self._bus = bus
        self._view = view
        self._metrics = metrics
        self._clock = clock
        self._on_facts = on_facts or (lambda: None)
        self._on_removed = on_removed or (lambda _unit, _generation: None)
        self._on_record = on_record or (lambda _key, _value: None)
        self._on_rejected = on_rejected or (lambda _event: None)
        self._on_refused = on_refused or (lambda _event: None)
        self._name = f"view-{secrets.token_hex(6)}"
        self._followers = (
            _Follower(DESIRED.name, self._desired),
            _Follower(REPORTS.name, self._report),
            _Follower(EVENTS.name, self._event),
            _Follower(KV_HUB.name, self._record),
        )
        self._nudges: set[str] = set()
        self._unwritten: deque[Event] = deque(maxlen=WAITING)
        self._written = asyncio.Event()
        self._lost_told = -COMPLAINT
        self._complained: dict[str, float] = {}
        self.loaded = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; outlives outages of NATS."""
        async with asyncio.TaskGroup() as group:
            for follower in self._followers:
                group.create_task(self._follow(follower))
            group.create_task(self._ticking())
            group.create_task(self._writing())

    def store(self, event: Event) -> None:
        """Has an event of the hub's own written to EVENTS."""
        if len(self._unwritten) == WAITING and self._clock.monotonic() >= self._lost_told + COMPLAINT:
            self._lost_told = self._clock.monotonic()
            log.warning("events are lost: too many wait for NATS", extra={"event": self._unwritten[0].id})
        self._unwritten.append(event)
        self._written.set()

    async def _follow(self, follower: _Follower) -> None:
        state = await self._insist(lambda: self._state(follower.name))
        follower.target = int(state["last_seq"])
        start: dict[str, Any] = {}
        if follower.name == EVENTS.name:
            first = max(int(state["first_seq"]), follower.target - REMEMBERED + 1, 1)
            start = {"deliver_policy": "by_start_sequence", "opt_start_seq": first}
        if not state["messages"]:
            self._caught_up(follower)
        config = {"inactive_threshold": FORGOTTEN * 10**9, "mem_storage": True, "num_replicas": 1, **start}

        async def sink(batch: Sequence[Message]) -> None:
            await self._sink(follower, batch)

        await Ingest(self._bus, follower.name, self._name, sink, clock=self._clock, config=config).run()

    async def _state(self, stream: str) -> dict[str, Any]:
        subject = f"$JS.API.STREAM.INFO.{stream}"
        state: dict[str, Any] = acknowledged(await self._bus.request(subject), subject)["state"]
        return state

    async def _insist(self, ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        backoff = Backoff(0.2, 10)
        while True:
            try:
                return await ask()
            except (Unavailable, Refused) as error:
                log.info("the streams cannot be read yet", extra={"error": str(error)})
                await self._clock.sleep(backoff.next())

    async def _sink(self, follower: _Follower, batch: Sequence[Message]) -> None:
        for number, message in enumerate(batch, 1):
            try:
                follower.take(message)
            except InvalidMessage as error:
                self._refuse(message, error)
            if number % BREATH == 0:
                await asyncio.sleep(0)
        if not follower.caught_up:
            last = Delivery.of(batch[-1])
            if last.sequence >= follower.target or not last.waiting:
                self._caught_up(follower)
        await self._nudge()

    def _caught_up(self, follower: _Follower) -> None:
        follower.caught_up = True
        if all(one.caught_up for one in self._followers):
            log.info("the view is complete", extra={"units": self._view.tally().total})
            self.loaded.set()

    def _desired(self, message: Message) -> None:
        unit = subjects.parse_desired(message.subject)
        if isinstance(unit, UnitKey):
            assignment = decode(message.data, Assignment)
            _same(assignment.unit, unit)
            self._view.assigned((assignment,))

    def _report(self, message: Message) -> None:
        unit = subjects.parse_report(message.subject)
        if isinstance(unit, UnitKey):
            report = decode(message.data, Report)
            _same(report.unit, unit)
            if report.drift:
                _showable([[field.want, field.have] for drift in report.drift for field in drift.fields])
            new = self._view.reported(report)
            self._metrics.reports.labels("new" if new else "old").inc()
            if report.phase is Phase.REMOVED:
                self._on_removed(unit, report.generation)
        elif unit == "_apis":
            served = decode(message.data, ServedApis)
            _same(served.cluster, subjects.cluster_of(message.subject))
            _same(served.digest, apis_digest(served.apis))
            if self._view.serves(served):
                self._on_facts()
        else:
            beat = decode(message.data, Heartbeat)
            _same(beat.cluster, subjects.cluster_of(message.subject))
            _showable(beat.facts)
            self._beat(beat, stored_at(message))

    def _beat(self, beat: Heartbeat, heard: float) -> None:
        known = self._view.clusters.get(beat.cluster)
        facts = known.beat.facts if known is not None and known.beat is not None else None
        if self._view.beat(beat, heard) and self.loaded.is_set():
            self._nudges.add(beat.cluster)
        self._metrics.heartbeats.inc()
        if facts != beat.facts:
            self._on_facts()

    def _event(self, message: Message) -> None:
        event = decode(message.data, Event)
        cluster = subjects.cluster_of(message.subject)
        _same(event.cluster, "" if cluster == "_hub" else cluster)
        if self._view.event(event):
            self._metrics.events.labels(str(event.severity)).inc()
            if event.type == REJECTED and event.cluster:
                self._on_rejected(event)

    def _record(self, message: Message) -> None:
        self._on_record(message.subject.removeprefix(PREFIX), message.data)

    def _refuse(self, message: Message, error: InvalidMessage) -> None:
        """A bad message is told and forgotten; a flood of them from one cluster is told once a minute."""
        cluster = message.subject.split(".")[1]
        log.warning("a message was dropped", extra={"subject": message.subject, "error": str(error)})
        self._metrics.reports.labels("invalid").inc()
        now = self._clock.now()
        if now - self._complained.get(cluster, 0.0) < COMPLAINT:
            return
        self._complained[cluster] = now
        event = Event(
            id=f"invalid-{message.subject}-{Delivery.of(message).sequence}",
            at=now,
            type="message.invalid",
            severity=Severity.ERROR,
            message=f"a message on {message.subject} was dropped: {error}",
            cluster=cluster if is_token(cluster) else "",
        )
        self._tell(event)
        self._on_refused(event)

    def _tell(self, event: Event) -> None:
        if self._view.event(event):
            self.store(event)

    async def _nudge(self) -> None:
        """Asks agents whose heartbeats show that reports were lost to send them again."""
        while self._nudges:
            cluster = self._nudges.pop()
            log.info("asking for all reports again", extra={"cluster": cluster})
            self._metrics.nudges.inc()
            await self._bus.publish(subjects.notify_report(cluster), b"")

    async def _ticking(self) -> None:
        while True:
            more = self._view.tick(most=AT_ONCE)
            await self._clock.sleep(0 if more else TICK)

    async def _writing(self) -> None:
        backoff = Backoff(0.2, 10)
        while True:
            while not self._unwritten:
                self._written.clear()
                await self._written.wait()
            taken = [self._unwritten.popleft() for _ in range(min(len(self._unwritten), WRITTEN_TOGETHER))]
            waiting: list[Event] = []
            await together((self._write(event, waiting) for event in taken), WRITTEN_TOGETHER)
            if not waiting:
                backoff.reset()
                continue
            for event in reversed(waiting):
                if len(self._unwritten) < WAITING:
                    self._unwritten.appendleft(event)
            await self._clock.sleep(backoff.next())

    async def _write(self, event: Event, waiting: list[Event]) -> None:
        """Stores an event. One that has to be tried again waits: that is harmless if it was stored after all."""
        try:
            await self._bus.publish_stored(_subject(event), encode(event), msg_id=event.id)
        except Unavailable as error:
            log.info("an event waits to be stored", extra={"event": event.id, "error": str(error)})
            waiting.append(event)
        except Refused as error:
            log.warning("an event was refused", extra={"event": event.id, "error": str(error)})


def _subject(event: Event) -> str:
    kind = event.type.partition(".")[0]
    return subjects.event(event.cluster, kind) if event.cluster else subjects.hub_event(kind)


def _showable(content: object) -> None:
    """Free-form content goes to the API as it is: what cannot be written there must not come in.

    Raises:
        InvalidMessage: it is nested too deeply, or is no text.
    """
    try:
        orjson.dumps(content)
    except orjson.JSONEncodeError as error:
        raise InvalidMessage(f"it holds what cannot be shown: {error}") from error


def _same(claimed: object, real: object) -> None:
    """Nobody speaks for others.

    Raises:
        InvalidMessage: the content names another cluster or unit than the subject it came on.
    """
    if claimed != real:
        raise InvalidMessage(f"it claims to be about {claimed}, but came as {real}")
