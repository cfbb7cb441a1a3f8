"""The report of a unit from what its worker knows: phase, health, objects, roll-up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.domain.health import roll_up
from shared.messages import MAX_OBJECTS, VERSION, Action, Assignment, Drift, ObjectStatus, Phase, Report, Timeline
from shared.model import WORST_FIRST, HealthStatus, ObjectRef, Value


class State(Value, frozen=True):
    """Where a unit stands. Times are unix seconds."""

    phase: Phase
    reason: str = ""
    objects: tuple[ObjectStatus, ...] = ()
    drift: tuple[Drift, ...] = ()
    warnings: tuple[str, ...] = ()
    timeline: Timeline = Timeline()


def health_of(objects: Iterable[ObjectStatus]) -> HealthStatus:
    """The health of the unit: that of its worst object."""
    return roll_up((each.ref, HealthStatus(each.health, each.reason)) for each in objects)


def counts(objects: Iterable[ObjectStatus]) -> dict[str, int]:
    """How many objects there are of each health; those that do not occur are left out."""
    found: dict[str, int] = {}
    for each in objects:
        found[each.health] = found.get(each.health, 0) + 1
    return found


def report(assignment: Assignment, state: State, since: float) -> Report:
    """The message. Of many objects the unhealthy ones come first, and the rest is only counted."""
    verdict = health_of(state.objects)
    trouble = sorted(state.objects, key=lambda each: (WORST_FIRST.index(each.health), each.ref.key))
    return Report(
        v=VERSION,
        cluster=assignment.cluster,
        namespace=assignment.namespace,
        application=assignment.application,
        generation=assignment.generation,
        digest=assignment.digest,
        commit=assignment.commit,
        revision=assignment.revision,
        phase=state.phase,
        health=verdict.health,
        at=0.0,
        reason=state.reason or verdict.reason,
        since=since,
        counts=counts(state.objects),
        objects=tuple(trouble[:MAX_OBJECTS]),
        drift=state.drift,
        timeline=state.timeline,
        warnings=state.warnings,
        traceparent=assignment.traceparent,
    )


def summed(outcomes: Mapping[ObjectRef, Action]) -> str:
    """`2 created, 1 configured`, for the history; empty when nothing was done."""
    found: dict[str, int] = {}
    for action in outcomes.values():
        found[action] = found.get(action, 0) + 1
    return ", ".join(f"{found[action]} {action}" for action in Action if action in found)
