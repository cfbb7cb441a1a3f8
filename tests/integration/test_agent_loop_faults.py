"""The agent when its cluster or its NATS misbehaves: each fault is named where a user looks, and passes without a trace.

On the sandbox, and on a real API server when there is one; a proxy before it makes the trouble.
"""

import asyncio
import contextlib
import uuid

import pytest

from agent.kube.access import Access
from agent.kube.client import Kube
from agent.kube.transport import Request
from agent.loop import run_agent
from agent.settings import AgentSettings
from shared.errors import Unavailable
from shared.model import ObjectRef
from tests.fakes import apiserver
from tests.fakes.agenthub import agent_hub
from tests.fakes.faultproxy import Fault, FaultProxy

PATCH = frozenset({"patch"})
CONFIGMAPS = frozenset({"configmaps"})
SECRETS = frozenset({"secrets"})


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "b"}}


def secret(name):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"a": "Yg=="}}


class Counting(Kube):
    applies = 0

    async def apply(self, manifest, **more):
        self.applies += 1
        return await super().apply(manifest, **more)


class Place:
    def __init__(self, hub, proxy, kube, inside):
        self.hub, self.proxy, self.kube, self.inside = hub, proxy, kube, inside
        self.app = f"t{uuid.uuid4().hex[:8]}"

    async def assign(self, *manifests, app="", **more):
        return await self.hub.assign("c1", app or self.app, list(manifests), **more)

    def faults(self, *faults):
        self.proxy.faults = faults

    async def live(self, kind, name):
        return await self.kube.get(ObjectRef("v1", kind, self.app, name))

    async def edit(self, name, **data):
        manifest = {**configmap(name, **data), "metadata": {"name": name, "namespace": self.app}}
        await self.kube.apply(manifest, force=True, manager="intruder")


@pytest.fixture(params=apiserver.available(controllers=True))
async def place(request, tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "sandbox":
            server = await stack.enter_async_context(apiserver.sandbox(tmp_path))
        else:
            server = apiserver.real(tmp_path)
        hub = await stack.enter_async_context(agent_hub(tmp_path))
        proxy = await stack.enter_async_context(FaultProxy(server.url, server.tls(), token=server.token))
        outside = await stack.enter_async_context(
            await Kube.connect(Access.url(server.url, server.token, server.ca or None))
        )
        inside = await stack.enter_async_context(await Counting.connect(Access.url(proxy.url, server.token)))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        place = Place(hub, proxy, outside, inside)
        settings = AgentSettings(
            cluster="c1", nats=hub.nats.server.url, creds=None, state=tmp_path / "state", heartbeat=0.5,
            report_interval=0.05, inventory_namespace=f"{place.app}-system",
        )  # fmt: skip
        task = group.create_task(run_agent(settings, inside, hub.credentials("c1")))
        yield place
        task.cancel()
        await asyncio.wait((task,))
        for name in (place.app, f"{place.app}-other", settings.inventory_namespace):
            await outside.delete(ObjectRef("v1", "Namespace", "", name))


async def test_a_throttling_server_gets_its_patience(place):
    await place.hub.healthy(await place.assign(configmap("a")))
    place.faults(Fault("status", PATCH, CONFIGMAPS, code=429, retry_after=1, times=2))

    given = await place.assign(configmap("a", new="1"), configmap("b"))

    await place.hub.healthy(given)
    assert not any(r.phase == "Failed" for r in place.hub.reports[given.unit])


async def test_a_server_that_stumbles_is_tried_again(place):
    await place.hub.healthy(await place.assign(configmap("a")))
    place.faults(Fault("status", PATCH, CONFIGMAPS, code=500, times=3))

    await place.hub.healthy(await place.assign(configmap("a", new="1"), configmap("b")))


async def test_what_is_forbidden_is_named_and_holds_up_nothing_else(place):
    await place.hub.healthy(await place.assign(configmap("a")))
    place.faults(Fault("status", PATCH, SECRETS, code=403))

    given = await place.assign(configmap("a"), configmap("b"), secret("s"))
    report = await place.hub.report(given, lambda r: r.phase == "Failed")

    assert "Secret" in report.reason
    assert await place.live("ConfigMap", "b")
    assert {each.ref.name for each in report.objects if each.action == "failed"} == {"s"}


async def test_drift_that_may_not_be_corrected_does_not_make_the_agent_spin(place):
    given = await place.assign(configmap("a", color="blue"))
    await place.hub.healthy(given)
    place.faults(Fault("status", PATCH, CONFIGMAPS, code=403))

    live = await place.live("ConfigMap", "a")
    live["data"] = {"color": "red"}
    path = f"/api/v1/namespaces/{place.app}/configmaps/a"
    await place.kube._transport.send(Request("PUT", path, {"fieldManager": "intruder"}, live))
    report = await place.hub.report(given, lambda r: r.phase == "Failed")
    place.inside.applies = 0
    await asyncio.sleep(1)

    assert [(field.path, field.have) for field in report.drift[0].fields] == [("/data/color", "red")]
    assert place.inside.applies < 10


async def test_a_kind_that_may_not_be_watched_is_said_and_applied_all_the_same(place):
    place.faults(Fault("status", frozenset({"list"}), SECRETS, code=403))

    given = await place.assign(secret("s"))
    report = await place.hub.report(given, lambda r: r.warnings)

    assert "may not list and watch secrets" in report.warnings[0]
    assert await place.live("Secret", "s")


async def test_a_hanging_request_does_not_hold_up_another_unit(place):
    await place.hub.healthy(await place.assign(configmap("a")))
    place.faults(Fault("delay", PATCH, CONFIGMAPS, place.app, seconds=15))
    await place.assign(*(configmap(f"c{n}") for n in range(40)))

    other = await place.assign(configmap("a"), app=f"{place.app}-other")

    await place.hub.healthy(other, 10)


async def test_a_newer_revision_does_not_wait_for_a_hanging_one(place):
    await place.hub.healthy(await place.assign(configmap("a")))
    place.faults(Fault("delay", PATCH, CONFIGMAPS, place.app, seconds=60, times=1))
    stuck = await place.assign(configmap("a", v="2"))
    await place.hub.report(stuck, lambda r: r.phase == "Applying")

    await place.hub.healthy(await place.assign(configmap("a", v="3")), 10)

    assert (await place.live("ConfigMap", "a"))["data"] == {"v": "3"}


async def test_an_edit_is_put_right_although_a_newer_revision_ends_the_look_at_it(place):
    """The newer revision says nothing new about the edited object, and nothing more is heard of it."""
    await place.hub.healthy(await place.assign(configmap("a"), configmap("b", color="blue")))
    place.faults(Fault("delay", PATCH, CONFIGMAPS, place.app, seconds=60))  # the dry run that confirms drift
    await place.edit("b", color="red")
    async with asyncio.timeout(20):
        while not place.proxy.happened["delay", "patch"]:
            await asyncio.sleep(0.01)
    place.proxy.calm()

    newer = await place.assign(configmap("a", v="2"), configmap("b", color="blue"))

    await place.hub.healthy(newer, 30)
    assert (await place.live("ConfigMap", "b"))["data"] == {"color": "blue"}


async def test_an_edit_between_two_revisions_is_put_right_with_the_second(place):
    await place.hub.healthy(await place.assign(configmap("a"), configmap("b", color="blue")))
    for number in range(5):
        await place.edit("b", color=f"red{number}")
        newer = await place.assign(configmap("a", v=str(number)), configmap("b", color="blue"))
        await place.hub.healthy(newer, 30)
        async with asyncio.timeout(20):
            while (await place.live("ConfigMap", "b"))["data"] != {"color": "blue"}:
                await asyncio.sleep(0.01)


async def test_a_revision_looks_again_only_at_what_is_new(place):
    """Nothing is asked about the others, and they are reported as well as before."""
    others = [configmap(f"c{n}") for n in range(20)]
    await place.hub.healthy(await place.assign(configmap("a"), *others))
    place.proxy.requests.clear()

    report = await place.hub.healthy(await place.assign(configmap("a", v="2"), *others))

    asked = {what: n for what, n in place.proxy.requests.items() if what[1] == "configmaps" and what[0] != "watch"}
    assert asked == {("patch", "configmaps"): 1}
    assert report.counts == {"Healthy": 21}


async def test_a_cluster_that_is_away_is_a_problem_of_the_agent_and_passes(place):
    await place.hub.healthy(await place.assign(configmap("a")))
    place.faults(Fault("status", code=503))
    given = await place.assign(configmap("a", v="2"))
    await place.hub.report(given, lambda r: r.phase != "Applied" and r.reason)

    place.faults()

    await place.hub.healthy(given, 40)


async def test_reports_made_while_nats_was_away_arrive(place):
    given = await place.assign(configmap("a", color="blue"))
    await place.hub.healthy(given)
    place.hub.nats.server._process.kill()
    await place.edit("a", color="red")

    path = f"$JS.API.DIRECT.GET.REPORTS.report.c1.{place.app}.{place.app}"
    async with asyncio.timeout(40):
        while True:
            with contextlib.suppress(Unavailable):
                if b"intruder" in (await place.hub.bus.get_last(path)).data:
                    break
            await asyncio.sleep(0.1)

    assert (await place.live("ConfigMap", "a"))["data"] == {"color": "blue"}


async def test_who_keeps_changing_things_back_is_slowed_down(place):
    given = await place.assign(configmap("a", color="blue"))
    await place.hub.healthy(given)

    async def meddle():
        while True:
            if (await place.live("ConfigMap", "a"))["data"] == {"color": "blue"}:
                await place.edit("a", color="red")
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(meddle())
        report = await place.hub.report(given, lambda r: any(d.attempts >= 2 and not d.corrected for d in r.drift))
        task.cancel()

    assert report.drift[0].fields[0].manager == "intruder"
    await place.hub.report(given, lambda r: any(d.attempts >= 3 and d.corrected for d in r.drift))


async def test_a_wave_waits_for_the_one_before_it(place):
    """The first wave's Deployment never becomes ready, so the second is not applied; and a fix is not held up."""
    late = {"argocd.argoproj.io/sync-wave": "1"}
    labels = {"app": "api"}
    never = {"test.yardarm.dev/never-ready": "true"}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels, "annotations": never},
            "spec": {"containers": [{"name": "app", "image": "example.com/app:broken"}]}}},
    }  # fmt: skip
    second = {**configmap("late"), "metadata": {"name": "late", "annotations": late}}

    report = await place.hub.report(
        await place.assign(deployment, second), lambda r: "waits for apps/Deployment" in r.reason
    )
    assert report.phase == "Applying"
    assert await place.live("ConfigMap", "late") is None
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/app:1"
    del deployment["spec"]["template"]["metadata"]["annotations"]
    await place.hub.healthy(await place.assign(deployment, second))

    assert await place.live("ConfigMap", "late")


async def test_a_deleted_namespace_is_made_again(place):
    given = await place.assign(configmap("a"), secret("s"))
    await place.hub.healthy(given)

    await place.kube.delete(ObjectRef("v1", "Namespace", "", place.app))

    await place.hub.report(given, lambda r: sum(bool(d.corrected) for d in r.drift) == 2 and r.phase == "Applied", 40)
    assert await place.live("ConfigMap", "a")
