"""A thousand agents played by one process: what is assigned is reported as applied, and a moment later as healthy.

python -m tests.bench.child_fleet FILE, with {"nats", "state", "clusters", "seconds"}: where NATS is, the hub's folder
(for its keys), the names, and the least and most seconds from assigned to healthy. It speaks over one connection, but
the messages, their size and their number are those of as many agents: two reports and an event for each assignment, and
heartbeats. `bench.fleet` takes {"only": [clusters] or null}: only these say anything of their units from then on; null is
all, and what has been held back is said. Answers with how many assignments have come, and how many were carried out.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
import random
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import orjson
import uvloop

from hub import streams
from hub.identity import Identity
from shared import subjects
from shared.bus import Bus, Message, Refused
from shared.errors import Unavailable
from shared.messages import VERSION, Assignment, Event, Heartbeat, Report, Severity, decode, encode, states_digest
from shared.model import Health, UnitKey
from tests.bench.filling import healthy

INTERVAL = 30.0
"""Seconds between the heartbeats of an agent."""
STEP = 0.02
IN_FLIGHT = 256
"""Messages that wait to be stored at one time. An agent has up to 8."""
APPLYING = 0.3
"""The part of the time until healthy after which a unit is applied."""


class Agents:
    """All of them."""

    def __init__(self, bus: Bus, setup: dict[str, Any]) -> None:
        self._bus = bus
        self._clusters: list[str] = setup["clusters"]
        self._least, self._most = setup["seconds"]
        self._random = random.Random(7)
        self._numbers = itertools.count()
        self._newest: dict[UnitKey, int] = {}
        self._due: list[tuple[float, int, Report, bool]] = []
        self._held: list[Report] = []
        self._only: set[str] | None = None
        self._said: dict[str, dict[UnitKey, Report]] = {name: {} for name in self._clusters}
        self._outbox: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(IN_FLIGHT)
        self.assigned = self.done = 0

    async def catch_up(self) -> None:
        """What was assigned before anybody listened."""
        async for subject, data, _ in streams.last_per_subject(self._bus, streams.DESIRED.name, subjects.DESIRED_ALL):
            self._take(subject, data)

    async def take(self, message: Message) -> None:
        """An assignment, as it is told to an agent."""
        self._take(message.subject.removeprefix(subjects.NOTIFY_PREFIX), message.data)

    def _take(self, subject: str, data: bytes) -> None:
        if not isinstance(subjects.parse_desired(subject), UnitKey):
            return
        assignment = decode(data, Assignment)
        if assignment.generation <= self._newest.get(assignment.unit, 0):
            return
        self._newest[assignment.unit] = assignment.generation
        self.assigned += 1
        if self._only is None or assignment.cluster in self._only:
            self._begin(healthy(assignment))
        else:
            self._held.append(healthy(assignment))

    def _begin(self, report: Report) -> None:
        now, seconds = time.time(), self._random.uniform(self._least, self._most)
        heapq.heappush(self._due, (now + seconds * APPLYING, next(self._numbers), report, False))
        heapq.heappush(self._due, (now + seconds, next(self._numbers), report, True))

    async def obey(self, message: Message) -> None:
        """Who is to be heard."""
        asked = orjson.loads(message.data or b"{}")
        if "only" in asked:
            self._only = set(asked["only"]) if asked["only"] is not None else None
            if self._only is None:
                held, self._held = self._held, []
                for report in held:
                    self._begin(report)
        counts = {"assigned": self.assigned, "done": self.done, "held": len(self._held)}
        await self._bus.publish(message.reply, orjson.dumps(counts))

    async def report(self) -> None:
        """Says what is due."""
        while True:
            now = time.time()
            while self._due and self._due[0][0] <= now:
                _, _, report, well = heapq.heappop(self._due)
                if self._newest[report.unit] == report.generation:
                    await self._say(report, well=well)
            await asyncio.sleep(STEP)

    async def _say(self, report: Report, *, well: bool) -> None:
        now, times = time.time(), report.timeline
        if well:
            times = msgspec.structs.replace(times, healthy=now)
            report = msgspec.structs.replace(report, at=now, since=now, timeline=times)
            self.done += 1
        else:
            times, health = msgspec.structs.replace(times, applied=now, healthy=None), Health.PROGRESSING
            report = msgspec.structs.replace(report, at=now, since=now, timeline=times, health=health)
            event = self._applied(report, now)
            await self._outbox.put((subjects.event(report.cluster, "apply"), encode(event)))
        self._said[report.cluster][report.unit] = report
        await self._outbox.put((subjects.report(report.unit), encode(report)))

    def _applied(self, report: Report, now: float) -> Event:
        return Event(
            f"{report.cluster}-{next(self._numbers)}",
            now,
            "apply",
            Severity.INFO,
            "applied: 1 configured, 9 unchanged",
            cluster=report.cluster,
            namespace=report.namespace,
            application=report.application,
            commit=report.commit,
        )

    async def beat(self) -> None:
        """Heartbeats, spread over the interval."""
        pause = INTERVAL / len(self._clusters)
        for name in itertools.cycle(self._clusters):
            said = self._said[name].values()
            beat = Heartbeat(VERSION, name, time.time(), INTERVAL, "0.1.0", "bench", len(said), states_digest(said))
            await self._outbox.put((subjects.beat(name), encode(beat)))
            await asyncio.sleep(pause)

    async def send(self) -> None:
        """As an agent does, each message until it is stored."""
        while True:
            subject, data = await self._outbox.get()
            while True:
                try:
                    await self._bus.publish_stored(subject, data)
                except (Unavailable, Refused):
                    await asyncio.sleep(0.2)
                else:
                    break


async def main(setup: dict[str, Any]) -> None:
    identity = Identity.load_or_create(Path(setup["state"]))
    bus = Bus(setup["nats"], name="bench-fleet", credentials=identity.hub_credentials())
    agents = Agents(bus, setup)
    await bus.subscribe(subjects.NOTIFY_PREFIX + subjects.DESIRED_ALL, agents.take)
    await bus.subscribe("bench.fleet", agents.obey)
    async with asyncio.TaskGroup() as group:
        group.create_task(bus.run())
        await bus.wait_connected()
        await agents.catch_up()
        group.create_task(agents.report())
        group.create_task(agents.beat())
        for _ in range(IN_FLIGHT):
            group.create_task(agents.send())


if __name__ == "__main__":
    gc.set_threshold(100_000)
    uvloop.run(main(orjson.loads(Path(sys.argv[1]).read_bytes())))
