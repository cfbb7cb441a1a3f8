"""Health by the application's own rules: CEL expressions for kinds that nobody else knows.

A rule takes the place of the built-in rule for its kind. A wrong rule makes its objects Unknown and names what is
wrong; it can do no other harm. What an expression is and what bounds it is in `shared.expressions`.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.domain.health import health, unfinished
from agent.domain.health.fields import condition, group_kind, metadata, said, text
from shared import expressions
from shared.expressions import ExpressionError, MissingField
from shared.messages import HealthRule
from shared.model import Health, HealthStatus, Manifest


def judge(manifest: Manifest, rules: Iterable[HealthRule]) -> HealthStatus:
    """The verdict on a live object: by the first rule for its kind, else by what is built in.

    Deletion and an unseen generation come first, as everywhere. Then `failed` (Degraded), then `healthy`; neither is
    Progressing. A field that is not there makes an expression false.
    """
    rule = next((each for each in rules if _is_for(each, manifest)), None)
    if rule is None:
        return health(manifest)
    return unfinished(manifest) or _by_rule(_without_managers(manifest), rule)


def _without_managers(manifest: Manifest) -> Manifest:
    """Who owns which field is often most of an object, and no rule is about it."""
    held = metadata(manifest)
    if "managedFields" not in held:
        return manifest
    return {**manifest, "metadata": {field: value for field, value in held.items() if field != "managedFields"}}


def _is_for(rule: HealthRule, manifest: Manifest) -> bool:
    group, _, kind = rule.kind.rpartition("/")
    return group_kind(manifest) == (f"{kind}.{group}" if group else kind)


def _by_rule(manifest: Manifest, rule: HealthRule) -> HealthStatus:
    try:
        if rule.failed and _holds(rule.failed, manifest):
            return HealthStatus(
                Health.DEGRADED, _because(manifest, f"the application's rule says failed: {rule.failed}")
            )
    except ExpressionError as error:
        return _broken(rule, "failed", error)
    try:
        if expressions.holds(rule.healthy, manifest):
            return HealthStatus(Health.HEALTHY)
        waits = f"waits for {rule.healthy}"
    except MissingField as error:
        waits = f"waits for {rule.healthy}: {error}"
    except ExpressionError as error:
        return _broken(rule, "healthy", error)
    return HealthStatus(Health.PROGRESSING, _because(manifest, waits))


def _holds(expression: str, manifest: Manifest) -> bool:
    try:
        return expressions.holds(expression, manifest)
    except MissingField:
        return False


def _broken(rule: HealthRule, which: str, error: ExpressionError) -> HealthStatus:
    return HealthStatus(
        Health.UNKNOWN, f"the application's health rule for {rule.kind} cannot be used: {which}: {error}"
    )


def _because(manifest: Manifest, rule_says: str) -> str:
    """The rule, and what the object itself says, if anything."""
    status = manifest.get("status")
    words = said(condition(manifest, "Ready")) or text(status, "message") or text(status, "reason")
    return f"{rule_says} ({words})" if words else rule_says
