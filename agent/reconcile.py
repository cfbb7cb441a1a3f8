"""One assignment of one unit against the cluster: look, plan, apply, prune, watch for drift.

`attempt` makes one pass and returns; it keeps between passes what makes the next one cheap. When to make a pass, and
what to tell the hub, is the unit's business.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.applier import Applier, Lanes
from agent.cache import Change
from agent.consent import Consents
from agent.domain import applyset, blocking, claims, consent, resting
from agent.domain import drift as drifts
from agent.domain.blocking import Stops
from agent.domain.desired import Desired, Key
from agent.domain.outcome import Outcome, Pass, Retry
from agent.domain.plan import Known, Plan, plan
from agent.domain.reach import account_user
from agent.domain.stepping import Step
from agent.domain.verdict import Aftermath, Verdict, named, stops, verdict
from agent.examiner import Examiner, News
from agent.hookrun import HookRun
from agent.inbox import Delivery
from agent.judging import Judge
from agent.looking import Look
from agent.standing import Standing
from agent.survey import Survey
from agent.tools import Tools
from agent.view import View
from agent.vigil import Vigil
from shared.messages import Action, Blocker, Drift, ObjectStatus, Phase
from shared.model import Health, Manifest, ObjectRef

_WRITES = (Action.CREATED, Action.CONFIGURED, Action.PRUNED)


class Result(msgspec.Struct, frozen=True):
    """What a pass came to."""

    verdict: Verdict
    done: dict[ObjectRef, Action] = {}
    drift: News = ()
    retry_soon: bool = False
    retry_slowly: bool = False
    retry_after: float | None = None


class Reconciler:
    """Makes the passes for one delivery. Not to be used by two tasks at once."""

    def __init__(
        self,
        tools: Tools,
        delivery: Delivery,
        applied: dict[Key, str],
        consents: Consents,
        previous: Reconciler | None = None,
    ) -> None:
        """`applied` (digests of what was last applied, by object) and `consents` are shared by a unit's generations."""
        self.assignment = delivery.assignment
        self._tools = tools
        self._applied = applied
        self.consents = consents
        self._unit = delivery.assignment.unit
        self._policy = delivery.assignment.policy
        self._set_id = tools.inventory.set_id(self._unit)
        kube = tools.kube.acting_as(account_user(self._policy.service_account, self._unit.namespace))
        self._applier = Applier(kube, tools.clock, Lanes(tools.settings.concurrency, tools.lanes))
        self._survey = Survey(tools.kube, tools.cache)
        self._view: View = previous._view if previous else View(tools.cache, tools.clock, self._set_id)
        same_user = previous is not None and previous._policy.service_account == self._policy.service_account
        vigil: Vigil = previous._examiner.vigil if previous and same_user else Vigil(kube, tools.clock)
        if previous and previous._policy.ignore != self._policy.ignore:
            vigil.compare_anew()
        self._examiner: Examiner = Examiner(vigil, self._view, self._survey, self._policy)
        self._hooks: HookRun = HookRun(tools.inventory, self._view, delivery, previous._hooks if previous else None)
        self._look = Look(tools, delivery, applied, self._hooks, self._view, self._survey, self._examiner)
        judge = Judge(self._policy.health, tools.evaluator)
        self._standing = Standing(self._unit, self._look, self._hooks, self._view, judge, tools.diagnosis, applied)
        if previous:
            self._look.take_over(previous._look, previous._rested() if previous._policy == self._policy else {})
            self._standing.take_over(previous._standing, same_rules=previous._policy.health == self._policy.health)
        self._stops = Stops()
        self._verdict = Verdict(Phase.APPLYING)
        self._at_rest = False
        """Nothing can be done before something drifts or a retry is due."""

    def _rested(self) -> dict[Key, Desired]:
        """Objects that a newer assignment need not look at; none unless all is applied."""
        if not self._at_rest or self._verdict.phase is not Phase.APPLIED or self._hooks.wanted:
            return {}
        look = self._look
        doubtful = {*look.suspects, *look.examined, *look.released, *self._examiner.in_question()}
        doubtful.update(each.ref.key for each in self._standing.plan.skipped)
        doubtful.update(key for key, each in look.desired.items() if not self._view.settled(each.ref))
        return resting.rested(look.desired, self._applied, doubtful, self._standing.judged)

    # --- what the unit asks ---------------------------------------------------------------------------------------

    @property
    def disturbed(self) -> bool:
        """Whether there is something to look at, or to go on with."""
        return not self._at_rest or bool(self._look.suspects)

    def heard(self, change: Change) -> bool:
        """Takes note of a change; returns whether it calls for an attempt."""
        key = change.ref.key
        if self._hooks.found:
            self._hooks.heard(key, None if change.deleted else self._tools.cache.get(change.ref))
        if self._view.changed(key, None if change.deleted else self._tools.cache.version(change.ref)):
            self._standing.changed(key)
            self._look.suspects.add(key)
            return True
        return not self._at_rest

    def next_correction(self) -> float | None:
        """When held drift may be corrected next, in unix seconds; None when there is none or other work comes first."""
        return self._examiner.next_due() if self._at_rest else None

    def drift(self) -> tuple[Drift, ...]:
        """For the report."""
        return self._examiner.vigil.records()

    def fight(self) -> str:
        """Who keeps changing what back, empty when nobody does; for the report."""
        return next(iter(self._examiner.vigil.fights()), "")

    def warnings(self) -> tuple[str, ...]:
        """For the report: what is not as it should be but stops nothing."""
        fights = self._examiner.vigil.fights()
        return (*self._survey.warnings.values(), *fights, *self._standing.warnings())[:50]

    def objects(self) -> tuple[ObjectStatus, ...]:
        """Every object with its health, and what the last pass did to it."""
        return self._standing.objects()

    def blockers(self, objects: Sequence[ObjectStatus]) -> list[Blocker]:
        """For the report: what is in the way, and what would let it go on."""
        return blocking.blockers(self._stops, objects)

    # --- a pass ---------------------------------------------------------------------------------------------------

    async def attempt(self, *, full: bool) -> Result | None:
        """One pass. Unless `full`, only what was heard of is looked at, and None means that all is well.

        Raises:
            ApiError: the cluster does not answer; what was done is remembered.
            InvalidMessage: what was kept on the cluster of its hooks is damaged.
        """
        await self._standing.judge()
        if self._at_rest and not full:
            if not await self._disturbed():
                news = self._examiner.news()
                return Result(self._verdict, drift=news) if news else None
        else:
            waits = self._tools.waits_for(self._unit, self._policy.depends_on)
            if waits and not self.assignment.removed:
                self._stops = Stops(depends_on=waits)
                return Result(Verdict(Phase.BLOCKED, f"waits: {waits[0][1]}", waits_for_units=True))
        self._at_rest = False
        known = await self._look.around(self.consents.granted)
        if self.assignment.removed and self._policy.deletion.on_delete == "orphan":
            return await self._let_go()
        work = self._planned(known)
        if self.consents.weigh(self.assignment, work.blocked):
            known = msgspec.structs.replace(known, granted=self.consents.granted)
            work = self._planned(known)
            self.consents.weigh(self.assignment, work.blocked)
        self._standing.plan, self._hooks.found = work, work.hooks
        passed = await self._apply(work.steps, known)
        return await self._conclude(work, passed, known)

    async def _disturbed(self) -> bool:
        """Looks at the suspects of a unit at rest. True when there is something to do."""
        heard_of = self._look.disturbed()
        suspects, self._look.suspects = self._look.suspects, set()
        # Should a newer assignment end this pass, it has to know whom we were looking at.
        self._look.examined |= suspects
        await self._examiner.examine(heard_of)
        hooked = any(self._hooks.awaits(key) for key in suspects)
        awaited = [ref for ref, _, _ in self._stops.held if ref.key in suspects]
        freed = any([(await self._standing.up(ref)).health is Health.HEALTHY for ref in awaited])
        apart = self._look.desired.keys() | self._hooks.wanted.keys()
        strangers = any(key not in apart and self._is_member(key) for key in suspects)
        self._look.examined.clear()
        return strangers or hooked or freed or bool(self._examiner.to_correct())

    def _is_member(self, key: Key) -> bool:
        return any(ref.key == key for ref in self._view.members())

    def _planned(self, known: Known) -> Plan:
        every = [*self._look.desired.values(), *self._hooks.wanted.values()]
        wanted = [each for each in every if each.ref.key not in self._look.released]
        work = plan(wanted, known, self._policy, self._examiner.same, removed=self.assignment.removed)
        undeleted = self._standing.undeleted
        for key in undeleted.keys() - known.live.keys():
            del undeleted[key]
        return work

    async def _apply(self, steps: Sequence[Step], known: Known) -> Pass:
        if steps:
            refs = [each.ref for each in (*self._look.desired.values(), *self._hooks.wanted.values())]
            inventory = self._tools.inventory
            await inventory.widen(self._unit, applyset.scope_of(refs, inventory.parent(self._unit)))
            if self._hooks.wanted:
                await self._hooks.note()

        def force(each: Desired) -> bool:
            live = known.live.get(each.ref.key)
            ours = each.ref.key in known.applied or (
                live is not None and applyset.part_of(live) in {self._set_id, *known.inherited}
            )
            return ours or self._policy.adopt == "always"

        # Ignored fields are left to those who own them.
        sent = [
            msgspec.structs.replace(
                step, objects=tuple(self._yielded(each, known.live.get(each.ref.key)) for each in step.objects)
            )
            for step in steps
        ]
        return await self._applier.apply(sent, known.live, force, self._standing.up, self._done)

    def _yielded(self, each: Desired, live: Manifest | None) -> Desired:
        return msgspec.structs.replace(each, manifest=drifts.without_ignored(each.manifest, live, self._policy.ignore))

    def _done(self, outcome: Outcome) -> None:
        """An object was dealt with. Noted at once: the pass may be cancelled the next moment."""
        self._standing.dealt_with(outcome)
        if outcome.live is None:
            return
        key = outcome.ref.key
        if self._view.wrote(outcome.ref, outcome.live):
            self._look.suspects.discard(key)
        if key in self._hooks.wanted:
            return
        self._applied[key] = outcome.digest
        self._tools.keeper.keep_applied(self._unit, self._applied)
        self._examiner.applied(key, outcome.live, outcome.digest)

    async def _conclude(self, work: Plan, passed: Pass, known: Known) -> Result:
        outcomes = list(passed.outcomes.values())
        if passed.clean and not work.waiting and not work.refused and not self._look.refused:
            deleted = await self._prune(work, known)
            passed.outcomes.update({each.ref.key: each for each in deleted})
            outcomes += deleted
            gone = not deleted and not work.leaving and not (self.assignment.removed and work.blocked)
            if gone:
                passed.add(await self._apply(work.after, known))
        passed.add(await self._apply(work.at_failure, known))
        self._hooks.look()
        await self._standing.judge()
        after = self._aftermath(work, passed)
        found = verdict(after)
        if found.phase is Phase.APPLIED:
            found = await self._finish()
        persistent = any(each.retry is Retry.SLOWLY for each in outcomes if each.failed) or self._hooks.failed()
        giving_up = bool(found.phase is Phase.FAILED and persistent) and self._hooks.give_up(found.reason)
        await self._tidy()
        self._stops = stops(after)
        unfinished = bool(passed.gate or work.waiting or work.prune or work.leaving or giving_up)
        unfinished = unfinished or bool(self._hooks.unfinished())
        # What failed is tried again in its own time, not whenever some status changes.
        stuck = found.phase in (Phase.FAILED, Phase.BLOCKED)
        self._at_rest = not passed.cluster_down and not giving_up and (stuck or not unfinished)
        self._verdict = found
        if self._at_rest:
            # What could not be put right now is not tried again without a pause.
            self._examiner.vigil.tried(self._examiner.to_correct())
        return Result(
            found,
            {each.ref: each.action for each in (*outcomes, *passed.outcomes.values()) if each.action in _WRITES},
            self._examiner.news(),
            retry_soon=passed.retry is Retry.SOON or unfinished or not self._look.all_served,
            retry_slowly=stuck,
            retry_after=max((each.retry_after for each in outcomes if each.retry_after), default=None),
        )

    def _aftermath(self, work: Plan, passed: Pass) -> Aftermath:
        awaiting = self.consents.awaiting
        return Aftermath(
            work,
            passed,
            self._look.refused,
            self._hooks.failed(),
            self._hooks.unfinished(),
            unconfirmed=consent.explained(self._unit, awaiting) if awaiting is not None else "",
            stuck=self._standing.health(work.leaving[0]).reason if work.leaving else "",
        )

    async def _tidy(self) -> None:
        """Writes down how far the hooks are, then deletes those that have served, as their policy says."""
        if self.assignment.removed and not self._hooks.unfinished():
            return
        await self._hooks.note()
        refs, live = self._hooks.spent()
        for outcome in await self._applier.prune(refs, live):
            if outcome.failed:
                self._survey.warnings[str(outcome.ref)] = f"the hook {outcome.ref} has served and {outcome.reason}"
            else:
                self._view.deleted(outcome.ref)

    async def _prune(self, work: Plan, known: Known) -> list[Outcome]:
        """Deletes the next group, unless an earlier one is not gone yet."""
        if not work.prune or work.leaving:
            return []
        undeleted = self._standing.undeleted
        # A group of which all that is left cannot be deleted holds up the next one no longer.
        group = next((each for each in work.prune if any(ref.key not in undeleted for ref in each)), ())
        failing = [ref for each in work.prune for ref in each if ref.key in undeleted and ref not in group]
        outcomes = await self._applier.prune((*group, *failing), known.live)
        for outcome in outcomes:
            if outcome.failed:
                undeleted[outcome.ref.key] = outcome
                continue
            undeleted.pop(outcome.ref.key, None)
            self._view.deleted(outcome.ref)
            self._applied.pop(outcome.ref.key, None)
        self._tools.keeper.keep_applied(self._unit, self._applied)
        return outcomes

    async def _finish(self) -> Verdict:
        """Everything is applied and everything else is gone."""
        if self.assignment.removed:
            return await self._leave()
        self._hooks.end()
        desired, inventory = self._look.desired, self._tools.inventory
        for key in [key for key in self._applied if key not in desired]:
            del self._applied[key]
        work = self._standing.plan
        for each in work.unchanged:
            self._applied.setdefault(each.ref.key, each.digest)
        refs = [wanted.ref for wanted in (*desired.values(), *self._hooks.wanted.values())]
        refs += [kept.ref for kept in work.kept]
        await inventory.narrow(self._unit, applyset.scope_of(refs, inventory.parent(self._unit)))
        self._tools.keeper.keep_applied(self._unit, self._applied)
        return Verdict(Phase.APPLIED)

    async def _leave(self) -> Verdict:
        """Nothing of the unit is left but what is known of it."""
        if self._hooks.wanted:
            # Should we die among the next requests, no hook that is gone then is run again.
            self._hooks.end()
            await self._hooks.note()
        await self._forget_hooks()
        await self._tools.inventory.remove(self._unit)
        self._applied.clear()
        self._tools.keeper.forget(self._unit)
        return Verdict(Phase.REMOVED)

    async def _forget_hooks(self) -> None:
        """Deletes the hooks that ran when the application left: nobody will look after them."""
        live = {each.ref.key: self._view.get(each.ref) for each in self._hooks.wanted.values()}
        there = {key: found for key, found in live.items() if found is not None}
        refs = [each.ref for key, each in self._hooks.wanted.items() if key in there]
        await self._applier.prune(refs, there)

    async def _let_go(self) -> Result:
        """Leaves the objects and forgets them, as deletion.onDelete says."""
        self._standing.plan = Plan()
        members = [ref for ref in self._view.members() if self._is_free(ref)]
        failed = [each for each in await self._applier.release(members, self._set_id) if each.failed]
        if failed:
            self._at_rest = True
            self._verdict = Verdict(Phase.FAILED, named(failed))
            return Result(self._verdict, retry_soon=True)
        await self._leave()
        return Result(Verdict(Phase.REMOVED, "its objects stay, as deletion.onDelete or placement.onLeave says"))

    def _is_free(self, ref: ObjectRef) -> bool:
        """Whether the object is a member in its own right: labels are copied to what controllers make of it."""
        live = self._view.get(ref)
        return live is not None and not claims.controlled_by(live)
