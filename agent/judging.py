"""Judges live objects by the application's rules and the built-in ones, and gives up rules that cost too much.

The rules are pure and cannot know how long they take; here is a clock. A rule is given up after the second time, since
one slow evaluation may be the machine's fault.
"""

from __future__ import annotations

from agent.domain.expressions import judge
from agent.domain.health.fields import group_kind
from shared.messages import HealthRule
from shared.model import Health, HealthStatus, Manifest
from shared.tasks import Clock

SLOW = 0.5
"""Seconds for one object; the agent does nothing else meanwhile. A usual rule takes 20 microseconds."""


class Judge:
    """Verdicts by the rules of one policy."""

    def __init__(self, rules: tuple[HealthRule, ...], clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._slow: dict[str, float] = {}
        self._given_up: dict[str, str] = {}

    def verdict(self, live: Manifest) -> HealthStatus:
        """How a live object is doing; Unknown when the rule for its kind was given up."""
        if not self._rules:
            return judge(live, ())
        kind = group_kind(live)
        if kind in self._given_up:
            return HealthStatus(Health.UNKNOWN, self._given_up[kind])
        started = self._clock.monotonic()
        verdict = judge(live, self._rules)
        took = self._clock.monotonic() - started
        if took > SLOW:
            if kind in self._slow:
                self._given_up[kind] = f"the application's health rule for {kind} took {took:.1f} s: it is given up"
            self._slow[kind] = took
        return verdict
