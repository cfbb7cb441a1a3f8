"""An account of rollouts kept beside the state machine, from what was asked, reported and published alone.

It reads the machine's states only to hold them against what it knows itself: who was given what, who said what of it
since when, who agreed, and what is proven. Each promise is a method of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.domain.requests import Asked, Verb
from hub.domain.runs import ENDS, Around, Phase, Rollout, Sight, Slot, SlotState, StagePhase, Target, Verdict
from hub.domain.slots import GRACE
from hub.domain.steps import Event, Observed

BACK = (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.ABORTED)
OUT = (SlotState.FAILED, SlotState.OFFLINE, SlotState.SKIPPED)


@dataclass
class Word:
    """What an agent said last of exactly what its cluster was given, and since when; and since when it is silent."""

    verdict: Verdict | None = None
    failing: float | None = None
    first: float | None = None
    silent: float | None = None


@dataclass
class Account:
    """Of one rollout at a time; what is proven outlives them."""

    rollout: Rollout | None = None
    words: dict[str, Word] = field(default_factory=dict)
    calm: dict[int, float] = field(default_factory=dict)
    """By stage: since when all its clusters are at rest."""
    done: set[int] = field(default_factory=set)
    agreed: dict[str, set[str]] = field(default_factory=dict)
    """By stage: who approved."""
    proven: dict[str, Target] = field(default_factory=dict)
    tolerated: dict[int, int] = field(default_factory=dict)

    def begins(self, rollout: Rollout, given: Mapping[str, Target]) -> None:
        """A new rollout: what the last one gave is proven if it was completed; else only what it had no part in."""
        last = self.rollout
        if last is None or last.phase is Phase.COMPLETED:
            self.proven = dict(given)
        else:
            self.proven = {name: where for name, where in self.proven.items() if name in last.plan.clusters}
            self.proven |= {name: where for name, where in given.items() if name not in last.plan.clusters}
        self.rejected_does_not_start_again(last, rollout)
        self.words, self.calm, self.done, self.agreed, self.tolerated = {}, {}, set(), {}, {}
        self.rollout = None
        self.everybody_comes_once(rollout)

    def follows(self, event: Event, rollout: Rollout, around: Around, now: float) -> None:
        """One step has been taken and saved."""
        before = self.rollout
        if isinstance(event, Observed):
            self._listen(event.sights, before or rollout, now)
        if isinstance(event, Asked) and before is not None:
            self._note(event, before, now)
        for name, slot in rollout.slots.items():
            was = before.slots.get(name) if before is not None else None
            if was is None or (was.released, was.back, was.left) != (slot.released, slot.back, slot.left):
                self.words[name] = Word(silent=self.words[name].silent if name in self.words else None)
            self.states_are_as_agents_say(name, was, slot, rollout, now)
        self._rest(rollout, now)
        self.stages_start_in_order(before, rollout)
        self.stages_are_done_when_healthy_for_their_soak(before, rollout, now)
        self.gates_are_kept(before, rollout, around)
        self.never_too_many_in_flight(before, rollout)
        self.the_way_back_leads_to_what_is_proven(before, rollout)
        self.rollout = rollout

    # The promises.

    def everybody_comes_once(self, rollout: Rollout) -> None:
        named = [name for stage in rollout.plan.stages for name in stage.clusters]
        assert sorted(named) == sorted(rollout.slots), "every cluster that takes part is in exactly one stage"

    def states_are_as_agents_say(self, name: str, was: Slot | None, slot: Slot, rollout: Rollout, now: float) -> None:
        if was is not None and was.state is slot.state:
            return
        word = self.words.setdefault(name, Word())
        match slot.state:
            case SlotState.HEALTHY | SlotState.RESTORED:
                assert word.verdict is Verdict.HEALTHY, f"{name} has not said that it is healthy with this"
            case SlotState.OFFLINE:
                after = rollout.plan.strategy.offline.after
                assert word.silent is not None, f"{name} is heard"
                assert now >= word.silent + after, f"{name} has not been silent for long enough"
            case SlotState.FAILED:
                failing = word.failing is not None and now >= word.failing + GRACE
                overdue = word.first is not None and now >= word.first + rollout.plan.strategy.deadline
                assert failing or overdue, f"{name} neither fails for long enough nor is too late"

    def stages_start_in_order(self, before: Rollout | None, rollout: Rollout) -> None:
        for number in self._started(before, rollout):
            missing = set(range(number)) - self.done - self._done_now(before, rollout)
            assert not missing, f"stage {number} starts before {missing} are done"
        for name, number in self._released(before, rollout):
            assert rollout.stages[number].started is not None, f"{name} gets it before its stage starts"

    def stages_are_done_when_healthy_for_their_soak(self, before: Rollout | None, rollout: Rollout, now: float) -> None:
        for number in self._done_now(before, rollout):
            stage = rollout.plan.stages[number]
            assert self._calm(rollout, number), f"stage {number} is done, and is not healthy"
            soak = 0.0 if self._ungated(rollout) or stage.spec is None else stage.spec.soak
            assert not soak or now >= self.calm.get(number, now) + soak, f"stage {number} has not soaked"
            self.done.add(number)

    def gates_are_kept(self, before: Rollout | None, rollout: Rollout, around: Around) -> None:
        for number in self._started(before, rollout):
            spec = rollout.plan.stages[number].spec
            if (
                spec is None
                or spec.approve is None
                or self._ungated(rollout)
                or not rollout.plan.stages[number].clusters
            ):
                continue
            agreed = self.agreed.get(spec.name, set())
            assert len(agreed) >= spec.approve.count, f"{spec.name} starts with the approvals of {agreed}"
        for name, _ in self._released(before, rollout):
            environments = rollout.plan.clusters[name].environments
            assert not any(hold.covers(name, environments) for hold in around.holds), f"{name} is held"
            closed = set(environments) & around.closed.keys()
            assert self._ungated(rollout) or not closed, f"{closed} is closed"

    def never_too_many_in_flight(self, before: Rollout | None, rollout: Rollout) -> None:
        if rollout.bypass:
            return
        for number in {number for _, number in self._released(before, rollout)} - self.done:
            stage = rollout.plan.stages[number]
            flying = [name for name in stage.clusters if rollout.slots[name].state is SlotState.ASSIGNED]
            assert len(flying) <= stage.at_once, f"{flying} are in flight at once, {stage.at_once} may"

    def the_way_back_leads_to_what_is_proven(self, before: Rollout | None, rollout: Rollout) -> None:
        if rollout.phase not in (Phase.ROLLING_BACK, Phase.ROLLED_BACK) or self._was_on_the_way_back(before):
            return
        for name, slot in rollout.slots.items():
            where = self.proven.get(name)
            if slot.left:
                assert rollout.position(name) is None, f"{name} is not a cluster of the application now"
            elif where is not None:
                assert rollout.position(name) == where, f"{name} goes to {rollout.position(name)}, not to {where}"
            elif slot.released is not None and slot.state is not SlotState.SKIPPED:
                assert slot.state is SlotState.KEPT, f"{name} has nothing to go back to"

    def rejected_does_not_start_again(self, last: Rollout | None, rollout: Rollout) -> None:
        if last is None or last.phase not in BACK or last.freed:
            return
        then, now = last.plan.clusters, rollout.plan.clusters
        staying = [name for name in then.keys() & now.keys() if now[name].target.digest or not then[name].target.digest]
        same = all(then[name].target == now[name].target for name in staying)
        assert not staying or not same, f"{last.plan.revision} was rejected, and starts again"

    def rejected_is_not_published(self, name: str, target: Target) -> None:
        """Called with what a cluster is given now and had not before."""
        rollout = self.rollout
        if rollout.phase in BACK and not rollout.freed:
            pinned = rollout.plan.clusters[name]
            wanted = target != pinned.target or target == self.proven.get(name)
            assert wanted, f"{name} is given {target}, which was rejected"

    # What it goes by.

    def _listen(self, sights: Mapping[str, Sight], rollout: Rollout, now: float) -> None:
        for name, sight in sights.items():
            if name not in rollout.slots:
                continue
            word = self.words.setdefault(name, Word())
            again, word.silent = word.silent is not None and sight.silent is None, sight.silent
            if sight.silent is not None:
                continue
            if again and rollout.slots[name].state is SlotState.OFFLINE:
                self.words[name] = word = Word(first=now)
            if rollout.slots[name].state is SlotState.PENDING or sight.target != rollout.position(name):
                continue
            word.first = now if word.first is None or self._regresses(rollout.slots[name], sight) else word.first
            word.verdict = sight.verdict if sight.verdict in (Verdict.HEALTHY, Verdict.FAILING) else word.verdict
            failing = sight.verdict is Verdict.FAILING
            word.failing = (word.failing if word.failing is not None else now) if failing else None

    def _regresses(self, slot: Slot, sight: Sight) -> bool:
        return slot.state is SlotState.HEALTHY and sight.verdict is Verdict.FAILING

    def _note(self, asked: Asked, rollout: Rollout, now: float) -> None:
        number = rollout.current
        if asked.id in rollout.asked or number >= len(rollout.stages):
            return
        if asked.verb is Verb.APPROVE and rollout.phase in (Phase.PROGRESSING, Phase.PAUSED):
            waiting = (StagePhase.PENDING, StagePhase.WAITING)
            stages = [
                stage.name
                for stage, run in zip(rollout.plan.stages, rollout.stages, strict=True)
                if stage.spec is not None and stage.spec.approve is not None and run.phase in waiting
            ]
            for stage in stages[:1] if not asked.stage else [asked.stage]:
                self.agreed.setdefault(stage, set()).add(asked.by)
        if asked.verb is Verb.RESUME and rollout.phase is Phase.PAUSED:
            states = [rollout.slots[name].state for name in rollout.plan.stages[number].clusters]
            self.tolerated[number] = max(self.tolerated.get(number, 0), states.count(SlotState.FAILED))
        if asked.verb is Verb.RETRY:
            for name in asked.clusters or rollout.slots:
                if rollout.slots.get(name, Slot()).state is SlotState.FAILED:
                    self.words[name] = Word(first=now)

    def _rest(self, rollout: Rollout, now: float) -> None:
        for number, run in enumerate(rollout.stages):
            if run.started is not None and self._calm(rollout, number):
                self.calm.setdefault(number, now)
            elif number not in self.done:
                self.calm.pop(number, None)

    def _calm(self, rollout: Rollout, number: int) -> bool:
        """Whether nobody of a stage is under way, not too many have failed, and silence is not all there is."""
        stage = rollout.plan.stages[number]
        states = [rollout.slots[name].state for name in stage.clusters]
        continues = rollout.plan.strategy.on_failure == "continue" and SlotState.FAILED in states
        accepted = max(stage.max_failures, self.tolerated.get(number, 0))
        return (
            all(state in (SlotState.HEALTHY, *OUT) for state in states)
            and (states.count(SlotState.FAILED) <= accepted or continues)
            and (SlotState.HEALTHY in states or SlotState.OFFLINE not in states or continues)
        )

    def _started(self, before: Rollout | None, rollout: Rollout) -> list[int]:
        return [
            number
            for number, run in enumerate(rollout.stages)
            if run.started is not None and (before is None or before.stages[number].started is None)
        ]

    def _done_now(self, before: Rollout | None, rollout: Rollout) -> set[int]:
        return {
            number
            for number, run in enumerate(rollout.stages)
            if run.phase is StagePhase.DONE and (before is None or before.stages[number].phase is not StagePhase.DONE)
        }

    def _released(self, before: Rollout | None, rollout: Rollout) -> list[tuple[str, int]]:
        """Clusters that are given the revision by this step, with their stages; not those that had it already."""
        numbers = {name: number for number, stage in enumerate(rollout.plan.stages) for name in stage.clusters}
        found = []
        for name, slot in rollout.slots.items():
            was = before.slots.get(name) if before is not None else None
            pinned = rollout.plan.clusters[name]
            anew = slot.released is not None and (was is None or was.released is None)
            if anew and name in numbers and pinned.target != pinned.previous:
                found.append((name, numbers[name]))
        return found

    def _was_on_the_way_back(self, before: Rollout | None) -> bool:
        return before is not None and before.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)

    def _ungated(self, rollout: Rollout) -> bool:
        return rollout.plan.back or bool(rollout.bypass)


def over(rollout: Rollout | None) -> bool:
    """Whether nothing is under way."""
    return rollout is None or rollout.phase in ENDS
