"""The sandbox as a library: clusters, access, faults, failures on purpose, and that it costs little."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from agent.sandbox.server import Sandbox

DEADLINE = 10.0


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(token="secret") as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer secret"}) as session:
        yield session


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with session.get(url) as response:
        raw = await response.read()
        return response.status, orjson.loads(raw) if raw[:1] in b"{[" else raw


async def put(session: aiohttp.ClientSession, url: str, body: Any) -> int:
    async with session.put(url, data=orjson.dumps(body)) as response:
        return response.status


async def apply(session: aiohttp.ClientSession, url: str, body: Any) -> tuple[int, Any, Any]:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    async with session.patch(url, params={"fieldManager": "t"}, data=orjson.dumps(body), headers=headers) as response:
        return response.status, orjson.loads(await response.read()), response.headers


async def until(session: aiohttp.ClientSession, url: str, check: Any) -> Any:
    async with asyncio.timeout(DEADLINE):
        while True:
            status, body = await get(session, url)
            if status == 200 and check(body):
                return body
            await asyncio.sleep(0.02)


def web(**annotations: str) -> dict[str, Any]:
    container = {"name": "c", "image": "nginx:1"}
    metadata = {"labels": {"a": "b"}, "annotations": {f"sandbox.yardarm.dev/{k}": v for k, v in annotations.items()}}
    spec = {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": metadata, "spec": {"containers": [container]}},
    }  # fmt: skip
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


async def test_clusters_are_apart(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    one, two = sandbox.add_cluster("dev-eu-1", kubernetes="v1.30.1", nodes=3), sandbox.add_cluster("dev-eu-2")
    assert one.endswith("/clusters/dev-eu-1")
    assert (await get(session, f"{one}/version"))[1]["gitVersion"] == "v1.30.1"
    assert len((await get(session, f"{one}/api/v1/nodes"))[1]["items"]) == 3
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    assert (await apply(session, f"{one}/api/v1/namespaces/default/configmaps/x", body))[0] == 201
    assert (await get(session, f"{two}/api/v1/namespaces/default/configmaps/x"))[0] == 404
    with pytest.raises(ValueError, match="dev-eu-1"):
        sandbox.add_cluster("dev-eu-1")
    sandbox.remove_cluster("dev-eu-1")
    assert (await get(session, f"{one}/version"))[0] == 404


async def test_a_removed_cluster_ends_its_watches(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = sandbox.add_cluster("a")
    async with session.get(f"{url}/api/v1/configmaps", params={"watch": "1", "resourceVersion": "0"}) as response:
        sandbox.remove_cluster("a")
        async with asyncio.timeout(DEADLINE):
            await response.read()


async def test_the_kubeconfig_opens_every_cluster(sandbox: Sandbox) -> None:
    for name in ("a", "b"):
        sandbox.add_cluster(name)
    config = sandbox.kubeconfig()
    assert [c["name"] for c in config["contexts"]] == ["a", "b"]
    assert config["current-context"] == "a"
    async with aiohttp.ClientSession() as anonymous:  # as kubectl: no bearer token over plain HTTP
        for cluster in config["clusters"]:
            assert (await get(anonymous, cluster["cluster"]["server"] + "/api/v1/namespaces"))[0] == 200
        assert (await get(anonymous, sandbox.url("a") + "/api/v1/namespaces"))[0] == 401
        assert (await get(anonymous, sandbox.url("a").replace("/clusters", "/token/x/clusters") + "/api"))[0] == 401


async def test_faults(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = sandbox.add_cluster("a")
    path = f"{url}/api/v1/namespaces/default/configmaps/x"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    sandbox.set_faults("a", [{"verb": "patch", "resource": "configmaps", "code": 403}])
    status, refused, _ = await apply(session, path, body)
    assert (status, refused["reason"]) == (403, "Forbidden")
    assert refused["message"] == (
        'configmaps "x" is forbidden: User "sandbox-admin" cannot patch resource "configmaps" in API group "" in the '
        'namespace "default"'
    )
    assert (await get(session, f"{url}/api/v1/namespaces/default/configmaps"))[0] == 200
    faults = [{"code": 429, "retryAfter": 7, "times": 1}]
    assert await put(session, f"{url}/sandbox/faults", faults) == 200
    status, refused, headers = await apply(session, path, body)
    assert (status, refused["reason"], headers["Retry-After"]) == (429, "TooManyRequests", "7")
    assert (await apply(session, path, body))[0] == 201
    assert await put(session, f"{url}/sandbox/faults", [{"colour": "red"}]) == 400
    sandbox.set_faults("a", [{"verb": "get", "hang": 60}])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await get(session, path)
    sandbox.set_faults("a", [])
    assert (await get(session, path))[0] == 200


async def test_readiness_takes_as_long_as_told(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = sandbox.add_cluster("a") + "/apis/apps/v1/namespaces/default/deployments/web"
    await apply(session, url, web(**{"ready-after": "0.3"}))
    waiting = await until(session, url, lambda o: o["status"].get("replicas"))
    assert "readyReplicas" not in waiting["status"]
    await until(session, url, lambda o: o["status"].get("readyReplicas") == 1)


@pytest.mark.parametrize("how", ["ImagePullBackOff", "CrashLoopBackOff", "never-ready"])
async def test_failures_on_purpose(sandbox: Sandbox, session: aiohttp.ClientSession, how: str) -> None:
    url = sandbox.add_cluster("a")
    await apply(session, f"{url}/apis/apps/v1/namespaces/default/deployments/web", web(fail=how))
    path = f"{url}/api/v1/namespaces/default/pods"
    body = await until(session, path, lambda o: any("startTime" in i["status"] for i in o["items"]))
    status = body["items"][0]["status"]
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False"
    state = status["containerStatuses"][0]["state"]
    if how == "never-ready":
        assert "running" in state
    else:
        assert state["waiting"]["reason"] == how


async def test_a_load_balancer_gets_an_address(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = sandbox.add_cluster("a") + "/api/v1/namespaces/default/services/s"
    body = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }  # fmt: skip
    await apply(session, url, body)
    live = await until(session, url, lambda o: o["status"]["loadBalancer"].get("ingress"))
    assert live["status"]["loadBalancer"]["ingress"][0]["ip"].startswith("192.0.2.")
    assert live["spec"]["ports"][0]["nodePort"] > 30000


async def test_a_claim_is_bound(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = sandbox.add_cluster("a")
    body = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    path = f"{url}/api/v1/namespaces/default/persistentvolumeclaims/c"
    await apply(session, path, body)
    bound = await until(session, path, lambda o: o["status"]["phase"] == "Bound")
    assert bound["spec"]["storageClassName"] == "standard"
    assert bound["status"]["capacity"] == {"storage": "1Gi"}
    assert (await get(session, f"{url}/api/v1/persistentvolumes/{bound['spec']['volumeName']}"))[0] == 200
    assert (await apply(session, path, body))[0] == 200


@pytest.mark.parametrize(
    ("failure", "waiting", "last", "code"),
    [
        ("OOMKilled", "CrashLoopBackOff", "OOMKilled", 137),
        ("CrashLoopBackOff", "CrashLoopBackOff", "Error", 1),
        ("CreateContainerConfigError", "CreateContainerConfigError", None, None),
        ("probe", None, None, None),
    ],
)
async def test_containers_fail_as_told(
    sandbox: Sandbox, session: aiohttp.ClientSession, failure: str, waiting: str | None, last: str | None,
    code: int | None,
) -> None:  # fmt: skip
    url = sandbox.add_cluster("dev-eu-1")
    assert (await apply(session, f"{url}/apis/apps/v1/namespaces/default/deployments/web", web(fail=failure)))[0] == 201
    pods = f"{url}/api/v1/namespaces/default/pods"
    found = await until(session, pods, lambda b: b["items"] and b["items"][0]["status"].get("containerStatuses"))
    status = found["items"][0]["status"]["containerStatuses"][0]
    ended = status["lastState"].get("terminated", {})
    assert (status["state"].get("waiting", {}).get("reason"), ended.get("reason"), ended.get("exitCode")) == (
        waiting, last, code,
    )  # fmt: skip
    assert not status["ready"]
    log = await get(session, f"{pods}/{found['items'][0]['metadata']['name']}/log")
    assert log == (200, b"sandbox pods run no containers, so there is no log\n")
    events = (await get(session, f"{url}/api/v1/namespaces/default/events"))[1]["items"]
    assert "Warning" in {e["type"] for e in events if e["involvedObject"]["kind"] == "Pod"}


async def test_events_are_few(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = sandbox.add_cluster("dev-eu-1")
    body = web()
    body["spec"]["replicas"] = 100
    assert (await apply(session, f"{url}/apis/apps/v1/namespaces/default/deployments/web", body))[0] == 201
    pods = f"{url}/api/v1/namespaces/default/pods"
    await until(session, pods, lambda b: sum(p["status"]["phase"] == "Running" for p in b["items"]) == 100)
    events = (await get(session, f"{url}/api/v1/namespaces/default/events"))[1]["items"]
    assert len(events) == 200


async def test_unschedulable(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    url = sandbox.add_cluster("dev-eu-1")
    place = f"{url}/apis/apps/v1/namespaces/default/deployments/web"
    assert (await apply(session, place, web(fail="Unschedulable")))[0] == 201
    pods = f"{url}/api/v1/namespaces/default/pods"
    found = await until(session, pods, lambda b: b["items"] and b["items"][0]["status"].get("conditions"))
    condition = found["items"][0]["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("PodScheduled", "Unschedulable")
    assert "Insufficient cpu" in condition["message"]
