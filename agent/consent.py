"""What a person has confirmed of one unit's deletions, and what still waits.

A token stands for a whole list, and the list shrinks while it is being deleted: the objects that a token let go are
remembered, also over a restart, until the unit gets another bundle.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.domain import consent
from agent.domain.desired import Key, Refused
from agent.keeper import Keeper
from shared.messages import Assignment, Awaiting
from shared.tasks import Clock


class Consents:
    """Of one unit, over its generations. `taken_up` with each new assignment."""

    def __init__(self, keeper: Keeper, clock: Clock) -> None:
        self._keeper = keeper
        self._clock = clock
        self._digest = ""
        self._confirmed: tuple[str, ...] = ()
        self.granted: frozenset[Key] = frozenset()
        """Objects that may be deleted whatever the budget says."""
        self.awaiting: Awaiting | None = None

    def restore(self, digest: str, granted: frozenset[Key]) -> None:
        """What was granted for this bundle when the agent last ran."""
        self._digest, self.granted = digest, granted

    def taken_up(self, assignment: Assignment) -> None:
        """A new assignment: another bundle makes every word about the old one void."""
        if assignment.digest != self._digest:
            self._digest, self.granted, self.awaiting = assignment.digest, frozenset(), None
        self._confirmed = assignment.confirmed

    def weigh(self, assignment: Assignment, blocked: Sequence[Refused]) -> bool:
        """Takes note of what is held back. True when exactly that was confirmed: then plan anew."""
        if not blocked:
            self.awaiting = None
            return False
        found = consent.awaiting(assignment.unit, blocked, self._clock.now())
        if found.token in self._confirmed:
            self.awaiting = None
            self.granted |= {each.ref.key for each in blocked}
            self._keeper.keep_granted(assignment.unit, self._digest, self.granted)
            return True
        if self.awaiting is None or self.awaiting.token != found.token:
            self.awaiting = found
        return False
