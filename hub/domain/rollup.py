"""Roll-ups: how many units are in which state, per application, environment, cluster and fleet, and why.

Counters are changed by difference, so that one unit's change costs the same in a fleet of ten or a million; they are
never recounted. Which scopes a unit belongs to is its caller's knowledge.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from hub.domain.status import RANK, STATES, Shown, State

Scope = tuple[str, ...]
"""(`fleet` | `environment` | `application` | `cluster`, its name), or (`part`, an application, an environment)."""

FLEET: Scope = ("fleet", "")
REASON_LENGTH = 200
"""Characters of a reason that tell reasons apart: agents may write long ones."""


def part(application: str, environment: str) -> Scope:
    """The scope of an application in one environment: of these, what somebody with limited grants sees is added up."""
    return "part", application, environment


class Tally:
    """The counters of one scope. `states` is indexed by the rank of the state, worst first."""

    __slots__ = ("drifted", "reasons", "states")

    def __init__(self) -> None:
        self.states = [0] * len(STATES)
        self.drifted = 0
        self.reasons: dict[tuple[State, str], int] = {}

    @property
    def total(self) -> int:
        """Units in all states."""
        return sum(self.states)

    def worst(self) -> State | None:
        """The worst state any unit is in, None without units."""
        return next((state for state in STATES if self.states[RANK[state]]), None)

    def by_state(self) -> dict[str, int]:
        """`total` and the count of every state, zeros included."""
        return {"total": self.total} | {str(state): self.states[RANK[state]] for state in STATES}

    def top_reasons(self, limit: int = 3) -> list[tuple[State, str, int]]:
        """The most frequent reasons, worst state first where equally many units have it."""
        best = heapq.nsmallest(limit, self.reasons.items(), key=lambda item: (-item[1], RANK[item[0][0]], item[0][1]))
        return [(state, reason, count) for (state, reason), count in best]

    def change(self, shown: Shown, by: int) -> None:
        """Counts a unit in (`by` = 1) or out (-1)."""
        self.states[RANK[shown.state]] += by
        if "Drifted" in shown.flags:
            self.drifted += by
        if shown.reason:
            key = (shown.state, shown.reason[:REASON_LENGTH])
            count = self.reasons.get(key, 0) + by
            if count:
                self.reasons[key] = count
            else:
                del self.reasons[key]

    def add(self, other: Tally) -> None:
        """Counts in everything that another one counts."""
        self.states = [mine + others for mine, others in zip(self.states, other.states, strict=True)]
        self.drifted += other.drifted
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count


class Rollup:
    """The counters of all scopes. Scopes without units vanish."""

    def __init__(self) -> None:
        self._tallies: dict[Scope, Tally] = {}

    def tally(self, scope: Scope) -> Tally:
        """The counters of a scope; all zero when it has no units."""
        return self._tallies.get(scope) or Tally()

    def scopes(self) -> Iterable[Scope]:
        """Every scope that has units."""
        return self._tallies.keys()

    def add(self, scopes: Iterable[Scope], shown: Shown) -> None:
        """Counts a unit in."""
        for scope in scopes:
            tally = self._tallies.get(scope)
            if tally is None:
                tally = self._tallies[scope] = Tally()
            tally.change(shown, 1)

    def remove(self, scopes: Iterable[Scope], shown: Shown) -> None:
        """Counts a unit out, exactly as it was counted in."""
        for scope in scopes:
            tally = self._tallies[scope]
            tally.change(shown, -1)
            if not tally.total:
                del self._tallies[scope]
