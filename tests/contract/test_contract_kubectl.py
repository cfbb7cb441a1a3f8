"""What people try: kubectl, with whatever it sends (protobuf, patches with directives, openapi questions)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil

import pytest

from tests.contract.client import Client, config_map, deployment

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl")


async def kubectl(api: Client, *arguments: str, given: object = None, expect: int = 0, **environment: str) -> str:
    """Runs kubectl in the test's namespace; returns what it printed."""
    command = [str(KUBECTL), f"--kubeconfig={api.server.kubeconfig}", f"--namespace={api.namespace}", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HOME": "/nonexistent", **environment},
    )  # fmt: skip
    printed, _ = await process.communicate(json.dumps(given).encode() if given is not None else b"")
    assert process.returncode == expect, printed.decode()
    return printed.decode()


async def test_apply_and_change(api: Client) -> None:
    web = deployment(paused=True, replicas=0)
    assert "created" in await kubectl(api, "apply", "-f", "-", given=web)
    assert "unchanged" in await kubectl(api, "apply", "-f", "-", given=web)
    web["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2"
    assert "configured" in await kubectl(api, "apply", "-f", "-", given=web)
    assert "serverside-applied" in await kubectl(api, "apply", "--server-side", "-f", "-", given=web)
    assert "image updated" in await kubectl(api, "set", "image", "deploy/web", "main=nginx:3")
    assert "scaled" in await kubectl(api, "scale", "deploy/web", "--replicas=0")
    assert "labeled" in await kubectl(api, "label", "deploy/web", "a=b")
    assert "annotated" in await kubectl(api, "annotate", "deploy/web", "a=b")
    assert "patched" in await kubectl(api, "patch", "deploy/web", "-p", '{"spec":{"minReadySeconds":1}}')
    edited = await kubectl(api, "edit", "deploy/web", KUBE_EDITOR="sed -i s/nginx:3/nginx:4/")
    assert "edited" in edited
    live = (await api.get(api.path("deployments.apps/v1", "web"))).ok()
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:4"
    assert "replaced" in await kubectl(api, "replace", "-f", "-", given=web)
    assert "nginx:2" in await kubectl(api, "get", "deploy/web", "-o", "yaml")
    await kubectl(api, "diff", "-f", "-", given=web)
    assert "deleted" in await kubectl(api, "delete", "deploy/web")


async def test_create_by_command(api: Client) -> None:
    await kubectl(api, "create", "configmap", "c", "--from-literal=a=b")
    await kubectl(api, "create", "secret", "generic", "s", "--from-literal=a=b")
    await kubectl(api, "create", "deployment", "d", "--image=nginx", "--replicas=0", "--port=80")
    await kubectl(api, "create", "job", "j", "--image=busybox", "--", "true")
    await kubectl(api, "create", "cronjob", "cj", "--image=busybox", "--schedule=0 0 1 1 *")
    await kubectl(api, "create", "role", "r", "--verb=get", "--resource=pods")
    await kubectl(api, "create", "ingress", "i", "--rule=a.b/c*=d:80")
    await kubectl(api, "create", "poddisruptionbudget", "p", "--selector=a=b", "--min-available=1")
    await kubectl(api, "expose", "deploy/d", "--port=80")
    assert (await api.get(api.path("secrets", "s"))).ok()["data"] == {"a": "Yg=="}
    assert (await api.get(api.path("services", "d"))).ok()["spec"]["selector"] == {"app": "d"}
    spec = (await api.get(api.path("deployments.apps/v1", "d"))).ok()["spec"]["template"]["spec"]
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


async def test_read(api: Client) -> None:
    (await api.create("configmaps", config_map("cm", a="1"))).ok()
    (await api.apply("deployments.apps/v1", deployment(paused=True, replicas=0))).ok()
    table = await kubectl(api, "get", "deploy,configmap")
    assert "deployment.apps/web" in table
    assert "READY" in table
    assert "configmap/cm" in table
    await kubectl(api, "get", "all", "-A")
    assert "Name:" in await kubectl(api, "describe", "deploy/web")
    assert "deployments" in await kubectl(api, "api-resources")
    assert "apps/v1" in await kubectl(api, "api-versions")
    assert "rollingUpdate" in await kubectl(api, "explain", "deployment.spec.strategy")
    assert "yes" in await kubectl(api, "auth", "can-i", "get", "pods")
    await kubectl(api, "version")
    await kubectl(api, "get", "events")


async def test_refusals_are_shown(api: Client) -> None:
    wrong = {**config_map(), "dat": {}}
    assert 'unknown field "dat"' in await kubectl(api, "apply", "-f", "-", given=wrong, expect=1)
    (await api.apply("configmaps", config_map(a="1"), manager="other")).ok()
    shown = await kubectl(api, "apply", "--server-side", "-f", "-", given=config_map(a="2"), expect=1)
    assert 'conflict with "other": .data.a' in shown
    assert "NotFound" in await kubectl(api, "get", "configmap", "absent", expect=1)
