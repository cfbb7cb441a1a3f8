"""Health by the application's own rules: CEL expressions for kinds that nobody else knows.

A rule takes the place of the built-in rule for its kind. A wrong rule makes its objects Unknown and names what is
wrong; it can do no other harm. Pure: `agent.evaluator` has the expressions answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.domain.health import unfinished
from agent.domain.health.fields import condition, metadata, said, text
from shared.messages import HealthRule
from shared.model import Health, HealthStatus, Manifest, Value


class Answer(Value, frozen=True):
    """What an expression says of an object: yes or no, or else what is `missing` (yet), or `wrong` with it."""

    holds: bool = False
    missing: str = ""
    wrong: str = ""


def rule_for(group_kind: str, rules: Iterable[HealthRule]) -> HealthRule | None:
    """The rule for a kind (`Kind.group`): the first that names it."""
    return next((each for each in rules if _kind(each) == group_kind), None)


def _kind(rule: HealthRule) -> str:
    group, _, kind = rule.kind.rpartition("/")
    return f"{kind}.{group}" if group else kind


def questions(rule: HealthRule, manifest: Manifest) -> tuple[tuple[str, ...], Manifest]:
    """What has to be known: the expressions, and what they are about."""
    return (*filter(None, [rule.failed]), rule.healthy), _without_managers(manifest)


def judged(rule: HealthRule, manifest: Manifest, answers: Sequence[Answer]) -> HealthStatus:
    """The verdict on a live object by its rule, with the answers to its `questions`.

    Deletion and an unseen generation come first, as everywhere. Then `failed` (Degraded), then `healthy`; neither is
    Progressing. A field that is not there makes an expression false.
    """
    return unfinished(manifest) or _by_rule(manifest, rule, answers)


def _without_managers(manifest: Manifest) -> Manifest:
    """Who owns which field is often most of an object, and no rule is about it."""
    held = metadata(manifest)
    if "managedFields" not in held:
        return manifest
    return {**manifest, "metadata": {field: value for field, value in held.items() if field != "managedFields"}}


def _by_rule(manifest: Manifest, rule: HealthRule, answers: Sequence[Answer]) -> HealthStatus:
    healthy = answers[-1]
    if rule.failed:
        failed = answers[0]
        if failed.wrong:
            return unusable(rule, f"failed: {failed.wrong}")
        if failed.holds:
            return HealthStatus(
                Health.DEGRADED, _because(manifest, f"the application's rule says failed: {rule.failed}")
            )
    if healthy.wrong:
        return unusable(rule, f"healthy: {healthy.wrong}")
    if healthy.holds:
        return HealthStatus(Health.HEALTHY)
    waits = f"waits for {rule.healthy}" + (f": {healthy.missing}" if healthy.missing else "")
    return HealthStatus(Health.PROGRESSING, _because(manifest, waits))


def unusable(rule: HealthRule, why: str) -> HealthStatus:
    """The verdict on an object whose rule gives none."""
    return HealthStatus(Health.UNKNOWN, f"the application's health rule for {rule.kind} cannot be used: {why}")


def _because(manifest: Manifest, rule_says: str) -> str:
    """The rule, and what the object itself says, if anything."""
    status = manifest.get("status")
    words = said(condition(manifest, "Ready")) or text(status, "message") or text(status, "reason")
    return f"{rule_says} ({words})" if words else rule_says
