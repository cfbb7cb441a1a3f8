"""Every file in tests/data/health is a live object and the verdict it must get, named for the fact it shows."""

import datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.health import GROUPS, RULES, health, roll_up, rule_for
from agent.domain.health.causes import cause, selector
from agent.domain.health.fields import group_kind
from shared.model import WORST_FIRST, Health, HealthStatus, ObjectRef

FIXTURES = sorted((Path(__file__).parents[2] / "data" / "health").glob("*.yaml"))
NOW = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC).timestamp()
"""When the fixtures with events were taken."""


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_verdict(path):
    """`object` gets the health, and a reason with this in it; with its pods and events, exactly this cause."""
    case = yaml.safe_load(path.read_text())

    verdict = health(case["object"])

    assert verdict.health == case["expect"]["health"], verdict
    assert case["expect"]["reason"] in verdict.reason
    assert bool(verdict.reason) == bool(case["expect"]["reason"])
    if "cause" in case["expect"]:
        assert cause(case["object"], case.get("pods", []), case["events"], NOW) == case["expect"]["cause"]


def test_every_rule_has_a_fixture():
    covered = {rule_for(group_kind(yaml.safe_load(path.read_text())["object"])) for path in FIXTURES}

    assert {rule.__name__ for rule in (*RULES.values(), *GROUPS.values())} <= {rule.__name__ for rule in covered}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def _spoiled(value, draw):
    """The value with some of its parts replaced by anything."""
    if draw(st.integers(0, 6)) == 0:
        return draw(json_values)
    if isinstance(value, dict):
        return {key: _spoiled(inner, draw) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spoiled(inner, draw) for inner in value]
    return value


CASES = [yaml.safe_load(path.read_text()) for path in FIXTURES]


@settings(max_examples=600)
@given(st.data())
def test_no_object_whatever_is_in_it_makes_a_rule_fail(data):
    case = data.draw(st.sampled_from(CASES))
    spoiled = _spoiled(case["object"], data.draw)
    named = {field: case["object"][field] for field in ("apiVersion", "kind")}
    about = {**(spoiled if isinstance(spoiled, dict) else {}), **named}
    pods = [_spoiled(pod, data.draw) for pod in case.get("pods", ())]
    events = [_spoiled(event, data.draw) for event in case.get("events", ())]

    assert health(about).health in WORST_FIRST
    assert isinstance(cause(about, pods, events, NOW), str)
    assert isinstance(selector(about), str)


@given(st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "status"]), json_values))
def test_any_json_object_gets_a_verdict(about):
    assert health(about).health in WORST_FIRST
    assert cause(about, [about], [about], NOW) == ""


@pytest.mark.parametrize("group_kind", sorted(RULES))
@pytest.mark.parametrize("broken", [{}, {"status": None}, {"status": [], "spec": "x"}, {"status": {"conditions": {}}}])
def test_an_object_without_a_sensible_status_gets_a_verdict_not_an_error(group_kind, broken):
    kind, _, group = group_kind.partition(".")

    verdict = health({"apiVersion": f"{group}/v1" if group else "v1", "kind": kind, "metadata": {"name": "x"}} | broken)

    assert verdict.health in WORST_FIRST


verdicts = st.lists(
    st.tuples(
        st.builds(ObjectRef, st.just("v1"), st.just("Pod"), st.just("web"), st.sampled_from("abcdef")),
        st.builds(HealthStatus, st.sampled_from(Health), st.just("because")),
    )
)


@given(verdicts)
def test_a_unit_is_as_bad_as_its_worst_object(pairs):
    rolled = roll_up(pairs)

    assert rolled.health is min((v.health for _, v in pairs), key=WORST_FIRST.index, default=Health.HEALTHY)


@given(verdicts, st.randoms())
def test_roll_up_does_not_depend_on_order(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)

    assert roll_up(shuffled) == roll_up(pairs)


def test_the_reason_names_the_object():
    pod = ObjectRef("v1", "Pod", "web", "api")

    rolled = roll_up([(pod, HealthStatus(Health.DEGRADED, "it crashed"))])

    assert rolled.reason == "Pod web/api: it crashed"
