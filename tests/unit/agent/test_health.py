"""Every file in tests/data/health is a live object and the verdict it must get."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.health import RULES, health, roll_up
from shared.model import WORST_FIRST, Health, HealthStatus, ObjectRef

FIXTURES = sorted((Path(__file__).parents[2] / "data" / "health").glob("*.yaml"))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_verdict(path):
    case = yaml.safe_load(path.read_text())

    verdict = health(case["object"])

    assert verdict.health == case["expect"]["health"], verdict
    assert case["expect"]["reason"] in verdict.reason
    assert bool(verdict.reason) == bool(case["expect"]["reason"])


def test_every_rule_has_a_fixture():
    kinds = {yaml.safe_load(path.read_text())["object"]["kind"] for path in FIXTURES}

    missing = {rule.partition(".")[0] for rule in RULES} - kinds

    assert missing <= {"ReplicationController"}


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
