"""Judges live objects by the application's rules and the built-in ones, and gives up rules that cost too much."""

from __future__ import annotations

from agent.domain.expressions import judged, questions, rule_for, unusable
from agent.domain.health import health
from agent.evaluator import Evaluator, NoAnswer, TooCostly
from shared.messages import HealthRule
from shared.model import HealthStatus, Manifest, ObjectRef


class Judge:
    """Verdicts by the rules of one policy."""

    def __init__(self, rules: tuple[HealthRule, ...], evaluator: Evaluator) -> None:
        self._rules = rules
        self._evaluator = evaluator
        self._given_up: dict[str, HealthStatus] = {}

    @property
    def has_rules(self) -> bool:
        """Whether the application has any."""
        return bool(self._rules)

    def rules_on(self, ref: ObjectRef) -> bool:
        """Whether the application has a rule for this kind: then `by_rule` has the verdict, else `built_in`."""
        return bool(self._rules) and rule_for(ref.group_kind, self._rules) is not None

    def built_in(self, live: Manifest) -> HealthStatus:
        """How a live object is doing by what is known of its kind."""
        return health(live)

    async def by_rule(self, ref: ObjectRef, live: Manifest) -> HealthStatus:
        """How a live object is doing by the application's rule for its kind; Unknown when that rule was given up."""
        rule = rule_for(ref.group_kind, self._rules)
        if rule is None:
            return self.built_in(live)
        if rule.kind in self._given_up:
            return self._given_up[rule.kind]
        expressions, about = questions(rule, live)
        try:
            return judged(rule, live, await self._evaluator.ask(expressions, about))
        except TooCostly as error:
            self._given_up[rule.kind] = unusable(rule, f"it {error} on {ref}, and is given up until it is changed")
            return self._given_up[rule.kind]
        except NoAnswer as error:
            return unusable(rule, str(error))
