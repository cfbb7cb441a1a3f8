"""Units in order and by property, so that any page of any filtered list is found without looking at all units.

The order is (cluster, namespace, application). Small selections are sorted on demand; large ones are walked along
the one sorted list. A cursor is the key of the last item given out: it stays good while units come and go.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import orjson

from hub.domain.status import State
from hub.view.records import Key, UnitRecord
from shared.errors import YardarmError

WALK = 8
"""A selection of more than one in WALK units is found by walking the sorted list, a smaller one is sorted."""
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

    def put(self, record: UnitRecord) -> None:
        """Adds a unit, or takes note of its change."""
        key = record.key
        if key not in self.units:
            self.units[key] = record
            self._new.append(key)
            self._mark("namespace", key[1], key)
            self._mark("application", key[2], key)
        state = record.shown.state if record.shown is not None else None
        drifted = record.have is not None and record.have.drift_total > 0
        marks = (record.environment, state, drifted)
        if marks != record.marked:
            self._unmark_changing(record)
            record.marked = marks
            for kind, name in _changing(record):
                self._mark(kind, name, key)

    def drop(self, record: UnitRecord) -> None:
        """Removes a unit."""
        key = record.key
        if self.units.pop(key, None) is None:
            return
        self._unmark("namespace", key[1], key)
        self._unmark("application", key[2], key)
        self._unmark_changing(record)
        record.marked = None
        self._settle()
        del self._order[bisect_left(self._order, key)]

    def keys_of(self, kind: str, name: str) -> AbstractSet[Key]:
        """The units with a property: `application`, `namespace`, `environment`, `state` or `drift`."""
        return self._by.get((kind, name), frozenset())

    def select(self, wanted: UnitFilter, after: Key | None = None) -> Iterator[UnitRecord]:
        """Matching units in order, those behind `after`. Take them at once: the index may not change meanwhile."""
        self._settle()
        start = 0 if after is None else bisect_right(self._order, after)
        if wanted.cluster:
            return self._of_cluster(wanted, start)
        matching = self._matching(wanted)
        if matching is None:
            return self._walk(start)
        if len(matching) * WALK < len(self._order):
            keys = sorted(key for key in matching if key > after) if after is not None else sorted(matching)
            return (self.units[key] for key in keys)
        return (record for record in self._walk(start) if record.key in matching)

    def _of_cluster(self, wanted: UnitFilter, start: int) -> Iterator[UnitRecord]:
        """The units of one cluster stand together in the order."""
        start = max(start, bisect_left(self._order, (wanted.cluster, "", "")))
        for record in self._walk(start):
            if record.key[0] != wanted.cluster:
                return
            if wanted.accepts(record):
                yield record

    def _walk(self, start: int) -> Iterator[UnitRecord]:
        for position in range(start, len(self._order)):
            yield self.units[self._order[position]]

    def _matching(self, wanted: UnitFilter) -> AbstractSet[Key] | None:
        """Exactly the units that match a filter without cluster; None for all."""
        sets: list[AbstractSet[Key]] = [
            self.keys_of(kind, name)
            for kind, name in (
                ("namespace", wanted.namespace),
                ("application", wanted.application),
                ("environment", wanted.environment),
            )
            if name
        ]
        if wanted.drifted:
            sets.append(self.keys_of("drift", ""))
        if wanted.states:
            by_state = [self.keys_of("state", state) for state in wanted.states]
            sets.append(by_state[0] if len(by_state) == 1 else frozenset().union(*by_state))
        if not sets:
            return None
        sets.sort(key=len)
        matching = sets[0]
        for other in sets[1:]:
            matching = matching & other
        return matching

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

    def _mark(self, kind: str, name: str, key: Key) -> None:
        self._by.setdefault((kind, name), set()).add(key)

    def _unmark(self, kind: str, name: str, key: Key) -> None:
        marked = self._by[kind, name]
        marked.discard(key)
        if not marked:
            del self._by[kind, name]

    def _unmark_changing(self, record: UnitRecord) -> None:
        for kind, name in _changing(record):
            self._unmark(kind, name, record.key)


def _changing(record: UnitRecord) -> Iterator[tuple[str, str]]:
    """The properties of a unit that change, as they are marked."""
    if record.marked is None:
        return
    environment, state, drifted = record.marked
    if environment:
        yield "environment", environment
    if state is not None:
        yield "state", state
    if drifted:
        yield "drift", ""


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
