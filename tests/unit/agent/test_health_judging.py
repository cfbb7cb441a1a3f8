"""A health rule that costs too much is given up, and no other."""

from agent.judging import SLOW, Judge
from shared.messages import HealthRule
from shared.model import Health
from shared.tasks import Clock


class Laborious(Clock):
    """A clock on which each reading takes as long as it is told."""

    def __init__(self):
        self.at = 0.0
        self.took = 0.0

    def monotonic(self):
        self.at += self.took
        return self.at


def widget(kind="Widget"):
    return {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "w"}, "status": {"phase": "Ready"}}


RULES = tuple(HealthRule(f"example.com/{kind}", "object.status.phase == 'Ready'") for kind in ("Widget", "Gadget"))


def test_a_rule_that_is_slow_twice_is_given_up_for_its_kind_only():
    clock = Laborious()
    judge = Judge(RULES, clock)

    clock.took = 2 * SLOW
    assert judge.verdict(widget()).health is Health.HEALTHY
    assert judge.verdict(widget()).health is Health.HEALTHY
    clock.took = 0.0

    given_up = judge.verdict(widget())
    assert given_up.health is Health.UNKNOWN
    assert given_up.reason == "the application's health rule for Widget.example.com took 1.0 s: it is given up"
    assert judge.verdict(widget("Gadget")).health is Health.HEALTHY


def test_a_rule_that_was_slow_once_stays():
    clock = Laborious()
    judge = Judge(RULES, clock)

    clock.took = 2 * SLOW
    judge.verdict(widget())
    clock.took = 0.0

    assert all(judge.verdict(widget()).health is Health.HEALTHY for _ in range(3))


def test_without_rules_nothing_is_measured():
    clock = Laborious()

    assert Judge((), clock).verdict(widget()).health is Health.HEALTHY
    assert clock.at == 0.0
