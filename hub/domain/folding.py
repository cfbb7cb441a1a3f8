"""Refusals that repeat are counted together, so that nobody can fill the audit trail by being refused.

The first few of a kind are kept one by one; what follows within the same minute becomes one entry with its number.
What was done is never folded, and nothing is left out: the numbers of all entries add up to what happened.
"""

from __future__ import annotations

import msgspec

from hub.domain.auditing import Entry, Result

WINDOW = 60.0
"""Seconds over which refusals are counted together."""
ALONE = 10
"""Of one actor, address and action that are kept one by one within a window."""
ALL_ALONE = 200
"""Of all of them together."""
KINDS = 100
"""Kinds that are counted apart within a window; further ones, of many addresses, are counted as one."""

Kind = tuple[str, str, str]
"""(source, actor, action)."""

MANY = "many addresses"
"""The source of an entry that stands for more kinds than are counted apart."""


class Folding:
    """What was refused within the present window."""

    def __init__(self) -> None:
        self._until = 0.0
        self._alone: dict[Kind, int] = {}
        self._total = 0
        self._folded: dict[Kind, Entry] = {}

    def take(self, entry: Entry) -> tuple[Entry, ...]:
        """What is to be kept now that this has come: it, or nothing yet; and what an earlier window has left."""
        left = self.due(entry.at)
        if entry.result is not Result.REFUSED:
            return (*left, entry)
        if not self._until:
            self._until = entry.at + WINDOW
        kind = (entry.source, entry.actor, entry.action)
        count = self._alone.get(kind, 0)
        if count < ALONE and self._total < ALL_ALONE:
            self._alone[kind] = count + 1
            self._total += 1
            return (*left, entry)
        self._count(kind, entry)
        return left

    def due(self, now: float) -> tuple[Entry, ...]:
        """What is to be kept of a window that has ended."""
        return self.end() if self._until and not self._until - WINDOW <= now < self._until else ()

    def end(self) -> tuple[Entry, ...]:
        """Ends the window, and says what is to be kept of it."""
        folded = tuple(self._folded.values())
        self._until, self._alone, self._total, self._folded = 0.0, {}, 0, {}
        return folded

    def _count(self, kind: Kind, entry: Entry) -> None:
        if kind not in self._folded and len(self._folded) >= KINDS:
            kind = (MANY, "", "request.refused")
            entry = msgspec.structs.replace(entry, source=MANY, actor="", action=kind[2], roles=(), target="")
        before = self._folded.get(kind)
        number = entry.count + (before.count if before is not None else 0)
        # The last one's words: what somebody ends with says more than what he began with.
        self._folded[kind] = msgspec.structs.replace(entry, count=number)
