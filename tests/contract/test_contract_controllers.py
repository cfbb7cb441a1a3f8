"""Controllers beside those of workloads: endpoints, APIServices, budgets, autoscalers, quotas, limits and events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.client import APPLY, Client, deployment
from tests.contract.test_contract_workloads import WEB, conditions, running, when

__all__ = ["running"]
SLICES = "endpointslices.discovery.k8s.io/v1"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "https", "port": 443, "targetPort": 80}]
    whole = {"selector": {"app": name}, "ports": ports, **spec}
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"x": "z"}}, "spec": whole,
    }  # fmt: skip


def quota(**hard: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}


def pod(name: str, **resources: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "nginx:1", "resources": resources}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}


async def test_endpoints_follow_ready_pods(running: Client) -> None:
    (await running.apply("services", service())).ok()
    (await running.apply(WEB, deployment(replicas=2))).ok()

    def two(found: dict[str, Any]) -> bool:
        return [len(s.get("addresses") or ()) for s in found.get("subsets") or ()] == [2]

    await running.eventually(lambda: _exists(running, running.path("endpoints", "web")))
    found = await when(running, "endpoints", "web", two)
    assert found["subsets"][0]["ports"] == [{"name": "https", "port": 80, "protocol": "TCP"}]
    assert found["subsets"][0]["addresses"][0]["targetRef"]["kind"] == "Pod"
    assert found["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller", "x": "z"}
    slices = (await running.get(running.path(SLICES))).ok()["items"]
    assert [s["metadata"]["ownerReferences"][0]["name"] for s in slices] == ["web"]
    assert slices[0]["metadata"]["labels"] == {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": "web", "x": "z",
    }  # fmt: skip
    assert (await running.delete("services", "web")).code == 200
    await running.gone(running.path("endpoints", "web"))
    await running.gone(running.path(SLICES, slices[0]["metadata"]["name"]))


async def _exists(api: Client, path: str) -> bool:
    return (await api.get(path)).code == 200


@pytest.fixture
async def group(api: Client) -> AsyncIterator[str]:
    """A group of an APIService that is gone afterwards."""
    name = f"g{api.unique()}.example.com"
    yield name
    with contextlib.suppress(AssertionError):
        await api.call("DELETE", f"{API_SERVICES}/v1.{name}")


async def test_an_api_service_waits_for_its_backend(running: Client, group: str) -> None:
    body = {
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"v1.{group}"},
        "spec": {
            "group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": True, "service": {"name": "web", "namespace": running.namespace},
        },
    }  # fmt: skip
    path = f"{API_SERVICES}/v1.{group}"
    (await running.call("PATCH", path, body, APPLY, fieldManager="one")).ok()
    where = f'"{running.namespace}"'

    async def said(reason: str) -> str:
        async def look() -> Any:
            found = (await running.get(path)).ok().get("status", {}).get("conditions") or [{}]
            return found[0] if found[0].get("reason") == reason else None

        condition = await running.eventually(look)
        assert condition["status"] == ("True" if reason == "Passed" else "False")
        return str(condition["message"])

    assert await said("ServiceNotFound") == f"service/web in {where} is not present"
    (await running.apply("services", service())).ok()
    assert await said("MissingEndpoints") == (
        f'endpointslices for service/web in {where} have no addresses with port name "https"'
    )
    (await running.apply(WEB, deployment(replicas=1))).ok()
    if running.server.kind == "sandbox":  # the real server asks the pods next, which are pretended there
        await said("Passed")


async def test_a_quota_is_kept(running: Client) -> None:
    (await running.apply("resourcequotas", quota(pods="1"))).ok()
    await when(running, "resourcequotas", "q", lambda o: (o.get("status") or {}).get("used") == {"pods": "0"})
    (await running.apply(WEB, deployment(replicas=2))).ok()
    done = await when(running, WEB, "web", lambda o: "ReplicaFailure" in conditions(o))
    assert conditions(done)["ReplicaFailure"] == ("True", "FailedCreate")
    await when(running, "resourcequotas", "q", lambda o: o["status"]["used"] == {"pods": "1"})
    message = (await running.create("pods", pod("x"))).refused(403, "Forbidden")
    assert message == ('pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1')
    assert await _told(running, "FailedCreate", "exceeded quota: q, requested: pods=1") == "Warning"
    assert await _told(running, "ScalingReplicaSet", "Scaled up replica set web-") == "Normal"
    assert await _told(running, "SuccessfulCreate", "Created pod: web-") == "Normal"
    (await running.apply("resourcequotas", quota(pods="5"))).ok()
    await when(running, WEB, "web", lambda o: o["status"].get("availableReplicas") == 2)


async def _told(api: Client, reason: str, part: str) -> str:
    async def look() -> str:
        items = (await api.get(api.path("events"), fieldSelector=f"reason={reason}")).ok()["items"]
        return next((e["type"] for e in items if part in e["message"]), "")

    return str(await api.eventually(look))


async def test_what_a_quota_wants_to_be_told(running: Client) -> None:
    (await running.apply("resourcequotas", quota(**{"requests.cpu": "1", "requests.memory": "1Gi"}))).ok()
    await when(running, "resourcequotas", "q", lambda o: bool((o.get("status") or {}).get("used")))
    message = (await running.create("pods", pod("x"))).refused(403, "Forbidden")
    assert message == (
        'pods "x" is forbidden: failed quota: q: must specify requests.cpu for: c; requests.memory for: c'
    )
    message = (
        await running.create("pods", pod("x", requests={"cpu": "1500m", "memory": "1Mi"}))
    ).refused(403, "Forbidden")  # fmt: skip
    assert message.endswith(
        "exceeded quota: q, requested: requests.cpu=1500m, used: requests.cpu=0, limited: requests.cpu=1"
    )


async def test_limits_are_filled_in(running: Client) -> None:
    item = {
        "type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "2"},
    }  # fmt: skip
    body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "lr"}, "spec": {"limits": [item]}}
    (await running.apply("limitranges", body)).ok()
    made = (await running.create("pods", pod("x"))).ok()
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    }
    message = (await running.create("pods", pod("y", limits={"cpu": "3"}))).refused(403, "Forbidden")
    assert message == 'pods "y" is forbidden: maximum cpu usage per Container is 2, but limit is 3'


async def test_a_budget_counts(running: Client) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}, "spec": spec}
    (await running.apply("poddisruptionbudgets.policy/v1", body)).ok()
    (await running.apply(WEB, deployment(replicas=2))).ok()
    found = await when(
        running, "poddisruptionbudgets.policy/v1", "p",
        lambda o: (o.get("status") or {}).get("currentHealthy") == 2,
    )  # fmt: skip
    status = {k: v for k, v in found["status"].items() if k != "conditions"}
    assert status == {
        "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1, "expectedPods": 2, "observedGeneration": 1,
    }  # fmt: skip
    assert conditions(found) == {"DisruptionAllowed": ("True", "SufficientPods")}
