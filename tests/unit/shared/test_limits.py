"""What a project may have on a cluster; and that bundles without limits are called what they always were."""

import fnmatch

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bundle import body_digest, open_bundle
from shared.errors import DigestMismatch
from shared.limits import any_kind, any_name, beyond
from shared.messages import Assignment, Limits, Policy, decode, encode
from shared.model import ObjectRef

SHOP = Limits("shop", namespaces=("shop-*",), denied=("ResourceQuota",), cluster_scoped=("Namespace",))


def ref(kind, namespace="shop-eu", name="x", version="v1"):
    return ObjectRef(version, kind, namespace, name)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (ref("ConfigMap"), ""),
        (ref("Deployment", version="apps/v1"), ""),
        (ref("ConfigMap", "kube-system"), "may have the namespaces shop-*, not kube-system"),
        (ref("ResourceQuota"), "denies ResourceQuota"),
        (ref("Namespace", "", "shop-eu"), ""),
        (ref("Namespace", "", "kube-system"), "may have the namespaces shop-*, not kube-system"),
        (
            ref("ClusterRole", "", version="rbac.authorization.k8s.io/v1"),
            "may have only Namespace of what is cluster-scoped, not rbac.authorization.k8s.io/ClusterRole",
        ),
    ],
)
def test_what_is_beyond_is_told_with_what_would_do(what, said):
    found = beyond(SHOP, what)

    assert (found == "") is (said == "")
    assert said in found
    assert not found or found.startswith("project shop ")


def test_a_list_of_kinds_is_about_those_with_a_namespace():
    limits = Limits("shop", kinds=("ConfigMap", "apps/*"), cluster_scoped=())

    assert beyond(limits, ref("ConfigMap")) == ""
    assert beyond(limits, ref("StatefulSet", version="apps/v1")) == ""
    assert "only ConfigMap, apps/*, not batch/Job" in beyond(limits, ref("Job", version="batch/v1"))
    assert "nothing of what is cluster-scoped" in beyond(limits, ref("Namespace", ""))


@pytest.mark.parametrize(
    ("pattern", "group", "kind", "means"),
    [
        ("Pod", "", "Pod", True),
        ("Pod", "example.com", "Pod", False),
        ("core/*", "", "Pod", True),
        ("core/*", "apps", "Deployment", False),
        ("*", "apps", "Deployment", True),
        ("*/Ingress", "networking.k8s.io", "Ingress", True),
        ("*.example.com/*", "db.example.com", "Postgres", True),
        ("apps/Deployment", "apps", "DeploymentX", False),
    ],
)
def test_kinds_are_named_with_their_group(pattern, group, kind, means):
    assert any_kind((pattern,), group, kind) is means


@given(st.text("ab*", max_size=12), st.text("ab", max_size=12))
def test_a_star_means_what_it_means_in_a_shell(pattern, name):
    assert any_name((pattern,), name) is fnmatch.fnmatchcase(name, pattern)


kinds = st.sampled_from(["Pod", "Secret", "Namespace"])
patterns = st.lists(st.sampled_from(["Pod", "Secret", "Namespace", "*"]), max_size=2).map(tuple)
spaces = st.lists(st.sampled_from(["a", "b", "a*"]), max_size=2).map(tuple)
limits = st.builds(Limits, st.just("p"), spaces, patterns, patterns, patterns)
refs = st.builds(
    lambda kind, space, name: ref(kind, "" if kind == "Namespace" else space, name),
    kinds,
    st.sampled_from("ab"),
    st.sampled_from("ab"),
)


@given(limits, patterns, refs)
def test_denying_more_never_allows_more(before, more, what):
    after = msgspec.structs.replace(before, denied=before.denied + more)

    assert beyond(after, what) if beyond(before, what) or any_kind(more, "", what.kind) else not beyond(after, what)


def test_a_pattern_of_many_stars_is_no_riddle():
    """A regular expression of it would be at work for years."""
    assert not any_name(("*a" * 200 + "b",), "a" * 5000)
    assert any_name(("*a" * 200 + "*b",), "a" * 5000 + "b")


# --- on the wire -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "body", "digest"),
    [
        (Policy(), b'{"a":1}', "e71e931d5531fb8e4e75ec197217df1e6c17676de3c4197b0510372a380aeb8a"),
        (
            Policy(service_account="x", depends_on=("a",)),
            b"",
            "0955206a7ef04723fb10025c95b7bf28e5d656856f96ea069e4f9bfd3ee91a97",
        ),
    ],
)
def test_bundles_without_limits_keep_their_digests(policy, body, digest):
    """Digests as they were before there were limits: an upgrade of the hub rolls nothing."""
    assert body_digest(policy, body) == digest


def test_an_agent_that_does_not_know_limits_refuses_what_comes_with_them():
    """It reads over the field, and so finds that policy and digest do not belong together."""
    limited = Policy(limits=SHOP)
    given = Assignment(1, "c", "shop", "web", 1, body_digest(limited, b""), "", "", limited, 0, 0.0)
    as_read = msgspec.structs.replace(given, policy=msgspec.structs.replace(limited, limits=msgspec.UNSET))

    assert open_bundle(given, lambda _: b"").lines == ()
    with pytest.raises(DigestMismatch):
        open_bundle(as_read, lambda _: b"")


def test_limits_travel_in_the_policy_and_are_part_of_the_digest():
    limited = Policy(limits=SHOP)

    assert b"limits" not in encode(Policy())
    assert decode(encode(Policy()), Policy).limits is msgspec.UNSET
    assert decode(encode(limited), Policy) == limited
    assert body_digest(limited, b"") != body_digest(Policy(), b"")
