"""How far a rollout is, how long its parts took, and what is left as far as anybody can say. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from hub.domain import gates
from hub.domain.runs import (
    ENDS,
    Phase,
    PlannedStage,
    Rollout,
    Slot,
    SlotState,
    StagePhase,
    StageRun,
    Wait,
    tally,
)
from hub.domain.slots import IN_FLIGHT
from shared.model import Value


class Counts(Value, frozen=True):
    """Clusters by where they are; the parts add up to `total`."""

    total: int = 0
    done: int = 0
    """Healthy with the revision."""
    in_flight: int = 0
    """Given the revision, or sent back, and not heard to be healthy with that."""
    failed: int = 0
    offline: int = 0
    pending: int = 0
    skipped: int = 0
    restored: int = 0
    kept: int = 0


class Durations(Value, frozen=True):
    """Seconds that a stage took for each of its parts; None for those it has not come to. The last one may go on."""

    waited: float | None = None
    rolled: float | None = None
    soaked: float | None = None
    checked: float | None = None


_COUNTED_AS = {
    SlotState.PENDING: "pending",
    SlotState.ASSIGNED: "in_flight",
    SlotState.HEALTHY: "done",
    SlotState.FAILED: "failed",
    SlotState.OFFLINE: "offline",
    SlotState.SKIPPED: "skipped",
    SlotState.RESTORING: "in_flight",
    SlotState.RESTORED: "restored",
    SlotState.KEPT: "kept",
}


def counts(rollout: Rollout, stage: int | None = None) -> Counts:
    """The clusters of a stage, or without one of the whole rollout."""
    everybody = (slot.state for slot in rollout.slots.values())
    states = tally(rollout, stage) if stage is not None else Counter(everybody)
    found = dict.fromkeys(_COUNTED_AS.values(), 0)
    for state, number in states.items():
        found[_COUNTED_AS[state]] += number
    return Counts(sum(found.values()), **found)


def waits(rollout: Rollout, stage: int) -> tuple[Wait, ...]:
    """What a stage waits for now: nothing while the rollout as a whole stands, goes back, or has ended."""
    run = rollout.stages[stage]
    if rollout.phase is not Phase.PROGRESSING or run.phase in (StagePhase.DONE, StagePhase.FAILED):
        return ()
    return run.waits


def durations(run: StageRun, until: float) -> Durations:
    """How long a stage took; what is not over yet counts up to `until`."""
    starts = (run.turn, run.started, run.healthy, run.soaked)
    ends = (run.started, run.healthy, run.soaked, run.done)
    parts = [
        max(0.0, (end if end is not None else until) - start) if start is not None else None
        for start, end in zip(starts, ends, strict=True)
    ]
    return Durations(*parts)


def pace(rollout: Rollout) -> float | None:
    """Seconds from assigned (or sent back) to healthy of a cluster in the middle; None before the first one is."""
    times = sorted(
        slot.healthy - start
        for slot in rollout.slots.values()
        if slot.healthy is not None and (start := slot.released if slot.back is None else slot.back) is not None
    )
    return max(0.0, times[len(times) // 2]) if times else None


def left(rollout: Rollout, per_cluster: float | None, now: float) -> float | None:
    """Seconds until the rollout has ended, if all goes well; None when nobody can say.

    Nobody can say while it stands or has ended, before any cluster was measured, and where somebody has to do
    something yet: an approval, a hold, another application.

    Args:
        rollout: as it is.
        per_cluster: what one cluster takes, from `pace`.
        now: on the hub's clock.
    """
    if per_cluster is None or rollout.phase is Phase.PAUSED or rollout.phase in ENDS:
        return None
    if rollout.phase is Phase.ROLLING_BACK:
        under_way = [slot for slot in rollout.slots.values() if slot.state is SlotState.RESTORING]
        return _rest(under_way, per_cluster, now, lambda slot: slot.back)
    ends = now
    for number in range(rollout.current, len(rollout.stages)):
        found = _end_of(rollout, number, per_cluster, ends, now)
        if found is None:
            return None
        ends = found
    return ends - now


def _end_of(rollout: Rollout, number: int, per_cluster: float, begins: float, now: float) -> float | None:
    """When a stage would be done, that can go on from `begins`."""
    stage, run = rollout.plan.stages[number], rollout.stages[number]
    if run.phase is StagePhase.FAILED:
        return None
    opens = _opens(rollout, number, begins, now)
    if opens is None:
        return None
    slots = [rollout.slots[name] for name in stage.clusters]
    states = tally(rollout, number)
    pending = states.get(SlotState.PENDING, 0)
    if slots and states.get(SlotState.OFFLINE, 0) == len(slots):
        return None  # a stage of which nothing is heard waits until something is
    room = max(1, stage.at_once if not rollout.bypass else pending)
    rolled = opens + _rest(slots, per_cluster, now, lambda slot: slot.released) + per_cluster * -(-pending // room)
    return _proven(rollout, stage, run, rolled)


def _proven(rollout: Rollout, stage: PlannedStage, run: StageRun, rolled: float) -> float:
    """When the soak and the checks of a stage are over, that is healthy as a whole from `rolled` on."""
    if stage.spec is None or gates.ungated(rollout):
        return rolled
    if run.started is None and stage.spec.jitter:
        rolled += stage.spec.jitter
    soaked = max(rolled, (run.healthy if run.healthy is not None else rolled) + stage.spec.soak)
    held = [
        (standing.since if standing.since is not None else rolled) + check.for_
        for check, standing in zip(stage.spec.checks, run.checks, strict=True)
        if not run.waived
    ]
    return max(soaked, *held, rolled) if held else soaked


def _opens(rollout: Rollout, number: int, begins: float, now: float) -> float | None:
    """When a stage may give the revision to all of its clusters that do not have it; None when nobody can say."""
    stage = rollout.plan.stages[number]
    opens = begins
    closed = list(gates.before_start(rollout, number, now)) if rollout.stages[number].started is None else []
    if rollout.around.holds or rollout.around.closed:
        for name in stage.clusters:
            if rollout.slots[name].state is SlotState.PENDING:
                wait = gates.of_cluster(rollout, name, rollout.plan.clusters[name])
                if wait is not None:
                    closed.append(wait)
    for wait in closed:
        if wait.until is None:
            return None
        opens = max(opens, wait.until)
    return opens


def _rest(slots: Iterable[Slot], per_cluster: float, now: float, since: Callable[[Slot], float | None]) -> float:
    """Seconds until those in flight have arrived, as long as each takes as long as others did."""
    begun = [start for slot in slots if slot.state in IN_FLIGHT and (start := since(slot)) is not None]
    return max(0.0, per_cluster - (now - max(begun))) if begun else 0.0
