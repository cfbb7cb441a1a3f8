"""agent.domain.drift: what counts as drift, who did it, and what is left to others."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.drift import comparable, confirmed, owned_difference, substance, without_ignored
from shared.messages import FieldDrift, IgnoreRule

AT = "2026-11-23T09:50:07Z"
AT_SECONDS = 1795427407.0
CONTAINER = 'k:{"name":"app"}'
OURS = {
    "f:spec": {
        "f:replicas": {},
        "f:selector": {},
        "f:template": {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:containers": {
                    CONTAINER: {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:args": {},
                        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                        "f:resources": {"f:limits": {"f:cpu": {}}},
                    }
                }
            },
        },
    }
}


def applied() -> dict[str, Any]:
    app = {
        "name": "app",
        "image": "web:1",
        "args": ["-v"],
        "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "1000m"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [app]}},
        },
    }


def entry(manager: str, fields: dict[str, Any], operation: str = "Update", **more: str) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "time": AT,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }


def live() -> dict[str, Any]:
    """As the server keeps it: with defaults, a canonical quantity, status, and metadata of its own."""
    body = copy.deepcopy(applied())
    body["metadata"] |= {"uid": "u1", "resourceVersion": "7", "generation": 1, "creationTimestamp": AT}
    body["metadata"]["managedFields"] = [entry("yardarm", OURS, "Apply")]
    body["spec"]["progressDeadlineSeconds"] = 600
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["ports"][0]["protocol"] = "TCP"
    container["resources"]["limits"]["cpu"] = "1"
    container["imagePullPolicy"] = "Always"
    body["status"] = {"readyReplicas": 2}
    return body


def container_of(body: dict[str, Any]) -> dict[str, Any]:
    found = body["spec"]["template"]["spec"]["containers"]
    return next(item for item in found if item["name"] == "app")


def taken(body: dict[str, Any], manager: str, *path: str, **more: str) -> dict[str, Any]:
    """The field at `path` of managedFields now belongs to `manager`, as after an edit with kubectl."""
    ours = copy.deepcopy(OURS)
    at: Any = ours
    for step in path[:-1]:
        at = at[step]
    at.pop(path[-1], None)
    theirs: dict[str, Any] = {}
    for step in reversed(path):
        theirs = {step: theirs}
    body["metadata"]["managedFields"] = [entry("yardarm", ours, "Apply"), entry(manager, theirs, **more)]
    return body


CONTAINERS = ("f:spec", "f:template", "f:spec", "f:containers")


def edited() -> dict[str, Any]:
    body = live()
    container_of(body)["image"] = "web:evil"
    return taken(body, "kubectl-edit", *CONTAINERS, CONTAINER, "f:image")


# --- candidates


def test_defaults_and_status_are_no_candidates_but_spelling_is() -> None:
    paths = [item.path for item in owned_difference(applied(), live())]
    assert paths == ["/spec/template/spec/containers/name=app/resources/limits/cpu"]


def test_an_edit_is_a_candidate_even_where_we_lost_the_field() -> None:
    paths = [item.path for item in owned_difference(applied(), edited())]
    assert "/spec/template/spec/containers/name=app/image" in paths


def test_a_sidecar_injected_before_ours_is_no_candidate() -> None:
    body = live()
    body["spec"]["template"]["spec"]["containers"].insert(0, {"name": "istio-proxy", "image": "istio"})
    assert [i.path for i in owned_difference(applied(), body)] == [i.path for i in owned_difference(applied(), live())]


def test_a_removed_container_is_a_candidate() -> None:
    body = live()
    body["spec"]["template"]["spec"]["containers"] = [{"name": "other"}]
    found = owned_difference(applied(), body)
    assert [(item.path, item.have) for item in found] == [("/spec/template/spec/containers/name=app", None)]


def test_a_list_that_is_replaced_as_a_whole_is_compared_as_a_whole() -> None:
    body = live()
    container_of(body)["args"] = ["-v", "--debug"]
    assert "/spec/template/spec/containers/name=app/args" in [item.path for item in owned_difference(applied(), body)]


def test_text_of_a_secret_is_compared_with_what_the_server_made_of_it() -> None:
    wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "x"}}
    have = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "eA=="}, "type": "Opaque"}
    assert owned_difference(wanted, have) == []
    assert [item.path for item in owned_difference(wanted, {**have, "data": {"a": "eQ=="}})] == ["/data/a"]


def test_what_others_add_is_no_candidate() -> None:
    body = live()
    body["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "3"}
    body["spec"]["template"]["metadata"]["labels"]["extra"] = "yes"
    assert len(owned_difference(applied(), body)) == len(owned_difference(applied(), live()))


# --- confirmation


def test_an_edit_names_field_values_manager_and_time() -> None:
    assert confirmed(live(), edited()) == [
        FieldDrift("/spec/template/spec/containers/name=app/image", "web:1", "web:evil", "kubectl-edit", AT_SECONDS)
    ]


def test_a_dry_run_that_changes_nothing_confirms_nothing() -> None:
    assert confirmed(live(), live()) == []


def test_what_only_the_server_writes_is_no_drift() -> None:
    result = live()
    result["metadata"] |= {"resourceVersion": "9", "generation": 2, "managedFields": []}
    result["status"] = {"readyReplicas": 0}
    assert confirmed(result, live()) == []


def test_a_webhook_that_answers_differently_each_time_is_no_drift() -> None:
    one, two = live(), live()
    one["metadata"]["annotations"] = {"webhook/at": "1"}
    two["metadata"]["annotations"] = {"webhook/at": "2"}
    assert confirmed(one, two) == []


def test_another_order_of_our_items_is_drift() -> None:
    fields = {"f:spec": {"f:env": {'k:{"name":"A"}': {".": {}}, 'k:{"name":"B"}': {".": {}}}}}
    metadata = {"managedFields": [entry("yardarm", fields, "Apply")]}
    base = {"apiVersion": "example.com/v1", "kind": "W", "metadata": metadata}
    ours, theirs = ({**base, "spec": {"env": [{"name": name} for name in order]}} for order in ("AB", "BA"))
    assert [(i.path, i.want, i.have) for i in confirmed(ours, theirs)] == [
        ("/spec/env", ["name=A", "name=B"], ["name=B", "name=A"])
    ]


def test_what_is_added_to_a_list_that_we_own_as_a_whole_is_drift_and_elsewhere_is_not() -> None:
    base = {"apiVersion": "example.com/v1", "kind": "W"}

    def body(fields: dict[str, Any], *names: str) -> dict[str, Any]:
        rules = [{"host": name} for name in names]
        return {**base, "metadata": {"managedFields": [entry("yardarm", fields, "Apply")]}, "spec": {"rules": rules}}

    whole = {"f:spec": {"f:rules": {}}}
    keyed = {"f:spec": {"f:rules": {'k:{"host":"a"}': {".": {}}}}}
    assert [item.path for item in confirmed(body(whole, "a"), body(whole, "a", "b"))] == ["/spec/rules/host=b"]
    assert confirmed(body(keyed, "a"), body(keyed, "a", "b")) == []


def test_a_field_somebody_removed_is_drift_without_a_culprit() -> None:
    body = live()
    del container_of(body)["args"]
    drift = confirmed(live(), body)
    assert drift == [FieldDrift("/spec/template/spec/containers/name=app/args", ["-v"], None, "", None)]


def test_an_autoscalers_replicas_are_no_drift_but_a_persons_are() -> None:
    scaled = live()
    scaled["spec"]["replicas"] = 9
    hpa = taken(copy.deepcopy(scaled), "kube-controller-manager", "f:spec", "f:replicas", subresource="scale")
    person = taken(copy.deepcopy(scaled), "kubectl", "f:spec", "f:replicas", subresource="scale")
    assert confirmed(live(), hpa) == []
    assert [(item.path, item.manager) for item in confirmed(live(), person)] == [("/spec/replicas", "kubectl")]


def test_rules_ignore_by_field_by_manager_and_by_object() -> None:
    image = "/spec/template/spec/containers/*/image"
    for rule in (
        IgnoreRule(fields=(image,)),
        IgnoreRule(kind="Deployment", group="apps", name="web", namespace="shop", fields=("/spec/template",)),
        IgnoreRule(managers=("kubectl-edit",)),
        IgnoreRule(fields=(image,), managers=("kubectl-edit",)),
        IgnoreRule(kind="Deployment"),
    ):
        assert confirmed(live(), edited(), [rule]) == [], rule
    for rule in (
        IgnoreRule(fields=("/spec/replicas",)),
        IgnoreRule(kind="StatefulSet", fields=(image,)),
        IgnoreRule(group="extensions", fields=(image,)),
        IgnoreRule(name="api", fields=(image,)),
        IgnoreRule(namespace="prod", fields=(image,)),
        IgnoreRule(fields=(image,), managers=("flagger",)),
        IgnoreRule(fields=("/spec/replicas",), managers=("kubectl-edit",)),
    ):
        assert len(confirmed(live(), edited(), [rule])) == 1, rule


def test_secret_values_are_not_in_drift() -> None:
    fields = {"f:data": {"f:password": {}}}
    base = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "managedFields": [entry("yardarm", fields, "Apply")]},
    }
    drift = confirmed({**base, "data": {"password": "aHVudGVyMg=="}}, {**base, "data": {"password": "b3RoZXI="}})
    assert [(item.path, item.want, item.have) for item in drift] == [("/data/password", "(secret)", "(secret)")]


def test_a_huge_value_is_cut() -> None:
    fields = {"f:data": {"f:a": {}}}
    base = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"managedFields": [entry("yardarm", fields, "Apply")]}}
    (drift,) = confirmed({**base, "data": {"a": "x" * 900_000}}, {**base, "data": {"a": "y"}})
    assert len(drift.want) < 1100
    assert "900000 characters" in drift.want


def test_kubectls_last_applied_annotation_is_no_drift() -> None:
    body = live()
    body["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    assert confirmed(live(), body) == []


def test_versions_that_do_not_match_are_not_comparable() -> None:
    other = live()
    other["metadata"]["resourceVersion"] = "8"
    assert comparable(live(), live())
    assert not comparable(live(), other)


def test_substance_follows_content_and_ownership_but_not_status() -> None:
    other = live()
    other["status"] = {"readyReplicas": 1}
    other["metadata"] |= {"resourceVersion": "8", "generation": 4}
    other["metadata"]["managedFields"].append(entry("kube-controller-manager", {"f:status": {}}, subresource="status"))
    assert substance(other) == substance(live())
    assert substance(edited()) != substance(live())


# --- not fighting


def test_an_ignored_field_that_another_manager_owns_is_not_applied() -> None:
    body = taken(live(), "keda", "f:spec", "f:replicas")
    result = without_ignored(applied(), body, [IgnoreRule(fields=("/spec/replicas",))])
    assert "replicas" not in result["spec"]
    assert result["spec"]["template"] == applied()["spec"]["template"]


def test_an_ignored_field_that_nobody_else_owns_is_applied() -> None:
    assert without_ignored(applied(), live(), [IgnoreRule(fields=("/spec/replicas",))]) == applied()


def test_a_new_object_gets_its_ignored_fields() -> None:
    assert without_ignored(applied(), None, [IgnoreRule(fields=("/spec/replicas",))]) == applied()


def test_an_autoscaler_keeps_its_replicas_without_any_rule() -> None:
    body = taken(live(), "kube-controller-manager", "f:spec", "f:replicas", subresource="scale")
    assert "replicas" not in without_ignored(applied(), body)["spec"]


def test_in_a_named_item_only_the_ignored_field_goes() -> None:
    body = taken(live(), "image-updater", *CONTAINERS, CONTAINER, "f:image")
    result = without_ignored(applied(), body, [IgnoreRule(fields=("/spec/template/spec/containers/*/image",))])
    assert container_of(result) == {key: value for key, value in container_of(applied()).items() if key != "image"}


def test_a_rule_by_manager_yields_only_to_that_manager() -> None:
    body = taken(live(), "image-updater", *CONTAINERS, CONTAINER, "f:image")
    assert "image" not in container_of(without_ignored(applied(), body, [IgnoreRule(managers=("image-updater",))]))
    assert without_ignored(applied(), body, [IgnoreRule(managers=("flagger",))]) == applied()
    assert without_ignored(applied(), body, [IgnoreRule(fields=("/spec",), managers=("flagger",))]) == applied()


def test_of_a_shared_map_only_their_entries_go() -> None:
    wanted = {**applied(), "metadata": {"name": "web", "namespace": "shop", "labels": {"a": "1", "b": "2"}}}
    body = live()
    body["metadata"]["labels"] = {"a": "9", "b": "2"}
    body["metadata"]["managedFields"] = [
        entry("yardarm", {"f:metadata": {"f:labels": {"f:b": {}}}}, "Apply"),
        entry("other", {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}),
    ]
    result = without_ignored(wanted, body, [IgnoreRule(fields=("/metadata/labels",))])
    assert result["metadata"]["labels"] == {"b": "2"}


def test_part_of_a_list_without_keys_takes_the_live_value() -> None:
    wanted = {"apiVersion": "v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"rules": [{"a": 1}, {"a": 2}]}}
    have = copy.deepcopy(wanted)
    have["spec"]["rules"][0]["a"] = 9
    have["metadata"]["managedFields"] = [entry("other", {"f:spec": {"f:rules": {}}})]
    result = without_ignored(wanted, have, [IgnoreRule(fields=("/spec/rules/0/a",))])
    assert result["spec"]["rules"] == [{"a": 9}, {"a": 2}]
    assert "spec" not in without_ignored(wanted, have, [IgnoreRule(fields=("/spec/rules",))])


def test_a_manifest_is_never_changed_in_place() -> None:
    wanted, body = applied(), taken(live(), "keda", "f:spec", "f:replicas")
    without_ignored(wanted, body, [IgnoreRule()])
    owned_difference(wanted, body)
    confirmed(live(), body, [IgnoreRule(fields=("/spec/replicas",))])
    assert wanted == applied()
    assert body == taken(live(), "keda", "f:spec", "f:replicas")


VALUES = st.recursive(
    st.integers(0, 2) | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "name"]), inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(st.sampled_from(["*", "spec", "a", "b", "0"]), max_size=4).map(
    lambda steps: "".join(f"/{s}" for s in steps)
)


def _fields(value: Any) -> dict[str, Any]:
    return {f"f:{key}": _fields(item) for key, item in value.items()} if isinstance(value, dict) else {}


@given(VALUES, VALUES, POINTERS)
def test_yielding_keeps_what_names_the_object_and_invents_nothing(want: Any, have: Any, pointer: str) -> None:
    base = {"apiVersion": "v1", "kind": "W", "metadata": {"name": "w"}}
    body = {
        **base,
        "metadata": {"name": "w", "managedFields": [entry("other", {"f:spec": _fields(have)})]},
        "spec": have,
    }
    result = without_ignored({**base, "spec": want}, body, [IgnoreRule(fields=(pointer,))])
    assert {key: result[key] for key in base} == base
    if isinstance(want, dict):
        assert set(result.get("spec", {})) <= set(want)


@given(VALUES, VALUES)
def test_applying_what_is_live_has_no_candidates(want: Any, extra: Any) -> None:
    base = {"apiVersion": "v1", "kind": "W", "metadata": {"name": "w"}, "spec": {"x": want}}
    have = {**base, "spec": {"x": want, "more": extra}, "status": extra}
    assert owned_difference(base, have) == []
