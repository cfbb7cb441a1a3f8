"""The newest events, in the order in which they happened, and the numbered feed of changes.

Both are bounded. The feed says what changed, not how: whoever reads it gets the present state of each changed thing
once, however often it changed since, so a slow reader costs nothing and a repeated delta does no harm.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from shared.messages import Event, Severity

EVENTS = 10_000
DELTAS = 10_000
AHEAD = 60.0
"""Seconds an event may be ahead of the hub's clock; more is a wrong clock, and would stay on top for ever."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: empty parts match all. `type` also matches as a prefix before a dot."""

    cluster: str = ""
    namespace: str = ""
    application: str = ""
    type: str = ""
    severity: Severity | None = None
    trace: str = ""

    def accepts(self, event: Event) -> bool:
        """Whether an event matches."""
        return (
            (not self.cluster or event.cluster == self.cluster)
            and (not self.namespace or event.namespace == self.namespace)
            and (not self.application or event.application == self.application)
            and (not self.type or event.type == self.type or event.type.startswith(f"{self.type}."))
            and (self.severity is None or event.severity is self.severity)
            and (not self.trace or event.trace == self.trace)
        )


class EventLog:
    """The newest `limit` events by (time, id); a repeated id changes nothing."""

    def __init__(self, limit: int = EVENTS) -> None:
        self._limit = limit
        self._by_id: dict[str, Event] = {}
        self._order: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, event: Event) -> bool:
        """Whether it is new (and not older than all of a full log)."""
        place = (event.at, event.id)
        if event.id in self._by_id or (len(self._order) >= self._limit and place < self._order[0]):
            return False
        self._by_id[event.id] = event
        insort(self._order, place)
        if len(self._order) > self._limit + self._limit // 10:
            surplus = len(self._order) - self._limit
            for _, identity in self._order[:surplus]:
                del self._by_id[identity]
            del self._order[:surplus]
        return True

    def get(self, identity: str) -> Event | None:
        """The event, if it is still held."""
        return self._by_id.get(identity)

    def newest(self, wanted: EventFilter, before: tuple[float, str] | None = None) -> Iterator[Event]:
        """Matching events, newest first, those older than `before`."""
        end = len(self._order) if before is None else bisect_left(self._order, before)
        for position in range(end - 1, -1, -1):
            event = self._by_id[self._order[position][1]]
            if wanted.accepts(event):
                yield event


@dataclass(frozen=True, slots=True)
class Delta:
    """Something changed. `kind` is unit, cluster, application, rollout, fleet or event; `key` names it within that."""

    number: int
    kind: str
    key: tuple[str, ...]


class Feed:
    """Numbered changes; the newest `limit` are held."""

    def __init__(self, limit: int = DELTAS) -> None:
        self._deltas: deque[Delta] = deque(maxlen=limit)
        self._waiting: list[asyncio.Future[None]] = []
        self.number = 0
        """Of the newest change."""

    def note(self, kind: str, *key: str) -> None:
        """Something changed."""
        self.number += 1
        self._deltas.append(Delta(self.number, kind, key))
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def since(self, number: int) -> list[Delta] | None:
        """What changed after `number`, each thing once, oldest first; None when that is no longer (or not) known."""
        oldest = self._deltas[0].number if self._deltas else self.number + 1
        if number > self.number or number + 1 < oldest:
            return None
        seen: set[tuple[str, tuple[str, ...]]] = set()
        found: list[Delta] = []
        for delta in reversed(self._deltas):
            if delta.number <= number:
                break
            if (delta.kind, delta.key) not in seen:
                seen.add((delta.kind, delta.key))
                found.append(delta)
        found.reverse()
        return found

    async def beyond(self, number: int) -> None:
        """Returns once there is a change newer than `number`."""
        while self.number <= number:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
