"""Rollouts as they are after a while, without going there step by step."""

import msgspec

from hub.domain.plans import fresh
from hub.domain.records import Commit
from hub.domain.runs import Around, Phase, Pinned, Plan, PlannedStage, Slot, SlotState, StagePhase, Target
from hub.domain.staging import Strategy

OLD, NEW = Target("shop", "sha256:old"), Target("shop", "sha256:new")


def run(application, stages, done=0, *, commit="c1", at=100.0, strategy=None, previous=OLD, environments=None, **state):
    """A rollout of `application` over `stages` (name to clusters), healthy on the clusters of the first `done`.

    `state` are parts of the `Rollout` itself; `slots` among them are those that differ from that.
    """
    pinned = {
        name: Pinned(NEW, previous, previous, environments=(environments or {}).get(name, ()))
        for names in stages.values()
        for name in names
    }
    plan = Plan(
        id=f"{application}-{commit}",
        application=application,
        revision=f"{commit}-{application}",
        commit=Commit(commit, at=at - 60),
        strategy=strategy or Strategy.model_validate({"stages": [{"name": name} for name in stages]}, strict=False),
        stages=tuple(PlannedStage(name, tuple(names), max(1, len(names))) for name, names in stages.items()),
        clusters=pinned,
        at=at,
        back=state.pop("back", False),
    )
    rollout = fresh(plan, Around())
    slots = dict(rollout.slots)
    runs = list(rollout.stages)
    for number, names in enumerate(list(stages.values())[:done]):
        runs[number] = msgspec.structs.replace(runs[number], phase=StagePhase.DONE, done=at + 10 * (number + 1))
        for name in names:
            slots[name] = Slot(SlotState.HEALTHY, released=at, seen=at, healthy=at + 10 * (number + 1))
    slots |= state.pop("slots", {})
    if "phase" not in state and done == len(stages):
        state["phase"], state["ended"] = Phase.COMPLETED, at + 10 * done
    return msgspec.structs.replace(rollout, stages=tuple(runs), slots=slots, **state)
