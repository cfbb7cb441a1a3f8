"""An agent with less than all rights: limited to namespaces, acting as a project's service account, missing a permission.

RBAC is only enforced by a real server: there the agent runs as the plain user `agent` with exactly what
`yardarm-agent rbac` prints. On the sandbox everything but the refusals is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from agent.kube.access import Access
from agent.kube.client import Kube
from agent.loop import run_agent
from agent.rbac import Grantee, role_objects
from agent.settings import AgentSettings
from shared.messages import Limits, Policy
from shared.model import ObjectRef
from tests.fakes import apiserver
from tests.fakes.agenthub import agent_hub
from tests.fakes.faultproxy import FaultProxy

ROOT = Path(__file__).parents[2]


def configmap(name, namespace="", **data):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"a": "b"}}


def cluster_role(name):
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [],
    }


class Place:
    def __init__(self, server, hub, kube, folder, stack):
        self.server, self.hub, self.kube, self.folder, self.stack = server, hub, kube, folder, stack
        self.name = f"s{uuid.uuid4().hex[:6]}"
        self.spaces = []

    @property
    def real(self):
        return self.server.kind == "real"

    async def space(self, suffix):
        name = f"{self.name}-{suffix}"
        await self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.spaces.append(name)
        return name

    async def apply(self, *manifests):
        for each in manifests:
            await self.kube.apply(each, manager="administrator")

    async def grant(self, *args):
        """What `yardarm-agent rbac` prints, applied."""
        command = [sys.executable, "-m", "agent", "rbac", "--user", "agent", *args]
        printed = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=True)
        items = json.loads(printed.stdout)["items"]
        await self.apply(*items)
        return items

    async def start(self, scope=(), inventory=""):
        self.proxy = await self.stack.enter_async_context(FaultProxy(self.server.url, self.server.tls()))
        token = apiserver.USER_TOKEN if self.real else self.server.token
        kube = await self.stack.enter_async_context(await Kube.connect(Access.url(self.proxy.url, token)))
        settings = AgentSettings(
            cluster=self.name, nats=self.hub.nats.server.url, creds=None, heartbeat=0.5, report_interval=0.1,
            namespace_scope=tuple(scope), inventory_namespace=inventory or scope[0], state=self.folder / "state",
        )  # fmt: skip
        group = await self.stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(run_agent(settings, kube, self.hub.credentials(self.name)))
        self.stack.callback(task.cancel)

    async def assign(self, app, *manifests, **more):
        return await self.hub.assign(self.name, app, list(manifests), **more)


@pytest.fixture(params=apiserver.available())
async def place(request, tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "sandbox":
            server = await stack.enter_async_context(apiserver.sandbox(tmp_path))
        else:
            server = apiserver.real(tmp_path)
        hub = await stack.enter_async_context(agent_hub(tmp_path))
        kube = await stack.enter_async_context(
            await Kube.connect(Access.url(server.url, server.token, server.ca or None))
        )
        place = Place(server, hub, kube, tmp_path, stack)
        async with contextlib.AsyncExitStack() as place.stack:
            yield place
        for name in (f"{place.name}-cluster",):
            for kind in ("ClusterRole", "ClusterRoleBinding"):
                await kube.delete(ObjectRef("rbac.authorization.k8s.io/v1", kind, "", name))
        for space in place.spaces:
            await kube.delete(ObjectRef("v1", "Namespace", "", space))


async def test_limited_to_namespaces_it_works_with_just_the_rights_it_prints(place):
    one, two = await place.space("one"), await place.space("two")
    await place.grant("--namespace-scope", f"{one},{two}")
    await place.start((one, two))

    given = await place.assign("shop", configmap("a"), configmap("b", two), namespace=one)
    await place.hub.healthy(given)
    await place.kube.delete(ObjectRef("v1", "ConfigMap", two, "b"))
    report = await place.hub.report(given, lambda r: any(d.corrected for d in r.drift))
    await place.hub.healthy(await place.assign("shop", configmap("a"), namespace=one))
    await place.hub.report(await place.assign("shop", namespace=one, removed=True), lambda r: r.phase == "Removed")

    assert report.warnings == ()
    assert await place.kube.get(ObjectRef("v1", "ConfigMap", one, "a")) is None
    # Lists and watches go to the two namespaces only: a list over all of them would need other rights.
    assert not any("forbidden" in problem.lower() for beat in place.hub.beats for problem in beat.problems)


async def test_what_is_out_of_reach_is_refused_object_by_object(place):
    one, other = await place.space("one"), await place.space("other")
    await place.grant("--namespace-scope", one)
    await place.start((one,))

    given = await place.assign(
        "shop", configmap("a"), configmap("b", other), cluster_role(f"{place.name}-x"), namespace=one
    )
    report = await place.hub.report(given, lambda r: r.phase == "Failed")

    said = {each.ref.kind + "/" + each.ref.name: each.reason for each in report.objects if each.action == "failed"}
    assert set(said) == {"ConfigMap/b", f"ClusterRole/{place.name}-x"}
    assert f"it is in namespace {other}, and this agent is limited to {one}" in said["ConfigMap/b"]
    assert "it is cluster-scoped" in said[f"ClusterRole/{place.name}-x"]
    assert await place.kube.get(ObjectRef("v1", "ConfigMap", one, "a"))


async def test_a_missing_permission_is_named_with_verb_and_resource(place):
    if not place.real:
        pytest.skip("the sandbox enforces no RBAC")
    one = await place.space("one")
    for each in role_objects(Grantee("agent"), (one,), one):
        if each["kind"] == "Role":
            verbs = ["get", "list", "watch", "create", "patch", "delete"]
            lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}
            each["rules"] = [{"apiGroups": [""], "resources": ["configmaps", "events", "pods"], "verbs": verbs}, lease]
        await place.apply(each)
    await place.start((one,))

    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}
    report = await place.hub.report(
        await place.assign("shop", configmap("a"), secret, namespace=one), lambda r: r.phase == "Failed"
    )

    said = {each.ref.kind: each.reason for each in report.objects if each.action == "failed"}
    assert set(said) == {"Secret"}
    assert f"may not patch secrets in namespace {one}: grant it to agent" in said["Secret"]
    assert any("may not list and watch secrets" in warning for warning in report.warnings)
    assert await place.kube.get(ObjectRef("v1", "ConfigMap", one, "a"))


async def test_the_lease_may_be_forbidden(place):
    if not place.real:
        pytest.skip("the sandbox enforces no RBAC")
    one = await place.space("one")
    for each in role_objects(Grantee("agent"), (one,), one):
        if each["kind"] == "Role":
            verbs = ["get", "list", "watch", "create", "patch", "delete"]
            each["rules"] = [{"apiGroups": ["", "apps"], "resources": ["*"], "verbs": verbs}]
        await place.apply(each)
    await place.start((one,))

    await place.hub.healthy(await place.assign("shop", configmap("a"), namespace=one))

    await place.hub.until(
        lambda: any(
            "a second agent for this cluster would not be noticed" in text
            for beat in place.hub.beats
            for text in beat.problems
        )
    )


async def test_a_project_is_applied_in_the_name_of_its_service_account(place):
    """What the account may not do is refused, though the agent itself may."""
    one = await place.space("one")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": one}}
    verbs = ["get", "create", "patch", "delete"]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "deployer", "namespace": one},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}],
    }  # fmt: skip
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "deployer", "namespace": one},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deployer"},
        "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": one}],
    }  # fmt: skip
    await place.apply(account, role, binding)
    await place.grant("--namespace-scope", one, "--act-as", f"{one}/deployer")
    await place.start((one,))
    policy = Policy(service_account="deployer")

    given = await place.assign("shop", configmap("a"), namespace=one, policy=policy)
    await place.hub.healthy(given)
    await place.kube.apply({**configmap("a", one), "data": {"a": "edited"}}, force=True, manager="intruder")
    await place.hub.report(given, lambda r: any(d.corrected for d in r.drift))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}
    given = await place.assign("shop", configmap("b"), secret, namespace=one, policy=policy)

    if place.real:
        report = await place.hub.report(given, lambda r: r.phase == "Failed")
        said = {each.ref.kind: each.reason for each in report.objects if each.action == "failed"}
        assert set(said) == {"Secret"}
        assert f"may not patch secrets in namespace {one}" in said["Secret"]
        assert f"system:serviceaccount:{one}:deployer" in said["Secret"]
    else:
        await place.hub.healthy(given)
    account_user = f"system:serviceaccount:{one}:deployer"
    # The inventory and the lease are the agent's own.
    assert place.proxy.acting["patch"] == {"", account_user}
    assert place.proxy.acting["create"] == {""}
    assert place.proxy.acting.get("delete", {account_user}) == {account_user}


async def test_a_hub_that_lost_its_mind_gets_nothing_beyond_a_project_past_the_agent(place):
    """Limits are in the signed assignment, and the agent goes by them even if the hub did not."""
    one, other = await place.space("one"), await place.space("other")
    await place.grant("--namespace-scope", f"{one},{other}")
    await place.start((one, other))
    limited = Policy(limits=Limits("shop", namespaces=(one,), denied=("Secret",)))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}

    given = await place.assign("shop", configmap("a"), configmap("b", other), secret, namespace=one, policy=limited)
    report = await place.hub.report(given, lambda r: r.phase == "Failed")

    said = {each.ref.kind + "/" + each.ref.name: each.reason for each in report.objects if each.action == "failed"}
    assert set(said) == {"ConfigMap/b", "Secret/s"}
    assert f"project shop may have the namespaces {one}, not {other}" in said["ConfigMap/b"]
    assert "project shop denies Secret" in said["Secret/s"]
    assert await place.kube.get(ObjectRef("v1", "ConfigMap", one, "a"))
    assert await place.kube.get(ObjectRef("v1", "ConfigMap", other, "b")) is None
    assert await place.kube.get(ObjectRef("v1", "Secret", one, "s")) is None


async def test_an_account_that_may_not_be_acted_as_is_named(place):
    if not place.real:
        pytest.skip("the sandbox enforces no RBAC")
    one = await place.space("one")
    await place.grant("--namespace-scope", one)
    await place.start((one,))

    given = await place.assign("shop", configmap("a"), namespace=one, policy=Policy(service_account="nobody"))
    report = await place.hub.report(given, lambda r: r.phase == "Failed")

    reason = report.objects[
        0
    ].reason  # newer servers ask for the right to each verb: impersonate-on:serviceaccount:patch
    assert "may not impersonate" in reason
    assert f"in namespace {one}: grant it to" in reason


async def test_the_whole_cluster_with_just_the_rights_it_prints(place):
    items = await place.grant()
    await place.start((), inventory=f"{place.name}-system")
    app = f"{place.name}-app"
    place.spaces += [app, f"{place.name}-system"]
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{place.name}s.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"kind": f"K{place.name}", "plural": f"{place.name}s"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    }  # fmt: skip
    custom = {"apiVersion": "example.com/v1", "kind": f"K{place.name}", "metadata": {"name": "x"}}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["update"]}],
    }  # fmt: skip

    try:
        await place.hub.healthy(await place.assign(app, configmap("a"), crd, custom, role))
    finally:
        await place.kube.delete(ObjectRef(crd["apiVersion"], crd["kind"], "", crd["metadata"]["name"]))
        for each in items:
            await place.kube.delete(ObjectRef(each["apiVersion"], each["kind"], "", each["metadata"]["name"]))
