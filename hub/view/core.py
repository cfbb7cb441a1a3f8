"""The view's mutators: every message of the system lands here, in any order, any number of times.

Newest wins everywhere: an assignment by its generation, a report by generation and time, a heartbeat by when it was
heard. What a message changes is judged again, counted by difference, and noted in the feed. Events that only the hub
can see (a unit failed by its timeout, a cluster lost) are handed to `on_event`; the reports loop stores them.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import re
from collections.abc import Callable, Iterable

import msgspec

from hub.domain.records import ApplicationInfo, Fleet
from hub.domain.rollup import FLEET, Rollup, Tally
from hub.domain.status import SKEW, Have, Reach, Shown, State, Want, counts_for, is_gone, judge, patience, said, wanted
from hub.view.delivery import Delivery
from hub.view.history import AHEAD, EventLog, Feed
from hub.view.index import UnitIndex
from hub.view.records import PAST, ClusterRecord, Key, Passage, UnitRecord
from hub.view.rollouts import Rollouts
from shared.messages import Assignment, Awaiting, Event, Heartbeat, Report, ServedApis, Severity
from shared.model import UnitKey
from shared.tasks import Clock
from shared.telemetry import trace_id

TOKEN = re.compile(r"[0-9a-f]{32}")
GRAVES = 100_000
"""Removed units whose generation is remembered, so that a late message does not bring them back."""

ANNOUNCED = {
    State.FAILED: Severity.ERROR,
    State.BLOCKED: Severity.WARNING,
    State.DRIFTED: Severity.WARNING,
    State.READY: Severity.INFO,
}
"""The states whose beginning is an event. Stale is told once per cluster, not once per unit."""


class View:
    """The fleet in memory. Not thread-safe: one event loop owns it. Queries are in `hub.view.read`."""

    def __init__(self, clock: Clock | None = None, on_event: Callable[[Event], None] | None = None) -> None:
        """`on_event` gets each event that the view itself makes (it is already in the view's own log)."""
        self.clock = clock or Clock()
        self.fleet = Fleet()
        self.applications: dict[str, ApplicationInfo] = {}
        self.clusters: dict[str, ClusterRecord] = {}
        self.apis: dict[str, tuple[str, ...]] = {}
        """The APIs that clusters serve, by the digest that their heartbeats name."""
        self.index = UnitIndex()
        self.rollup = Rollup()
        self.awaiting: dict[Key, Awaiting] = {}
        """Deletions that agents hold back until somebody confirms them."""
        self.watcher: Callable[[Key], None] | None = None
        """Is told of every unit that is judged anew, also when nothing comes of it."""
        self.events = EventLog()
        self.feed = Feed()
        self.rollouts = Rollouts(self._note)
        self.delivery = Delivery(self.rollouts)
        self.version = 0
        """Grows with every change but heartbeats: equal versions are equal answers."""
        self.beats = 0
        """Grows with every heartbeat."""
        self.started = self.clock.now()
        self._on_event = on_event or (lambda _event: None)
        self._graves: dict[Key, int] = {}
        self._due: list[tuple[float, int, UnitRecord | ClusterRecord]] = []
        self._count = itertools.count()
        self._pool: dict[str, str] = {}

    def fleet_changed(self, fleet: Fleet) -> None:
        """Takes over clusters, environments and problems."""
        if fleet == self.fleet:
            return
        self.fleet = fleet
        infos = {info.name: info for info in fleet.clusters}
        for name in infos.keys() | self.clusters.keys():
            record = self._cluster(name)
            if record.info == infos.get(name):
                continue
            record.info = infos.get(name)
            self._rejudge(record)
            self._note("cluster", name)
        self._forget_clusters()
        self._note("fleet")

    def application_changed(self, info: ApplicationInfo) -> None:
        """Takes over what the planning loop says of an application."""
        if self.applications.get(info.name) != info:
            self.applications[info.name] = info
            self._note("application", info.name)

    def application_removed(self, name: str) -> None:
        """Forgets an application; its units stay until their agents have confirmed."""
        if self.applications.pop(name, None) is not None:
            self._note("application", name)

    def assigned(self, assignments: Iterable[Assignment]) -> None:
        """Takes over desired state that has been published."""
        for assignment in assignments:
            key = (assignment.cluster, assignment.namespace, assignment.application)
            record = self._unit(key, assignment.generation)
            if record is None or (record.want is not None and assignment.generation <= record.want.generation):
                continue
            if record.want is not None:
                record.past = (_passage(record.want, record.have), *record.past)[:PAST]
            record.want = wanted(assignment, self._share)
            self._refresh(record)

    def is_gone(self, unit: UnitKey, generation: int) -> bool:
        """Whether the agent has confirmed that this generation, a removal, is carried out."""
        return self._graves.get((unit.cluster, unit.namespace, unit.application)) == generation

    def reported(self, report: Report) -> bool:
        """Takes over an agent's account of a unit. False when it is not newer than what is known."""
        key = (report.cluster, report.namespace, report.application)
        record = self._unit(key, report.generation)
        if record is None:
            return False
        if record.have is not None and (report.generation, report.at) <= (record.have.generation, record.have.at):
            return False
        record.have = said(report, self._share)
        record.keep(report)
        self._await_word(record.key, report)
        self._cluster(report.cluster).digest = None
        self._refresh(record)
        return True

    def serves(self, served: ServedApis) -> bool:
        """Takes over what a cluster serves; returns whether that list was not known."""
        record = self._cluster(served.cluster)
        new = served.digest not in self.apis
        self.apis.setdefault(served.digest, served.apis)
        before, record.apis = record.apis, served.digest
        if before != served.digest and not any(each.apis == before for each in self.clusters.values()):
            self.apis.pop(before, None)
        return new

    def beat(self, beat: Heartbeat, heard: float | None = None) -> bool:
        """Takes over a heartbeat, `heard` (hub's or NATS' clock; left out: the agent's) as the sign of life.

        Returns whether the cluster should be asked for all its reports: twice running it had other states than we.
        """
        heard = beat.at if heard is None else heard
        record = self._cluster(beat.cluster)
        if record.beat is not None and record.heard is not None and (heard, beat.at) <= (record.heard, record.beat.at):
            return False
        before, old = record.reach, record.beat
        if record.heard is None:
            # A heartbeat from before this process began: the agent has been there all along.
            record.since = heard if heard > self.started else 0.0
        elif heard - record.heard > patience(beat.interval):
            record.since = heard
        record.heard, record.beat = heard, beat
        skew = heard - beat.at
        if abs(skew - record.skew) > SKEW:
            record.skew = skew if abs(skew) > SKEW else 0.0
        record.silent = self.clock.now() >= heard + patience(beat.interval)
        self.beats += 1
        self._await_silence(record)
        if before.silent and not record.silent:
            self._tell_cluster(record, "cluster.back", Severity.INFO, "the agent is heard again", heard)
        after = record.reach
        if _matters(before) != _matters(after):
            self._rejudge(record)
        if old is None or before.silent != after.silent or _telling(old) != _telling(beat):
            self._note("cluster", beat.cluster)
        return self._differs(record, beat)

    def event(self, event: Event) -> bool:
        """Adds an event to the history. False when it is known already."""
        if event.at > self.clock.now() + AHEAD:
            event = msgspec.structs.replace(event, at=self.clock.now())
        if not self.events.add(event):
            return False
        self._note("event", event.id)
        return True

    def tick(self, now: float | None = None, most: int | None = None) -> bool:
        """Lets pass what time alone changes: clusters fall silent, units run out of time. Call it every second.

        With `most`, stops after judging about so many units, and returns whether there is more to do right now: when
        NATS is away, all clusters fall silent at once.
        """
        now = self.clock.now() if now is None else now
        judged = 0
        while self._due and self._due[0][0] <= now:
            if most is not None and judged >= most:
                return True
            _, _, record = heapq.heappop(self._due)
            if isinstance(record, UnitRecord):
                record.queued = None
                self._refresh(record, now)
                judged += 1
            else:
                record.queued = False
                self._fall_silent(record, now)
                judged += len(record.units) if record.silent else 1
        return False

    @property
    def due(self) -> float | None:
        """When `tick` next has something to do, None if nothing is waited for."""
        return self._due[0][0] if self._due else None

    def tally(self, kind: str = "fleet", name: str = "") -> Tally:
        """The counters of the fleet, or of an `environment`, `application` or `cluster`."""
        return self.rollup.tally(FLEET if kind == "fleet" else (kind, name))

    def _cluster(self, name: str) -> ClusterRecord:
        record = self.clusters.get(name)
        if record is None:
            record = self.clusters[name] = ClusterRecord(name)
        return record

    def _forget_clusters(self) -> None:
        """Drops clusters of which nothing is left."""
        empty = [name for name, one in self.clusters.items() if not (one.info or one.beat or one.units or one.apis)]
        for name in empty:
            del self.clusters[name]

    def _unit(self, key: Key, generation: int) -> UnitRecord | None:
        """The record of a unit, made if need be; None when this generation of it is already dead and gone."""
        units = self._cluster(key[0]).units
        record = units.get(key)
        if record is None:
            if generation <= self._graves.get(key, 0):
                return None
            key = (self._share(key[0]), self._share(key[1]), self._share(key[2]))
            record = units[key] = UnitRecord(key)
        return record

    def _await_word(self, key: Key, report: Report) -> None:
        if report.awaiting is not None and TOKEN.fullmatch(report.awaiting.token):
            self.awaiting[key] = report.awaiting
        else:
            self.awaiting.pop(key, None)

    def _bury(self, record: UnitRecord, generation: int) -> None:
        cluster = self._cluster(record.key[0])
        cluster.digest = None
        del cluster.units[record.key]
        self.awaiting.pop(record.key, None)
        if len(self._graves) >= GRAVES:
            del self._graves[next(iter(self._graves))]
        self._graves[record.key] = generation
        record.want = record.shown = None

    def _rejudge(self, cluster: ClusterRecord) -> None:
        for record in list(cluster.units.values()):
            self._refresh(record)

    def _refresh(self, record: UnitRecord, now: float | None = None) -> None:
        """Judges a unit again and lets every count and list follow."""
        if record.want is None:
            return
        if is_gone(record.want, record.have):
            if record.shown is not None:
                self.rollup.remove(record.scopes(), record.shown)
                self.index.drop(record)
            self._bury(record, record.want.generation)
            self._note("unit", *record.key)
            self._watched(record.key)
            return
        cluster = self._cluster(record.key[0])
        now = self.clock.now() if now is None else now
        shown = judge(record.want, record.have, cluster.reach, now)
        self._count_as(record, shown, cluster.environment)
        self.index.put(record)
        if shown.deadline is not None and (record.queued is None or shown.deadline < record.queued):
            record.queued = shown.deadline
            heapq.heappush(self._due, (shown.deadline, next(self._count), record))
        self._note("unit", *record.key)
        self._announce(record, record.want, shown)
        self._watched(record.key)

    def _watched(self, key: Key) -> None:
        if self.watcher is not None:
            self.watcher(key)

    def _count_as(self, record: UnitRecord, shown: Shown, environment: str) -> None:
        if record.shown is not None:
            if record.shown == shown and record.environment == environment:
                return
            self.rollup.remove(record.scopes(), record.shown)
        record.environment = environment
        record.shown = shown
        self.rollup.add(record.scopes(), shown)

    def _announce(self, record: UnitRecord, want: Want, shown: Shown) -> None:
        """Makes an event of a new state, unless it began before this process did: then it has been told."""
        severity = ANNOUNCED.get(shown.state)
        if severity is None or record.announced == (want.generation, shown.state):
            return
        record.announced = (want.generation, shown.state)
        if shown.since + self._cluster(record.key[0]).skew < self.started:
            return
        cluster, namespace, application = record.key
        kind = f"unit.{shown.state.lower()}"
        self._emit(
            Event(
                id=_identity(kind, *record.key, want.generation, shown.since),
                at=self.clock.now(),
                type=kind,
                severity=severity,
                message=shown.reason or f"{want.commit[:10]} is {shown.state.lower()}",
                cluster=cluster,
                namespace=namespace,
                application=application,
                commit=want.commit,
                trace=trace_id(want.traceparent),
            )
        )

    def _tell_cluster(self, record: ClusterRecord, kind: str, severity: Severity, message: str, at: float) -> None:
        if at >= self.started:
            identity = _identity(kind, record.name, at)
            self._emit(Event(identity, self.clock.now(), kind, severity, message, cluster=record.name))

    def _emit(self, event: Event) -> None:
        if self.event(event):
            self._on_event(event)

    def _await_silence(self, record: ClusterRecord) -> None:
        if not record.queued and not record.silent and record.heard is not None and record.beat is not None:
            record.queued = True
            at = record.heard + patience(record.beat.interval)
            heapq.heappush(self._due, (at, next(self._count), record))

    def _fall_silent(self, record: ClusterRecord, now: float) -> None:
        if record.silent or record.heard is None or record.beat is None:
            return
        waited = patience(record.beat.interval)
        if now < record.heard + waited:
            self._await_silence(record)
            return
        record.silent = True
        count = len(record.units)
        message = f"no heartbeat for {waited:g} s: its {count} units are shown as they were last known"
        self._tell_cluster(record, "cluster.lost", Severity.WARNING, message, record.heard + waited)
        self._rejudge(record)
        self._note("cluster", record.name)

    def _differs(self, record: ClusterRecord, beat: Heartbeat) -> bool:
        """A report may be on its way, so that one difference says nothing; two do."""
        # An agent that stands by speaks of no units.
        unlike = bool(beat.states) and beat.states != record.states()
        twice = unlike and record.unlike
        record.unlike = unlike and not twice
        return twice

    def _note(self, kind: str, *key: str) -> None:
        self.version += 1
        self.feed.note(kind, *key)

    def _share(self, text: str) -> str:
        """An equal string that is kept once: commits, digests and names repeat over the fleet."""
        if len(self._pool) > 500_000:
            self._pool = {}
        return self._pool.setdefault(text, text)


def _passage(want: Want, have: Have | None) -> Passage:
    place = (want.generation, want.digest, want.commit, want.revision, want.traceparent, want.at)
    if have is None or not counts_for(want, have):
        return Passage(*place)
    return Passage(*place, have.received, have.fetched, have.applied, have.healthy)


def _matters(reach: Reach) -> tuple[object, ...]:
    """The part of a cluster's reach whose change is a reason to judge its units again."""
    return (reach.heard if reach.silent else reach.heard is None, reach.silent, reach.since, reach.skew)


def _telling(beat: Heartbeat) -> tuple[object, ...]:
    """The part of a heartbeat whose change is worth a delta."""
    return (beat.agent, beat.boot, beat.facts, beat.problems, beat.interval)


def _identity(*parts: object) -> str:
    """The same event gets the same id from every hub and after every restart, so that repeats are dropped."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]
