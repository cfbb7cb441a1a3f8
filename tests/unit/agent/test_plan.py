"""The plan: order, idleness, ownership, and what is never deleted."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain import applyset, order
from agent.domain.desired import prepare
from agent.domain.plan import Known, plan
from shared.messages import DeletionPolicy, Policy
from shared.model import ObjectRef, UnitKey

UNIT = UnitKey("c1", "web", "shop")
SET = applyset.set_id(applyset.parent_ref(UNIT))
CLUSTER_KINDS = {
    "Namespace",
    "CustomResourceDefinition",
    "ClusterRole",
    "PriorityClass",
    "ValidatingWebhookConfiguration",
}


def manifest(kind, name, api_version="v1", *, annotations=None, **more):
    metadata = {"name": name} | ({"annotations": annotations} if annotations else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def configmap(name, **more):
    return manifest("ConfigMap", name, data={"a": "b"}, **more)


def desired_of(*manifests):
    found, refused = prepare(manifests, UNIT, SET, lambda ref: ref.kind not in CLUSTER_KINDS)
    assert not refused
    return found


def live_of(desired, **metadata):
    return {d.ref.key: {**d.manifest, "metadata": {**d.manifest["metadata"], "uid": "u", **metadata}} for d in desired}


def identical(_desired, _live):
    return True


def different(_desired, _live):
    return False


def names(step):
    return sorted(each.ref.name for each in step.objects)


def definition():
    spec = {"group": "example.com", "names": {"kind": "Widget"}}
    return manifest("CustomResourceDefinition", "widgets.example.com", "apiextensions.k8s.io/v1", spec=spec)


def waits(work):
    return {key: gates for step in (*work.steps, *work.after) for key, gates in step.gates.items()}


def names_of(gates):
    return sorted(ref.name for gate in gates for ref in gate.refs)


def test_everything_is_applied_in_order_of_kinds():
    objects = desired_of(
        manifest("ValidatingWebhookConfiguration", "hook", "admissionregistration.k8s.io/v1"),
        manifest("Widget", "custom", "example.com/v1"),
        manifest("Deployment", "api", "apps/v1"),
        configmap("settings"),
        manifest("PriorityClass", "high", "scheduling.k8s.io/v1"),
        definition(),
        manifest("Namespace", "extra"),
    )

    work = plan(objects, Known(SET, {}), Policy(), identical)

    assert [names(step) for step in work.steps] == [
        ["extra"], ["widgets.example.com"], ["high"], ["settings"], ["api"], ["custom"], ["hook"],
    ]  # fmt: skip
    assert {key[1]: [ref.kind for gate in gates for ref in gate.refs] for key, gates in waits(work).items()} == {
        "Widget": ["CustomResourceDefinition"]
    }


def test_waves_wait_for_the_health_of_all_objects_before_them():
    wave = {"argocd.argoproj.io/sync-wave": "5"}
    objects = desired_of(
        configmap("first"), manifest("Deployment", "api", "apps/v1"), configmap("late", annotations=wave)
    )

    work = plan(objects, Known(SET, {}), Policy(), identical)

    assert [names(step) for step in work.steps] == [["first"], ["api"], ["late"]]
    assert {key[3]: names_of(gates) for key, gates in waits(work).items()} == {"late": ["api", "first"]}


def test_a_changed_late_wave_waits_for_an_unchanged_early_one():
    wave = {"argocd.argoproj.io/sync-wave": "5"}
    objects = desired_of(manifest("Deployment", "api", "apps/v1"), configmap("late", annotations=wave))
    early = live_of(objects[:1])

    work = plan(objects, Known(SET, early), Policy(), identical)

    assert [names(step) for step in work.steps] == [["late"]]
    assert {key[3]: names_of(gates) for key, gates in waits(work).items()} == {"late": ["api"]}


def test_an_unchanged_unit_has_no_work():
    objects = desired_of(configmap("a"), manifest("Deployment", "api", "apps/v1"))

    work = plan(objects, Known(SET, live_of(objects), {d.ref.key: d.digest for d in objects}), Policy(), identical)

    assert work.writes == 0
    assert len(work.unchanged) == 2


def test_one_changed_object_is_one_apply():
    before = desired_of(configmap("a"), configmap("b"))
    after = desired_of(configmap("a"), {**configmap("b"), "data": {"a": "c"}})

    work = plan(after, Known(SET, live_of(before), {d.ref.key: d.digest for d in before}), Policy(), identical)

    assert [names(step) for step in work.steps] == [["b"]]


def test_an_edited_object_is_applied_again():
    objects = desired_of(configmap("a"))

    work = plan(objects, Known(SET, live_of(objects), {objects[0].ref.key: objects[0].digest}), Policy(), different)

    assert work.writes == 1


def test_what_left_the_bundle_is_pruned_in_reverse_order():
    before = desired_of(
        configmap("a"), manifest("Deployment", "api", "apps/v1"), manifest("Widget", "w", "example.com/v1")
    )
    keep = desired_of(*(configmap(f"keep-{n}") for n in range(3)))

    work = plan(keep, Known(SET, live_of([*before, *keep])), Policy(), identical)

    assert [[ref.kind for ref in group] for group in work.prune] == [["Widget"], ["Deployment"], ["ConfigMap"]]


@pytest.mark.parametrize(
    ("kept", "gone", "budget", "held"),
    [
        (0, 1, "50%", True),
        (1, 4, "50%", False),
        (1, 5, "50%", True),
        (5, 5, "50%", False),
        (5, 6, "50%", True),
        (1, 5, "100%", False),
        (9, 3, "2", True),
        (9, 2, "2", False),
    ],
)
def test_deletion_budget(kept, gone, budget, held):
    keep, leave = (
        desired_of(*map(configmap, map(str, range(kept)))),
        desired_of(*(configmap(f"x{n}") for n in range(gone))),
    )

    work = plan(keep, Known(SET, live_of([*keep, *leave])), Policy(deletion=DeletionPolicy(budget)), identical)

    assert bool(work.blocked) is held
    assert bool(work.prune) is not held
    assert all("yardarm confirm" in each.reason for each in work.blocked)


def test_a_removed_application_goes_but_for_protected_kinds():
    objects = desired_of(
        *(configmap(str(n)) for n in range(9)),
        manifest("Namespace", "extra"),
        manifest("PersistentVolumeClaim", "data"),
    )

    work = plan([], Known(SET, live_of(objects)), Policy(), identical, removed=True)

    assert sum(map(len, work.prune)) == 9
    assert sorted(each.ref.kind for each in work.blocked) == ["Namespace", "PersistentVolumeClaim"]


@pytest.mark.parametrize(
    "note",
    [
        {"kustomize.toolkit.fluxcd.io/prune": "disabled"},
        {"helm.sh/resource-policy": "keep"},
        {"argocd.argoproj.io/sync-options": "Prune=false,Validate=false"},
        {"client.lifecycle.config.k8s.io/deletion": "detach"},
    ],
)
def test_objects_that_ask_to_be_kept_are_kept(note):
    leave, keep = desired_of(configmap("kept", annotations=note)), desired_of(configmap("a"))

    work = plan(keep, Known(SET, live_of([*leave, *keep])), Policy(), identical)

    assert not work.prune
    assert next(iter(note)) in work.kept[0].reason


def test_nothing_is_pruned_that_a_controller_made_from_a_member():
    copied = live_of(desired_of(manifest("EndpointSlice", "api-x", "discovery.k8s.io/v1")))
    for each in copied.values():
        each["metadata"]["ownerReferences"] = [{"kind": "Service", "name": "api", "controller": True}]

    work = plan([], Known(SET, copied), Policy(), identical, removed=True)

    assert not work.prune


@pytest.mark.parametrize(
    ("foreign", "adopt", "action"),
    [
        ({}, "ifUnowned", "apply"),
        ({}, "never", "refused"),
        ({}, "always", "apply"),
        ({"labels": {applyset.PART_OF: "applyset-other-v1"}}, "ifUnowned", "refused"),
        ({"labels": {applyset.PART_OF: "applyset-other-v1"}}, "always", "apply"),
        ({"annotations": {"meta.helm.sh/release-name": "shop"}}, "ifUnowned", "refused"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "ifUnowned", "refused"),
        ({"ownerReferences": [{"kind": "Operator", "name": "x", "controller": True}]}, "ifUnowned", "refused"),
    ],
)
def test_existing_objects_are_taken_only_as_the_policy_says(foreign, adopt, action):
    objects = desired_of(configmap("a"))
    live = {objects[0].ref.key: {**configmap("a"), "metadata": {"name": "a", "namespace": "web", **foreign}}}

    work = plan(objects, Known(SET, live), Policy(adopt=adopt), identical)

    assert (work.writes == 1, len(work.refused) == 1) == (action == "apply", action == "refused")


def test_held_drift_is_left_alone_until_git_says_something_new():
    objects, changed = desired_of(configmap("a")), desired_of({**configmap("a"), "data": {"a": "c"}})
    known = Known(SET, {}, {objects[0].ref.key: objects[0].digest}, frozenset({objects[0].ref.key}))

    assert plan(objects, known, Policy(), different).writes == 0
    assert plan(changed, known, Policy(), different).writes == 1


def test_an_object_being_deleted_is_waited_for():
    objects = desired_of(configmap("a"))

    work = plan(objects, Known(SET, live_of(objects, deletionTimestamp="now")), Policy(), identical)

    assert work.writes == 0
    assert [each.ref.name for each in work.waiting] == ["a"]


def test_a_job_that_cleans_up_after_itself_is_not_run_again():
    objects = desired_of(manifest("Job", "once", "batch/v1", spec={"ttlSecondsAfterFinished": 10}))

    work = plan(objects, Known(SET, {}, {objects[0].ref.key: objects[0].digest}), Policy(), identical)

    assert work.writes == 0


def test_test_hooks_are_not_applied():
    objects = desired_of(manifest("Pod", "test", annotations={"helm.sh/hook": "test"}))

    work = plan(objects, Known(SET, {}), Policy(), identical)

    assert (work.writes, len(work.skipped)) == (0, 1)


def test_secrets_are_sent_as_they_are_stored():
    (secret,) = desired_of(manifest("Secret", "s", stringData={"user": "ada"}, data={"x": "eQ=="}))

    assert secret.manifest["data"] == {"x": "eQ==", "user": "YWRh"}
    assert "stringData" not in secret.manifest


def test_custom_kinds_get_their_scope_from_the_definition_beside_them():
    definition = manifest(
        "CustomResourceDefinition", "ns.example.com", "apiextensions.k8s.io/v1",
        spec={"group": "example.com", "scope": "Cluster", "names": {"kind": "Wide"}},
    )  # fmt: skip

    found, _ = prepare([definition, manifest("Wide", "one", "example.com/v1")], UNIT, SET, lambda _ref: None)

    assert [each.ref.namespace for each in found] == ["", ""]


def test_an_object_without_a_name_is_refused_and_named():
    found, refused = prepare(
        [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "run-"}}], UNIT, SET, lambda _: True
    )

    assert not found
    assert "generateName" in refused[0].reason


kinds = st.sampled_from(
    [
        ("v1", "Namespace"), ("v1", "ConfigMap"), ("apps/v1", "Deployment"), ("example.com/v1", "Widget"),
        ("v1", "PersistentVolumeClaim"), ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ]
)  # fmt: skip
bundles = st.lists(st.tuples(kinds, st.sampled_from("abcd")), unique=True, max_size=12)


def built(pairs):
    return desired_of(*(manifest(kind, name, api) for (api, kind), name in pairs))


@given(bundles, bundles, st.booleans())
def test_invariants(old, new, removed):
    before, after = built(old), [] if removed else built(new)
    wanted, live = {each.ref.key for each in after}, live_of(before)

    work = plan(after, Known(SET, live, {d.ref.key: d.digest for d in before}), Policy(), identical, removed=removed)

    applied = [each.ref.key for step in work.steps for each in step.objects]
    pruned = [ref.key for group in work.prune for ref in group]
    held = [each.ref.key for each in work.blocked]
    assert sorted(applied) == sorted(wanted - live.keys())
    assert sorted(pruned + held) == sorted(live.keys() - wanted)
    assert not {ref.kind for group in work.prune for ref in group} & {
        "Namespace",
        "PersistentVolumeClaim",
        "CustomResourceDefinition",
    }
    if not after and not removed:
        assert not pruned


@given(bundles, st.randoms())
def test_order_of_the_bundle_does_not_matter(pairs, shuffle: random.Random):
    objects = built(pairs)
    mixed = list(objects)
    shuffle.shuffle(mixed)

    assert (
        plan(mixed, Known(SET, {}), Policy(), identical).steps
        == plan(objects, Known(SET, {}), Policy(), identical).steps
    )


@given(bundles)
def test_nothing_is_applied_before_what_it_needs(pairs):
    work = plan(built(pairs), Known(SET, {}), Policy(), identical)

    ranks = [order.rank(each.ref) for step in work.steps for each in step.objects]
    assert ranks == sorted(ranks)


def test_the_inventory_is_named_as_kubectl_names_it():
    """The expected id is the one in kubectl's own tests."""
    parent = ObjectRef("v1", "Secret", "test", "my-set")

    assert applyset.set_id(parent) == "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1"


def test_the_inventory_reads_back():
    refs = [each.ref for each in desired_of(configmap("a"), manifest("Deployment", "b", "apps/v1"))]
    parent = applyset.parent_ref(UNIT)
    scope = applyset.scope_of(refs, parent)

    record = applyset.Record(scope, "hooks so far", "farewell")
    assert applyset.read_record(applyset.parent_manifest(UNIT, parent, record)) == record
    assert scope.kinds == {"ConfigMap", "Deployment.apps"}
