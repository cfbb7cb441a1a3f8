"""Workloads: what controllers make of them, and what their status says, which is all that health goes by."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.client import Client, deployment
from tests.contract.kubelet import Kubelet

WEB = "deployments.apps/v1"
POD = {"containers": [{"name": "c", "image": "busybox:1"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}


@pytest.fixture
async def running(api: Client) -> AsyncIterator[Client]:
    """A namespace in which pods run."""
    if not api.server.controllers:
        pytest.skip("this server has no controller manager")
    if (await api.get("/api/v1/nodes")).ok()["items"]:
        yield api
        return
    task = asyncio.get_running_loop().create_task(Kubelet(api).run())
    yield api
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def conditions(obj: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in obj.get("status", {}).get("conditions") or ()}


async def when(api: Client, resource: str, name: str, check: Any) -> dict[str, Any]:
    async def look() -> Any:
        obj = (await api.get(api.path(resource, name))).ok()
        return obj if check(obj) else None

    found: dict[str, Any] = await api.eventually(look)
    return found


def rolled_out(obj: dict[str, Any]) -> bool:
    return conditions(obj).get("Progressing") == ("True", "NewReplicaSetAvailable") and (
        obj["status"].get("observedGeneration") == obj["metadata"]["generation"]
    )


async def test_a_deployment_becomes_available(running: Client) -> None:
    (await running.apply(WEB, deployment(replicas=2))).ok()
    done = await when(running, WEB, "web", lambda o: rolled_out(o) and o["status"].get("availableReplicas") == 2)
    status = done["status"]
    counts = {k: v for k, v in status.items() if k not in ("conditions", "terminatingReplicas")}
    assert counts == {
        "availableReplicas": 2, "observedGeneration": 1, "readyReplicas": 2, "replicas": 2, "updatedReplicas": 2,
    }  # fmt: skip
    assert conditions(done) == {
        "Available": ("True", "MinimumReplicasAvailable"), "Progressing": ("True", "NewReplicaSetAvailable"),
    }  # fmt: skip
    messages = {c["type"]: c["message"] for c in status["conditions"]}
    assert messages["Available"] == "Deployment has minimum availability."
    assert messages["Progressing"].endswith("has successfully progressed.")
    assert done["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    sets = (await running.get(running.path("replicasets.apps/v1"))).ok()["items"]
    assert len(sets) == 1
    owner = sets[0]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Deployment", "web", True)
    assert sets[0]["metadata"]["labels"]["pod-template-hash"] == sets[0]["metadata"]["name"].removeprefix("web-")
    pods = (await running.get(running.path("pods"), labelSelector="app=web")).ok()["items"]
    assert {p["status"]["phase"] for p in pods} == {"Running"}
    assert all(p["spec"]["nodeName"] for p in pods)


async def test_the_controller_does_not_take_what_was_applied(running: Client) -> None:
    (await running.apply(WEB, deployment(replicas=1))).ok()
    await when(running, WEB, "web", rolled_out)
    again = await running.apply(WEB, deployment(replicas=1))
    assert again.ok()["metadata"]["generation"] == 1
    own = [e for e in again.body["metadata"]["managedFields"] if e["manager"] == "kube-controller-manager"]
    assert [(e["operation"], e["subresource"]) for e in own] == [("Update", "status")]
    assert own[0]["fieldsV1"]["f:metadata"] == {
        "f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}
    }  # fmt: skip


async def test_a_new_template_rolls_over(running: Client) -> None:
    (await running.apply(WEB, deployment(replicas=2))).ok()
    await when(running, WEB, "web", rolled_out)
    wanted = deployment(replicas=2)
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2"
    assert (await running.apply(WEB, wanted)).ok()["metadata"]["generation"] == 2
    done = await when(
        running, WEB, "web",
        lambda o: rolled_out(o) and o["status"].get("updatedReplicas") == 2 and o["status"]["replicas"] == 2,
    )  # fmt: skip
    assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    sets = (await running.get(running.path("replicasets.apps/v1"))).ok()["items"]
    assert sorted(s["spec"]["replicas"] for s in sets) == [0, 2]


async def test_a_broken_image_exceeds_the_deadline(running: Client) -> None:
    wanted = deployment(replicas=1, progressDeadlineSeconds=2)
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:broken"
    if running.server.kind == "real":
        wanted["spec"]["template"]["metadata"]["annotations"] = {"test.yardarm.dev/never-ready": "true"}
    (await running.apply(WEB, wanted)).ok()
    late = ("False", "ProgressDeadlineExceeded")
    done = await when(running, WEB, "web", lambda o: conditions(o).get("Progressing") == late)
    assert conditions(done)["Available"] == ("False", "MinimumReplicasUnavailable")
    assert done["status"]["unavailableReplicas"] == 1
    assert "readyReplicas" not in done["status"]
    assert done["status"]["conditions"][-1]["message"].endswith("has timed out progressing.")


async def test_deleting_a_deployment_takes_all_of_it(running: Client) -> None:
    (await running.apply(WEB, deployment(replicas=1))).ok()
    await when(running, WEB, "web", rolled_out)
    (await running.delete(WEB, "web", propagationPolicy="Background")).ok()

    async def empty() -> bool:
        left = [
            *(await running.get(running.path("replicasets.apps/v1"))).ok()["items"],
            *(await running.get(running.path("pods"))).ok()["items"],
        ]
        return not left

    await running.eventually(empty)


async def test_scaling_to_nothing(running: Client) -> None:
    (await running.apply(WEB, deployment(replicas=1))).ok()
    await when(running, WEB, "web", rolled_out)
    (await running.patch(WEB, "web", {"spec": {"replicas": 0}})).ok()
    done = await when(
        running, WEB, "web", lambda o: o["status"].get("observedGeneration") == 2 and not o["status"].get("replicas")
    )
    assert conditions(done)["Available"][0] == "True"


async def test_a_job_completes(running: Client) -> None:
    spec = {
        "template": {
            "metadata": {"annotations": {"test.yardarm.dev/succeed-after": "0"}},
            "spec": {**POD, "restartPolicy": "Never"},
        }
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec}
    made = (await running.create("jobs.batch/v1", job)).ok()
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert made["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "j", "controller-uid": uid,
        "job-name": "j",
    }  # fmt: skip
    done = await when(running, "jobs.batch/v1", "j", lambda o: conditions(o).get("Complete", ("",))[0] == "True")
    assert done["status"]["succeeded"] == 1
    assert conditions(done)["SuccessCriteriaMet"] == conditions(done)["Complete"] == ("True", "CompletionsReached")
    assert done["status"]["completionTime"] and done["status"]["startTime"]  # noqa: PT018


async def test_a_stateful_set(running: Client) -> None:
    wanted = {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"},
        "spec": {"replicas": 2, "serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
    }  # fmt: skip
    (await running.apply("statefulsets.apps/v1", wanted)).ok()
    resource = "statefulsets.apps/v1"
    done = await when(running, resource, "s", lambda o: o.get("status", {}).get("availableReplicas") == 2)
    status = done["status"]
    assert status["currentRevision"] == status["updateRevision"]
    assert (status["readyReplicas"], status["updatedReplicas"], status["currentReplicas"]) == (2, 2, 2)
    assert (status["observedGeneration"], status["collisionCount"]) == (1, 0)
    pods = (await running.get(running.path("pods"))).ok()["items"]
    assert [p["metadata"]["name"] for p in pods] == ["s-0", "s-1"]
    assert pods[0]["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "0"


async def test_a_daemon_set(running: Client) -> None:
    known = (await running.get("/api/v1/nodes")).ok()["items"]
    nodes = sum(not any(t["effect"] == "NoSchedule" for t in n["spec"].get("taints") or ()) for n in known)
    wanted = {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
    }  # fmt: skip
    (await running.apply("daemonsets.apps/v1", wanted)).ok()
    done = await when(
        running, "daemonsets.apps/v1", "d",
        lambda o: o.get("status", {}).get("observedGeneration") == 1 and o["status"].get("numberReady") == nodes,
    )  # fmt: skip
    status = done["status"]
    assert (status["desiredNumberScheduled"], status["currentNumberScheduled"]) == (nodes, nodes)
    assert status["numberMisscheduled"] == 0
    assert "numberUnavailable" not in status


async def test_events_can_be_written_and_selected(running: Client) -> None:
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "type": "Warning", "reason": "Tested",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": running.namespace}, "message": "m",
    }  # fmt: skip
    (await running.create("events", event)).ok()
    found = (await running.get(running.path("events"), fieldSelector="involvedObject.name=p,type=Warning")).ok()
    assert [i["reason"] for i in found["items"]] == ["Tested"]


async def test_a_pod_is_deleted_with_grace(running: Client) -> None:
    (await running.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": POD})).ok()
    await when(running, "pods", "p", lambda o: o["status"]["phase"] == "Running")
    marked = (await running.delete("pods", "p")).ok()
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    await running.gone(running.path("pods", "p"))


async def test_a_lease_can_be_renewed(running: Client) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }  # fmt: skip
    made = (await running.create("leases.coordination.k8s.io/v1", lease)).ok()
    made["spec"]["renewTime"] = "2026-01-01T00:00:01.000000Z"
    path = running.path("leases.coordination.k8s.io/v1", "l")
    assert (await running.call("PUT", path, made)).ok()["spec"]["renewTime"] == "2026-01-01T00:00:01.000000Z"
    (await running.call("PUT", path, made)).refused(409, "Conflict")
