"""The state machine of rollouts: `step(rollout, event, now) -> (rollout, commands)`. Pure, and its only owner.

What a rollout and its stages may go through is in `MOVES` and `STAGE_MOVES`; nothing enters a phase by a way that is
not listed there, and the diagrams in docs/ROLLOUTS.md are made from them. Commands may be lost or repeated: they say
which clusters to bring in line with `Rollout.position`, not what to send. Health is never looked up: it comes as
`Observed`, and counts only for exactly what a cluster should have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hub.domain import checks, gates, slots
from hub.domain.approvals import Approval
from hub.domain.checks import Standing
from hub.domain.plans import AT_ONCE, Novelty, extended, fresh, novelty
from hub.domain.requests import Asked, Verb, awaited, objection, restores
from hub.domain.runs import (
    ENDS,
    Around,
    Phase,
    Pinned,
    Rollout,
    Sight,
    Slot,
    SlotState,
    StagePhase,
    Wait,
    tally,
)
from hub.domain.steps import Again, Command, Ended, Event, Measured, Move, Observed, Proposed, Surrounded, Tell, Tick
from shared.messages import Severity

MOVES: tuple[tuple[Phase, Phase, str], ...] = (
    (Phase.PROGRESSING, Phase.PAUSED, "a person pauses it, or too much failed (onFailure pause)"),
    (Phase.PAUSED, Phase.PROGRESSING, "a person resumes it, or what had failed is healthy"),
    (Phase.PROGRESSING, Phase.COMPLETED, "all stages are done"),
    (Phase.PROGRESSING, Phase.FAILED, "all stages are done, with too many failures (onFailure continue)"),
    (Phase.PROGRESSING, Phase.ROLLING_BACK, "a person wants it, or too much failed (onFailure rollback)"),
    (Phase.PAUSED, Phase.ROLLING_BACK, "a person wants it"),
    (Phase.COMPLETED, Phase.ROLLING_BACK, "a person wants it"),
    (Phase.FAILED, Phase.ROLLING_BACK, "a person wants it"),
    (Phase.ABORTED, Phase.ROLLING_BACK, "a person wants it"),
    (Phase.ROLLED_BACK, Phase.ROLLING_BACK, "a person wants an earlier revision still"),
    (Phase.ROLLING_BACK, Phase.ROLLED_BACK, "nobody is on the way back any more"),
    (Phase.PROGRESSING, Phase.ABORTED, "a person aborts it"),
    (Phase.PAUSED, Phase.ABORTED, "a person aborts it"),
    (Phase.PROGRESSING, Phase.SUPERSEDED, "a newer revision"),
    (Phase.PAUSED, Phase.SUPERSEDED, "a newer revision"),
    (Phase.ROLLING_BACK, Phase.SUPERSEDED, "a newer revision"),
)
"""(from, to, when) of a rollout."""

STAGE_MOVES: tuple[tuple[StagePhase, StagePhase, str], ...] = (
    (StagePhase.PENDING, StagePhase.WAITING, "its turn, but a gate is closed"),
    (StagePhase.PENDING, StagePhase.PROGRESSING, "its turn"),
    (StagePhase.WAITING, StagePhase.PROGRESSING, "its gates are open"),
    (StagePhase.PROGRESSING, StagePhase.SOAKING, "all its clusters are healthy, offline or skipped"),
    (StagePhase.SOAKING, StagePhase.PROGRESSING, "one is not healthy any more"),
    (StagePhase.SOAKING, StagePhase.CHECKING, "it was healthy for its soak"),
    (StagePhase.CHECKING, StagePhase.PROGRESSING, "one is not healthy any more"),
    (StagePhase.CHECKING, StagePhase.DONE, "its checks have held for their time"),
    (StagePhase.PROGRESSING, StagePhase.FAILED, "more failed than may"),
    (StagePhase.SOAKING, StagePhase.FAILED, "more failed than may, or a check failed"),
    (StagePhase.CHECKING, StagePhase.FAILED, "more failed than may, or a check failed"),
    (StagePhase.FAILED, StagePhase.PROGRESSING, "resumed, retried, or healthy after all"),
)
"""(from, to, when) of a stage."""

_ALLOWED = {(before, after) for before, after, _ in MOVES}
_STAGE_ALLOWED = {(before, after) for before, after, _ in STAGE_MOVES}
_SETTLING = frozenset({StagePhase.PROGRESSING, StagePhase.SOAKING, StagePhase.CHECKING, StagePhase.FAILED})
REMEMBERED = 50
"""Requests of people that are known again."""


def step(rollout: Rollout | None, event: Event, now: float) -> tuple[Rollout | None, tuple[Command, ...]]:
    """The rollout after an event, and what has to be done about it. None while there was never anything to roll out.

    Any event may come at any time, any number of times; what does not apply changes nothing.
    """
    if isinstance(event, Proposed):
        return _proposed(rollout, event, now)
    if rollout is None:
        return None, ()
    work = _Work(rollout, now)
    match event:
        case Asked():
            work.obey(event)
        case Observed():
            work.look(event.sights)
        case Surrounded():
            work.heed(event.around)
        case Measured():
            work.measure(event)
        case Tick():
            pass
    work.advance()
    return work.result()


def due(rollout: Rollout, now: float) -> float | None:
    """When time alone may change something next, None when it cannot: until then a `Tick` changes nothing."""
    if not rollout.active:
        return None
    strategy = rollout.plan.strategy
    times: list[float | None] = []
    number = rollout.current
    watched: list[Slot] = []
    if rollout.phase is Phase.ROLLING_BACK:
        watched = [slot for slot in rollout.slots.values() if slot.back is not None]
    elif number < len(rollout.stages):
        run, stage = rollout.stages[number], rollout.plan.stages[number]
        watched = [rollout.slots[name] for name in stage.clusters]
        if stage.spec is not None and stage.spec.jitter and run.phase is StagePhase.PROGRESSING:
            pending = (name for name in stage.clusters if rollout.slots[name].state is SlotState.PENDING)
            times.extend(gates.start_of(rollout, number, name) for name in pending)
        times.extend(gates.times(rollout, number, now))
    times.extend(slots.due(slot, strategy.deadline, strategy.offline.after) for slot in watched)
    return min((time for time in times if time is not None and time > now), default=None)


def diagram() -> str:
    """Both tables as one Mermaid diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> Progressing: a change of effect"]
    lines += [f"    {before} --> {after}: {when}" for before, after, when in MOVES]
    lines += [f"    {end} --> [*]" for end in Phase if end in ENDS]
    lines += ["    state Progressing {", "        [*] --> Stage.Pending"]
    lines += [f"        Stage.{before} --> Stage.{after}: {when}" for before, after, when in STAGE_MOVES]
    return "\n".join([*lines, "    }"])


def _proposed(rollout: Rollout | None, event: Proposed, now: float) -> tuple[Rollout | None, tuple[Command, ...]]:
    plan = event.plan
    what = novelty(plan, rollout)
    if what is Novelty.NOTHING:
        return rollout, ()
    if rollout is not None and what is not Novelty.NEW:
        changed, names = extended(rollout, plan)
        work = _Work(msgspec.structs.replace(changed, queued="") if changed.queued else changed, now)
        work.move(names)
        work.advance()
        return work.result()
    if rollout is not None and rollout.active and _queues(rollout):
        return msgspec.structs.replace(rollout, queued=plan.revision), ()
    work = _Work(fresh(plan, event.around), now)
    if rollout is not None and rollout.active:
        before = _Work(rollout, now)
        before.end(Phase.SUPERSEDED, f"{plan.revision} is newer")
        superseded, commands = before.result()
        work.commands += [Ended(superseded), *commands]
    work.begin()
    work.look(event.sights)
    work.advance()
    return work.result()


def _queues(rollout: Rollout) -> bool:
    """Whether what is newer waits: never behind a revision that is on its way back."""
    return rollout.plan.strategy.on_newer == "queue" and rollout.phase is not Phase.ROLLING_BACK


class _Work:
    """One step under way. The slots are a copy of its own; everything else is replaced, never changed."""

    def __init__(self, rollout: Rollout, now: float) -> None:
        self._before = rollout
        self._slots = dict(rollout.slots)
        self._rollout = msgspec.structs.replace(rollout, slots=self._slots)
        self._changed = False
        self.commands: list[Command] = []
        self._now = now

    def result(self) -> tuple[Rollout, tuple[Command, ...]]:
        """The rollout after the step; the very same object when nothing has changed."""
        return (self._rollout if self._changed else self._before), tuple(self.commands)

    # What people ask for.

    def obey(self, asked: Asked) -> None:  # noqa: C901 - one case for each verb
        """Carries out a request, once, if it can be."""
        if asked.id in self._rollout.asked or objection(self._rollout, asked):
            return
        self.change(asked=(*self._rollout.asked, asked.id)[-REMEMBERED:])
        match asked.verb:
            case Verb.PAUSE:
                self._enter(Phase.PAUSED, asked.reason, asked.by)
            case Verb.RESUME:
                self._resume(asked)
            case Verb.APPROVE:
                self._approve(asked)
            case Verb.RETRY:
                self._retry(asked)
            case Verb.SKIP:
                self._skip(asked)
            case Verb.ABORT:
                self.end(Phase.ABORTED, asked.reason, asked.by)
            case Verb.ROLLBACK:
                self._roll_back(asked.reason, asked)
            case Verb.BYPASS:
                self.change(bypass=f"{asked.by}: {asked.reason}")
                self._say("bypassed", Severity.WARNING, f"all gates are left out: {asked.reason}", asked.by, asked.id)
            case Verb.RELEASE:
                self.change(freed=True)
                self._say("released", Severity.INFO, f"{self._rollout.plan.revision} may start again", asked.by)

    def _resume(self, asked: Asked) -> None:
        """Goes on with what has failed until now put up with."""
        number = self._rollout.current
        run = self._rollout.stages[number] if number < len(self._rollout.stages) else None
        self._enter(Phase.PROGRESSING, asked.reason, asked.by)
        if run is not None and run.phase is StagePhase.FAILED:
            failed = tally(self._rollout, number).get(SlotState.FAILED, 0)
            waived = run.waived or failed <= run.allowed
            self._stage(number, allowed=max(run.allowed, failed), waived=waived)

    def _approve(self, asked: Asked) -> None:
        stage = asked.stage or awaited(self._rollout)
        others = tuple(each for each in self._rollout.approvals if (each.stage, each.by) != (stage, asked.by))
        given = Approval(stage, asked.by, asked.roles, asked.at, asked.reason, asked.emails)
        self.change(approvals=(*others, given))
        self._say("approved", Severity.INFO, f"stage {stage} approved" + _because(asked.reason), asked.by, asked.id)

    def _retry(self, asked: Asked) -> None:
        names = asked.clusters or tuple(name for name, slot in self._slots.items() if slot.state is SlotState.FAILED)
        again = tuple(name for name in names if self._slots[name].state is SlotState.FAILED)
        for name in again:
            self._slot(name, slots.retried(self._slots[name], self._now))
        if again:
            self.commands.append(Again(again))
            self._say(
                "retried", Severity.INFO, f"{_some(again)}: once more" + _because(asked.reason), asked.by, asked.id
            )

    def _skip(self, asked: Asked) -> None:
        for name in asked.clusters:
            reason = f"skipped by {asked.by}" + _because(asked.reason)
            self._slot(name, msgspec.structs.replace(self._slots[name], state=SlotState.SKIPPED, reason=reason))
        self._say(
            "skipped", Severity.WARNING, f"{_some(asked.clusters)} skipped" + _because(asked.reason), asked.by, asked.id
        )

    # What is seen and measured.

    def heed(self, around: Around) -> None:
        """Takes in what there is to heed around."""
        if self._rollout.active and around != self._rollout.around:
            self.change(around=around)

    def look(self, sights: dict[str, Sight]) -> None:
        """Takes in what can be seen of clusters that take part; of a rollout that has ended, only who caught up."""
        clusters = self._rollout.plan.clusters
        for name, sight in sights.items():
            slot = self._slots.get(name)
            if slot is None:
                continue
            after = slots.observed(slot, self._rollout.position(name, clusters[name]), sight, self._now)
            if self._rollout.active or after.state in _ARRIVED:
                self._slot(name, after)

    def measure(self, event: Measured) -> None:
        """Takes in one measurement of a check, while its stage is healthy as a whole."""
        numbers = {stage.name: number for number, stage in enumerate(self._rollout.plan.stages)}
        number = numbers.get(event.stage, len(numbers))
        if number != self._rollout.current or self._rollout.stages[number].healthy is None:
            return
        run = self._rollout.stages[number]
        if event.check < len(run.checks):
            standings = list(run.checks)
            standings[event.check] = checks.held(standings[event.check], event.measurement, self._now)
            self._stage(number, checks=tuple(standings))

    # How it goes on.

    def begin(self) -> None:
        """A rollout that is new."""
        self._changed = True
        plan = self._rollout.plan
        if plan.strategy == AT_ONCE:
            return
        many = f"{len(self._slots)} cluster{'s' if len(self._slots) != 1 else ''}"
        stages = f" in {len(plan.stages)} stages" if len(plan.stages) > 1 else ""
        back = ", back to what they had" if plan.back else ""
        self._say("started", Severity.INFO, f"{plan.revision} goes to {many}{stages}{back}")

    def advance(self) -> None:
        """Everything that follows from what is known, until nothing does any more."""
        if self._rollout.phase is Phase.ROLLING_BACK:
            self._come_back()
            return
        if self._rollout.phase is Phase.PAUSED:
            self._judge(self._rollout.current)
            self._heal()
        while self._rollout.phase is Phase.PROGRESSING:
            number = self._rollout.current
            if number == len(self._rollout.stages):
                exceeded = any(run.exceeded for run in self._rollout.stages)
                self.end(Phase.FAILED if exceeded else Phase.COMPLETED, "")
                return
            before = self._rollout
            self._one_stage(number)
            if self._rollout is before:
                break
        self._catch_up()

    def _one_stage(self, number: int) -> None:
        """One move of the stage whose turn it is, if it can make one."""
        self._judge(number)
        match self._rollout.stages[number].phase:
            case StagePhase.PENDING | StagePhase.WAITING:
                self._open(number)
            case StagePhase.PROGRESSING:
                self._fill(number)
            case StagePhase.SOAKING:
                self._soak(number)
            case StagePhase.CHECKING:
                self._check(number)
            case StagePhase.FAILED | StagePhase.DONE:
                self._enter_stage(number, StagePhase.PROGRESSING, healthy=None, soaked=None)

    def _judge(self, number: int) -> None:
        """What time makes of the clusters of a stage."""
        if number == len(self._rollout.stages):
            return
        strategy = self._rollout.plan.strategy
        for name in self._rollout.plan.stages[number].clusters:
            slot = self._slots[name]
            after = slots.judged(slot, strategy.deadline, strategy.offline.after, self._now)
            if after is not slot:
                self._slot(name, after)
                if after.state is SlotState.FAILED and self._rollout.troubled is None:
                    self.change(troubled=self._now)

    def _open(self, number: int) -> None:
        run = self._rollout.stages[number]
        turn = run.turn if run.turn is not None else self._now
        waits = gates.before_start(self._rollout, number, self._now) or self._nobody_may(number)
        if not waits:
            self._enter_stage(number, StagePhase.PROGRESSING, turn=turn, started=self._now, waits=())
            return
        self._wait(number, waits)
        if run.phase is StagePhase.PENDING:
            self._enter_stage(number, StagePhase.WAITING, turn=turn)
            name = self._rollout.plan.stages[number].name
            self._say("waiting", Severity.INFO, f"stage {name} waits: {waits[0].reason}", key=f"{name}-{turn}")

    def _nobody_may(self, number: int) -> tuple[Wait, ...]:
        """Why none of a stage's clusters may be given anything now; empty when one may."""
        found: dict[Wait, None] = {}
        for name in self._rollout.plan.stages[number].clusters:
            wait = gates.of_cluster(self._rollout, name, self._pinned(name))
            if wait is None or self._slots[name].released is not None:
                return ()
            found[wait] = None
        return tuple(found)

    def _fill(self, number: int) -> None:
        """Gives as many clusters the revision as may have it, and looks whether all have got it."""
        counts = tally(self._rollout, number)
        if self._too_many_failed(number, counts):
            return
        waits = self._release(number, counts)
        counts = tally(self._rollout, number)
        if counts.get(SlotState.PENDING) or counts.get(SlotState.ASSIGNED):
            self._wait(number, waits)
        elif counts.get(SlotState.OFFLINE) and not (counts.get(SlotState.HEALTHY) or counts.get(SlotState.FAILED)):
            self._wait(
                number, (Wait("clusters", f"nothing is heard of any of its {counts[SlotState.OFFLINE]} clusters"),)
            )
        else:
            fresh_checks = tuple(Standing() for _ in self._rollout.stages[number].checks)
            self._enter_stage(number, StagePhase.SOAKING, healthy=self._now, checks=fresh_checks, waits=())

    def _release(self, number: int, counts: Mapping[SlotState, int]) -> tuple[Wait, ...]:
        """Gives the next clusters the revision. Returns why those left over have to wait, as far as it is a gate."""
        stage = self._rollout.plan.stages[number]
        room = len(stage.clusters) if self._rollout.bypass else stage.at_once - counts.get(SlotState.ASSIGNED, 0)
        if not counts.get(SlotState.PENDING) or room <= 0:
            return ()
        chosen: list[str] = []
        waits: dict[Wait, None] = {}
        for name in stage.clusters:
            if self._slots[name].state is not SlotState.PENDING or len(chosen) >= room:
                continue
            wait = gates.of_cluster(self._rollout, name, self._pinned(name))
            if wait is not None:
                waits[wait] = None
            elif gates.start_of(self._rollout, number, name) <= self._now:
                chosen.append(name)
        for name in chosen:
            self._slot(name, slots.released(self._slots[name], self._now))
        self.move(tuple(chosen))
        return tuple(waits)

    def _soak(self, number: int) -> None:
        if self._unsettled(number):
            return
        left = gates.soak_left(self._rollout, number, self._now)
        if left > 0:
            self._wait(number, (Wait("soak", "it has to stay healthy for its soak", until=self._now + left),))
        else:
            self._enter_stage(number, StagePhase.CHECKING, soaked=self._now, waits=())

    def _check(self, number: int) -> None:
        if self._unsettled(number):
            return
        waits = gates.unmet(self._rollout, number, self._now)
        unclear = gates.unmeasured(self._rollout, number, self._now)
        if not waits:
            self._enter_stage(number, StagePhase.DONE, done=self._now, waits=())
            name = self._rollout.plan.stages[number].name
            self._say("stage", Severity.INFO, f"stage {name} is done", key=f"{name}-done")
        elif unclear:
            # Nobody knows whether it is good: that is for a person to say, and no reason to roll anything back.
            self._enter_stage(number, StagePhase.FAILED)
            self._enter(Phase.PAUSED, unclear)
        else:
            self._wait(number, waits)

    def _unsettled(self, number: int) -> bool:
        """Whether a stage that was healthy as a whole is so no more, or has failed."""
        counts = tally(self._rollout, number)
        if self._too_many_failed(number, counts):
            return True
        if (
            counts.get(SlotState.PENDING)
            or counts.get(SlotState.ASSIGNED)
            or not (counts.get(SlotState.HEALTHY) or not counts.get(SlotState.OFFLINE))
        ):
            self._enter_stage(number, StagePhase.PROGRESSING, healthy=None, soaked=None)
            return True
        broken = gates.broken(self._rollout, number, self._now)
        return bool(broken) and self._trouble(number, broken)

    def _too_many_failed(self, number: int, counts: Mapping[SlotState, int]) -> bool:
        run, stage = self._rollout.stages[number], self._rollout.plan.stages[number]
        failed = counts.get(SlotState.FAILED, 0)
        if failed <= run.allowed or run.exceeded:
            return False
        names = [name for name in stage.clusters if self._slots[name].state is SlotState.FAILED]
        first = self._slots[names[0]].reason
        may = f", {run.allowed} may" if run.allowed else ""
        reason = f"{failed} of {len(stage.clusters)} clusters failed in {stage.name}{may}: {names[0]}: {first}"
        return self._trouble(number, reason)

    def _trouble(self, number: int, reason: str) -> bool:
        """A stage has failed. Returns whether that stops the rollout."""
        if self._rollout.troubled is None:
            self.change(troubled=self._now)
        policy = self._rollout.plan.strategy.on_failure
        name = self._rollout.plan.stages[number].name
        self._say("failed", Severity.ERROR, reason, key=f"{name}-{self._now}")
        if policy == "continue":
            self._stage(number, exceeded=True, waived=True)
            return False
        self._enter_stage(number, StagePhase.FAILED)
        if policy == "rollback":
            self._roll_back(reason)
        else:
            self._enter(Phase.PAUSED, reason)
        return True

    def _heal(self) -> None:
        """A rollout that stands because of failures goes on when there are not too many any more."""
        number = self._rollout.current
        if self._rollout.by or number == len(self._rollout.stages):
            return
        run = self._rollout.stages[number]
        failed = tally(self._rollout, number).get(SlotState.FAILED, 0)
        unmet = run.healthy is not None and bool(gates.unmet(self._rollout, number, self._now))
        if run.phase is StagePhase.FAILED and failed <= run.allowed and not unmet:
            self._enter(Phase.PROGRESSING, "what had failed is healthy")

    def _catch_up(self) -> None:
        """Clusters of stages that are done, which were offline or have joined since, are given the revision too."""
        if self._rollout.phase not in (Phase.PROGRESSING, *_PROVEN):
            return
        late = []
        for number in range(self._rollout.current):
            for name in self._rollout.plan.stages[number].clusters:
                slot = self._slots[name]
                behind = slot.released is None and slot.state is not SlotState.SKIPPED
                if behind and gates.of_cluster(self._rollout, name, self._pinned(name)) is None:
                    late.append(name)
        for name in late:
            self._slot(name, slots.released(self._slots[name], self._now))
        self.move(tuple(late))

    def _roll_back(self, reason: str, asked: Asked | None = None) -> None:
        """Sends back everybody who should have anything else than what the last completed rollout gave."""
        to = restores(self._rollout, asked.to if asked is not None else {})
        clusters = dict(self._rollout.plan.clusters)
        for name, where in to.items():
            clusters[name] = msgspec.structs.replace(clusters[name], restore=where)
        newest_first = [name for stage in reversed(self._rollout.plan.stages) for name in stage.clusters if name in to]
        order = dict.fromkeys((*newest_first, *sorted(to)))
        self.change(plan=msgspec.structs.replace(self._rollout.plan, clusters=clusters))
        self._enter(Phase.ROLLING_BACK, reason, asked.by if asked is not None else "")
        for name, slot in list(self._slots.items()):
            if name not in to and slot.released is not None and clusters[name].restore is None:
                kept = "it has had nothing before that it could go back to"
                self._slot(name, msgspec.structs.replace(slot, state=SlotState.KEPT, reason=kept))
        for name in order:
            self._slot(name, slots.sent_back(self._slots.get(name, Slot(released=self._rollout.plan.at)), self._now))
        self.change(ended=None)
        self.move(tuple(order))
        self._come_back()

    def _come_back(self) -> None:
        strategy = self._rollout.plan.strategy
        under_way = False
        for name, slot in list(self._slots.items()):
            if slot.back is not None:
                after = slots.judged(slot, strategy.deadline, strategy.offline.after, self._now)
                self._slot(name, after)
                under_way = under_way or after.state is SlotState.RESTORING
        if not under_way:
            self.end(Phase.ROLLED_BACK, self._rollout.reason, self._rollout.by)

    def end(self, phase: Phase, reason: str, by: str = "") -> None:
        """Nothing of it happens any more."""
        self._enter(phase, reason, by)
        self.change(ended=self._now)
        self._catch_up()

    # Small steps.

    def change(self, **changes: Any) -> None:
        """Replaces parts of the rollout."""
        self._rollout = msgspec.structs.replace(self._rollout, **changes)
        self._changed = True

    def move(self, names: tuple[str, ...]) -> None:
        """Has clusters brought in line."""
        if names:
            self.commands.append(Move(names))

    def _pinned(self, name: str) -> Pinned:
        return self._rollout.plan.clusters[name]

    def _slot(self, name: str, slot: Slot) -> None:
        if self._slots.get(name) is not slot:
            self._slots[name] = slot
            self._changed = True

    def _stage(self, number: int, **changes: Any) -> None:
        stages = list(self._rollout.stages)
        stages[number] = msgspec.structs.replace(stages[number], **changes)
        if stages[number] != self._rollout.stages[number]:
            self.change(stages=tuple(stages))

    def _wait(self, number: int, waits: tuple[Wait, ...]) -> None:
        self._stage(number, waits=gates.since_first(waits, self._rollout.stages[number], self._now))

    def _enter_stage(self, number: int, phase: StagePhase, **changes: Any) -> None:
        before = self._rollout.stages[number].phase
        if (before, phase) not in _STAGE_ALLOWED:
            raise AssertionError(f"a stage cannot go from {before} to {phase}")
        self._stage(number, phase=phase, **changes)

    def _enter(self, phase: Phase, reason: str, by: str = "") -> None:
        before = self._rollout.phase
        if (before, phase) not in _ALLOWED:
            raise AssertionError(f"a rollout cannot go from {before} to {phase}")
        self.change(phase=phase, reason=reason, by=by)
        severity, words = _WORDS[phase]
        self._say(phase.lower(), severity, words + _because(reason), by, f"{self._now}")

    def _say(self, what: str, severity: Severity, message: str, by: str = "", key: str = "") -> None:
        self.commands.append(Tell(f"{what}-{key}" if key else what, f"rollout.{what}", severity, message, by))


_ARRIVED = (SlotState.HEALTHY, SlotState.RESTORED)
_PROVEN = (Phase.COMPLETED, Phase.FAILED)

_WORDS = {
    Phase.PROGRESSING: (Severity.INFO, "goes on"),
    Phase.PAUSED: (Severity.WARNING, "paused"),
    Phase.ROLLING_BACK: (Severity.WARNING, "being rolled back"),
    Phase.COMPLETED: (Severity.INFO, "completed"),
    Phase.FAILED: (Severity.ERROR, "went through all stages, but with more failures than may be"),
    Phase.ROLLED_BACK: (Severity.WARNING, "rolled back"),
    Phase.ABORTED: (Severity.WARNING, "aborted"),
    Phase.SUPERSEDED: (Severity.INFO, "superseded"),
}


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _some(names: tuple[str, ...], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
