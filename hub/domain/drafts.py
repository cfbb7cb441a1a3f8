"""A rollout while one step of `hub.domain.rollout` works on it: small changes, and what has to be done about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.domain import gates
from hub.domain.runs import Phase, Rollout, Slot, SlotState, Wait, tally
from hub.domain.steps import Command, Move, Tell
from shared.messages import Severity


class Draft:
    """The slots are a copy of its own; everything else is replaced, never changed. Knows nothing of phases."""

    def __init__(self, rollout: Rollout, now: float) -> None:
        self._before = rollout
        self._slots = dict(rollout.slots)
        self._counts: dict[int, Mapping[SlotState, int]] = {}
        self._changed = False
        self.rollout = msgspec.structs.replace(rollout, slots=self._slots)
        self.commands: list[Command] = []
        self.now = now

    def result(self) -> tuple[Rollout, tuple[Command, ...]]:
        """The rollout after the step; the very same object when nothing has changed."""
        return (self.rollout if self._changed else self._before), tuple(self.commands)

    def change(self, **changes: Any) -> None:
        """Replaces parts of the rollout."""
        self.rollout = msgspec.structs.replace(self.rollout, **changes)
        self._changed = True

    def slot(self, name: str, slot: Slot) -> None:
        """Replaces how far a cluster is."""
        if self._slots.get(name) is not slot:
            self._slots[name] = slot
            self._counts.clear()
            self._changed = True

    def slots(self, slots: Mapping[str, Slot]) -> None:
        """Replaces how far several clusters are."""
        self._slots.update(slots)
        self._counts.clear()
        self._changed = self._changed or bool(slots)

    def stage(self, number: int, **changes: Any) -> None:
        """Replaces parts of how far a stage is."""
        before = self.rollout.stages[number]
        after = msgspec.structs.replace(before, **changes)
        if after != before:
            self.change(stages=(*self.rollout.stages[:number], after, *self.rollout.stages[number + 1 :]))

    def counts(self, number: int) -> Mapping[SlotState, int]:
        """How many clusters of a stage are in each state."""
        if number not in self._counts:
            self._counts[number] = tally(self.rollout, number)
        return self._counts[number]

    def wait(self, number: int, waits: tuple[Wait, ...]) -> None:
        """What a stage waits for now."""
        self.stage(number, waits=gates.since_first(waits, self.rollout.stages[number], self.now))

    def move(self, names: tuple[str, ...]) -> None:
        """Has clusters brought in line."""
        if names:
            self.commands.append(Move(names))

    def say(self, what: str, severity: Severity, message: str, by: str = "", key: str = "") -> None:
        """Something for the history."""
        self.commands.append(Tell(f"{what}-{key}" if key else what, f"rollout.{what}", severity, message, by))


WORDS = {
    Phase.PROGRESSING: (Severity.INFO, "goes on"),
    Phase.PAUSED: (Severity.WARNING, "paused"),
    Phase.ROLLING_BACK: (Severity.WARNING, "being rolled back"),
    Phase.COMPLETED: (Severity.INFO, "completed"),
    Phase.FAILED: (Severity.ERROR, "went through all stages, but with more failures than may be"),
    Phase.ROLLED_BACK: (Severity.WARNING, "rolled back"),
    Phase.ABORTED: (Severity.WARNING, "aborted"),
    Phase.SUPERSEDED: (Severity.INFO, "superseded"),
}
"""How serious it is that a rollout comes to a phase, and what is said of it."""


def because(reason: str) -> str:
    """The reason, where there is one."""
    return f": {reason}" if reason else ""


def some(names: tuple[str, ...], limit: int = 5) -> str:
    """The first of them, and how many there are more."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
