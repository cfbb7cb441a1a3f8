"""What keeps a unit from being applied and healthy, in words that say what would let it go on. Pure.

Only causes are named, with the number of objects that wait for each, not every object that waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from agent.domain import hooks
from agent.domain.desired import Key, Refused
from agent.domain.hooks import Hook, Stand
from shared.messages import MAX_BLOCKERS, Action, Blocker, ObjectStatus
from shared.model import Health, ObjectRef, Value

_RETRIED = "mend what the reason names; it is tried again by itself"
_REFUSED = "change it in Git, or do what the reason says on the cluster"
_DELETED = "its deletion has to end: look at its finalizers"
_CONFIRM = "a person's word: yardarm confirm"
_HEALTH = {
    Health.PROGRESSING: "it has to become healthy",
    Health.DEGRADED: "mend what the reason names, or commit a revision that does",
}
_MISSING = "it has to be applied and become healthy"


class Stops(Value, frozen=True):
    """What stands in the way after a pass, by kind. `held` counts the objects that wait, by the one they wait for."""

    depends_on: tuple[tuple[str, str], ...] = ()
    """Applications that others wait for, and why."""
    failed: tuple[Refused, ...] = ()
    refused: tuple[Refused, ...] = ()
    waiting: tuple[Refused, ...] = ()
    leaving: tuple[ObjectRef, ...] = ()
    unconfirmed: tuple[Refused, ...] = ()
    hooks: tuple[Hook, ...] = ()
    held: tuple[tuple[ObjectRef, str, int], ...] = ()


def blockers(stops: Stops, objects: Iterable[ObjectStatus]) -> list[Blocker]:
    """The causes, those that need a person first. `since` is yet to be filled in."""
    counts = {ref.key: count for ref, _, count in stops.held}
    found: dict[Key, Blocker] = {}
    for ref, reason, unblock in _causes(stops, {each.ref.key: each for each in objects}):
        found.setdefault(ref.key, Blocker(reason, 0.0, unblock, ref, waiting=counts.get(ref.key, 0)))
    units = [Blocker(why, 0.0, _dependency(name), unit=name) for name, why in stops.depends_on]
    return [*units, *found.values()][:MAX_BLOCKERS]


def _causes(stops: Stops, status: Mapping[Key, ObjectStatus]) -> Iterator[tuple[ObjectRef, str, str]]:
    """(object, what is the matter with it, what would help). Of what is said twice of an object the first counts."""
    yield from ((each.ref, each.reason, _RETRIED) for each in stops.failed)
    yield from ((hook.each.ref, hook.verdict.reason, _hook(hook)) for hook in stops.hooks)
    yield from ((each.ref, each.reason, _REFUSED) for each in stops.refused)
    yield from ((each.ref, each.reason, _CONFIRM) for each in stops.unconfirmed)
    for ref, reason, _ in stops.held:
        known = status.get(ref.key)
        yield ref, (known.reason if known else "") or reason, _HEALTH.get(known.health, _MISSING) if known else _MISSING
    yield from ((each.ref, each.reason, _DELETED) for each in stops.waiting)
    yield from ((ref, "is being deleted", _DELETED) for ref in stops.leaving)
    for one in status.values():
        if one.action is not Action.PENDING and one.health in (Health.DEGRADED, Health.PROGRESSING, Health.UNKNOWN):
            yield one.ref, one.reason or str(one.health), _HEALTH.get(one.health, _HEALTH[Health.PROGRESSING])


def dated(found: Iterable[Blocker], before: Sequence[Blocker], now: float) -> tuple[Blocker, ...]:
    """With the time since which each stands in the way: a reason may change meanwhile."""
    known: Mapping[object, float] = {_identity(each): each.since for each in before}
    return tuple(msgspec.structs.replace(each, since=known.get(_identity(each), now)) for each in found)


def _identity(each: Blocker) -> object:
    return each.object.key if each.object is not None else each.unit


def _dependency(name: str) -> str:
    return f"{name} has to be applied and healthy: yardarm explain {name} says what keeps it"


def _hook(hook: Hook) -> str:
    if hook.stand is not Stand.FAILED:
        return "it has to end; a newer revision ends the wait at once"
    if "failed" in hooks.policies(hook.each.manifest):
        return "commit a revision that mends it"
    return f"commit a revision that mends it, or delete {hook.each.ref} to have it run again"
