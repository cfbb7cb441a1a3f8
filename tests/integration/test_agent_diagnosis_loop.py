"""What a person reads in a report: why a workload is not healthy, and what the application's own rules say.

The whole agent over a real NATS, on the sandbox.
"""

import asyncio
import contextlib

import pytest

from agent import diagnosis
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.loop import run_agent
from agent.sandbox.server import Sandbox
from agent.settings import AgentSettings
from shared.messages import HealthRule, Policy
from shared.model import ObjectRef
from tests.fakes.agenthub import agent_hub

WIDGET = "example.com/Widget"


@pytest.fixture
async def place(tmp_path, monkeypatch):
    """(hub, kube): a hub with one agent, and a client of its own to the agent's cluster."""
    monkeypatch.setattr(diagnosis, "DELAY", 0.05)
    monkeypatch.setattr(diagnosis, "AGAIN", 0.2)
    async with contextlib.AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(token="t"))
        access = Access.url(sandbox.add_cluster("c1"), "t")
        hub = await stack.enter_async_context(agent_hub(tmp_path))
        settings = AgentSettings(
            cluster="c1", nats=hub.nats.server.url, creds=None, state=tmp_path / "state", heartbeat=1.0, report_interval=0.1
        )  # fmt: skip
        kube = await stack.enter_async_context(await Kube.connect(access))
        own = await stack.enter_async_context(await Kube.connect(access))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        agent = group.create_task(run_agent(settings, own, hub.credentials("c1")))
        yield hub, kube
        agent.cancel()


def deployment(image):
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }  # fmt: skip


def definition():
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }  # fmt: skip


def widget(**more):
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, **more}


def of(report, kind):
    return next((each for each in report.objects if each.ref.kind == kind), None)


async def test_a_report_names_the_image_that_cannot_be_pulled_until_it_is_mended(place):
    hub, _ = place
    given = await hub.assign("c1", "shop", [deployment("example.com/api:broken")])

    report = await hub.report(given, lambda r: "ImagePullBackOff" in r.reason)

    reason = of(report, "Deployment").reason
    assert "replicas are available: ImagePullBackOff: container app (example.com/api:broken): " in reason
    assert reason.endswith("(on 2 of 2 pods)")
    assert reason in report.reason

    mended = await hub.assign("c1", "shop", [deployment("example.com/api:2")])
    report = await hub.healthy(mended)
    assert of(report, "Deployment").reason == ""


async def test_the_rule_of_an_application_decides_for_its_kind(place):
    hub, kube = place
    rule = HealthRule(WIDGET, "object.status.phase == 'Ready'", "object.status.phase == 'Broken'")
    given = await hub.assign("c1", "shop", [definition(), widget(spec={"size": 1})], policy=Policy(health=(rule,)))
    report = await hub.report(
        given, lambda r: of(r, "Widget") and "waits for object.status.phase" in of(r, "Widget").reason
    )
    assert of(report, "Widget").health == "Progressing"

    for phase, health in (("Broken", "Degraded"), ("Ready", "Healthy")):
        changed = widget(status={"phase": phase})
        changed["metadata"]["namespace"] = "shop"
        await kube.apply(changed, force=True, manager="widget-controller")
        report = await hub.report(given, lambda r, health=health: of(r, "Widget") and of(r, "Widget").health == health)

    assert report.health == "Healthy"


async def test_a_wave_waits_for_what_the_rule_of_an_application_says(place):
    hub, kube = place
    rule = HealthRule(WIDGET, "object.status.phase == 'Ready'")
    first = widget(spec={"size": 1})
    late = {"name": "late", "annotations": {"argocd.argoproj.io/sync-wave": "1"}}
    second = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": late, "data": {"a": "b"}}
    given = await hub.assign("c1", "shop", [definition(), first, second], policy=Policy(health=(rule,)))
    await hub.report(given, lambda r: "waits for example.com/Widget shop/w: waits for object.status.phase" in r.reason)
    assert await kube.get(ObjectRef("v1", "ConfigMap", "shop", "late")) is None

    ready = widget(status={"phase": "Ready"})
    ready["metadata"]["namespace"] = "shop"
    await kube.apply(ready, force=True, manager="widget-controller")

    await hub.healthy(given)
    assert await kube.get(ObjectRef("v1", "ConfigMap", "shop", "late"))


async def test_a_wrong_rule_harms_only_the_objects_it_is_for(place):
    hub, _ = place
    rule = HealthRule(WIDGET, "object.status.phase ==")
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
    objects = [definition(), widget(spec={}), settings]
    given = await hub.assign("c1", "shop", objects, policy=Policy(health=(rule,)))

    report = await hub.report(given, lambda r: of(r, "Widget") and of(r, "Widget").health == "Unknown")

    assert (
        "the application's health rule for example.com/Widget cannot be used: healthy: Syntax"
        in of(report, "Widget").reason
    )
    assert of(report, "ConfigMap").health == "Healthy"

    mended = Policy(health=(HealthRule(WIDGET, "has(object.spec)"),))
    await hub.healthy(await hub.assign("c1", "shop", objects, policy=mended))
