"""The state machine of rollouts: `step(rollout, event, now) -> (rollout, commands)`. Pure, and its only owner.

What a rollout and its stages may go through is in `MOVES` and `STAGE_MOVES`; nothing enters a phase by a way that is
not listed there, and the diagrams in docs/ROLLOUTS.md are made from them. Commands may be lost or repeated: they say
which clusters to bring in line with `Rollout.position`, not what to send. Health is never looked up: it comes as
`Observed`, and counts only for exactly what a cluster should have.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hub.domain import checks, gates, slots, turns
from hub.domain.approvals import Approval
from hub.domain.checks import Standing
from hub.domain.drafts import WORDS, Draft, because, some
from hub.domain.plans import AT_ONCE, Novelty, extended, fresh, joiners, novelty
from hub.domain.requests import Asked, Verb, awaited, chosen, objection, restores
from hub.domain.runs import ENDS, Around, Phase, Rollout, Sight, Slot, SlotState, StagePhase, Wait
from hub.domain.steps import Again, Command, Ended, Event, Measured, Observed, Proposed, Surrounded, Tell, Tick
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
    work = _Machine(rollout, now)
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
        if run.phase is StagePhase.PROGRESSING:
            times.extend(turns.starts(rollout, number))
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
    plan, what = event.plan, novelty(event.plan, rollout)
    if rollout is None:
        return _begun(None, event, now) if what is Novelty.NEW else (None, ())
    match what:
        case Novelty.NOTHING:
            return rollout, ()
        case Novelty.TAKEN_BACK:
            return msgspec.structs.replace(rollout, freed=True), ()
        case Novelty.MEMBERS | Novelty.REJECTED:
            return _extended(rollout, event, "", now)
        case Novelty.NEW if rollout.active and _queues(rollout):
            return _extended(rollout, event, plan.revision, now)
        case Novelty.NEW:
            return _begun(rollout, event, now)


def _extended(rollout: Rollout, event: Proposed, queued: str, now: float) -> tuple[Rollout, tuple[Command, ...]]:
    """The same rollout, for the clusters that there are now. Who joins while a newer one waits takes part in that."""
    changed, names = extended(rollout, event.plan, joining=not queued)
    if changed.queued != queued:
        changed = msgspec.structs.replace(changed, queued=queued)
    work = _Machine(changed, now)
    work.move(names)
    work.advance()
    return work.result()


def _begun(last: Rollout | None, event: Proposed, now: float) -> tuple[Rollout, tuple[Command, ...]]:
    """A new rollout, in place of the last one."""
    begun = fresh(event.plan, event.around)
    before: tuple[Command, ...] = ()
    if last is not None:
        # A request that comes a second time is known by the rollout that follows, too.
        begun = msgspec.structs.replace(begun, asked=last.asked)
    if last is not None and last.active:
        ending = _Machine(last, now)
        ending.end(Phase.SUPERSEDED, f"{event.plan.revision} is newer")
        superseded, commands = ending.result()
        before = (Ended(superseded, tuple(each for each in commands if isinstance(each, Tell))),)
    work = _Machine(begun, now)
    work.begin()
    if last is not None:
        work.move(tuple(sorted(joiners(event.plan, last))))
    work.look(event.sights)
    work.advance()
    result, commands = work.result()
    return result, (*before, *commands)


def _queues(rollout: Rollout) -> bool:
    """Whether what is newer waits: never behind a revision that is on its way back."""
    return rollout.plan.strategy.on_newer == "queue" and rollout.phase is not Phase.ROLLING_BACK


class _Machine(Draft):
    """One step under way: the only code that moves a rollout, or a stage of it, from one phase to another."""

    # What people ask for.

    def obey(self, asked: Asked) -> None:  # noqa: C901 - one case for each verb
        """Carries out a request, once, if it can be."""
        if asked.id in self.rollout.asked or objection(self.rollout, asked):
            return
        self.change(asked=(*self.rollout.asked, asked.id)[-REMEMBERED:])
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
                self.say("bypassed", Severity.WARNING, f"all gates are left out: {asked.reason}", asked.by, asked.id)
            case Verb.RELEASE:
                self.change(freed=True)
                self.say("released", Severity.INFO, f"{self.rollout.plan.revision} may start again", asked.by, asked.id)

    def _resume(self, asked: Asked) -> None:
        """Goes on with what has failed until now put up with."""
        number = self.rollout.current
        run = self.rollout.stages[number] if number < len(self.rollout.stages) else None
        self._enter(Phase.PROGRESSING, asked.reason, asked.by)
        if run is not None and run.phase is StagePhase.FAILED:
            failed = self.counts(number).get(SlotState.FAILED, 0)
            waived = run.waived or failed <= run.allowed
            self.stage(number, allowed=max(run.allowed, failed), waived=waived)

    def _approve(self, asked: Asked) -> None:
        stage = asked.stage or awaited(self.rollout)
        others = tuple(each for each in self.rollout.approvals if (each.stage, each.by) != (stage, asked.by))
        given = Approval(stage, asked.by, asked.roles, asked.at, asked.reason, asked.emails)
        self.change(approvals=(*others, given))
        self.say("approved", Severity.INFO, f"stage {stage} approved" + because(asked.reason), asked.by, asked.id)

    def _retry(self, asked: Asked) -> None:
        names = chosen(self.rollout, asked)
        for name in names:
            self.slot(name, slots.retried(self.rollout.slots[name], self.now))
        self.commands.append(Again(names))
        self.say("retried", Severity.INFO, f"{some(names)}: once more" + because(asked.reason), asked.by, asked.id)

    def _skip(self, asked: Asked) -> None:
        names, why = chosen(self.rollout, asked), because(asked.reason)
        for name in names:
            skipped = {"state": SlotState.SKIPPED, "reason": f"skipped by {asked.by}{why}"}
            self.slot(name, msgspec.structs.replace(self.rollout.slots[name], **skipped))
        self.say("skipped", Severity.WARNING, f"{some(names)} skipped{why}", asked.by, asked.id)

    # What is seen and measured.

    def heed(self, around: Around) -> None:
        """Takes in what there is to heed around, as long as a cluster may have to wait for it."""
        if around != self.rollout.around and (self.rollout.active or turns.late(self.rollout)):
            self.change(around=around)

    def look(self, sights: dict[str, Sight]) -> None:
        """Takes in what can be seen of clusters that take part; of a rollout that has ended, only who caught up."""
        clusters = self.rollout.plan.clusters
        for name, slot, sight in slots.telling(self.rollout.slots, sights):
            after = slots.observed(slot, self.rollout.position(name, clusters[name]), sight, self.now)
            if self.rollout.active or after.state in slots.ARRIVED:
                self.slot(name, after)

    def measure(self, event: Measured) -> None:
        """Takes in one measurement of a check, while its stage is healthy as a whole."""
        numbers = {stage.name: number for number, stage in enumerate(self.rollout.plan.stages)}
        number = numbers.get(event.stage, len(numbers))
        if not self.rollout.active or number != self.rollout.current or self.rollout.stages[number].healthy is None:
            return
        run = self.rollout.stages[number]
        spec = self.rollout.plan.stages[number].spec
        if spec is not None and event.check < len(run.checks):
            standings, gap = list(run.checks), checks.patience(spec.checks[event.check])
            standings[event.check] = checks.held(standings[event.check], event.measurement, self.now, gap)
            self.stage(number, checks=tuple(standings))

    # How it goes on.

    def begin(self) -> None:
        """A rollout that is new."""
        self.change()
        plan = self.rollout.plan
        if plan.strategy == AT_ONCE:
            return
        many = f"{len(self.rollout.slots)} cluster{'s' if len(self.rollout.slots) != 1 else ''}"
        stages = f" in {len(plan.stages)} stages" if len(plan.stages) > 1 else ""
        back = ", back to what they had" if plan.back else ""
        self.say("started", Severity.INFO, f"{plan.revision} goes to {many}{stages}{back}")

    def advance(self) -> None:
        """Everything that follows from what is known, until nothing does any more."""
        if self.rollout.phase is Phase.ROLLING_BACK:
            self._come_back()
            return
        if self.rollout.phase is Phase.PAUSED and self.rollout.current < len(self.rollout.stages):
            self._judge(self.rollout.current)
            self._regress(self.rollout.current)
            self._heal(self.rollout.current)
        while self.rollout.phase is Phase.PROGRESSING:
            number = self.rollout.current
            if number == len(self.rollout.stages):
                exceeded = any(run.exceeded for run in self.rollout.stages)
                self.end(Phase.FAILED if exceeded else Phase.COMPLETED, "")
                return
            before = self.rollout.stages[number].phase
            self._one_stage(number)
            if self.rollout.stages[number].phase is before:
                break
        self._catch_up()

    def _one_stage(self, number: int) -> None:
        """One move of the stage whose turn it is, if it can make one."""
        self._judge(number)
        match self.rollout.stages[number].phase:
            case StagePhase.PENDING | StagePhase.WAITING:
                self._open(number)
            case StagePhase.PROGRESSING:
                self._fill(number)
            case StagePhase.SOAKING:
                self._soak(number)
            case StagePhase.CHECKING:
                self._check(number)
            case StagePhase.FAILED:
                self._enter_stage(number, StagePhase.PROGRESSING, healthy=None, soaked=None)
            case StagePhase.DONE:
                raise AssertionError("a stage that is done is never the current one")

    def _judge(self, number: int) -> None:
        """What time makes of the clusters of a stage."""
        strategy, before = self.rollout.plan.strategy, self.rollout.slots
        for name in [name for name in self.rollout.plan.stages[number].clusters if slots.may_change(before[name])]:
            after = slots.judged(before[name], strategy.deadline, strategy.offline.after, self.now)
            self.slot(name, after)
            if after.state is SlotState.FAILED and self.rollout.troubled is None:
                self.change(troubled=self.now)

    def _open(self, number: int) -> None:
        run = self.rollout.stages[number]
        turn = run.turn if run.turn is not None else self.now
        waits = gates.before_start(self.rollout, number, self.now) or turns.barred(self.rollout, number)
        if not waits:
            self._enter_stage(number, StagePhase.PROGRESSING, turn=turn, started=self.now, waits=())
            return
        self.wait(number, waits)
        if run.phase is StagePhase.PENDING:
            self._enter_stage(number, StagePhase.WAITING, turn=turn)
            name = self.rollout.plan.stages[number].name
            self.say("waiting", Severity.INFO, f"stage {name} waits: {waits[0].reason}", key=f"{name}-{turn}")

    def _fill(self, number: int) -> None:
        """Gives as many clusters the revision as may have it, and looks whether all have got it."""
        if self._too_many_failed(number):
            return
        names, waits = turns.following(self.rollout, number, self.counts(number), self.now)
        self._release(names)
        waits = waits if turns.under_way(self.counts(number)) else self._unproven(number)
        if waits or turns.under_way(self.counts(number)):
            self.wait(number, waits)
        else:
            fresh_checks = tuple(Standing() for _ in self.rollout.stages[number].checks)
            self._enter_stage(number, StagePhase.SOAKING, healthy=self.now, checks=fresh_checks, waits=())

    def _release(self, names: tuple[str, ...]) -> None:
        before = self.rollout.slots
        self.slots({name: slots.released(before[name], self.now) for name in names})
        self.move(names)

    def _soak(self, number: int) -> None:
        if self._unsettled(number):
            return
        until = gates.soaked_at(self.rollout, number)
        if until is not None and until > self.now:
            self.wait(number, (Wait("soak", "it has to stay healthy for its soak", until=until),))
        else:
            self._enter_stage(number, StagePhase.CHECKING, soaked=self.now, waits=())

    def _check(self, number: int) -> None:
        if self._unsettled(number):
            return
        waits = gates.unmet(self.rollout, number)
        unclear = gates.unmeasured(self.rollout, number, self.now)
        if not waits:
            self._enter_stage(number, StagePhase.DONE, done=self.now, waits=())
            name = self.rollout.plan.stages[number].name
            self.say("stage", Severity.INFO, f"stage {name} is done", key=f"{name}-done")
        elif unclear:
            # Nobody knows whether it is good: that is for a person to say, and no reason to roll anything back.
            self._enter_stage(number, StagePhase.FAILED, waits=())
            self._enter(Phase.PAUSED, unclear)
        else:
            self.wait(number, waits)

    def _unsettled(self, number: int) -> bool:
        """Whether a stage that was healthy as a whole is so no more, or has failed."""
        if self._too_many_failed(number) or self._regress(number):
            return True
        broken = gates.broken(self.rollout, number)
        return bool(broken) and self._trouble(number, broken)

    def _regress(self, number: int) -> bool:
        """Whether a stage that was healthy as a whole is so no more: its soak begins anew."""
        if self.rollout.stages[number].phase not in (StagePhase.SOAKING, StagePhase.CHECKING):
            return False
        if not (turns.under_way(self.counts(number)) or self._unproven(number)):
            return False
        self._enter_stage(number, StagePhase.PROGRESSING, healthy=None, soaked=None, waits=())
        return True

    def _unproven(self, number: int) -> tuple[Wait, ...]:
        return turns.unproven(self.rollout, number, self.counts(number))

    def _too_many_failed(self, number: int) -> bool:
        reason = turns.failure(self.rollout, number, self.counts(number))
        return bool(reason) and self._trouble(number, reason)

    def _trouble(self, number: int, reason: str) -> bool:
        """A stage has failed. Returns whether that stops the rollout."""
        if self.rollout.troubled is None:
            self.change(troubled=self.now)
        policy = self.rollout.plan.strategy.on_failure
        name = self.rollout.plan.stages[number].name
        self.say("failed", Severity.ERROR, reason, key=f"{name}-{self.now}")
        if policy == "continue":
            self.stage(number, exceeded=True, waived=True)
            return False
        self._enter_stage(number, StagePhase.FAILED, waits=())
        if policy == "rollback":
            self._roll_back(reason)
        else:
            self._enter(Phase.PAUSED, reason)
        return True

    def _heal(self, number: int) -> None:
        """A rollout that stands because of failures goes on when there are not too many any more."""
        run = self.rollout.stages[number]
        if self.rollout.by or run.phase is not StagePhase.FAILED:
            return
        unmet = run.healthy is not None and bool(gates.unmet(self.rollout, number))
        if self.counts(number).get(SlotState.FAILED, 0) <= run.allowed and not unmet:
            self._enter(Phase.PROGRESSING, "what had failed is healthy")

    def _catch_up(self) -> None:
        """Clusters of stages that are done, which were offline or have joined since, are given the revision too."""
        clusters = self.rollout.plan.clusters
        names = turns.late(self.rollout)
        self._release(tuple(name for name in names if not gates.of_cluster(self.rollout, name, clusters[name])))

    def _roll_back(self, reason: str, asked: Asked | None = None) -> None:
        """Sends back everybody who should have anything else than what the last completed rollout gave."""
        wanted = asked.to if asked is not None else {}
        to = restores(self.rollout, wanted)
        plan = self.rollout.plan
        clusters = dict(plan.clusters)
        for name in wanted.keys() & clusters.keys():
            clusters[name] = msgspec.structs.replace(clusters[name], restore=wanted[name])
        newest_first = [name for stage in reversed(plan.stages) for name in stage.clusters if name in to]
        self.change(plan=msgspec.structs.replace(plan, clusters=clusters), freed=False, ended=None)
        self._enter(Phase.ROLLING_BACK, reason, asked.by if asked is not None else "")
        untouched, before = Slot(released=plan.at), self.rollout.slots
        nowhere = before.keys() - wanted.keys() if wanted else {name for name in before if not clusters[name].restore}
        for name in nowhere:
            if before[name].released is not None and before[name].state is not SlotState.SKIPPED:
                kept = "it has had nothing before that it could go back to"
                self.slot(name, msgspec.structs.replace(before[name], state=SlotState.KEPT, reason=kept))
        order = (*newest_first, *sorted(to.keys() - set(newest_first)))
        self.slots({name: slots.sent_back(before.get(name, untouched), self.now) for name in order})
        self.move(tuple(name for name in order if not self.rollout.slots[name].left))
        self._come_back()

    def _come_back(self) -> None:
        strategy, before = self.rollout.plan.strategy, self.rollout.slots
        for name in [name for name, slot in before.items() if slot.back is not None and slots.may_change(slot)]:
            self.slot(name, slots.judged(before[name], strategy.deadline, strategy.offline.after, self.now))
        if all(slot.state is not SlotState.RESTORING for slot in self.rollout.slots.values()):
            self.end(Phase.ROLLED_BACK, self.rollout.reason, self.rollout.by)

    def end(self, phase: Phase, reason: str, by: str = "") -> None:
        """Nothing of it happens any more."""
        self._enter(phase, reason, by)
        self.change(ended=self.now)
        self._catch_up()

    # The only ways from one phase to another.

    def _enter_stage(self, number: int, phase: StagePhase, **changes: Any) -> None:
        before = self.rollout.stages[number].phase
        if (before, phase) not in _STAGE_ALLOWED:
            raise AssertionError(f"a stage cannot go from {before} to {phase}")
        self.stage(number, phase=phase, **changes)

    def _enter(self, phase: Phase, reason: str, by: str = "") -> None:
        before = self.rollout.phase
        if (before, phase) not in _ALLOWED:
            raise AssertionError(f"a rollout cannot go from {before} to {phase}")
        self.change(phase=phase, reason=reason, by=by)
        severity, words = WORDS[phase]
        self.say(phase.lower(), severity, words + because(reason), by, f"{self.now}")
