"""What a rollout is to do, worked out when it begins; and whether something new is the same as what is under way. Pure.

A cluster takes part when it gets something else than it has, or than the last completed rollout gave it: what a
rollout that never came to its end has left behind is proven again.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping

import msgspec

from hub.domain.checks import Standing
from hub.domain.records import Commit
from hub.domain.runs import (
    REJECTED,
    Around,
    Phase,
    Pinned,
    Plan,
    PlannedStage,
    Rollout,
    Slot,
    SlotState,
    StageRun,
    Target,
)
from hub.domain.selectors import Candidate
from hub.domain.staging import Strategy
from hub.domain.waves import waves
from shared.model import Value

AT_ONCE = Strategy.model_validate({"onFailure": "continue"})
"""For applications without a strategy: everybody at once, and a failure stops nobody, as nobody is left to stop."""


class Proposal(Value, frozen=True):
    """What an application amounts to at one commit: for every cluster a target; and what each has been given so far.

    `bases` are what clusters that have just joined the fleet would have of the last completed rollout.
    """

    application: str
    revision: str
    commit: Commit
    strategy: Strategy | None
    targets: Mapping[str, Target]
    given: Mapping[str, Target]
    fleet: tuple[str, ...]
    """All clusters there are."""
    traceparent: str = ""
    bases: Mapping[str, Target] = msgspec.field(default_factory=dict)


class Novelty(enum.Enum):
    """What a plan is, seen from the last rollout."""

    NOTHING = "nothing"
    """Every cluster has what it should have."""
    MEMBERS = "members"
    """The same revision, with clusters that joined the fleet, or that left."""
    REJECTED = "rejected"
    """The revision that was rolled back or aborted."""
    NEW = "new"


def planned(
    proposal: Proposal, last: Rollout | None, candidate: Callable[[str], Candidate], identity: str, now: float
) -> Plan:
    """The plan that brings every cluster to its target, from where the last rollout has left them.

    Args:
        proposal: where they should be.
        last: the last rollout of the application, whether it has ended or not.
        candidate: a cluster as selectors see it.
        identity: names the rollout.
        now: when it would begin.
    """
    strategy = proposal.strategy or AT_ONCE
    clusters = {}
    for name, target in sorted(proposal.targets.items()):
        previous = proposal.given.get(name) or proposal.bases.get(name)
        restore = _proven(last, name, previous)
        changes = target != previous or target != restore
        clusters[name] = Pinned(target, previous, restore, changes, candidate(name).environments)
    taking_part = [candidate(name) for name, pinned in clusters.items() if pinned.changes]
    stages = waves(strategy, proposal.application, taking_part)
    restoring = [pinned for pinned in clusters.values() if pinned.changes]
    return Plan(
        id=identity,
        application=proposal.application,
        revision=proposal.revision,
        commit=proposal.commit,
        strategy=strategy,
        stages=tuple(
            PlannedStage(wave.name, wave.clusters, wave.at_once, wave.max_failures, wave.stage) for wave in stages
        ),
        clusters=clusters,
        at=now,
        others=tuple(sorted(set(proposal.fleet) - clusters.keys())),
        traceparent=proposal.traceparent,
        from_=proven_revision(last),
        back=bool(restoring) and all(pinned.target == pinned.restore for pinned in restoring),
    )


def novelty(plan: Plan, last: Rollout | None) -> Novelty:
    """What this plan is, seen from the last rollout of the application."""
    if last is None:
        return Novelty.NEW if _changing(plan) else Novelty.NOTHING
    same = _same_content(plan, last)
    if same and last.phase in REJECTED | {Phase.ROLLING_BACK} and not last.freed:
        return Novelty.REJECTED
    if last.active:
        return Novelty.MEMBERS if same and plan.strategy == last.plan.strategy else Novelty.NEW
    if same and last.phase in (Phase.COMPLETED, Phase.FAILED):
        return Novelty.MEMBERS
    return Novelty.NEW if _changing(plan) else Novelty.NOTHING


def joiners(plan: Plan, last: Rollout) -> set[str]:
    """The clusters of the plan that were not in the fleet when the last rollout was planned."""
    return plan.clusters.keys() - last.plan.clusters.keys() - set(last.plan.others)


def fresh(plan: Plan, around: Around) -> Rollout:
    """The rollout as it begins."""
    slots = {
        # It has the target since a rollout that did not come to its end: nothing is left but to see it healthy.
        name: Slot(SlotState.ASSIGNED, released=plan.at) if pinned.target == pinned.previous else Slot()
        for name, pinned in plan.clusters.items()
        if pinned.changes
    }
    stages = tuple(
        StageRun(
            allowed=stage.max_failures,
            checks=tuple(Standing() for _ in (stage.spec.checks if stage.spec is not None else ())),
        )
        for stage in plan.stages
    )
    return Rollout(plan, Phase.PROGRESSING, stages, slots, around=around)


def extended(rollout: Rollout, plan: Plan) -> tuple[Rollout, tuple[str, ...]]:
    """The rollout with the clusters that joined, and without those that left; which ones these are.

    Who joins takes part in the stage that it would have been in. Where nothing is under way any more it has its
    target at once.
    """
    new = joiners(plan, rollout)
    if not rollout.active:
        pinned = {name: _settled(rollout, plan.clusters[name]) for name in sorted(new)}
        clusters = {**rollout.plan.clusters, **pinned}
        slots = dict(rollout.slots)
        if rollout.phase in REJECTED:
            slots |= {name: Slot() for name in new}
        return _with(rollout, clusters, rollout.plan.stages, slots), tuple(sorted(new))
    gone = {
        name
        for name, slot in rollout.slots.items()
        if name not in plan.clusters
        and slot.state is not SlotState.SKIPPED
        and rollout.plan.clusters[name].target.digest  # who has left as it should is done, not gone
    }
    returned = {name for name in plan.clusters.keys() & rollout.slots.keys() if rollout.slots[name].reason == LEFT}
    if not (new or gone or returned):
        return rollout, ()
    slots = dict(rollout.slots)
    for name in gone:
        slots[name] = Slot(SlotState.SKIPPED, released=slots[name].released, back=slots[name].back, reason=LEFT)
    for name in returned:
        before = slots[name]
        state = SlotState.PENDING if before.released is None else SlotState.ASSIGNED
        slots[name] = Slot(state, released=before.released, back=before.back)
    taking_part = {name for name in new if plan.clusters[name].changes}
    slots |= {name: Slot() for name in sorted(taking_part)}
    clusters = rollout.plan.clusters | {name: plan.clusters[name] for name in sorted(new)}
    stages = _joined(rollout.plan.stages, plan.stages, taking_part)
    return _with(rollout, clusters, stages, slots), tuple(sorted(new | gone | returned))


LEFT = "it is not among the application's clusters any more, or is paused"


def proven_revision(last: Rollout | None) -> str:
    """The revision that the last completed rollout gave, as far as it has a name."""
    if last is None:
        return ""
    return last.plan.revision if last.phase is Phase.COMPLETED else last.plan.from_


def _proven(last: Rollout | None, cluster: str, given: Target | None) -> Target | None:
    """What the last completed rollout gave to a cluster."""
    if last is None or last.phase is Phase.COMPLETED:
        return given
    pinned = last.plan.clusters.get(cluster)
    return pinned.restore if pinned is not None else given


def _changing(plan: Plan) -> set[str]:
    return {name for name, pinned in plan.clusters.items() if pinned.changes}


def _same_content(plan: Plan, last: Rollout) -> bool:
    """Whether every cluster that was there then gets the same; and no cluster comes that was there and had no part."""
    before = last.plan.clusters
    shared = plan.clusters.keys() & before.keys()
    if any(plan.clusters[name].target != before[name].target for name in shared):
        return False
    return bool(shared) and not (plan.clusters.keys() & set(last.plan.others))


def _settled(rollout: Rollout, pinned: Pinned) -> Pinned:
    held = rollout.phase in REJECTED
    return Pinned(pinned.target, pinned.previous, pinned.restore, held, pinned.environments)


def _joined(
    before: Iterable[PlannedStage], now: Iterable[PlannedStage], taking_part: set[str]
) -> tuple[PlannedStage, ...]:
    """The stages with those who joined, each where the new plan has it; in the last one if there is no such stage."""
    stages = list(before)
    numbers = {stage.name: number for number, stage in enumerate(stages)}
    for stage in now:
        added = tuple(name for name in stage.clusters if name in taking_part)
        if not added:
            continue
        number = numbers.get(stage.name, len(stages) - 1)
        old = stages[number]
        at_once = max(old.at_once, stage.at_once)
        stages[number] = PlannedStage(old.name, old.clusters + added, at_once, old.max_failures, old.spec)
    return tuple(stages)


def _with(
    rollout: Rollout, clusters: Mapping[str, Pinned], stages: tuple[PlannedStage, ...], slots: dict[str, Slot]
) -> Rollout:
    plan = msgspec.structs.replace(rollout.plan, clusters=dict(clusters), stages=stages)
    return msgspec.structs.replace(rollout, plan=plan, slots=slots)
