"""What a rollout is to do, worked out when it begins; and whether something new is the same as what is under way. Pure.

A cluster takes part when it gets something else than it has, or than the last completed rollout gave it: what a
rollout that never came to its end has left behind is proven again.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from hub.domain import slots
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

_HELD = REJECTED | {Phase.ROLLING_BACK}

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
    TAKEN_BACK = "taken back"
    """What every cluster has: Git has taken back the revision that was rejected."""
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
        now: when it would begin. Rollouts follow each other in time even if the clock was put back.
    """
    strategy = proposal.strategy or AT_ONCE
    clusters: dict[str, Pinned] = {}
    taking_part: list[Candidate] = []
    alike: dict[Pinned, Pinned] = {}  # many clusters, few differences: each is kept once
    for name, target in sorted(proposal.targets.items()):
        previous = proposal.given.get(name) or proposal.bases.get(name)
        restore = proposal.bases.get(name) or _proven(last, name, previous)
        changes = target != previous or target != restore
        cluster = candidate(name)
        pinned = Pinned(target, previous, restore, changes, cluster.environments)
        clusters[name] = alike.setdefault(pinned, pinned)
        if changes:
            taking_part.append(cluster)
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
        at=now if last is None else max(now, math.nextafter(last.plan.at, math.inf)),
        others=tuple(sorted(set(proposal.fleet) - clusters.keys())),
        traceparent=proposal.traceparent,
        from_=proven_revision(last),
        back=bool(restoring) and all(pinned.target == pinned.restore for pinned in restoring),
    )


def novelty(plan: Plan, last: Rollout | None) -> Novelty:
    """What this plan is, seen from the last rollout of the application."""
    if last is None:
        return Novelty.NEW if _changing(plan) else Novelty.NOTHING
    if not plan.clusters:
        # Nobody is left that anything could be given to: there are only those who have gone.
        return Novelty.MEMBERS
    rejected = last.phase in _HELD and not last.freed
    still = _still_wanted(plan, last) if rejected else set()
    if rejected and still == {True}:
        return Novelty.REJECTED
    same = _same_content(plan, last)
    if last.active:
        return Novelty.MEMBERS if same and plan.strategy == last.plan.strategy else Novelty.NEW
    if same and last.phase in (Phase.COMPLETED, Phase.FAILED):
        return Novelty.MEMBERS
    if _changing(plan):
        return Novelty.NEW
    return Novelty.TAKEN_BACK if rejected and False in still else Novelty.NOTHING


def joiners(plan: Plan, last: Rollout) -> set[str]:
    """The clusters of the plan that were not in the fleet when the last rollout was planned."""
    return plan.clusters.keys() - last.plan.clusters.keys() - set(last.plan.others)


def fresh(plan: Plan, around: Around) -> Rollout:
    """The rollout as it begins."""
    given = {
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
    return Rollout(plan, Phase.PROGRESSING, stages, given, around=around)


def extended(rollout: Rollout, plan: Plan, *, joining: bool = True) -> tuple[Rollout, tuple[str, ...]]:
    """The rollout without the clusters that left, with those that came back, and, if `joining`, with those that joined.

    Who joins takes part in the stage that it would have been in. Where nothing is under way any more it has its
    target at once. Also returned: which clusters have to be brought in line, because they came, or because the plan
    says that they have not been given what they should have.
    """
    new = joiners(plan, rollout) if joining else set()
    gone = {name for name in rollout.plan.clusters.keys() - plan.clusters.keys() if _gone(rollout, plan, name)}
    skipped = [name for name, slot in rollout.slots.items() if slot.state is SlotState.SKIPPED]
    returned = {name for name in skipped if name in plan.clusters and rollout.slots[name].left}
    anew = new | _never_given(rollout, plan)
    if anew or gone or returned:
        after = dict(rollout.slots)
        for name in gone:
            after[name] = slots.without(rollout.slots.get(name, Slot(released=rollout.plan.at)))
        for name in returned:
            after[name] = slots.returned(rollout.slots[name])
        rollout = _with_new(msgspec.structs.replace(rollout, slots=after), plan, anew)
    return rollout, tuple(sorted(new | returned | _astray(rollout, plan)))


def _astray(rollout: Rollout, plan: Plan) -> set[str]:
    """Clusters that have something else than they should: the hub died before it had carried everything out."""
    found = set()
    for name, pinned in plan.clusters.items():
        mine = rollout.plan.clusters.get(name)
        if mine is not None:
            where = rollout.position(name, mine)
            if where is not None and where != pinned.previous:
                found.add(name)
    return found


def _never_given(rollout: Rollout, plan: Plan) -> set[str]:
    """Who was to have the revision that was rejected meanwhile, and was never given it: they do not get it any more.

    They came back without it, or a hub died before it could give it to them.
    """
    if rollout.phase not in _HELD:
        return set()
    return {
        name
        for name, slot in rollout.slots.items()
        if slot.released is not None
        and slot.back is None
        and name in plan.clusters
        and plan.clusters[name].previous != rollout.plan.clusters[name].target
    }


def _gone(rollout: Rollout, plan: Plan, name: str) -> bool:
    """Whether a cluster that the new plan does not have has left, and not only done so as it should."""
    slot = rollout.slots.get(name)
    if slot is not None and slot.state is SlotState.SKIPPED:
        return False
    leaves = not rollout.plan.clusters[name].target.digest
    return not leaves or name not in plan.others or (slot is not None and slot.released is None)


def _with_new(rollout: Rollout, plan: Plan, new: set[str]) -> Rollout:
    if not new:
        return rollout
    pinned = {name: plan.clusters[name] for name in sorted(new)}
    taking_part, stages = {name for name in new if pinned[name].changes}, rollout.plan.stages
    if rollout.phase in _HELD:
        taking_part = new
        pinned = {name: msgspec.structs.replace(each, changes=True) for name, each in pinned.items()}
    elif rollout.active:
        stages = _joined(stages, plan.stages, taking_part)
    else:
        taking_part = set()
        pinned = {name: msgspec.structs.replace(each, changes=False) for name, each in pinned.items()}
    return msgspec.structs.replace(
        rollout,
        plan=msgspec.structs.replace(rollout.plan, clusters=rollout.plan.clusters | pinned, stages=stages),
        slots=rollout.slots | {name: Slot() for name in sorted(taking_part)},
    )


def undisturbed(last: Rollout | None, targets: Mapping[str, Target], lacking: Collection[str]) -> dict[str, Target]:
    """What clusters for which nothing could be worked out go on with: the rollout under way, as it was planned.

    Only if `targets`, what could be worked out for others, is what that rollout brings anyway. An error neither stops
    a rollout nor counts as its end.
    """
    if last is None or not last.active:
        return {}
    clusters = last.plan.clusters
    if any(where != clusters[name].target for name, where in targets.items() if name in clusters):
        return {}
    return {name: clusters[name].target for name in lacking if name in clusters}


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


def _still_wanted(plan: Plan, last: Rollout) -> set[bool]:
    """Whether clusters are to get what the last rollout was to give. Who joins or leaves is no sign of either."""
    before = last.plan.clusters
    both = [(each.target, before[name].target) for name, each in plan.clusters.items() if name in before]
    return {now == then for now, then in both if now.digest or not then.digest}


def _same_content(plan: Plan, last: Rollout) -> bool:
    """Whether every cluster that was there then gets the same; and no cluster comes that was there and had no part."""
    before = last.plan.clusters
    shared = plan.clusters.keys() & before.keys()
    if any(plan.clusters[name].target != before[name].target for name in shared):
        return False
    return bool(shared) and not (plan.clusters.keys() & set(last.plan.others))


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
