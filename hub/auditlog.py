"""The audit trail in JetStream: written by every hub, read by whoever may, changed by nobody.

An entry waits here until the server has stored it, however long that takes. Those that wait are in the log as well,
so that what a process takes with it when it dies can still be read; and none is given up without being counted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque

import msgspec
import orjson

from hub import streams
from hub.domain import auditing
from hub.domain.auditing import Entry, Stored, Via, Wanted
from hub.domain.folding import WINDOW, Folding
from hub.metrics import Metrics
from hub.streams import DAY, StreamSpec
from shared.bus import Bus, Refused
from shared.errors import InvalidMessage, Unavailable
from shared.messages import decode, encode
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)

STREAM = "AUDIT"
WAITING = 10_000
"""Entries that wait for NATS at the most: about 5 MB. Refusals, which strangers can make, are folded before."""
PATIENCE = 2.0
"""Seconds for which `record` waits until an entry is stored. A request is not held up longer: the entry is safe, or
counted as lost, without it."""
LATE = 10.0
"""Seconds after which entries that still wait are told of by readiness."""
STRETCH = 500
"""Entries read at one time."""
LOOKED_THROUGH = 20_000
"""Entries that one page looks through at the most: about 0.3 s. Who wants to go on asks for the next page."""


def stream(retention: float) -> StreamSpec:
    """The trail as a stream. `retention` is in days, 0 for ever.

    Nobody can delete a message or purge it, the hub included, and the server refuses to take that back.
    """
    return StreamSpec(
        STREAM,
        {
            "subjects": [auditing.SUBJECTS],
            "deny_delete": True,
            "deny_purge": True,
            "max_age": int(retention * DAY),
            "duplicate_window": 120 * 10**9,
            "allow_direct": True,
        },
    )


class AuditLog:
    """Start `run` in a TaskGroup; `record` may be called before."""

    def __init__(self, bus: Bus, hub: str, metrics: Metrics, clock: Clock) -> None:
        """`hub` names this one among several."""
        self._bus = bus
        self._hub = hub
        self._metrics = metrics
        self._clock = clock
        self._folding = Folding()
        self._waiting: deque[tuple[Entry, float, asyncio.Event]] = deque()
        self._came = asyncio.Event()

    async def record(self, entry: Entry) -> None:
        """Has an entry stored. Returns when it is, or after `PATIENCE`: then it will be.

        Raises:
            InvalidMessage: its action is no `noun.verb`.
        """
        stored = self.note(entry)
        try:
            async with asyncio.timeout(PATIENCE):
                for each in stored:
                    await each.wait()
        except TimeoutError:
            log.info("an audit entry waits to be stored", extra={"entry": entry.id, "waiting": len(self._waiting)})

    def note(self, entry: Entry) -> list[asyncio.Event]:
        """As `record`, without waiting: the events are set once it is stored.

        Raises:
            InvalidMessage: its action is no `noun.verb`.
        """
        auditing.subject(entry)
        kept = self._folding.take(auditing.fit(msgspec.structs.replace(entry, hub=entry.hub or self._hub)))
        return [self._put(each) for each in kept]

    async def own(self, action: str, target: str = "", detail: str = "") -> None:
        """Records something that this hub did by itself."""
        made = Entry(new_id(), self._clock.now(), action, self._hub, via=Via.HUB, target=target, detail=detail)
        await self.record(made)

    def late(self) -> str:
        """What readiness says of entries that wait for too long; empty when none does."""
        since = self._waiting[0][1] if self._waiting else None
        if since is None or self._clock.monotonic() - since < LATE:
            return ""
        return f"{len(self._waiting)} audit entries wait to be stored, for {self._clock.monotonic() - since:.0f} s"

    async def run(self) -> None:
        """Until cancelled; outlives outages of NATS."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_all())
                group.create_task(self._unfold())
        finally:
            for entry, _, _ in self._waiting:
                log.error("an audit entry was not stored before the end", extra={"entry": _logged(entry)})

    async def page(self, wanted: Wanted, limit: int, before: int = 0) -> tuple[list[Stored], int | None]:
        """Entries, the newest first, and what to pass as `before` for those that follow; None: that was all.

        A page may be shorter than `limit` and have others after it: one looks through a bounded number of entries.

        Raises:
            Unavailable: the trail cannot be read now.
        """
        first, last = await streams.bounds(self._bus, STREAM)
        high = min(before - 1, last) if before else last
        stop = max(first, high - LOOKED_THROUGH + 1)
        found: list[Stored] = []
        while high >= stop:
            low = max(stop, high - STRETCH + 1)
            for each in reversed(await self._between(low, high)):
                if each.entry.at < wanted.since - CLOCKS_APART:
                    return found, None
                if wanted.accepts(each.entry):
                    found.append(each)
                if len(found) == limit:
                    return found, each.number if each.number > first else None
            high = low - 1
        return found, stop if stop > first else None

    async def after(self, wanted: Wanted, limit: int, number: int) -> tuple[list[Stored], int]:
        """Entries that came after `number`, the oldest first, and the number up to which this has looked.

        Raises:
            Unavailable: the trail cannot be read now.
        """
        first, last = await streams.bounds(self._bus, STREAM)
        low = max(first, number + 1)
        if number == 0 and wanted.since:
            start = await streams.since(self._bus, STREAM, wanted.since - CLOCKS_APART)
            low = max(low, start) if start is not None else last + 1
        stop = min(last, low + LOOKED_THROUGH - 1)
        found: list[Stored] = []
        while low <= stop:
            high = min(stop, low + STRETCH - 1)
            for each in await self._between(low, high):
                if wanted.accepts(each.entry):
                    found.append(each)
                if len(found) == limit:
                    return found, each.number
            low = high + 1
        return found, max(number, stop)

    def _put(self, entry: Entry) -> asyncio.Event:
        stored = asyncio.Event()
        if len(self._waiting) >= WAITING:
            self._metrics.audited.labels("lost").inc(entry.count)
            log.error("an audit entry is lost: too many wait for NATS", extra={"entry": _logged(entry)})
            stored.set()
            return stored
        self._waiting.append((entry, self._clock.monotonic(), stored))
        self._came.set()
        return stored

    async def _write_all(self) -> None:
        backoff = Backoff(0.1, 5)
        while True:
            while not self._waiting:
                self._came.clear()
                await self._came.wait()
            entry, _, stored = self._waiting[0]
            try:
                await self._bus.publish_stored(auditing.subject(entry), encode(entry), msg_id=entry.id)
            except (Unavailable, Refused) as error:
                log.warning("an audit entry waits", extra={"entry": _logged(entry), "error": str(error)})
                await self._clock.sleep(backoff.next())
                continue
            self._waiting.popleft()
            stored.set()
            self._metrics.audited.labels(str(entry.result)).inc(entry.count)
            backoff.reset()

    async def _unfold(self) -> None:
        """What was folded is kept when its window ends, also if nothing more comes."""
        while True:
            await self._clock.sleep(WINDOW / 4)
            for each in self._folding.due(self._clock.now()):
                self._put(each)

    async def _between(self, low: int, high: int) -> list[Stored]:
        found = []
        for number, data in await streams.between(self._bus, STREAM, low, high):
            try:
                found.append(Stored(number, decode(data, Entry)))
            except InvalidMessage as error:
                log.warning("an audit entry cannot be read", extra={"number": number, "error": str(error)})
        return found


CLOCKS_APART = 300.0
"""Seconds by which entries may be out of order: hubs have clocks of their own, and an entry may have waited."""


def new_id() -> str:
    """An id for an entry."""
    return secrets.token_hex(12)


def _logged(entry: Entry) -> dict[str, object]:
    """An entry as a field of a log record."""
    found: dict[str, object] = orjson.loads(encode(entry))
    return found
