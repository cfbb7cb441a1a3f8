"""The application's own health rules."""

import msgspec
import pytest

from agent import celworker
from agent.domain.expressions import Answer, judged, questions, rule_for
from agent.domain.health import health
from agent.domain.health.fields import group_kind
from shared.messages import HealthRule
from shared.model import Health


def answer(expression, about):
    """As the process that evaluates gives it."""
    return msgspec.convert(celworker._answer(expression, about), Answer)


def judge(manifest, rules):
    rule = rule_for(group_kind(manifest), rules)
    if rule is None:
        return health(manifest)
    expressions, about = questions(rule, manifest)
    return judged(rule, manifest, [answer(each, about) for each in expressions])


RULE = HealthRule("example.com/Widget", "object.status.phase == 'Ready'", "object.status.phase == 'Broken'")


def widget(**status):
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "generation": 2},
        "status": status,
    }


@pytest.mark.parametrize(
    ("status", "expected", "says"),
    [
        ({"phase": "Ready"}, Health.HEALTHY, ""),
        ({"phase": "Broken", "message": "no power"}, Health.DEGRADED, "rule says failed: object.status.phase == 'Broken' (no power)"),
        ({"phase": "Busy"}, Health.PROGRESSING, "waits for object.status.phase == 'Ready'"),
        ({}, Health.PROGRESSING, "no field 'phase' (yet)"),
        ({"phase": "Ready", "observedGeneration": 1}, Health.PROGRESSING, "has not seen generation 2"),
    ],
)  # fmt: skip
def test_a_rule_judges_its_kind(status, expected, says):
    verdict = judge(widget(**status), [RULE])

    assert verdict.health is expected
    assert says in verdict.reason


def test_deletion_comes_before_any_rule():
    gone = widget(phase="Ready")
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert judge(gone, [RULE]).health is Health.PROGRESSING


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (HealthRule("example.com/Widget", "object.status.phase =="), "healthy: Syntax error"),
        (HealthRule("example.com/Widget", "true", "object.status.phase"), "failed: gives string"),
    ],
)
def test_a_wrong_rule_makes_its_objects_unknown_and_says_why(rule, says):
    verdict = judge(widget(phase="Ready"), [rule])

    assert verdict.health is Health.UNKNOWN
    assert "health rule for example.com/Widget cannot be used" in verdict.reason
    assert says in verdict.reason


def test_who_owns_which_field_is_not_asked_about():
    """It is often most of an object, and an object may not be large."""
    managed = widget(phase="Ready")
    managed["metadata"]["managedFields"] = [{"manager": "x" * 100_000}]

    assert judge(managed, [RULE]).health is Health.HEALTHY


def test_a_rule_concerns_no_other_kind():
    rules = [
        HealthRule("other.com/Widget", "false"),
        HealthRule("Widget", "false"),
        HealthRule("example.com/Gadget", "false"),
    ]

    assert judge(widget(phase="Busy"), rules).health is Health.HEALTHY


def test_the_first_rule_for_a_kind_counts_even_over_a_built_in_one():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "LoadBalancer"}}

    assert judge(service, [HealthRule("Service", "true"), HealthRule("Service", "false")]).health is Health.HEALTHY
    assert judge(service, []).health is Health.PROGRESSING
