"""Taking over: whose object it is, which fields become ours, and when an object may be replaced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain import claims, migration, replacing
from agent.domain.drift import ANNOTATION, mode_of, suggested
from shared.messages import FieldDrift, IgnoreRule
from shared.model import ObjectRef

REF = ObjectRef("apps/v1", "Deployment", "shop", "web")
WANTED = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"paused": False}}


def entry(manager, fields, operation="Update", **more):
    return {
        "manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": fields, **more,
    }  # fmt: skip


def live(*entries, labels=None, annotations=None):
    metadata = {"name": "web", "labels": labels or {}, "annotations": annotations or {}, "managedFields": list(entries)}
    return {**WANTED, "metadata": metadata}


def spec(*names):
    return {"f:spec": {f"f:{name}": {} for name in names}}


def managers(fields):
    return [(each["manager"], each["operation"]) for each in fields]


def test_fields_of_tools_become_ours_and_those_of_others_stay():
    found = migration.migrated(
        WANTED,
        live(
            entry("kubectl-client-side-apply", spec("paused", "old")),
            entry("helm", spec("strategy"), "Apply"),
            entry("kubectl-edit", spec("edited")),
            entry("kubectl", {"f:status": {}}, subresource="status"),
        ),
    )
    assert managers(found) == [("yardarm", "Apply"), ("kubectl-edit", "Update"), ("kubectl", "Update")]
    assert found[0]["fieldsV1"] == spec("paused", "old", "strategy")


def test_what_we_applied_before_is_kept():
    found = migration.migrated(WANTED, live(entry("yardarm", spec("mine"), "Apply"), entry("flux", spec("theirs"))))
    assert managers(found) == [("yardarm", "Apply")]
    assert found[0]["fieldsV1"] == spec("mine", "theirs")


def test_without_a_tool_there_is_nothing_to_do():
    assert migration.migrated(WANTED, live(entry("kubectl-edit", spec("a")))) is None
    assert migration.migrated(WANTED, live()) is None


def test_another_version_of_the_api_stays():
    old = entry("kubectl-create", spec("a"), apiVersion="apps/v1beta1")
    new = entry("kubectl-client-side-apply", spec("b"))
    assert managers(migration.migrated(WANTED, live(old, new))) == [("yardarm", "Apply"), ("kubectl-create", "Update")]


@pytest.mark.parametrize(("said", "owner"), [({"replicas": 2}, "yardarm"), ({}, "kubectl-create")])
def test_replicas_that_git_does_not_mention_stay_with_the_tool(said, owner):
    wanted = {**WANTED, "spec": {**WANTED["spec"], **said}}
    found = migration.migrated(wanted, live(entry("kubectl-create", spec("paused", "replicas"))))
    assert [each["manager"] for each in found if "f:replicas" in each["fieldsV1"]["f:spec"]] == [owner]


NAMES = st.sampled_from(["kubectl", "helm", "kubectl-create", "kubectl-edit", "operator", "kube-controller-manager"])
FIELDS = st.dictionaries(
    st.sampled_from(["f:spec", "f:data", "f:metadata"]),
    st.dictionaries(st.sampled_from(["f:replicas", "f:a", "f:b", "k:{}"]), st.just({}), min_size=1),
    min_size=1,
)


def leaves(tree, path=()):
    return {path} if not tree else set().union(*(leaves(inner, (*path, name)) for name, inner in tree.items()))


@given(st.lists(st.tuples(NAMES, FIELDS), max_size=5))
def test_no_field_is_lost_and_none_of_others_is_taken(written):
    before = live(*(entry(name, fields) for name, fields in written))
    found = migration.migrated(WANTED, before)
    if found is None:
        taken = {leaf for name, fields in written if name in migration.MANAGERS for leaf in leaves(fields)}
        assert taken <= {("f:spec", "f:replicas")}
        return
    everything = set().union(*(leaves(fields) for _, fields in written))
    assert set().union(*(leaves(each["fieldsV1"]) for each in found)) == everything
    for name, fields in written:
        if name not in migration.MANAGERS:
            assert entry(name, fields) in found
    assert migration.migrated(WANTED, live(*found)) is None


@pytest.mark.parametrize(
    ("marks", "owner"),
    [
        ({"labels": {"applyset.kubernetes.io/part-of": "applyset-x-v1"}}, "ApplySet applyset-x-v1"),
        ({"annotations": {claims.HELM_RELEASE: "web"}}, "Helm release web"),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": "web:apps/Deployment:shop/web"}},
            "Argo CD application web",
        ),
        ({"labels": {"argocd.argoproj.io/instance": "web"}}, "Argo CD application web"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux Kustomization apps"),
        (
            {"labels": {"helm.toolkit.fluxcd.io/name": "web"}, "annotations": {claims.HELM_RELEASE: "web"}},
            "Flux HelmRelease web",
        ),
        ({"labels": {"objectset.rio.cattle.io/hash": "abc"}}, "Rancher Fleet (abc)"),
        ({"labels": {claims.INSTANCE: "web", "app.kubernetes.io/managed-by": "Helm"}}, ""),
    ],
)
def test_owners_are_known_by_their_marks(marks, owner):
    assert claims.other_owner(live(**marks), "ours") == owner
    refused = claims.may_not_take(live(**marks), "ours", "ifUnowned")
    assert bool(refused) == bool(owner)
    assert owner in refused
    assert claims.may_not_take(live(**marks), "ours", "always") == ""
    assert claims.may_not_take(live(**marks), "ours", "never")


def test_a_common_label_means_argo_only_where_argo_has_written():
    assert claims.other_owner(live(entry("argocd-controller", {}), labels={claims.INSTANCE: "web"}), "ours") == (
        "Argo CD application web"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Invalid value: {}: field is immutable",
        "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden",
        "Forbidden: pod updates may not change fields other than `spec.containers[*].image`",
        "Invalid value: rbac.RoleRef{}: cannot change roleRef",
        "Forbidden: updates to parameters are forbidden.",
        "Invalid value: []string{}: may not change once set",
        "Forbidden: may not be changed in an update.",
    ],
)
def test_what_the_server_says_of_fields_that_cannot_change(text):
    assert replacing.immutable([text])
    assert not replacing.immutable([text, "Required value"])


def test_complaints_of_other_kinds_are_no_reason_to_replace():
    assert not replacing.immutable([])
    assert not replacing.immutable(["Invalid value: -1: must be greater than or equal to 0"])


def test_what_holds_data_needs_words_of_its_own():
    claim = ObjectRef("v1", "PersistentVolumeClaim", "shop", "data")
    forced = {"metadata": {"annotations": {"kustomize.toolkit.fluxcd.io/force": "enabled"}}}
    meant = {"metadata": {"annotations": {replacing.REPLACE: "enabled"}}}
    assert replacing.may_replace(REF, forced)
    assert not replacing.may_replace(claim, forced)
    assert replacing.may_replace(claim, meant)
    assert replacing.REPLACE in replacing.advice(claim)


def test_a_suggested_rule_is_as_narrow_as_can_be():
    known, unknown = FieldDrift("/spec/a", 1, 2, "keda"), FieldDrift("/spec/b", 1, None)
    rule = IgnoreRule(kind="Deployment", group="apps", name="web", fields=("/spec/a",), managers=("keda",))
    assert suggested(REF, (known,)) == rule
    assert suggested(REF, (known, unknown)).managers == ()
    assert suggested(REF, ()) is None


@pytest.mark.parametrize(("said", "mode"), [("ignore", "ignore"), ("correct", "correct"), ("nonsense", "report")])
def test_the_annotation_wins_over_the_policy(said, mode):
    assert mode_of({"metadata": {"annotations": {ANNOTATION: said}}}, "report") == mode
