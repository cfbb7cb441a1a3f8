"""What of a rollout has to outlast the hub that carries it on, and how soon it has to be written. Pure."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from hub.domain.plans import AT_ONCE
from hub.domain.runs import Plan, Rollout
from hub.domain.steps import Command

LAZY = 1.0
"""Seconds for which it may stay unwritten that clusters have become healthy: their reports say so again."""
SELDOM = 60.0
"""Seconds for which it may stay unwritten since when clusters were seen: another hub would give them as long again."""


def patience(rollout: Rollout, last: Rollout | None, commands: Collection[Command]) -> float:
    """For how many seconds what has come of a step may stay unwritten: 0 where another hub could not find out itself.

    An application's first rollout, to everybody at once, decides nothing: all that a hub could lose with it is that it
    has been. Thousands of them begin together.
    """
    if last is None:
        return SELDOM if rollout.active and rollout.plan.strategy == AT_ONCE else 0.0
    if last.id != rollout.id or commands or msgspec.structs.replace(last, slots=rollout.slots) != rollout:
        return 0.0
    moved = any(slot.state is not last.slots[name].state for name, slot in rollout.slots.items())
    return LAZY if moved else SELDOM


def may_give(newest: Rollout) -> set[str]:
    """The digests of the bundles that the newest rollout of an application may still give, or give back."""
    found = set()
    for name, pinned in newest.plan.clusters.items():
        slot = newest.slots.get(name)
        waiting = slot is not None and slot.released is None
        for where in (pinned.restore, pinned.previous if waiting else None, pinned.target if newest.active else None):
            if where is not None:
                found.add(where.digest)
    return found


def bodies_of(plan: Plan, *, targets: bool) -> set[str]:
    """The digests of the bundles that a plan may go back to; with `targets` those that it gives as well."""
    found = set()
    for pinned in plan.clusters.values():
        for where in (pinned.previous, pinned.restore, pinned.target if targets else None):
            if where is not None and where.digest:
                found.add(where.digest)
    return found
