"""Deletions that wait for a person: what stands for them, and how they are told. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from agent.domain.desired import Refused
from shared.messages import MAX_AWAITING, Awaiting
from shared.model import ObjectRef, UnitKey

NAMED = 3
"""Objects named in a sentence; the list has more."""


def token(unit: UnitKey, doomed: Iterable[ObjectRef]) -> str:
    """Stands for exactly these objects of this unit, in any order and for any revision."""
    lines = sorted("|".join(ref.key) for ref in doomed)
    return hashlib.sha256("\n".join((str(unit), *lines)).encode()).hexdigest()[:32]


def awaiting(unit: UnitKey, blocked: Sequence[Refused], since: float) -> Awaiting:
    """What the report says of them. `blocked` must not be empty."""
    refs = sorted((each.ref for each in blocked), key=lambda ref: ref.key)
    reasons = "; ".join(dict.fromkeys(each.reason for each in blocked))
    return Awaiting(token(unit, refs), len(refs), tuple(refs[:MAX_AWAITING]), reasons, since)


def explained(unit: UnitKey, found: Awaiting) -> str:
    """Which objects would be deleted, why they are not, and what lets them go."""
    names = ", ".join(map(str, found.objects[:NAMED]))
    more = f" and {found.count - NAMED} more" if found.count > NAMED else ""
    return (
        f"deleting {names}{more} waits to be confirmed ({found.reason}): "
        f"`yardarm confirm {unit}`, or `yardarm confirm {unit.application}`, or put them back into Git"
    )
