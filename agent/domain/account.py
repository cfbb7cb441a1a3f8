"""The report of a unit from what its worker knows: phase, health, objects, roll-up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from agent.domain.health import roll_up
from shared.messages import (
    MAX_OBJECTS,
    VERSION,
    Action,
    Assignment,
    Awaiting,
    Blocker,
    Drift,
    ObjectStatus,
    Phase,
    Report,
    Timeline,
    encode,
)
from shared.model import WORST_FIRST, HealthStatus, ObjectRef, Value

DRIFT_BYTES = 64 * 1024
MAX_TEXT = 200
"""A report must fit into what an agent may send at once, whatever happens to a unit of thousands of objects."""


class State(Value, frozen=True):
    """Where a unit stands. Times are unix seconds."""

    phase: Phase
    reason: str = ""
    objects: tuple[ObjectStatus, ...] = ()
    drift: tuple[Drift, ...] = ()
    warnings: tuple[str, ...] = ()
    timeline: Timeline = Timeline()
    awaiting: Awaiting | None = None
    blockers: tuple[Blocker, ...] = ()


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
        reason=_clipped(state.reason or verdict.reason, 4 * MAX_TEXT),
        since=since,
        counts=counts(state.objects),
        objects=tuple(map(_fitting, trouble[:MAX_OBJECTS])),
        drift=_fitting_drift(state.drift),
        timeline=state.timeline,
        warnings=state.warnings,
        blockers=tuple(map(_fitting_blocker, state.blockers)),
        awaiting=state.awaiting,
        traceparent=assignment.traceparent,
    )


def summed(outcomes: Mapping[ObjectRef, Action]) -> str:
    """`2 created, 1 configured`, for the history; empty when nothing was done."""
    found: dict[str, int] = {}
    for action in outcomes.values():
        found[action] = found.get(action, 0) + 1
    return ", ".join(f"{found[action]} {action}" for action in Action if action in found)


def _fitting(status: ObjectStatus) -> ObjectStatus:
    if len(status.reason) <= MAX_TEXT:
        return status
    return msgspec.structs.replace(status, reason=_clipped(status.reason, MAX_TEXT))


def _fitting_blocker(blocker: Blocker) -> Blocker:
    return msgspec.structs.replace(blocker, reason=_clipped(blocker.reason, 2 * MAX_TEXT))


def _fitting_drift(found: Iterable[Drift]) -> tuple[Drift, ...]:
    """As many records as there is room for."""
    fitting: list[Drift] = []
    room = DRIFT_BYTES
    for each in found:
        room -= len(encode(each))
        if room < 0:
            break
        fitting.append(each)
    return tuple(fitting)


def _clipped(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
