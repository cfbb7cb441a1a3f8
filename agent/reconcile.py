"""One assignment of one unit against the cluster: look, plan, apply, prune, watch for drift.

`attempt` makes one pass and returns; it keeps between passes what makes the next one cheap. When to make a pass, and
what to tell the hub, is the unit's business.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.applier import Applier, Lanes, Outcome, Pass, Retry
from agent.cache import Change, LiveCache
from agent.consent import Consents
from agent.diagnosis import Diagnosis
from agent.domain import applyset, blocking, claims, consent, hints, hooks
from agent.domain import drift as drifts
from agent.domain.blocking import Stops
from agent.domain.desired import Desired, Key, Refused, prepare
from agent.domain.hooks import Moment
from agent.domain.plan import Known, Plan, plan
from agent.domain.reach import account_user, within
from agent.domain.stepping import Step
from agent.hookrun import HookRun
from agent.inbox import Delivery
from agent.inventory import Inventory
from agent.judging import Judge
from agent.keeper import Keeper
from agent.kube.client import Kube
from agent.kube.errors import Forbidden
from agent.reporter import Reporter
from agent.settings import AgentSettings
from agent.survey import Survey
from agent.view import View
from agent.vigil import Vigil, described
from shared.messages import Action, Blocker, Drift, ObjectStatus, Phase
from shared.model import Health, HealthStatus, Manifest, ObjectRef, UnitKey
from shared.tasks import Clock

CONFIRMING = 8
"""Dry runs in flight while drift is confirmed."""
_WRITES = (Action.CREATED, Action.CONFIGURED, Action.PRUNED)
BREATH = 200
"""Objects that are compared before others get the event loop."""


@dataclass(frozen=True)
class Tools:
    """What all units of an agent share."""

    kube: Kube
    cache: LiveCache
    inventory: Inventory
    reporter: Reporter
    diagnosis: Diagnosis
    keeper: Keeper
    clock: Clock
    settings: AgentSettings
    lanes: asyncio.Semaphore
    """Writes in flight over all units."""
    waits_for: Callable[[UnitKey, tuple[str, ...]], tuple[tuple[str, str], ...]]
    """Which of these applications a unit that depends on them has to wait for, and why."""
    state_changed: Callable[[UnitKey], None]
    heirs: Callable[[UnitKey], frozenset[str]]
    """The ApplySets of units that take the place of this one."""
    on_hold: Callable[[], str] = str
    """Why nothing may be written now; empty when it may."""


class Verdict(msgspec.Struct, frozen=True):
    """Where the assignment stands, as far as applying goes."""

    phase: Phase
    reason: str = ""
    waits_for_units: bool = False


class Result(msgspec.Struct, frozen=True):
    """What a pass came to. `drift` are pairs of a record and a line about it."""

    verdict: Verdict
    done: dict[ObjectRef, Action] = {}
    drift: tuple[tuple[Drift, str], ...] = ()
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
        farewell: Sequence[Manifest] = (),
    ) -> None:
        """`applied` (digests of what was last applied, by object) and `consents` are shared by a unit's generations.

        `farewell` are the hooks that run when the application leaves.
        """
        self.assignment = delivery.assignment
        self._tools = tools
        self._delivery = delivery
        self._applied = applied
        self.consents = consents
        self._unit = delivery.assignment.unit
        self._policy = delivery.assignment.policy
        self._set_id = tools.inventory.set_id(self._unit)
        self._survey = Survey(tools.kube, tools.cache)
        kube = tools.kube.acting_as(account_user(self._policy.service_account, self._unit.namespace))
        self._applier = Applier(kube, tools.clock, Lanes(tools.settings.concurrency, tools.lanes))
        self._view: View = previous._view if previous else View(tools.cache, tools.clock, self._set_id)
        same_user = previous is not None and previous._policy.service_account == self._policy.service_account
        self._vigil: Vigil = previous._vigil if previous and same_user else Vigil(kube, tools.clock)
        if previous and previous._policy.ignore != self._policy.ignore:
            self._vigil.compare_anew()
        self._desired: dict[Key, Desired] | None = None
        self._refused: list[Refused] = []
        self._all_served = False
        self._plan = Plan()
        self._undeleted: dict[Key, Outcome] = {}
        """Deletions that failed: remembered until they succeed, so that they hold up no others."""
        self._released: frozenset[Key] = frozenset()
        """Objects that a unit has taken over which takes the place of this one."""
        self._inherited = frozenset(map(self._set_id_of, delivery.assignment.succeeds))
        self._outcomes: dict[Key, Outcome] = {}
        alike = previous if previous and previous._policy.health == self._policy.health else None
        self._by_rules: Judge = alike._by_rules if alike else Judge(self._policy.health, tools.clock)
        self._judged: dict[Key, HealthStatus] = dict(alike._judged) if alike else {}
        self._hooks = HookRun(tools.inventory, self._view, delivery, farewell)
        self._stops = Stops()
        self._said_by_server: dict[ObjectRef, tuple[str, ...]] = previous._said_by_server if previous else {}
        """Its warnings about objects it took."""
        self._suspects: set[Key] = set()
        self._verdict = Verdict(Phase.APPLYING)
        self._at_rest = False
        """Nothing can be done before something drifts or a retry is due."""
        self._drift_news: list[tuple[Drift, str]] = []

    # --- what the unit asks ---------------------------------------------------------------------------------------

    def heard(self, change: Change) -> bool:
        """Takes note of a change; returns whether it calls for an attempt."""
        key = change.ref.key
        if self._hooks.found:
            self._hooks.heard(key, None if change.deleted else self._tools.cache.get(change.ref))
        if self._view.changed(key, None if change.deleted else self._tools.cache.version(change.ref)):
            self._judged.pop(key, None)
            self._suspects.add(key)
            return True
        return not self._at_rest

    def next_correction(self) -> float | None:
        """When held drift may be corrected next, in unix seconds; None when there is none or other work comes first."""
        return self._vigil.next_due(self._policy) if self._at_rest else None

    def drift(self) -> tuple[Drift, ...]:
        """For the report."""
        return self._vigil.records()

    def fight(self) -> str:
        """Who keeps changing what back, empty when nobody does; for the report."""
        return next(iter(self._vigil.fights()), "")

    def warnings(self) -> tuple[str, ...]:
        """For the report: what is not as it should be but stops nothing."""
        kept = [f"{each.ref} left the bundle and stays: {each.reason}" for each in self._plan.kept]
        skipped = [f"{each.ref} is not applied: {each.reason}" for each in self._plan.skipped]
        said = [f"{ref}: {text}" for ref, texts in self._said_by_server.items() for text in texts]
        return (*self._survey.warnings.values(), *self._vigil.fights(), *said, *kept, *skipped)[:50]

    def objects(self) -> tuple[ObjectStatus, ...]:
        """Every object with its health, and what the last pass did to it."""
        apart = {each.ref.key for each in self._plan.skipped} | self._released
        desired = [self._status(each) for key, each in (self._desired or {}).items() if key not in apart]
        refused = [ObjectStatus(each.ref, Health.MISSING, each.reason, Action.FAILED) for each in self._refused]
        blocked = [
            ObjectStatus(each.ref, self._health(each.ref).health, each.reason, Action.SKIPPED)
            for each in self._plan.blocked
        ]
        leaving = [
            ObjectStatus(ref, Health.PROGRESSING, self._health(ref).reason or "is being deleted", Action.PENDING)
            for ref in self._plan.leaving
        ]
        undeleted = [
            ObjectStatus(each.ref, self._health(each.ref).health, each.reason, Action.FAILED)
            for each in self._undeleted.values()
        ]
        every = (*desired, *self._hooks.objects(), *refused, *blocked, *leaving, *undeleted)
        return self._tools.diagnosis.explained(self._unit, every)

    def blockers(self, objects: Sequence[ObjectStatus]) -> list[Blocker]:
        """For the report: what is in the way, and what would let it go on."""
        return blocking.blockers(self._stops, objects)

    def _status(self, each: Desired) -> ObjectStatus:
        key = each.ref.key
        verdict = self._health(each.ref)
        outcome = self._outcomes.get(key)
        refused = next((other.reason for other in self._plan.refused if other.ref.key == key), "")
        if refused:
            return ObjectStatus(each.ref, verdict.health, refused, Action.FAILED)
        if outcome is None:
            action = Action.UNCHANGED if self._applied.get(key) == each.digest else Action.PENDING
            return ObjectStatus(each.ref, verdict.health, verdict.reason, action)
        return ObjectStatus(each.ref, verdict.health, outcome.reason or verdict.reason, outcome.action)

    def _health(self, ref: ObjectRef) -> HealthStatus:
        """Judged once per change: decoding a live object costs more than judging it."""
        verdict = self._judged.get(ref.key)
        if verdict is None:
            live = self._view.get(ref)
            if live is None:  # not kept: it says more about us than about the object
                return self._absent(ref.key)
            verdict = self._judged[ref.key] = self._by_rules.verdict(live)
        return verdict

    def _absent(self, key: Key) -> HealthStatus:
        each = (self._desired or {}).get(key)
        if each is None or self._applied.get(key) != each.digest:
            return HealthStatus(Health.PROGRESSING, "is not applied yet")
        return (
            HealthStatus(Health.HEALTHY)
            if hints.vanishes(each.manifest)
            else HealthStatus(Health.MISSING, "is not there")
        )

    # --- a pass ---------------------------------------------------------------------------------------------------

    async def attempt(self, *, full: bool) -> Result | None:
        """One pass. Unless `full`, only what was heard of is looked at, and None means that all is well.

        Raises:
            ApiError: the cluster does not answer; what was done is remembered.
        """
        if self._at_rest and not full:
            if not await self._drifted():
                news, self._drift_news = self._drift_news, []
                return Result(self._verdict, drift=tuple(news)) if news else None
        else:
            waits = self._tools.waits_for(self._unit, self._policy.depends_on)
            if waits and not self.assignment.removed:
                self._stops = Stops(depends_on=waits)
                return Result(Verdict(Phase.BLOCKED, f"waits: {waits[0][1]}", waits_for_units=True))
        self._at_rest = False
        desired, known = await self._look()
        if self.assignment.removed and self._policy.deletion.on_delete == "orphan":
            return await self._let_go()
        work = self._planned(desired, known)
        if self.consents.weigh(self.assignment, work.blocked):
            known = msgspec.structs.replace(known, granted=self.consents.granted)
            work = self._planned(desired, known)
            self.consents.weigh(self.assignment, work.blocked)
        self._plan, self._hooks.found = work, work.hooks
        passed = await self._apply(work.steps, known)
        return await self._conclude(work, passed, desired, known)

    def _planned(self, desired: Mapping[Key, Desired], known: Known) -> Plan:
        every = [*desired.values(), *self._hooks.wanted.values()]
        wanted = [each for each in every if each.ref.key not in self._released]
        work = plan(wanted, known, self._policy, self._same, removed=self.assignment.removed)
        gone = self._undeleted.keys() - known.live.keys()
        self._undeleted = {key: each for key, each in self._undeleted.items() if key not in gone}
        return work

    def _set_id_of(self, unit: str) -> str:
        namespace, _, application = unit.partition("/")
        return self._tools.inventory.set_id(UnitKey(self._unit.cluster, namespace, application))

    def _same(self, each: Desired, live: Manifest) -> bool:
        return self._vigil.same(each, live, self._policy)

    async def _drifted(self) -> bool:
        """Looks at the suspects of a unit at rest. True when there is something to put right."""
        suspects, self._suspects = self._suspects, set()
        desired = self._desired or {}
        await self._examine(desired[key] for key in suspects if key in desired)
        hooked = any(self._hooks.awaits(key) for key in suspects)
        freed = any(self._up(ref).health is Health.HEALTHY for ref, _, _ in self._stops.held if ref.key in suspects)
        apart = desired.keys() | self._hooks.wanted.keys()
        strangers = any(key not in apart and self._is_member(key) for key in suspects)
        return strangers or hooked or freed or bool(self._vigil.standing() - self._vigil.held(self._policy))

    def _is_member(self, key: Key) -> bool:
        return any(ref.key == key for ref in self._view.members())

    async def _look(self) -> tuple[dict[Key, Desired], Known]:
        """What is desired, what is there, and what has drifted."""
        scope = await self._tools.inventory.scope(self._unit)
        if self._applied and not await self._tools.inventory.exists(self._unit):
            # A cluster made anew under its old name: what we know of the old one is no drift here.
            self._applied.clear()
        if self._desired is None or not self._all_served:
            manifests = self._delivery.bundle.manifests or self._hooks.farewell
            prepared, wrong = prepare(manifests, self._unit, self._set_id, self._survey.namespaced)
            prepared, unreachable = within(prepared, self._tools.settings.namespace_scope)
            self._refused = [*wrong, *unreachable]
            self._desired = self._hooks.take(prepared)
            self._vigil.restrict(set(self._desired))
        desired = self._desired
        run = [each for each in self._hooks.wanted.values() if not hooks.never(each.manifest)]
        kept = [each for each in (*desired.values(), *run) if not hints.not_applied(each.manifest)]
        self._all_served = await self._survey.watch(kept, scope.kinds)
        live: dict[Key, Manifest] = {}
        for ref in self._view.members():
            if (
                ref.key not in desired
                and ref.key not in self._hooks.wanted
                and (stranger := self._view.get(ref)) is not None
            ):
                live[ref.key] = stranger
        missing = []
        for each in kept:
            found = self._view.get(each.ref)
            if found is not None:
                live[each.ref.key] = found
            else:
                missing.append(each.ref)
        missing = await self._without_new_namespace(missing)
        live |= await self._survey.standing(missing)
        self._suspects.clear()
        heirs = self._tools.heirs(self._unit)
        taken = (key for key, found in live.items() if applyset.part_of(found) in heirs) if heirs else ()
        self._released = frozenset(taken)
        kept = [each for each in kept if each.ref.key not in self._released]
        await self._examine(self._to_examine(kept, live), live)
        there = any(claims.is_ours(each, self._set_id) and not hints.is_hook(each) for each in live.values())
        known = Known(
            self._set_id,
            live,
            dict(self._applied),
            self._vigil.held(self._policy),
            await self._hooks.begin(anything_there=there),
            overdue=self._tools.clock.now() > self._delivery.received + self._policy.timeout,
            granted=self.consents.granted,
            inherited=self._inherited,
        )
        return desired, known

    def _to_examine(self, kept: Iterable[Desired], live: Mapping[Key, Manifest]) -> Iterator[Desired]:
        """What was applied as it is desired now. Drift that stands is known already, unless it is over."""
        standing = self._vigil.standing()
        for each in kept:
            key = each.ref.key
            if self._applied.get(key) != each.digest or key in self._hooks.wanted:
                continue
            if key not in standing:
                yield each
            elif (found := live.get(key)) is not None and self._same(each, found):
                self._vigil.over(key)

    async def _without_new_namespace(self, missing: list[ObjectRef]) -> list[ObjectRef]:
        """Makes the unit's namespace if need be; nothing can stand in one that was just made."""
        home = self._unit.namespace
        inside = [ref for ref in missing if ref.namespace == home]
        declared = ("", "Namespace", "", home) in (self._desired or {})
        limited = self._tools.settings.namespace_scope  # then namespaces are somebody else's business
        if not inside or declared or limited or not self._policy.create_namespace:
            return missing
        ref = ObjectRef("v1", "Namespace", "", home)
        try:
            if await self._tools.kube.get(ref) is None:
                labels = {"app.kubernetes.io/managed-by": "yardarm"}
                manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": home, "labels": labels}}
                await self._tools.kube.apply(manifest)
                missing = [each for each in missing if each.namespace != home]
        except Forbidden as error:
            # Limited to some namespaces: then it is there, or the objects will say that it is not.
            self._survey.warnings["namespace"] = f"cannot look after namespace {home}: {error}"
        return missing

    async def _examine(self, candidates: Iterable[Desired], live: dict[Key, Manifest] | None = None) -> None:
        gate = asyncio.Semaphore(CONFIRMING)

        async def one(each: Desired, found: Manifest | None) -> None:
            async with gate:
                news = await self._vigil.examine(each, found, self._policy)
                if news is not None:
                    self._drift_news.append((news, described(news)))

        async with asyncio.TaskGroup() as group:
            for number, each in enumerate(candidates):
                if number % BREATH == BREATH - 1:
                    await asyncio.sleep(0)
                found = live.get(each.ref.key) if live is not None else await self._current(each.ref)
                if found is None or not self._same(each, found) or each.ref.key in self._vigil.standing():
                    group.create_task(one(each, found))

    async def _current(self, ref: ObjectRef) -> Manifest | None:
        """An object as it is. One that only lost our label is gone from the cache, but it is there."""
        return self._view.get(ref) or (await self._survey.standing([ref])).get(ref.key)

    async def _apply(self, steps: Sequence[Step], known: Known) -> Pass:
        if steps:
            refs = [each.ref for each in (*(self._desired or {}).values(), *self._hooks.wanted.values())]
            await self._tools.inventory.widen(
                self._unit, applyset.scope_of(refs, self._tools.inventory.parent(self._unit))
            )
            if self._hooks.wanted:
                await self._hooks.note()

        def force(each: Desired) -> bool:
            live = known.live.get(each.ref.key)
            ours = each.ref.key in known.applied or (
                live is not None and applyset.part_of(live) in {self._set_id, *self._inherited}
            )
            return ours or self._policy.adopt == "always"

        # Ignored fields are left to those who own them.
        sent = [
            msgspec.structs.replace(
                step, objects=tuple(self._yielded(each, known.live.get(each.ref.key)) for each in step.objects)
            )
            for step in steps
        ]
        return await self._applier.apply(sent, known.live, force, self._up, self._done)

    def _up(self, ref: ObjectRef, stage: int = 0) -> HealthStatus:
        """Whether others need not wait for an object any more."""
        if ref.key in self._hooks.wanted:
            return self._hooks.verdict(ref, stage)
        refused = next((each.reason for each in self._plan.refused if each.ref.key == ref.key), "")
        return HealthStatus(Health.MISSING, refused) if refused else self._health(ref)

    def _yielded(self, each: Desired, live: Manifest | None) -> Desired:
        return msgspec.structs.replace(each, manifest=drifts.without_ignored(each.manifest, live, self._policy.ignore))

    def _done(self, outcome: Outcome) -> None:
        """An object was dealt with. Noted at once: the pass may be cancelled the next moment."""
        key = outcome.ref.key
        self._judged.pop(key, None)
        if key not in self._hooks.wanted:
            self._outcomes[key] = outcome
        if outcome.live is None:
            return
        self._view.wrote(outcome.ref, outcome.live)
        if key in self._hooks.wanted:
            return
        self._said_by_server.pop(outcome.ref, None)
        if outcome.warnings:
            self._said_by_server[outcome.ref] = outcome.warnings
        self._outcomes[key] = msgspec.structs.replace(outcome, live=None)
        self._applied[key] = outcome.digest
        self._tools.keeper.keep_applied(self._unit, self._applied)
        corrected = self._vigil.applied(key, outcome.live, outcome.digest)
        if corrected is not None:
            self._drift_news.append((corrected, f"corrected: {described(corrected)}"))

    async def _conclude(self, work: Plan, passed: Pass, desired: dict[Key, Desired], known: Known) -> Result:
        outcomes = list(passed.outcomes.values())
        if passed.clean and not work.waiting and not work.refused and not self._refused:
            deleted = await self._prune(work, known)
            passed.outcomes.update({each.ref.key: each for each in deleted})
            outcomes += deleted
            gone = not deleted and not work.leaving and not (self.assignment.removed and work.blocked)
            if gone:
                passed.add(await self._apply(work.after, known))
        passed.add(await self._apply(work.at_failure, known))
        self._hooks.look()
        verdict = self._verdict_on(work, passed)
        if verdict.phase is Phase.APPLIED:
            verdict = await self._finish(desired)
        persistent = any(each.retry is Retry.SLOWLY for each in outcomes if each.failed) or self._hooks.failed()
        giving_up = bool(verdict.phase is Phase.FAILED and persistent) and self._hooks.give_up(verdict.reason)
        await self._tidy()
        news, self._drift_news = self._drift_news, []
        self._stops = self._in_the_way(work, passed)
        unfinished = bool(passed.held or work.waiting or work.prune or work.leaving or giving_up)
        unfinished = unfinished or bool(self._hooks.unfinished())
        # What failed is tried again in its own time, not whenever some status changes.
        stuck = verdict.phase in (Phase.FAILED, Phase.BLOCKED)
        self._at_rest = not passed.cluster_down and not giving_up and (stuck or not unfinished)
        self._verdict = verdict
        if self._at_rest:
            # What could not be put right now is not tried again without a pause.
            self._vigil.tried(self._vigil.standing() - self._vigil.held(self._policy))
        return Result(
            verdict,
            {each.ref: each.action for each in (*outcomes, *passed.outcomes.values()) if each.action in _WRITES},
            tuple(news),
            retry_soon=passed.retry is Retry.SOON or unfinished or not self._all_served,
            retry_slowly=stuck,
            retry_after=max((each.retry_after for each in outcomes if each.retry_after), default=None),
        )

    def _in_the_way(self, work: Plan, passed: Pass) -> Stops:
        waits = Counter(each.cause.key for each in passed.held.values())
        causes = {each.cause.key: each for each in passed.held.values()}
        failed = [Refused(each.ref, each.reason) for each in passed.outcomes.values() if each.failed]
        return Stops(
            failed=(*failed, *self._refused),
            refused=work.refused,
            waiting=work.waiting,
            leaving=work.leaving,
            unconfirmed=work.blocked,
            hooks=tuple(hook for hook in self._hooks.unfinished() if not hook.to_make),
            held=tuple((each.cause, each.reason, waits[key]) for key, each in causes.items()),
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
        # A group of which all that is left cannot be deleted holds up the next one no longer.
        group = next((each for each in work.prune if any(ref.key not in self._undeleted for ref in each)), ())
        failing = [ref for each in work.prune for ref in each if ref.key in self._undeleted and ref not in group]
        outcomes = await self._applier.prune((*group, *failing), known.live)
        for outcome in outcomes:
            if outcome.failed:
                self._undeleted[outcome.ref.key] = outcome
                continue
            self._undeleted.pop(outcome.ref.key, None)
            self._view.deleted(outcome.ref)
            self._applied.pop(outcome.ref.key, None)
        self._tools.keeper.keep_applied(self._unit, self._applied)
        return outcomes

    def _verdict_on(self, work: Plan, passed: Pass) -> Verdict:
        """Where the assignment stands after a pass: the first of these that holds."""
        failed: list[Outcome | Refused] = [each for each in passed.outcomes.values() if each.failed]
        if passed.cluster_down:
            return Verdict(Phase.APPLYING, passed.cluster_down)
        if failed or self._refused:
            return Verdict(Phase.FAILED, _named([*failed, *self._refused]))
        if over := self._hooks.failed():
            return Verdict(Phase.FAILED, f"hook {over[0].each.ref} failed: {over[0].reason}")
        if work.refused:
            return Verdict(Phase.BLOCKED, _named(work.refused))
        if waits := passed.gate or (_named(work.waiting) if work.waiting else self._going_on(work)):
            return Verdict(Phase.APPLYING, waits)
        if self.consents.awaiting is not None:
            return Verdict(Phase.BLOCKED, consent.explained(self._unit, self.consents.awaiting))
        late = self._hooks.unfinished()
        return Verdict(Phase.APPLYING, _at_work(late[0])) if late else Verdict(Phase.APPLIED)

    def _going_on(self, work: Plan) -> str:
        """What is at work of hooks and deletions; empty when only hooks after everything are left."""
        early = [each for each in self._hooks.unfinished() if each.moment not in (Moment.AFTER, Moment.LEFT)]
        if early:
            return _at_work(early[0])
        if work.prune or work.leaving:
            ref = work.leaving[0] if work.leaving else work.prune[0][0]
            stuck = self._health(ref).reason if work.leaving else ""
            return f"waits until {ref} is deleted" + (f": {stuck}" if stuck else "")
        return ""

    async def _finish(self, desired: dict[Key, Desired]) -> Verdict:
        """Everything is applied and everything else is gone."""
        inventory = self._tools.inventory
        if self.assignment.removed:
            await self._forget_hooks()
            await inventory.remove(self._unit)
            self._applied.clear()
            self._tools.keeper.forget(self._unit)
            return Verdict(Phase.REMOVED)
        self._hooks.end()
        for key in [key for key in self._applied if key not in desired]:
            del self._applied[key]
        for each in self._plan.unchanged:
            self._applied.setdefault(each.ref.key, each.digest)
        refs = [wanted.ref for wanted in (*desired.values(), *self._hooks.wanted.values())]
        refs += [kept.ref for kept in self._plan.kept]
        await inventory.narrow(self._unit, applyset.scope_of(refs, inventory.parent(self._unit)))
        self._tools.keeper.keep_applied(self._unit, self._applied)
        return Verdict(Phase.APPLIED)

    async def _forget_hooks(self) -> None:
        """Deletes the hooks that ran when the application left: nobody will look after them."""
        live = {each.ref.key: self._view.get(each.ref) for each in self._hooks.wanted.values()}
        there = {key: found for key, found in live.items() if found is not None}
        refs = [each.ref for key, each in self._hooks.wanted.items() if key in there]
        await self._applier.prune(refs, there)

    async def _let_go(self) -> Result:
        """Leaves the objects and forgets them, as deletion.onDelete says."""
        self._plan = Plan()
        members = [ref for ref in self._view.members() if self._is_free(ref)]
        failed = [each for each in await self._applier.release(members, self._set_id) if each.failed]
        if failed:
            self._at_rest = True
            self._verdict = Verdict(Phase.FAILED, _named(failed))
            return Result(self._verdict, retry_soon=True)
        await self._finish({})
        return Result(Verdict(Phase.REMOVED, "its objects stay, as deletion.onDelete or placement.onLeave says"))

    def _is_free(self, ref: ObjectRef) -> bool:
        """Whether the object is a member in its own right: labels are copied to what controllers make of it."""
        live = self._view.get(ref)
        return live is not None and not claims.controlled_by(live)


def _at_work(hook: hooks.Hook) -> str:
    return f"waits for hook {hook.each.ref}: {hook.reason or hook.stand}"


def _named(stopped: Sequence[Outcome | Refused]) -> str:
    """The first of them, with the number of the others."""
    more = f" (and {len(stopped) - 1} more objects)" if len(stopped) > 1 else ""
    return f"{stopped[0].ref}: {stopped[0].reason}{more}"
