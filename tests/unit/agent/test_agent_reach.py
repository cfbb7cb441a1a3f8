"""What an agent limited to namespaces leaves alone, and as whom it writes."""

from agent.domain.desired import Desired
from agent.domain.reach import account_user, allowed, within
from shared.messages import Limits, Policy
from shared.model import ObjectRef


def desired(kind, namespace, name):
    return Desired(ObjectRef("v1", kind, namespace, name), {}, "")


OBJECTS = [desired("ConfigMap", "a", "x"), desired("ConfigMap", "b", "y"), desired("Namespace", "", "z")]


def test_without_a_limit_everything_is_in_reach():
    assert within(OBJECTS, ()) == (OBJECTS, [])


def test_what_is_elsewhere_or_of_the_cluster_is_refused_with_the_reason():
    kept, refused = within(OBJECTS, ("a", "c"))

    assert kept == OBJECTS[:1]
    assert [each.ref.name for each in refused] == ["y", "z"]
    assert "it is in namespace b, and this agent is limited to a, c" in refused[0].reason
    assert "it is cluster-scoped" in refused[1].reason


def test_what_a_project_may_not_have_is_left_alone_whoever_assigns_it():
    kept, refused = allowed(OBJECTS, Policy(limits=Limits("shop", namespaces=("a",))))

    assert kept == OBJECTS[:1]
    assert [each.ref.name for each in refused] == ["y", "z"]
    assert "project shop may have the namespaces a, not b" in refused[0].reason
    assert "have the Project allow it" in refused[1].reason
    assert allowed(OBJECTS, Policy()) == (OBJECTS, [])


def test_the_user_name_of_an_account():
    assert account_user("", "shop") == ""
    assert account_user("deployer", "shop") == "system:serviceaccount:shop:deployer"
    assert account_user("ops/deployer", "shop") == "system:serviceaccount:ops:deployer"
