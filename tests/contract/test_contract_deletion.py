"""Deleting: what is answered, preconditions, finalizers, propagation, namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.client import Client, config_map


def owned(name: str, owner: dict[str, Any], *, block: bool = False) -> dict[str, Any]:
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    if block:
        reference["blockOwnerDeletion"] = True
    wanted = config_map(name)
    wanted["metadata"]["ownerReferences"] = [reference]
    return wanted


def needs_controllers(api: Client) -> None:
    if not api.server.controllers:
        pytest.skip("this server has no controller manager")


async def test_delete_answers_with_a_status(api: Client) -> None:
    made = (await api.create("configmaps", config_map())).ok()
    answer = (await api.delete("configmaps", "cm")).ok()
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "cm", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    (await api.delete("configmaps", "cm")).refused(404, "NotFound")


async def test_preconditions(api: Client) -> None:
    made = (await api.create("configmaps", config_map())).ok()
    uid, version = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    message = (await api.delete("configmaps", "cm", {"preconditions": {"uid": "x"}})).refused(409, "Conflict")
    assert message == (
        f'Operation cannot be fulfilled on ConfigMap "cm": the UID in the precondition (x) does not match the UID in '
        f"record ({uid}). The object might have been deleted and then recreated"
    )
    (await api.delete("configmaps", "cm", {"preconditions": {"resourceVersion": "1"}})).refused(409, "Conflict")
    (await api.delete("configmaps", "cm", {"preconditions": {"uid": uid, "resourceVersion": version}})).ok()


async def test_dry_run_deletes_nothing(api: Client) -> None:
    (await api.create("configmaps", config_map())).ok()
    (await api.delete("configmaps", "cm", dryRun="All")).ok()
    assert (await api.get(api.path("configmaps", "cm"))).code == 200


async def test_finalizers_hold_an_object(api: Client) -> None:
    wanted = config_map()
    wanted["metadata"]["finalizers"] = ["example.com/hold"]
    (await api.create("configmaps", wanted)).ok()
    marked = (await api.delete("configmaps", "cm")).ok()
    assert marked["kind"] == "ConfigMap"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    stamp = marked["metadata"]["deletionTimestamp"]
    again = (await api.delete("configmaps", "cm")).ok()
    assert again["metadata"]["deletionTimestamp"] == stamp
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    message = (await api.patch("configmaps", "cm", more)).refused(422, "Invalid")
    assert "no new finalizers can be added if the object is being deleted" in message
    (await api.create("configmaps", config_map())).refused(409, "AlreadyExists")
    last = await api.patch("configmaps", "cm", {"metadata": {"finalizers": None}})
    assert last.code == 200
    assert (await api.get(api.path("configmaps", "cm"))).code == 404


async def test_deletion_counts_as_a_new_generation(api: Client) -> None:
    wanted = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "finalizers": ["example.com/hold"]},
        "spec": {
            "paused": True, "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }  # fmt: skip
    (await api.create("deployments.apps/v1", wanted)).ok()
    marked = (await api.delete("deployments.apps/v1", "web")).ok()
    assert marked["metadata"]["generation"] == 2
    (await api.patch("deployments.apps/v1", "web", {"metadata": {"finalizers": None}})).ok()


async def test_delete_collection(api: Client) -> None:
    for name in ("a", "b", "c"):
        wanted = config_map(name)
        wanted["metadata"]["labels"] = {"go": "no" if name == "c" else "yes"}
        (await api.create("configmaps", wanted)).ok()
    answer = (await api.call("DELETE", api.path("configmaps"), labelSelector="go=yes")).ok()
    assert [i["metadata"]["name"] for i in answer["items"]] == ["a", "b"]
    left = (await api.get(api.path("configmaps"), labelSelector="go")).ok()
    assert [i["metadata"]["name"] for i in left["items"]] == ["c"]


async def test_dependents_go_with_their_owner(api: Client) -> None:
    needs_controllers(api)
    owner = (await api.create("configmaps", config_map("owner"))).ok()
    (await api.create("configmaps", owned("child", owner))).ok()
    (await api.delete("configmaps", "owner", propagationPolicy="Background")).ok()
    await api.gone(api.path("configmaps", "child"))


async def test_dependents_are_orphaned_when_told(api: Client) -> None:
    needs_controllers(api)
    owner = (await api.create("configmaps", config_map("owner"))).ok()
    (await api.create("configmaps", owned("child", owner))).ok()

    async def known() -> bool:  # the collector must have seen the child, or it cannot orphan it
        return (await api.get(api.path("configmaps", "child"))).code == 200

    await api.eventually(known)
    body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"}
    (await api.delete("configmaps", "owner", body)).ok()
    await api.gone(api.path("configmaps", "owner"))
    child = (await api.get(api.path("configmaps", "child"))).ok()
    assert "ownerReferences" not in child["metadata"]


async def test_foreground_waits_for_dependents(api: Client) -> None:
    needs_controllers(api)
    owner = (await api.create("configmaps", config_map("owner"))).ok()
    child = owned("child", owner, block=True)
    child["metadata"]["finalizers"] = ["example.com/hold"]
    (await api.create("configmaps", child)).ok()
    marked = (await api.delete("configmaps", "owner", propagationPolicy="Foreground")).ok()
    assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]

    async def child_marked() -> bool:
        return "deletionTimestamp" in (await api.get(api.path("configmaps", "child"))).ok()["metadata"]

    await api.eventually(child_marked)
    assert (await api.get(api.path("configmaps", "owner"))).code == 200
    (await api.patch("configmaps", "child", {"metadata": {"finalizers": None}})).ok()
    await api.gone(api.path("configmaps", "owner"))


async def test_owners_that_never_were(api: Client) -> None:
    needs_controllers(api)
    ghost = {"metadata": {"name": "ghost", "uid": "22222222-2222-4222-8222-222222222222"}}
    (await api.create("configmaps", owned("child", ghost))).ok()
    await api.gone(api.path("configmaps", "child"))


async def test_namespaces_are_emptied_and_go(api: Client) -> None:
    needs_controllers(api)
    name = f"gone-{api.unique()}"
    await api.make_namespace(name)
    path = f"/api/v1/namespaces/{name}"
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    (await api.call("POST", f"{path}/configmaps", config_map("cm"))).ok()
    (await api.call("POST", f"{path}/configmaps", held)).ok()
    marked = (await api.call("DELETE", path)).ok()
    assert marked["kind"] == "Namespace"
    assert marked["status"]["phase"] == "Terminating"
    assert marked["spec"]["finalizers"] == ["kubernetes"]
    await api.gone(f"{path}/configmaps/cm")
    answer = await api.call("POST", f"{path}/configmaps", config_map("late"))
    assert answer.refused(403, "Forbidden") == (
        f'configmaps "late" is forbidden: unable to create new content in namespace {name} because it is being terminated'
    )
    assert answer.body["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
    ]  # fmt: skip
    release = {"metadata": {"finalizers": None}}
    (await api.call("PATCH", f"{path}/configmaps/held", release, "application/merge-patch+json")).ok()
    await api.gone(path)


async def test_a_new_namespace(api: Client) -> None:
    made = (await api.get(f"/api/v1/namespaces/{api.namespace}")).ok()
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": api.namespace}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}
