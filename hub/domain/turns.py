"""Whose turn it is in a stage of a rollout, and what its clusters as a whole amount to. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hub.domain import gates
from hub.domain.runs import Phase, Rollout, SlotState, StagePhase, Wait

PROVEN = frozenset({Phase.COMPLETED, Phase.FAILED})
"""After these the revision is what every cluster is to have."""


def barred(rollout: Rollout, number: int) -> tuple[Wait, ...]:
    """Why none of a stage's clusters may be given anything now; empty when one may, or none has to be."""
    found: dict[Wait, None] = {}
    for name in rollout.plan.stages[number].clusters:
        slot = rollout.slots[name]
        if slot.state is SlotState.SKIPPED:
            continue
        wait = gates.of_cluster(rollout, name, rollout.plan.clusters[name])
        if wait is None or slot.released is not None:
            return ()
        found[wait] = None
    return tuple(found)


def following(
    rollout: Rollout, number: int, counts: Mapping[SlotState, int], now: float
) -> tuple[tuple[str, ...], tuple[Wait, ...]]:
    """The next clusters to be given the revision, and why those left over have to wait, as far as it is a gate."""
    stage = rollout.plan.stages[number]
    if not counts.get(SlotState.PENDING):
        return (), ()
    room = len(stage.clusters) if rollout.bypass else stage.at_once - counts.get(SlotState.ASSIGNED, 0)
    chosen: list[str] = []
    waits: dict[Wait, None] = {}
    slots, all_free = rollout.slots, not (rollout.around.holds or rollout.around.closed)
    for name in stage.clusters:
        if slots[name].state is not SlotState.PENDING:
            continue
        if all_free and len(chosen) >= room:
            break
        wait = None if all_free else gates.of_cluster(rollout, name, rollout.plan.clusters[name])
        if wait is not None:
            waits[wait] = None
        elif len(chosen) < room and gates.start_of(rollout, number, name) <= now:
            chosen.append(name)
    return tuple(chosen), tuple(waits)


def starts(rollout: Rollout, number: int) -> list[float]:
    """When the jitter of a stage lets its clusters start, as far as one could start now but for that."""
    stage, slots = rollout.plan.stages[number], rollout.slots
    if stage.spec is None or not stage.spec.jitter:
        return []
    in_flight = sum(slots[name].state is SlotState.ASSIGNED for name in stage.clusters)
    if in_flight >= stage.at_once and not rollout.bypass:
        return []
    pending = [name for name in stage.clusters if slots[name].state is SlotState.PENDING]
    return [gates.start_of(rollout, number, name) for name in pending]


def late(rollout: Rollout) -> tuple[str, ...]:
    """Clusters of stages that are done which have not been given the revision: they were offline, or have joined."""
    if rollout.phase is not Phase.PROGRESSING and rollout.phase not in PROVEN:
        return ()
    slots = rollout.slots
    return tuple(
        name
        for stage, run in zip(rollout.plan.stages, rollout.stages, strict=True)
        if run.phase is StagePhase.DONE
        for name in stage.clusters
        if slots[name].released is None and slots[name].state is not SlotState.SKIPPED
    )


def under_way(counts: Mapping[SlotState, int]) -> bool:
    """Whether a cluster has not come to an end, good or bad."""
    return bool(counts.get(SlotState.PENDING) or counts.get(SlotState.ASSIGNED))


def unproven(rollout: Rollout, number: int, counts: Mapping[SlotState, int]) -> tuple[Wait, ...]:
    """Silence is no proof: where none is healthy, those of which nothing is heard are waited for."""
    silent = counts.get(SlotState.OFFLINE, 0)
    if not silent or counts.get(SlotState.HEALTHY) or rollout.stages[number].exceeded:
        return ()
    of = len(rollout.plan.stages[number].clusters)
    return (Wait("clusters", f"none of its clusters is healthy, and nothing is heard of {silent} of {of}"),)


def failure(rollout: Rollout, number: int, counts: Mapping[SlotState, int]) -> str:
    """Why more clusters of a stage failed than may; empty when they have not."""
    run, stage = rollout.stages[number], rollout.plan.stages[number]
    failed = counts.get(SlotState.FAILED, 0)
    if failed <= run.allowed or run.exceeded:
        return ""
    first = next(name for name in stage.clusters if rollout.slots[name].state is SlotState.FAILED)
    may = f", {run.allowed} may" if run.allowed else ""
    reason = rollout.slots[first].reason
    return f"{failed} of {len(stage.clusters)} clusters failed in {stage.name}{may}: {first}: {reason}"
