"""Deletions by an agent: what is held back, what a confirmation covers, what is let go, and who takes whose place."""

import asyncio
import contextlib
import uuid

import pytest

from agent.domain import applyset
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.loop import run_agent
from agent.settings import AgentSettings
from shared.messages import DeletionPolicy, Policy
from shared.model import ObjectRef, UnitKey
from tests.fakes import apiserver
from tests.fakes.agenthub import agent_hub, resigned
from tests.fakes.faultproxy import Fault, FaultProxy

CLUSTER = "c1"


class Place:
    """A cluster behind a proxy that can make trouble, and an agent on it. `space` is the application's namespace."""

    def __init__(self, server, hub, proxy, folder, group):
        self.server, self.hub, self.proxy, self.group = server, hub, proxy, group
        self.space = f"shop-{uuid.uuid4().hex[:8]}"
        self.settings = AgentSettings(
            cluster=CLUSTER, nats=hub.nats.server.url, creds=None, state=folder / "state", heartbeat=1.0,
            report_interval=0.1, inventory_namespace=f"{self.space}-system",
        )  # fmt: skip

    async def start(self):
        self.agent_kube = await Kube.connect(Access.url(self.proxy.url, self.server.token))
        self.task = self.group.create_task(
            run_agent(self.settings, self.agent_kube, self.hub.credentials(CLUSTER)), name="agent"
        )

    async def stop(self):
        self.task.cancel()
        await asyncio.wait((self.task,), timeout=10)
        await self.agent_kube.close()

    async def assign(self, manifests, app="shop", **more):
        return await self.hub.assign(CLUSTER, app, manifests, **({"namespace": self.space} | more))

    def parent(self, namespace=None):
        """What stands for the inventory of the application `shop`."""
        return applyset.parent_ref(UnitKey(CLUSTER, namespace or self.space, "shop"), self.settings.inventory_namespace)

    async def names(self):
        resource = await self.kube.resource("v1", "ConfigMap")
        found, _ = await self.kube.list(resource, namespace=self.space)
        names = (each["metadata"]["name"] for each in found)
        return sorted(name for name in names if not name.endswith("ca.crt"))  # those are put into every namespace

    async def live(self, name, namespace=None, kind="ConfigMap"):
        return await self.kube.get(ObjectRef("v1", kind, namespace or self.space, name))

    async def confirm(self, given, *tokens):
        """As the hub does: the same assignment with the tokens, newer."""
        self.hub._generation += 1
        again = resigned(self.hub, given, generation=self.hub._generation, confirmed=tokens)
        await self.hub.publish(again)
        return again


@pytest.fixture(params=apiserver.available(controllers=True))
async def place(request, tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "sandbox":
            server = await stack.enter_async_context(apiserver.sandbox(tmp_path))
        else:
            server = apiserver.real(tmp_path)
        hub = await stack.enter_async_context(agent_hub(tmp_path))
        proxy = await stack.enter_async_context(FaultProxy(server.url, server.tls(), token=server.token))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        place = Place(server, hub, proxy, tmp_path, group)
        place.kube = await stack.enter_async_context(
            await Kube.connect(Access.url(server.url, server.token, server.ca or None))
        )
        await place.start()
        yield place
        await place.stop()
        for name in (place.space, place.settings.inventory_namespace):
            await place.kube.delete(ObjectRef("v1", "Namespace", "", name))


def configmap(name, value="1", **metadata):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"value": value}}


def configmaps(count, first=0):
    return [configmap(f"c{number}") for number in range(first, count)]


async def test_beyond_the_budget_nothing_is_deleted_and_the_rest_is_applied(place):
    await place.hub.healthy(await place.assign(configmaps(10)))

    cut = await place.assign([configmap("c0", "2"), configmap("new")])
    report = await place.hub.report(cut, lambda r: r.awaiting is not None)

    assert report.phase == "Blocked"
    assert report.awaiting.count == 9
    assert f"yardarm confirm c1/{place.space}/shop" in report.reason
    assert "and 6 more" in report.reason
    assert len(await place.names()) == 11
    assert (await place.live("c0"))["data"] == {"value": "2"}


async def test_a_confirmation_covers_what_was_shown_and_no_more(place):
    await place.hub.healthy(await place.assign(configmaps(10)))
    cut = await place.assign(configmaps(3))
    shown = (await place.hub.report(cut, lambda r: r.awaiting)).awaiting

    more = await place.assign(configmaps(2))
    grown = (await place.hub.report(more, lambda r: r.awaiting)).awaiting
    old = await place.confirm(more, shown.token)
    still = await place.hub.report(old, lambda r: r.awaiting)

    assert still.awaiting.token == grown.token != shown.token
    assert len(await place.names()) == 10

    await place.hub.healthy(await place.confirm(more, grown.token))

    assert await place.names() == ["c0", "c1"]


async def test_an_empty_bundle_waits_and_a_removed_application_goes_but_for_protected_kinds(place):
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    first = await place.assign([configmap("a"), claim])
    await place.hub.report(first, lambda r: r.phase == "Applied")

    empty = await place.assign([])
    assert (await place.hub.report(empty, lambda r: r.awaiting)).awaiting.count == 2

    removed = await place.assign([], removed=True)
    waits = await place.hub.report(removed, lambda r: r.awaiting and r.awaiting.count == 1)
    assert [ref.kind for ref in waits.awaiting.objects] == ["PersistentVolumeClaim"]
    assert await place.live("a") is None

    confirmed = await place.confirm(removed, waits.awaiting.token)
    await place.hub.report(confirmed, lambda r: r.phase == "Removed")
    assert await place.live("data", kind="PersistentVolumeClaim") is None


async def test_what_is_orphaned_is_free_for_the_next_owner(place):
    policy = Policy(deletion=DeletionPolicy(on_delete="orphan"))
    await place.hub.healthy(await place.assign([configmap("a", labels={"app": "shop"})], policy=policy))

    removed = await place.assign([], policy=policy, removed=True)
    await place.hub.report(removed, lambda r: r.phase == "Removed")

    left = await place.live("a")
    assert left["data"] == {"value": "1"}
    assert applyset.part_of(left) == ""
    assert left["metadata"]["labels"] == {"app": "shop"}
    assert await place.kube.get(place.parent()) is None
    taken = await place.kube.apply(configmap("a", "other", namespace=place.space), manager="somebody")
    assert taken["data"] == {"value": "other"}


async def test_a_renamed_application_takes_over_what_the_old_one_had(place):
    old = await place.assign([configmap("a"), configmap("b")])
    await place.hub.healthy(old)
    uids = {name: (await place.live(name))["metadata"]["uid"] for name in "ab"}

    new = await place.assign([configmap("a"), configmap("c")], "store", succeeds=(f"{place.space}/shop",))
    await place.hub.healthy(new)
    assert (await place.live("a"))["metadata"]["uid"] == uids["a"]

    removed = await place.assign([], removed=True)
    await place.hub.report(removed, lambda r: r.phase == "Removed")

    assert await place.names() == ["a", "c"]
    assert (await place.live("a"))["metadata"]["uid"] == uids["a"]
    blamed = [r for r in place.hub.reports[UnitKey(CLUSTER, place.space, "shop")] if r.drift or r.phase == "Blocked"]
    assert blamed == []


async def test_without_being_told_one_application_takes_nothing_from_another(place):
    await place.hub.healthy(await place.assign([configmap("a")]))

    other = await place.assign([configmap("a")], "store")
    report = await place.hub.report(other, lambda r: r.phase == "Blocked")

    assert f"belongs to application {CLUSTER}/{place.space}/shop" in report.reason


async def test_a_deletion_that_hangs_says_on_what(place):
    stuck = configmap("stuck", finalizers=["example.com/wait"])
    await place.hub.healthy(await place.assign([configmap("a"), stuck]))

    cut = await place.assign([configmap("a")])
    report = await place.hub.report(
        cut, lambda r: any("example.com/wait" in each.reason for each in r.objects) and "finalizer" in r.reason
    )

    assert "is being deleted since" in report.reason
    await place.kube.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stuck", "namespace": place.space}},
        manager="yardarm",
    )
    await place.hub.healthy(cut)
    assert await place.names() == ["a"]


async def test_confirmed_deletions_go_on_after_a_restart(place):
    await place.hub.healthy(await place.assign(configmaps(12)))
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "finalizers": ["example.com/wait"]},
               "spec": {"ports": [{"port": 80}], "clusterIP": "None"}}  # fmt: skip
    await place.hub.healthy(await place.assign([*configmaps(12), service]))
    cut = await place.assign(configmaps(1))
    waits = (await place.hub.report(cut, lambda r: r.awaiting)).awaiting
    assert waits.count == 12
    confirmed = await place.confirm(cut, waits.token)
    await place.hub.report(confirmed, lambda r: "example.com/wait" in r.reason)

    await place.stop()
    await place.start()
    await place.hub.report(confirmed, lambda r: "example.com/wait" in r.reason)
    service["metadata"] = {"name": "s", "namespace": place.space}
    await place.kube.apply(service, manager="yardarm", force=True)
    await place.hub.healthy(confirmed)

    assert await place.names() == ["c0"]


async def test_what_cannot_be_deleted_is_shown_holds_up_nothing_and_is_tried_again(place):
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"},
        "spec": {"clusterIP": "None", "ports": [{"port": 80}]},
    }  # fmt: skip
    await place.hub.healthy(await place.assign([configmap("a"), configmap("b"), service]))

    place.proxy.faults = (Fault("status", code=403, verbs=frozenset({"delete"}), plurals=frozenset({"services"})),)
    cut = await place.assign([configmap("a")])
    report = await place.hub.report(
        cut, lambda r: r.phase == "Failed" and any(each.action == "failed" for each in r.objects), seconds=30
    )
    failed = next(each for each in report.objects if each.action == "failed")
    assert failed.ref.kind == "Service"
    assert "cannot be deleted" in failed.reason

    async with asyncio.timeout(60):
        while await place.live("b") is not None:
            await asyncio.sleep(0.1)
    assert await place.live("api", kind="Service") is not None

    place.proxy.calm()
    await place.hub.healthy(cut, seconds=90)
    assert await place.live("api", kind="Service") is None
