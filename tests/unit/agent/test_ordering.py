"""The order of objects: everything once, after what it needs, never in a circle; and backwards for deletion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain import order, stepping
from agent.domain.order import Item, Need
from shared.model import ObjectRef

KINDS = {
    "Namespace": "v1", "ConfigMap": "v1", "Service": "v1", "Deployment": "apps/v1", "Widget": "example.com/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1", "APIService": "apiregistration.k8s.io/v1",
}  # fmt: skip
WIDE = {"Namespace", "CustomResourceDefinition", "ValidatingWebhookConfiguration", "APIService"}
WAVE, AFTER, HOOK = "argocd.argoproj.io/sync-wave", "config.kubernetes.io/depends-on", "argocd.argoproj.io/hook"
SPECS = {
    "CustomResourceDefinition": {"spec": {"group": "example.com", "names": {"kind": "Widget"}}},
    "Service": {"spec": {"selector": {"app": "x"}}},
    "Deployment": {"spec": {"template": {"metadata": {"labels": {"app": "x", "more": "y"}}}}},
    "APIService": {"spec": {"service": {"name": "a", "namespace": "a"}}},
    "ValidatingWebhookConfiguration": {
        "webhooks": [{"name": "w", "clientConfig": {"service": {"name": "a", "namespace": "a"}}}]
    },
}


def item(kind, name="a", namespace="a", *, wave=0, after=(), stage=0, **more):
    ref = ObjectRef(KINDS[kind], kind, "" if kind in WIDE else namespace, name)
    notes = {WAVE: str(wave)} | ({AFTER: ",".join(map(target, after))} if after else {})
    notes |= {HOOK: "Sync"} if stage else {}
    manifest = {"apiVersion": KINDS[kind], "kind": kind, "metadata": {"annotations": notes}}
    return Item(ref, manifest | SPECS.get(kind, {}) | more, stage, bool(stage))


def target(ref):
    if isinstance(ref, str):
        return ref
    return (
        f"{ref.group}/namespaces/{ref.namespace}/{ref.kind}/{ref.name}"
        if ref.namespace
        else (f"{ref.group}/{ref.kind}/{ref.name}")
    )


def ref(kind, name="a", namespace="a"):
    return item(kind, name, namespace).ref


def names(arranged):
    return [sorted(spot[1][3] for spot in group) for group in arranged.groups]


refs = st.builds(
    ref, st.sampled_from(sorted(KINDS)), st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"])
)  # fmt: skip


@st.composite
def bundles(draw):
    found = {}
    for each in draw(st.lists(refs, max_size=12, unique_by=lambda r: r.key)):
        stage = draw(st.sampled_from([0, 0, 0, 0, -1, 1]))
        after = draw(st.lists(refs, max_size=2)) if draw(st.booleans()) else []
        made = item(
            each.kind, each.name, each.namespace, wave=draw(st.integers(-1, 2)), after=after, stage=stage
        )  # fmt: skip
        found[made.spot] = made
    return list(found.values())


@given(bundles())
def test_every_object_has_one_place(bundle):
    arranged = order.arrange(bundle)

    placed = [spot for group in arranged.groups for spot in group]
    assert sorted([*placed, *arranged.errors]) == sorted(each.spot for each in bundle)


@given(bundles())
def test_nothing_comes_before_what_it_waits_for(bundle):
    arranged = order.arrange(bundle)
    at = {spot: number for number, group in enumerate(arranged.groups) for spot in group}
    by_key = {each.ref.key: each.spot for each in bundle}

    for spot, gates in arranged.gates.items():
        for gate in gates:
            for needed in gate.refs:
                other = by_key[needed.key]
                assert other in arranged.errors or at[other] < at[spot]


@given(bundles())
def test_every_wave_and_phase_waits_for_all_before_it(bundle):
    arranged = order.arrange(bundle)

    for each in bundle:
        first = order.rank(each.ref) <= order.Rank.DEFINITION and not each.hook and AFTER not in notes(each)
        if each.spot in arranged.errors or first:
            continue
        waits = {
            needed.key for gate in arranged.gates.get(each.spot, ()) if gate.need is Need.TURN for needed in gate.refs
        }
        assert waits == {other.ref.key for other in bundle if other.turn < each.turn}


def notes(each):
    return each.manifest["metadata"]["annotations"]


@given(bundles())
def test_nothing_is_stuck_that_does_not_wait_for_an_error(bundle):
    """What is sent is up at once: then only what needs an object that cannot be placed is left."""
    arranged = order.arrange(bundle)
    by_key = {each.ref.key: each.spot for each in bundle}
    up = set()
    for group in arranged.groups:
        up |= {
            spot
            for spot in group
            if all(by_key[r.key] in up for gate in arranged.gates.get(spot, ()) for r in gate.refs)
        }
    lost = set(arranged.errors)
    while True:
        more = {
            spot
            for spot, gates in arranged.gates.items()
            if any(by_key[r.key] in lost for gate in gates for r in gate.refs)
        } - lost
        if not more:
            break
        lost |= more

    assert up == {each.spot for each in bundle} - lost


@given(bundles())
def test_errors_are_only_for_those_who_name_something_wrong(bundle):
    arranged = order.arrange(bundle)

    assert all(AFTER in notes(each) for each in bundle if each.spot in arranged.errors)


@given(bundles(), st.randoms())
def test_the_order_in_the_bundle_does_not_matter(bundle, shuffle):
    mixed = list(bundle)
    shuffle.shuffle(mixed)

    assert order.arrange(mixed) == order.arrange(bundle)


@given(bundles())
def test_deletion_goes_backwards(bundle):
    arranged = order.arrange(bundle)

    groups = stepping.backwards(bundle)

    forwards = [tuple(spot[1] for spot in group) for group in arranged.groups]
    assert list(reversed(groups))[: len(forwards)] == forwards
    assert sorted(key for group in groups for key in group) == sorted(each.ref.key for each in bundle)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("apps/namespaces/web/Deployment/api", ("apps", "Deployment", "web", "api")),
        ("/namespaces/web/ConfigMap/settings", ("", "ConfigMap", "web", "settings")),
        ("/Namespace/web", ("", "Namespace", "", "web")),
        ("rbac.authorization.k8s.io/ClusterRole/x", ("rbac.authorization.k8s.io", "ClusterRole", "", "x")),
        ("Deployment/api", None),
        ("apps/namespaces//Deployment/api", None),
        ("nonsense", None),
    ],
)
def test_forms_of_depends_on(text, key):
    assert order.parse_target(text) == key


def test_depends_on_names_several_and_beats_the_rank_of_kinds():
    arranged = order.arrange(
        [
            item("ConfigMap", "last", after=[ref("Widget", "w"), ref("Deployment", "d")]),
            item("Deployment", "d"),
            item("Widget", "w"),
        ]
    )

    assert names(arranged) == [["d"], ["w"], ["last"]]


def test_a_namespace_that_depends_on_something_waits_for_it():
    arranged = order.arrange([item("Namespace", "late", after=[ref("ConfigMap", "c")]), item("ConfigMap", "c")])

    assert names(arranged) == [["c"], ["late"]]


def test_a_definition_of_a_later_wave_still_comes_first():
    arranged = order.arrange([item("Widget", "w"), item("CustomResourceDefinition", "d", wave=5)])

    assert names(arranged) == [["d"], ["w"]]
    assert not arranged.errors


def test_a_broken_definition_holds_up_its_own_kind_only():
    arranged = order.arrange([item("CustomResourceDefinition"), item("Widget", "w"), item("ConfigMap", "c")])

    assert {spot[1][3] for spot in arranged.gates} == {"w"}


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        ([item("ConfigMap", after=["apps/namespaces/a/Deployment/none"])], "not in this application"),
        ([item("ConfigMap", after=["what is this"])], "not understood"),
        ([item("ConfigMap", after=[ref("ConfigMap")])], "the object itself"),
        ([item("ConfigMap", after=[ref("Service")]), item("Service", wave=1)], "later wave"),
        (
            [item("ConfigMap", after=[ref("Service")]), item("Service", after=[ref("ConfigMap")])],
            "wait for each other",
        ),
        (
            [item("Deployment", after=[ref("APIService")]), item("APIService"), item("Service")],
            "wait for each other",
        ),
    ],
)
def test_mistakes_are_named(bundle, words):
    errors = order.arrange(bundle).errors

    assert errors
    assert all(words in text for text in errors.values())


@pytest.mark.parametrize("kind", ["APIService", "ValidatingWebhookConfiguration"])
def test_what_sits_in_the_way_of_requests_waits_for_the_workload_behind_it(kind):
    arranged = order.arrange([item(kind), item("Service"), item("Deployment", "d"), item("Deployment", "other", "b")])

    (gate,) = arranged.gates[(0, ref(kind).key)]
    assert gate.need is Need.BACKEND
    assert {each.name for each in gate.refs} == {"a", "d"}


def test_a_webhook_that_may_fail_waits_for_nobody():
    harmless = item("ValidatingWebhookConfiguration", webhooks=[
        {"failurePolicy": "Ignore", "clientConfig": {"service": {"name": "a", "namespace": "a"}}}
    ])  # fmt: skip

    assert not order.arrange([harmless, item("Service")]).gates


def test_a_backend_in_a_later_wave_is_not_waited_for():
    arranged = order.arrange([item("APIService"), item("Service", wave=1)])

    assert names(arranged) == [["a"], ["a"]]
    assert {spot[1][1] for spot in arranged.gates} == {"Service"}


def test_a_long_chain_is_no_trouble():
    chain = [item("ConfigMap", "0")]
    chain += [item("ConfigMap", str(n), after=[ref("ConfigMap", str(n - 1))]) for n in range(1, 3000)]

    assert [group[0][1][3] for group in order.arrange(chain).groups] == [str(n) for n in range(3000)]
