"""How the objects of one assignment are, for the report and for others that wait: what was done last, and health."""

from __future__ import annotations

import msgspec

from agent.diagnosis import Diagnosis
from agent.domain import hints
from agent.domain.desired import Desired, Key
from agent.domain.outcome import Outcome
from agent.domain.plan import Plan
from agent.domain.secrecy import scrubbed
from agent.hookrun import HookRun
from agent.judging import Judge
from agent.looking import Look
from agent.view import View
from shared.messages import Action, ObjectStatus
from shared.model import Health, HealthStatus, ObjectRef, UnitKey

_UNASKED = HealthStatus(Health.PROGRESSING, "the application's rule for it is being asked")


class Standing:
    """Told what is planned and done; asked for the state of objects."""

    def __init__(
        self,
        unit: UnitKey,
        look: Look,
        hookrun: HookRun,
        view: View,
        judge: Judge,
        diagnosis: Diagnosis,
        applied: dict[Key, str],
    ) -> None:
        """`applied` is shared with who applies."""
        self._unit = unit
        self._look = look
        self._hooks = hookrun
        self._view = view
        self._diagnosis = diagnosis
        self._applied = applied
        self._judge = judge
        self._judged: dict[Key, HealthStatus] = {}
        self._by_rule: dict[Key, HealthStatus] = {}
        """The last verdicts by rules of the application: they stand until the next, which takes a moment to have."""
        self._asking: Key | None = None
        """The object whose rule is being asked, None when it has changed meanwhile."""
        self._outcomes: dict[Key, Outcome] = {}
        self.plan = Plan()
        """Of the last pass."""
        self.undeleted: dict[Key, Outcome] = {}
        """Deletions that failed: remembered until they succeed, so that they hold up no others."""
        self.server_said: dict[ObjectRef, tuple[str, ...]] = {}
        """Its warnings about objects it took."""

    def take_over(self, before: Standing, *, same_rules: bool) -> None:
        """Goes on from an older assignment; health that was judged still holds by the same rules."""
        self.server_said = before.server_said
        if same_rules:
            self._judge = before._judge
            self._judged = dict(before._judged)
            self._by_rule = dict(before._by_rule)

    def changed(self, key: Key) -> None:
        """An object is not what it was when it was judged."""
        self._judged.pop(key, None)
        if key == self._asking:
            self._asking = None

    def dealt_with(self, outcome: Outcome) -> None:
        """What the pass did to an object, which may be a hook's."""
        key = outcome.ref.key
        self._judged.pop(key, None)
        if key in self._hooks.wanted:
            return
        self._outcomes[key] = outcome
        if outcome.live is not None:
            # The object itself is the view's to keep.
            self._outcomes[key] = msgspec.structs.replace(outcome, live=None)
            self.server_said.pop(outcome.ref, None)
            if outcome.warnings:
                self.server_said[outcome.ref] = outcome.warnings

    def judged(self, key: Key) -> HealthStatus | None:
        """The health of a live object, if it was asked for since the last change."""
        return self._judged.get(key)

    def health(self, ref: ObjectRef) -> HealthStatus:
        """Judged once per change: decoding a live object costs more than judging it."""
        verdict = self._judged.get(ref.key)
        if verdict is None:
            live = self._view.get(ref)
            if live is None:  # not kept: it says more about us than about the object
                return self._absent(ref)
            if self._judge.rules_on(ref):
                return self._by_rule.get(ref.key, _UNASKED)
            verdict = self._judged[ref.key] = self._without_secrets(ref, self._judge.built_in(live))
        return verdict

    def _without_secrets(self, ref: ObjectRef, verdict: HealthStatus) -> HealthStatus:
        """A controller may quote in a status what it was given."""
        each = self._look.desired.get(ref.key)
        if each is None or not each.hidden:
            return verdict
        return msgspec.structs.replace(verdict, reason=scrubbed(verdict.reason, each.manifest, each.hidden))

    async def judge(self) -> None:
        """Asks the application's rules about objects that have changed."""
        if self._judge.has_rules:
            apart = (*self.plan.leaving, *(each.ref for each in self.plan.blocked))
            for ref in (*(each.ref for each in self._look.desired.values()), *apart):
                await self._ask(ref)

    async def _ask(self, ref: ObjectRef) -> None:
        key = ref.key
        live = self._view.get(ref) if key not in self._judged and self._judge.rules_on(ref) else None
        if live is None:
            return
        self._asking = key
        verdict = self._without_secrets(ref, await self._judge.by_rule(ref, live))
        self._by_rule[key] = verdict
        if self._asking == key:
            self._judged[key] = verdict

    def _absent(self, ref: ObjectRef) -> HealthStatus:
        each = self._look.desired.get(ref.key)
        if each is None or self._applied.get(ref.key) != each.digest:
            return HealthStatus(Health.PROGRESSING, "is not applied yet")
        if unseen := self._view.unseen(ref):
            return HealthStatus(Health.UNKNOWN, f"cannot be seen: {unseen}")
        return (
            HealthStatus(Health.HEALTHY)
            if hints.vanishes(each.manifest)
            else HealthStatus(Health.MISSING, "is not there")
        )

    async def up(self, ref: ObjectRef, stage: int = 0) -> HealthStatus:
        """Whether others need not wait for an object any more."""
        await self._ask(ref)
        if ref.key in self._hooks.wanted:
            return self._hooks.verdict(ref, stage)
        refused = self._refusal(ref.key)
        return HealthStatus(Health.MISSING, refused) if refused else self.health(ref)

    def _refusal(self, key: Key) -> str:
        return next((each.reason for each in self.plan.refused if each.ref.key == key), "")

    def objects(self) -> tuple[ObjectStatus, ...]:
        """Every object with its health, and what the last pass did to it."""
        apart = {each.ref.key for each in self.plan.skipped} | self._look.released
        refusals = {each.ref.key: each.reason for each in self.plan.refused}
        desired = [
            self._status(key, each, refusals.get(key, ""))
            for key, each in self._look.desired.items()
            if key not in apart
        ]
        refused = [ObjectStatus(each.ref, Health.MISSING, each.reason, Action.FAILED) for each in self._look.refused]
        blocked = [
            ObjectStatus(each.ref, self.health(each.ref).health, each.reason, Action.SKIPPED)
            for each in self.plan.blocked
        ]
        leaving = [
            ObjectStatus(ref, Health.PROGRESSING, self.health(ref).reason or "is being deleted", Action.PENDING)
            for ref in self.plan.leaving
        ]
        undeleted = [
            ObjectStatus(each.ref, self.health(each.ref).health, each.reason, Action.FAILED)
            for each in self.undeleted.values()
        ]
        every = (*desired, *self._hooks.objects(), *refused, *blocked, *leaving, *undeleted)
        return self._diagnosis.explained(self._unit, every)

    def _status(self, key: Key, each: Desired, refused: str) -> ObjectStatus:
        verdict = self._judged.get(key) or self.health(each.ref)
        outcome = self._outcomes.get(key)
        if refused:
            return ObjectStatus(each.ref, verdict.health, refused, Action.FAILED)
        if outcome is None:
            action = Action.UNCHANGED if self._applied.get(key) == each.digest else Action.PENDING
            return ObjectStatus(each.ref, verdict.health, verdict.reason, action)
        return ObjectStatus(each.ref, verdict.health, outcome.reason or verdict.reason, outcome.action)

    def warnings(self) -> tuple[str, ...]:
        """What is not as it should be but stops nothing: what the server said, and what the plan leaves alone."""
        kept = [f"{each.ref} left the bundle and stays: {each.reason}" for each in self.plan.kept]
        skipped = [f"{each.ref} is not applied: {each.reason}" for each in self.plan.skipped]
        said = [f"{ref}: {text}" for ref, texts in self.server_said.items() for text in texts]
        return (*said, *kept, *skipped)
