"""Moves under way: old units that stay until the unit that takes their place stands on the same cluster.

Remembers what waits for what, on the leading hub only; after a restart it is worked out again from what units were
given. It decides nothing about publishing: `hub.loops.applications` asks it which units have to stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from hub.domain import budget, succession
from hub.domain.publishing import Body, Given, Order
from hub.domain.records import Pending
from hub.domain.succession import Stay
from hub.publisher import Publisher
from hub.view import View
from hub.view.standing import assigned_at, stands
from shared.model import Place, Problem, UnitKey
from shared.tasks import Clock


class Wait(msgspec.Struct, frozen=True):
    """Why an old unit stays. `heir` is None while it is not known what takes its place."""

    heir: UnitKey | None
    body: Body | None
    stay: Stay


class Moving(msgspec.Struct, frozen=True):
    """The units of one application that were replaced and are still there."""

    waits: dict[UnitKey, Wait]

    def staying(self, allowed: bool) -> set[UnitKey]:  # noqa: FBT001 - one value, one meaning
        """Those that must not go now. `allowed`: a person said that overdue ones may."""
        return {
            unit
            for unit, wait in self.waits.items()
            if wait.stay is Stay.WAIT or (wait.stay is Stay.OVERDUE and not allowed)
        }

    def token(self, application: str) -> str:
        """Stands for those that a person has to decide about; empty when there are none."""
        items = self._overdue()
        return budget.token("moves", application, items) if items else ""

    def pending(
        self,
        application: str,
        allowed: bool,  # noqa: FBT001
        known: Iterable[Pending],
        now: float,
    ) -> tuple[Pending, ...]:
        """What a person has to decide."""
        items = self._overdue()
        if allowed or not items:
            return ()
        reason = f"{budget.some(items)} would be removed although what takes its place is not healthy"
        made = Pending("moves", self.token(application), items, reason, now)
        return (budget.since_first(made, known),)

    def problems(self, application: str, allowed: bool, where: Place | None) -> tuple[Problem, ...]:  # noqa: FBT001
        """What there is to say about it: one finding for all that wait for the same application."""
        staying = sorted(self.staying(allowed))
        if not staying:
            return ()
        heirs = sorted({str(wait.heir) for unit in staying if (wait := self.waits[unit]).heir is not None})
        what = f"until {budget.some(heirs)} is healthy" if heirs else "until it is known what takes its place"
        text = f"{budget.some([str(unit) for unit in staying])} stays {what}"
        hint = f"`yardarm confirm {application}` removes it without waiting" if self._overdue() else ""
        return (Problem("warning", text, where, hint, application),)

    def _overdue(self) -> tuple[str, ...]:
        return tuple(sorted(str(unit) for unit, wait in self.waits.items() if wait.stay is Stay.OVERDUE))


class Moves:
    """All moves of the fleet."""

    def __init__(self, publisher: Publisher, view: View, clock: Clock) -> None:
        self._publisher = publisher
        self._view = view
        self._clock = clock
        self._waiting: dict[str, Moving] = {}
        self._wanted: dict[str, tuple[Mapping[UnitKey, Body], frozenset[str]]] = {}
        self.heirs: dict[str, str] = {}
        """Applications that were renamed: old name → new name."""

    def renamed(self, old: str, new: str) -> None:
        """`new` takes the place of `old`; an empty `old` says nothing."""
        if old:
            self.heirs[old] = new

    def wanted(self, name: str, wanted: Mapping[UnitKey, Body], frozen: Iterable[str]) -> None:
        """What an application should have now. `frozen` clusters stay as they are, whatever should be there."""
        if name in self.heirs.values():
            self._wanted[name] = wanted, frozenset(frozen)

    def of(self, name: str, mine: Mapping[UnitKey, Given], wanted: Mapping[UnitKey, Body]) -> Moving:
        """The units of an application that another unit of it replaces: its namespace has changed."""
        waits = {}
        for old, given in mine.items():
            heir = succession.heir_of(old, wanted) if old not in wanted and not given.removed else None
            if heir is not None:
                waits[old] = self._wait(heir, wanted[heir])
        return self._noted(name, Moving(waits))

    def of_renamed(self, name: str, orders: Iterable[Order]) -> Moving:
        """The units of an application that is gone and has an heir."""
        heir_name = self.heirs.get(name)
        if heir_name is None:
            return self._noted(name, Moving({}))
        known = self._wanted.get(heir_name)
        waits = {}
        for order in orders:
            if known is None or order.unit.cluster in known[1]:
                waits[order.unit] = Wait(None, None, Stay.WAIT)
            elif (heir := succession.heir_of(order.unit, known[0])) is not None:
                waits[order.unit] = self._wait(heir, known[0][heir])
        return self._noted(name, Moving(waits))

    def over(self) -> list[str]:
        """The applications of which something waited for what has come about, or has waited long enough."""
        return [
            name
            for name, moving in self._waiting.items()
            if any(
                wait.heir is not None and wait.body is not None and self._wait(wait.heir, wait.body) != wait
                for wait in moving.waits.values()
            )
        ]

    def done(self, name: str) -> None:
        """Nothing of the application is left."""
        self._waiting.pop(name, None)
        heir = self.heirs.pop(name, None)
        if heir is not None and heir not in self.heirs.values():
            self._wanted.pop(heir, None)

    def _wait(self, heir: UnitKey, body: Body) -> Wait:
        at = assigned_at(self._view, heir, body.digest)
        waited = self._clock.now() - at if at is not None else None
        found = succession.stay(
            heir, body, self._publisher.given(heir), lambda unit, digest: stands(self._view, unit, digest), waited
        )
        return Wait(heir, body, found)

    def _noted(self, name: str, moving: Moving) -> Moving:
        if moving.waits:
            self._waiting[name] = moving
        else:
            self._waiting.pop(name, None)
        return moving
