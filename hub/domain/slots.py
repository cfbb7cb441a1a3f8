"""One cluster of a rollout: what reports, silence and time make of it. Pure; `hub.domain.rollout` does the counting."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hub.domain.runs import LEFT, Sight, Slot, SlotState, Target, Verdict
from hub.domain.status import span

GRACE = 5.0
"""Seconds for which a cluster must be said to fail, without interruption, before it counts as failed: what fails for a
moment while it starts is no failure."""

IN_FLIGHT = frozenset({SlotState.ASSIGNED, SlotState.RESTORING})
LEAVES_WHEN_SILENT = frozenset({SlotState.PENDING, SlotState.ASSIGNED, SlotState.HEALTHY, SlotState.RESTORING})
ARRIVED = frozenset({SlotState.HEALTHY, SlotState.RESTORED})


def released(slot: Slot, now: float) -> Slot:
    """The cluster is to have the target from now on."""
    state = slot.state if slot.state is SlotState.OFFLINE else SlotState.ASSIGNED
    return msgspec.structs.replace(slot, state=state, released=now, seen=None, failing=None, reason="")


def sent_back(slot: Slot, now: float) -> Slot:
    """The cluster is to have again what it had. Nobody waits for one that is left out."""
    if slot.state is SlotState.SKIPPED:
        return msgspec.structs.replace(slot, back=now)
    return Slot(SlotState.RESTORING, released=slot.released, back=now, silent=slot.silent)


def without(slot: Slot) -> Slot:
    """The cluster has left the fleet or the application, or nothing may be given to it now."""
    return Slot(SlotState.SKIPPED, released=slot.released, back=slot.back, reason=LEFT)


def returned(slot: Slot) -> Slot:
    """It has come back: it goes on from where it was."""
    state = SlotState.PENDING if slot.released is None and slot.back is None else _in_flight(slot)
    return Slot(state, released=slot.released, back=slot.back)


def retried(slot: Slot, now: float) -> Slot:
    """A cluster that failed gets its time once more."""
    return msgspec.structs.replace(slot, state=_in_flight(slot), seen=now, failing=None, reason="")


def observed(slot: Slot, expected: Target | None, sight: Sight, now: float) -> Slot:
    """The slot after a look at its cluster, which should have `expected`.

    What an agent says counts only while it is heard, and only of exactly what it should have.
    """
    if slot.state is SlotState.SKIPPED:
        return slot
    if slot.silent != sight.silent:
        slot = msgspec.structs.replace(slot, silent=sight.silent)
    if sight.silent is not None:
        return slot
    if slot.state is SlotState.OFFLINE:
        slot = _heard_again(slot, now)
    if slot.state is SlotState.PENDING or expected is None or sight.target != expected:
        return slot
    match sight.verdict:
        case Verdict.HEALTHY:
            return _well(slot, now)
        case Verdict.FAILING:
            return _failing(slot, sight.reason, now)
        case Verdict.PROGRESSING | Verdict.UNKNOWN:
            return _on_its_way(slot, sight.reason, now)


def telling(slots: Mapping[str, Slot], sights: Mapping[str, Sight]) -> list[tuple[str, Slot, Sight]]:
    """The sights of clusters that take part which may change something; of a thousand, most do not."""
    pending, healthy, found = SlotState.PENDING, Verdict.HEALTHY, []
    for name, sight in sights.items():
        slot = slots.get(name)
        if slot is None:
            continue
        nothing = slot.state is pending or (sight.verdict is healthy and slot.state in ARRIVED)
        if not nothing or sight.silent is not None or slot.silent is not None:
            found.append((name, slot, sight))
    return found


def may_change(slot: Slot) -> bool:
    """Whether time may decide anything about a cluster; of a thousand, most are where it does not."""
    return slot.silent is not None or (slot.seen is not None and slot.state is not SlotState.HEALTHY)


def judged(slot: Slot, deadline: float, offline_after: float, now: float) -> Slot:
    """The slot after what time alone decides: silence, failing for long enough, and the deadline."""
    if slot.silent is not None:
        if slot.state in LEAVES_WHEN_SILENT and now >= slot.silent + offline_after:
            return msgspec.structs.replace(slot, state=SlotState.OFFLINE, reason="nothing is heard of its agent")
        return slot
    if slot.state not in IN_FLIGHT:
        return slot
    if slot.failing is not None and now >= slot.failing + GRACE:
        return msgspec.structs.replace(slot, state=SlotState.FAILED)
    if slot.seen is not None and now >= slot.seen + deadline:
        reason = f"not healthy within {span(deadline)}" + (f": {slot.reason}" if slot.reason else "")
        return msgspec.structs.replace(slot, state=SlotState.FAILED, reason=reason)
    return slot


def due(slot: Slot, deadline: float, offline_after: float) -> float | None:
    """When `judged` may next come to something else, if nothing is heard."""
    if slot.silent is not None:
        return slot.silent + offline_after if slot.state in LEAVES_WHEN_SILENT else None
    if slot.state not in IN_FLIGHT:
        return None
    times = [slot.failing + GRACE] if slot.failing is not None else []
    if slot.seen is not None:
        times.append(slot.seen + deadline)
    return min(times, default=None)


def _in_flight(slot: Slot) -> SlotState:
    return SlotState.RESTORING if slot.back is not None else SlotState.ASSIGNED


def _heard_again(slot: Slot, now: float) -> Slot:
    """Back from silence: its turn comes yet, or it goes on with a new deadline."""
    if slot.released is None and slot.back is None:
        return msgspec.structs.replace(slot, state=SlotState.PENDING, reason="")
    return msgspec.structs.replace(slot, state=_in_flight(slot), seen=now, failing=None, healthy=None, reason="")


def _well(slot: Slot, now: float) -> Slot:
    good = SlotState.RESTORED if slot.back is not None else SlotState.HEALTHY
    if slot.state is good or slot.state is SlotState.KEPT:
        return slot
    seen = slot.seen if slot.seen is not None else now
    return msgspec.structs.replace(slot, state=good, seen=seen, healthy=now, failing=None, reason="")


def _failing(slot: Slot, reason: str, now: float) -> Slot:
    if slot.state is SlotState.HEALTHY:
        # It was healthy with exactly this: its time begins anew, and soak with it.
        return msgspec.structs.replace(
            slot, state=SlotState.ASSIGNED, seen=now, healthy=None, failing=now, reason=reason
        )
    if slot.state not in IN_FLIGHT:
        return slot if slot.reason else msgspec.structs.replace(slot, reason=reason)
    seen = slot.seen if slot.seen is not None else now
    failing = slot.failing if slot.failing is not None else now
    if (seen, failing, reason) == (slot.seen, slot.failing, slot.reason):
        return slot
    return msgspec.structs.replace(slot, seen=seen, failing=failing, reason=reason)


def _on_its_way(slot: Slot, reason: str, now: float) -> Slot:
    """Neither good nor bad. What was healthy stays so: a scaling Deployment progresses now and then."""
    if slot.state not in IN_FLIGHT:
        return slot if slot.failing is None else msgspec.structs.replace(slot, failing=None)
    seen = slot.seen if slot.seen is not None else now
    if (seen, None, reason) == (slot.seen, slot.failing, slot.reason):
        return slot
    return msgspec.structs.replace(slot, seen=seen, failing=None, reason=reason)
