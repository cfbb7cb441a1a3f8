"""Server-side apply: ownership of fields, conflicts, force, removal, lists by key, no-ops, dry run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.client import APPLY, Answer, Client, config_map, deployment, managers


async def test_apply_creates_and_owns_what_it_says(api: Client) -> None:
    answer = await api.apply("configmaps", config_map(a="1", b="2"))
    assert answer.code == 201
    assert managers(answer.body) == {("one", "Apply", ""): {"f:data": {"f:a": {}, "f:b": {}}}}
    assert "generation" not in answer.body["metadata"]


async def test_unchanged_apply_writes_nothing(api: Client) -> None:
    first = (await api.apply("deployments.apps/v1", deployment())).ok()

    async def settled() -> bool:
        before = (await api.get(api.path("deployments.apps/v1", "web"))).ok()
        after = await api.apply("deployments.apps/v1", deployment())
        assert after.code == 200
        return bool(after.body["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"])

    await api.eventually(settled)
    last = (await api.get(api.path("deployments.apps/v1", "web"))).ok()
    assert last["metadata"]["generation"] == first["metadata"]["generation"] == 1
    own = next(e for e in last["metadata"]["managedFields"] if e["manager"] == "one")
    assert own["time"] == first["metadata"]["managedFields"][0]["time"]


async def test_conflict_names_the_other_manager_and_the_fields(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1", b="2"))).ok()
    answer = await api.apply("configmaps", config_map(a="2", b="3"), manager="two")
    message = answer.refused(409, "Conflict")
    assert message == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'
    assert answer.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"},
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.b"},
    ]


async def test_conflict_with_an_ordinary_writer(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1"))).ok()
    (await api.patch("configmaps", "cm", {"data": {"z": "5"}}, fieldManager="editor")).ok()
    message = (await api.apply("configmaps", config_map(a="1", z="6"))).refused(409, "Conflict")
    assert message == 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.z'


async def test_conflicts_with_several_managers_are_sorted(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1"), manager="beta")).ok()
    (await api.apply("configmaps", config_map(b="1"), manager="alpha")).ok()
    (await api.patch("configmaps", "cm", {"data": {"c": "1"}}, fieldManager="gamma")).ok()
    message = (await api.apply("configmaps", config_map(a="2", b="2", c="2"))).refused(409, "Conflict")
    assert message == (
        'Apply failed with 3 conflicts: conflicts with "alpha":\n- .data.b\n'
        'conflicts with "beta":\n- .data.a\nconflicts with "gamma" using v1:\n- .data.c'
    )


async def test_equal_values_are_shared_without_conflict(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1"))).ok()
    shared = (await api.apply("configmaps", config_map(a="1"), manager="two")).ok()
    assert managers(shared) == {
        ("one", "Apply", ""): {"f:data": {"f:a": {}}},
        ("two", "Apply", ""): {"f:data": {"f:a": {}}},
    }
    left = (await api.apply("configmaps", {**config_map(), "data": {}}, manager="two")).ok()
    assert left["data"] == {"a": "1"}


async def test_force_takes_the_fields(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1", b="1"))).ok()
    taken = (await api.apply("configmaps", config_map(a="2"), manager="two", force="true")).ok()
    assert taken["data"] == {"a": "2", "b": "1"}
    assert managers(taken) == {
        ("one", "Apply", ""): {"f:data": {"f:b": {}}},
        ("two", "Apply", ""): {"f:data": {"f:a": {}}},
    }


async def test_fields_left_out_are_removed(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1", b="2"))).ok()
    (await api.patch("configmaps", "cm", {"data": {"c": "3"}}, fieldManager="editor")).ok()
    after = (await api.apply("configmaps", config_map(a="1"))).ok()
    assert after["data"] == {"a": "1", "c": "3"}


async def test_a_field_that_another_changed_is_not_removed(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1", b="2"))).ok()
    (await api.patch("configmaps", "cm", {"data": {"b": "9"}}, fieldManager="editor")).ok()
    after = (await api.apply("configmaps", config_map(a="1"))).ok()
    assert after["data"] == {"a": "1", "b": "9"}


async def test_applying_nothing_gives_the_fields_up(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1"))).ok()
    bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}}
    after = (await api.apply("configmaps", bare)).ok()
    assert not after.get("data")
    assert managers(after) == {}


async def test_update_is_recorded_and_takes_ownership(api: Client) -> None:
    (await api.apply("configmaps", config_map(a="1", b="1"))).ok()
    live = (await api.get(api.path("configmaps", "cm"))).ok()
    live["data"] = {"a": "2"}
    after = (await api.call("PUT", api.path("configmaps", "cm"), live, fieldManager="editor")).ok()
    assert managers(after) == {("editor", "Update", ""): {"f:data": {"f:a": {}}}}


async def test_create_records_the_writer_with_its_containers(api: Client) -> None:
    made = (await api.create("configmaps", config_map(a="1"), fieldManager="maker")).ok()
    assert managers(made) == {("maker", "Update", ""): {"f:data": {".": {}, "f:a": {}}}}


async def test_create_of_a_workload_records_defaults_but_not_go_structs(api: Client) -> None:
    made = (await api.create("deployments.apps/v1", deployment(), fieldManager="maker")).ok()
    owned = managers(made)[("maker", "Update", "")]
    spec = owned["f:spec"]
    assert "." not in spec
    assert spec["f:strategy"] == {
        "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {},
    }  # fmt: skip
    assert spec["f:selector"] == {}
    pod = spec["f:template"]["f:spec"]
    assert pod["f:securityContext"] == {}
    container = pod["f:containers"]['k:{"name":"main"}']
    assert container["f:resources"] == {}
    assert container["f:ports"] == {
        ".": {}, 'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}},
    }  # fmt: skip
    assert "f:status" not in owned


async def test_user_agent_names_the_manager(api: Client) -> None:
    made = (await api.create("configmaps", config_map(a="1"))).ok()
    assert list(managers(made)) == [("contract", "Update", "")]


async def test_lists_merge_by_key(api: Client) -> None:
    (await api.apply("deployments.apps/v1", deployment())).ok()
    sidecar = deployment()
    sidecar["spec"] = {"template": {"spec": {"containers": [{"name": "side", "image": "busybox:1"}]}}}
    after = (await api.apply("deployments.apps/v1", sidecar, manager="two")).ok()
    assert [c["name"] for c in after["spec"]["template"]["spec"]["containers"]] == ["main", "side"]
    owned = managers(after)[("two", "Apply", "")]
    path = owned["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert path == {'k:{"name":"side"}': {".": {}, "f:image": {}, "f:name": {}}}
    gone = (await api.apply("deployments.apps/v1", deployment(), manager="one")).ok()
    assert [c["name"] for c in gone["spec"]["template"]["spec"]["containers"]] == ["main", "side"]


async def test_list_conflict_shows_the_key(api: Client) -> None:
    (await api.apply("deployments.apps/v1", deployment())).ok()
    other = deployment()
    other["spec"] = {"template": {"spec": {"containers": [{"name": "main", "image": "nginx:2"}]}}}
    message = (await api.apply("deployments.apps/v1", other, manager="two")).refused(409, "Conflict")
    assert message == (
        'Apply failed with 1 conflict: conflict with "one": .spec.template.spec.containers[name="main"].image'
    )


async def test_items_left_out_are_removed(api: Client) -> None:
    wanted = deployment()
    container = wanted["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]
    container["ports"] = [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
    (await api.apply("deployments.apps/v1", wanted)).ok()
    container["env"] = [{"name": "C", "value": "3"}, {"name": "A", "value": "1"}]
    container["ports"] = [{"containerPort": 80, "protocol": "UDP"}]
    after = (await api.apply("deployments.apps/v1", wanted)).ok()
    live = after["spec"]["template"]["spec"]["containers"][0]
    assert [e["name"] for e in live["env"]] == ["C", "A"]
    assert live["ports"] == [{"containerPort": 80, "protocol": "UDP"}]


async def test_order_of_applied_items_wins(api: Client) -> None:
    wanted = deployment()
    container = wanted["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": name, "value": "1"} for name in "ABC"]
    (await api.apply("deployments.apps/v1", wanted)).ok()
    patch = [{"op": "add", "path": "/spec/template/spec/containers/0/env/1", "value": {"name": "X", "value": "9"}}]
    (await api.patch("deployments.apps/v1", "web", patch, "application/json-patch+json", fieldManager="ed")).ok()
    container["env"] = [{"name": name, "value": "1"} for name in "CAB"]
    after = (await api.apply("deployments.apps/v1", wanted)).ok()
    names = [e["name"] for e in after["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert names == ["X", "C", "A", "B"]


async def test_atomic_maps_and_lists_are_owned_as_one(api: Client) -> None:
    wanted = deployment()
    wanted["spec"]["template"]["spec"]["tolerations"] = [{"key": "a", "operator": "Exists"}]
    after = (await api.apply("deployments.apps/v1", wanted)).ok()
    owned = managers(after)[("one", "Apply", "")]["f:spec"]
    assert owned["f:selector"] == {}
    assert owned["f:template"]["f:spec"]["f:tolerations"] == {}


async def test_labels_and_annotations_are_single_fields(api: Client) -> None:
    wanted = config_map(a="1")
    wanted["metadata"] |= {"labels": {"x": "1"}, "annotations": {"y": "1"}}
    after = (await api.apply("configmaps", wanted)).ok()
    owned = managers(after)[("one", "Apply", "")]["f:metadata"]
    assert owned == {"f:annotations": {"f:y": {}}, "f:labels": {"f:x": {}}}
    wanted["metadata"] |= {"labels": {}, "annotations": {}}
    after = (await api.apply("configmaps", wanted)).ok()
    assert "labels" not in after["metadata"]
    assert managers(after)[("one", "Apply", "")]["f:metadata"] == {"f:annotations": {}, "f:labels": {}}


async def test_dry_run_shows_and_keeps_nothing(api: Client) -> None:
    shown = (await api.apply("configmaps", config_map(a="1"), dryRun="All")).ok()
    assert shown["data"] == {"a": "1"}
    assert (await api.get(api.path("configmaps", "cm"))).code == 404
    (await api.apply("configmaps", config_map(a="1"))).ok()
    shown = (await api.apply("configmaps", config_map(a="2"), dryRun="All")).ok()
    assert shown["data"] == {"a": "2"}
    assert (await api.get(api.path("configmaps", "cm"))).ok()["data"] == {"a": "1"}
    await_conflict = await api.apply("configmaps", config_map(a="2"), manager="two", dryRun="All")
    await_conflict.refused(409, "Conflict")


async def test_status_cannot_be_applied_through_the_object(api: Client) -> None:
    wanted = deployment()
    wanted["status"] = {"replicas": 7}
    made = (await api.apply("deployments.apps/v1", wanted)).ok()
    assert "replicas" not in made.get("status", {})
    assert "f:status" not in managers(made)[("one", "Apply", "")]


async def test_status_endpoint_has_its_own_owner(api: Client) -> None:
    (await api.apply("deployments.apps/v1", deployment(paused=True, replicas=0))).ok()
    body = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 9},
        "status": {"conditions": [{"type": "Custom", "status": "True"}]},
    }  # fmt: skip
    path = api.path("deployments.apps/v1", "web", "status")
    after = (await api.call("PATCH", path, body, APPLY, fieldManager="status-writer")).ok()
    assert after["spec"]["replicas"] == 0
    owned = managers(after)[("status-writer", "Apply", "status")]
    assert owned == {"f:status": {"f:conditions": {'k:{"type":"Custom"}': {".": {}, "f:status": {}, "f:type": {}}}}}


async def test_refusals(api: Client) -> None:
    path = api.path("configmaps", "cm")
    body = config_map(a="1")
    message = (await api.call("PATCH", path, body, APPLY)).refused(422, "Invalid")
    assert "fieldManager: Required value: is required for apply patch" in message
    wrong = {**body, "dat": {}}
    message = (await api.apply("configmaps", wrong)).refused(500, "")
    assert (
        message == "failed to create typed patch object (/cm; /v1, Kind=ConfigMap): .dat: field not declared in schema"
    )
    bare = {k: v for k, v in body.items() if k != "apiVersion"}
    assert (await api.apply("configmaps", bare)).refused(400, "BadRequest") == "invalid object type: /, Kind=ConfigMap"
    nameless = {**body, "metadata": {}}
    message = (await api.call("PATCH", path, nameless, APPLY, fieldManager="one")).refused(400, "BadRequest")
    assert message == "the name of the object (cm based on URL) was undeterminable: name must be provided"
    managed = {**body, "metadata": {"name": "cm", "managedFields": [{"manager": "x", "operation": "Apply"}]}}
    assert "metadata.managedFields must be nil" in (await api.apply("configmaps", managed)).refused(400, "BadRequest")
    late = {**body, "metadata": {"name": "cm", "uid": "11111111-1111-4111-8111-111111111111"}}
    (await api.apply("configmaps", late)).refused(409, "Conflict")
    (await api.apply("configmaps", body)).ok()
    old = {**body, "metadata": {"name": "cm", "resourceVersion": "1"}}
    (await api.apply("configmaps", old)).refused(409, "Conflict")
    renamed = {**body, "metadata": {"name": "other"}}
    message = (await api.call("PATCH", path, renamed, APPLY, fieldManager="one")).refused(400, "BadRequest")
    assert message == "the name of the object (other) does not match the name on the URL (cm)"


@pytest.mark.parametrize(
    "plural", ["configmaps", "services", "deployments.apps/v1", "roles.rbac.authorization.k8s.io/v1"]
)
async def test_a_resource_version_makes_an_apply_conditional(api: Client, plural: str) -> None:
    """On an object that is not there it means nothing, so that one that no object has asks for a new object."""
    bodies = {
        "configmaps": config_map(a="1"),
        "services": {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}},
        "deployments.apps/v1": deployment(paused=True),
        "roles.rbac.authorization.k8s.io/v1": {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "rules": [],
        },
    }

    def at(version: str, **labels: str) -> dict[str, Any]:
        return {**bodies[plural], "metadata": {"name": "x", "resourceVersion": version, "labels": labels}}

    made = await api.apply(plural, at("1", color="red"))
    assert made.code == 201
    version = made.ok()["metadata"]["resourceVersion"]
    assert version != "1"
    for stale in (at("1", color="red"), at("1", color="blue")):
        again = await api.apply(plural, stale, force="true")
        assert "the object has been modified" in again.refused(409, "Conflict")
        assert "causes" not in (again.body.get("details") or {})
    # Fields of others are looked at first.
    other = await api.apply(plural, at("1", color="blue"), manager="two")
    other.refused(409, "Conflict")
    assert ".metadata.labels.color" in [cause["field"] for cause in other.body["details"]["causes"]]

    async def with_the_current_one() -> Answer:
        current = (await api.get(api.path(plural, "x"))).ok()["metadata"]["resourceVersion"]
        return await api.apply(plural, at(current, color="blue"))

    async with asyncio.timeout(10):  # a controller may write in between
        while (taken := await with_the_current_one()).code == 409:
            pass
    assert taken.ok()["metadata"]["labels"] == {"color": "blue"}


async def test_duplicate_keys_are_refused(api: Client) -> None:
    wanted = deployment()
    wanted["spec"]["template"]["spec"]["containers"] *= 2
    message = (await api.apply("deployments.apps/v1", wanted)).refused(500, "")
    assert 'duplicate entries for key [name="main"]' in message


async def test_managed_fields_can_be_reset_and_come_back(api: Client) -> None:
    (await api.create("configmaps", config_map(a="1"), fieldManager="maker")).ok()
    reset = (await api.patch("configmaps", "cm", {"metadata": {"managedFields": [{}]}})).ok()
    assert managers(reset) == {}
    (await api.patch("configmaps", "cm", {"data": {"b": "2"}}, fieldManager="ed")).ok()
    after = (await api.apply("configmaps", config_map(c="3"))).ok()
    assert set(managers(after)) == {("before-first-apply", "Update", ""), ("one", "Apply", "")}
    assert (await api.apply("configmaps", config_map(a="9"))).code == 409


async def test_quantities_do_not_make_a_difference(api: Client) -> None:
    wanted = deployment(paused=True)
    wanted["spec"]["template"]["spec"]["containers"][0]["resources"] = {
        "limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 0.5, "memory": "1e3"},
    }  # fmt: skip
    first = (await api.apply("deployments.apps/v1", wanted)).ok()
    assert first["spec"]["template"]["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1e3"},
    }  # fmt: skip
    again = (await api.apply("deployments.apps/v1", wanted)).ok()
    assert again["metadata"]["generation"] == 1
