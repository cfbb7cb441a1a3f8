"""Units in order and by property, so that any page of any filtered list is found without looking at all units.

The order is (cluster, namespace, application). Small selections are sorted on demand; large ones are walked along
the one sorted list. A cursor is the key of the last item given out: it stays good while units come and go.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from hub.domain.status import State
from hub.view.records import Key, UnitRecord
from shared.errors import YardarmError

WALK = 8
"""A selection larger than one in WALK units is found by walking the sorted list."""
FEW = 64
"""New units up to this many are inserted one by one; more are sorted in together."""


class BadCursor(YardarmError):
    """A cursor that this hub did not hand out."""


@dataclass(frozen=True, slots=True)
class UnitFilter:
    """Which units: empty parts match all. `states` are alternatives; `drifted` means drift known, standing or not."""

    cluster: str = ""
    namespace: str = ""
    application: str = ""
    environment: str = ""
    states: frozenset[State] = frozenset()
    drifted: bool = False

    def accepts(self, record: UnitRecord) -> bool:
        """Whether a (shown) unit matches."""
        cluster, namespace, application = record.key
        return (
            (not self.cluster or cluster == self.cluster)
            and (not self.namespace or namespace == self.namespace)
            and (not self.application or application == self.application)
            and (not self.environment or record.environment == self.environment)
            and (not self.states or (record.shown is not None and record.shown.state in self.states))
            and (not self.drifted or (record.have is not None and record.have.drift_total > 0))
        )


class UnitIndex:
    """All shown units."""

    def __init__(self) -> None:
        self.units: dict[Key, UnitRecord] = {}
        self._order: list[Key] = []
        self._new: list[Key] = []
        self._by: dict[tuple[str, str], set[Key]] = {}
        self._marks: dict[Key, tuple[tuple[str, str], ...]] = {}

    def put(self, record: UnitRecord) -> None:
        """Adds a unit, or takes note of its change."""
        key = record.key
        if key not in self.units:
            self.units[key] = record
            self._new.append(key)
        marks = _marks(record)
        known = self._marks.get(key, ())
        if marks == known:
            return
        for mark in known:
            if mark not in marks:
                self._unmark(mark, key)
        for mark in marks:
            if mark not in known:
                self._by.setdefault(mark, set()).add(key)
        self._marks[key] = marks

    def drop(self, key: Key) -> None:
        """Removes a unit."""
        if self.units.pop(key, None) is None:
            return
        for mark in self._marks.pop(key):
            self._unmark(mark, key)
        self._settle()
        del self._order[bisect_left(self._order, key)]

    def keys_of(self, kind: str, name: str) -> frozenset[Key] | set[Key]:
        """The units with a property: `application`, `environment`, `state` or `drift`."""
        return self._by.get((kind, name), frozenset())

    def select(self, wanted: UnitFilter, after: Key | None = None) -> Iterator[UnitRecord]:
        """Matching units in order, those behind `after`."""
        self._settle()
        if wanted.cluster:
            yield from self._of_cluster(wanted, after)
            return
        few = self._smallest(wanted)
        if few is not None and len(few) * WALK < len(self._order):
            units = self.units
            matching = [key for key in few if (after is None or key > after) and wanted.accepts(units[key])]
            matching.sort()
            for key in matching:
                yield units[key]
            return
        start = 0 if after is None else bisect_right(self._order, after)
        yield from self._walk(wanted, start)

    def _of_cluster(self, wanted: UnitFilter, after: Key | None) -> Iterator[UnitRecord]:
        """The units of one cluster stand together in the order."""
        start = bisect_left(self._order, (wanted.cluster, "", ""))
        if after is not None:
            start = max(start, bisect_right(self._order, after))
        for record in self._walk(UnitFilter(), start):
            if record.key[0] != wanted.cluster:
                return
            if wanted.accepts(record):
                yield record

    def _walk(self, wanted: UnitFilter, start: int) -> Iterator[UnitRecord]:
        order, units, accepts = self._order, self.units, wanted.accepts
        for position in range(start, len(order)):
            record = units[order[position]]
            if accepts(record):
                yield record

    def _smallest(self, wanted: UnitFilter) -> frozenset[Key] | set[Key] | None:
        """The smallest known set of units that holds all matching ones."""
        sets: list[frozenset[Key] | set[Key]] = []
        if wanted.application:
            sets.append(self.keys_of("application", wanted.application))
        if wanted.environment:
            sets.append(self.keys_of("environment", wanted.environment))
        if wanted.drifted:
            sets.append(self.keys_of("drift", ""))
        if wanted.states:
            by_state = [self.keys_of("state", state) for state in wanted.states]
            if sum(map(len, by_state)) * WALK < len(self._order):
                sets.append(frozenset().union(*by_state))
        return min(sets, key=len, default=None)

    def _settle(self) -> None:
        """Brings new units into the order."""
        if not self._new:
            return
        if len(self._new) <= FEW:
            for key in self._new:
                insort(self._order, key)
        else:
            self._order += self._new
            self._order.sort()
        self._new = []

    def _unmark(self, mark: tuple[str, str], key: Key) -> None:
        marked = self._by[mark]
        marked.discard(key)
        if not marked:
            del self._by[mark]


def _marks(record: UnitRecord) -> tuple[tuple[str, str], ...]:
    marks = [("application", record.key[2])]
    if record.environment:
        marks.append(("environment", record.environment))
    if record.shown is not None:
        marks.append(("state", record.shown.state))
    if record.have is not None and record.have.drift_total:
        marks.append(("drift", ""))
    return tuple(marks)


def write_cursor(*parts: str | float) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def read_cursor(text: str, *kinds: type) -> tuple[str | float, ...]:
    """The parts of a cursor.

    Raises:
        BadCursor: it was not made by `write_cursor` with parts of these kinds.
    """
    try:
        parts = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error) as error:
        raise BadCursor(_CURSOR) from error
    if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
        raise BadCursor(_CURSOR)
    return tuple(parts)


_CURSOR = "this cursor was not handed out for this list: take `next` of the page before, or leave it out to start over"
