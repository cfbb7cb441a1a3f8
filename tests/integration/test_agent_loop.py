"""The agent end to end: a signed assignment on a real NATS becomes objects, and what happens to them becomes reports.

Runs on the sandbox; on a real API server too when YARDARM_TEST_KUBECONFIG names a kubeconfig.
"""

import asyncio
import contextlib
import os
import uuid

import pytest

from agent.kube.access import Access
from agent.kube.client import Kube
from agent.kube.transport import Request
from agent.loop import run_agent
from agent.sandbox.server import Sandbox
from agent.settings import AgentSettings
from shared.messages import DeletionPolicy, IgnoreRule, Policy, apis_digest
from shared.model import ObjectRef
from tests.fakes.agenthub import agent_hub, resigned

KUBECONFIG = os.environ.get("YARDARM_TEST_KUBECONFIG")
BACKENDS = ["sandbox", *(["kubeconfig"] if KUBECONFIG else [])]


class Counting(Kube):
    """A real client that counts what it writes."""

    writes = 0

    async def apply(self, manifest, **more):
        self.writes += not more.get("dry_run")
        return await super().apply(manifest, **more)

    async def delete(self, ref, **more):
        self.writes += 1
        return await super().delete(ref, **more)


class Place:
    """A cluster, an agent in it that can be stopped and started, and the hub it listens to."""

    def __init__(self, hub, access, tmp_path, group):
        self.hub = hub
        self.cluster = "c1"
        self.app = f"t{uuid.uuid4().hex[:8]}"
        self.access = access
        self.group = group
        self.kube = None
        self.agent_kube = None
        self.task = None
        self.settings = AgentSettings(
            cluster=self.cluster, nats=hub.nats.server.url, creds=None, state=tmp_path / "state", heartbeat=1.0,
            report_interval=0.1,
        )  # fmt: skip

    async def start(self):
        self.agent_kube = await Counting.connect(self.access)
        run = run_agent(self.settings, self.agent_kube, self.hub.credentials(self.cluster))
        self.task = self.group.create_task(run)

    async def stop(self):
        self.task.cancel()
        done, _ = await asyncio.wait((self.task,), timeout=10)
        if not done:
            for task in asyncio.all_tasks():
                print(task.get_name(), task.get_coro(), task.cancelling())
                task.print_stack()
        assert done, "the agent does not end"
        await self.agent_kube.close()

    async def assign(self, *manifests, **more):
        return await self.hub.assign(self.cluster, self.app, list(manifests), **more)

    def ref(self, kind, name, api_version="v1"):
        return ObjectRef(api_version, kind, self.app, name)

    async def live(self, kind, name, api_version="v1"):
        return await self.kube.get(self.ref(kind, name, api_version))

    async def until(self, met, seconds=15):
        async with asyncio.timeout(seconds):
            while True:
                if found := await met():
                    return found
                await asyncio.sleep(0.05)

    async def replace(self, manifest):
        """A plain PUT, as `kubectl replace` does."""
        path = f"/api/v1/namespaces/{self.app}/configmaps/{manifest['metadata']['name']}"
        await self.kube._transport.send(Request("PUT", path, {"fieldManager": "intruder"}, manifest))

    async def edit(self, kind, name, **content):
        manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": self.app}, **content}
        return await self.kube.apply(manifest, force=True, manager="intruder")


@pytest.fixture(params=BACKENDS)
async def place(request, tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "sandbox":
            sandbox = await stack.enter_async_context(Sandbox(token="t"))
            access = Access.url(sandbox.add_cluster("c1"), "t")
        else:
            access = Access.kubeconfig(KUBECONFIG)
        hub = await stack.enter_async_context(agent_hub(tmp_path))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        place = Place(hub, access, tmp_path, group)
        place.kube = await stack.enter_async_context(await Kube.connect(access))
        await place.start()
        yield place
        if not place.task.done():
            await place.stop()
        await place.kube.delete(ObjectRef("v1", "Namespace", "", place.app))


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "b"}}


def deployment(name, replicas=1, image="example.com/app:1"):
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image, "resources": {"requests": {"cpu": "1000m"}}}]},
            },
        },
    }  # fmt: skip


async def test_an_assignment_becomes_objects(place):
    given = await place.assign(configmap("settings"), deployment("api"))

    report = await place.hub.healthy(given)

    assert (await place.live("ConfigMap", "settings"))["data"] == {"a": "b"}
    assert report.counts == {"Healthy": 2}
    assert report.digest == given.digest
    assert None not in (report.timeline.received, report.timeline.applied, report.timeline.healthy)
    assert {each.action for each in report.objects} == {"created"}


async def test_one_changed_object_is_one_write(place):
    await place.hub.healthy(await place.assign(*(configmap(f"c{n}") for n in range(10))))
    before = place.agent_kube.writes

    given = await place.assign(*(configmap(f"c{n}", **({"x": "y"} if n == 3 else {})) for n in range(10)))
    await place.hub.healthy(given)

    assert place.agent_kube.writes - before == 1
    assert (await place.live("ConfigMap", "c3"))["data"] == {"x": "y"}


async def test_an_edit_is_reported_and_corrected(place):
    given = await place.assign(configmap("settings", color="blue"))
    await place.hub.healthy(given)

    await place.edit("ConfigMap", "settings", data={"color": "red"})
    report = await place.hub.report(given, lambda r: any(d.corrected for d in r.drift))

    (drift,) = report.drift
    assert [(f.path, f.want, f.have, f.manager) for f in drift.fields] == [("/data/color", "blue", "red", "intruder")]
    assert (await place.live("ConfigMap", "settings"))["data"] == {"color": "blue"}
    await place.hub.until(lambda: {"drift", "corrected"} <= {e.type for e in place.hub.events})


async def test_in_report_mode_an_edit_stays(place):
    given = await place.assign(configmap("settings", color="blue"), policy=Policy(drift="report"))
    await place.hub.healthy(given)

    await place.edit("ConfigMap", "settings", data={"color": "red"})
    report = await place.hub.report(given, lambda r: r.drift)
    await place.stop()
    await place.start()
    again = await place.hub.report(given, lambda r: r.drift and r.at > report.at)

    assert again.drift[0].corrected is None
    assert (await place.live("ConfigMap", "settings"))["data"] == {"color": "red"}


async def test_a_deleted_object_comes_back(place):
    given = await place.assign(configmap("settings"), configmap("other"))
    await place.hub.healthy(given)

    await place.kube.delete(place.ref("ConfigMap", "settings"))
    report = await place.hub.report(given, lambda r: any(d.corrected for d in r.drift))

    assert report.drift[0].deleted
    assert await place.live("ConfigMap", "settings")


async def test_defaults_and_quantities_are_no_drift(place):
    given = await place.assign(deployment("api"))
    await place.hub.healthy(given)

    await place.edit("ConfigMap", "unrelated", data={"a": "b"})
    live = await place.live("Deployment", "api", "apps/v1")
    touched = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": place.app,
               "annotations": {"note": "by somebody"}}}  # fmt: skip
    await place.kube.apply(touched, manager="intruder")
    await place.stop()
    await place.start()
    await place.until(lambda: _reported_since_start(place, given))

    assert live["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1"
    assert not any(report.drift for report in place.hub.reports[given.unit])
    assert place.agent_kube.writes == 0


async def _reported_since_start(place, given):
    boots = {beat.boot for beat in place.hub.beats}
    return len(boots) == 2 and place.hub.reports[given.unit][-1].phase == "Applied"


async def test_what_leaves_the_bundle_is_pruned(place):
    await place.hub.healthy(await place.assign(configmap("keep"), configmap("drop")))

    await place.hub.healthy(await place.assign(configmap("keep")))

    assert await place.live("ConfigMap", "drop") is None
    assert await place.live("ConfigMap", "keep")


async def test_a_mass_deletion_waits_for_a_person(place):
    await place.hub.healthy(await place.assign(*(configmap(f"c{n}") for n in range(10))))

    report = await place.hub.report(await place.assign(configmap("c0")), lambda r: r.phase == "Blocked")

    assert "9 of 10 objects would be deleted" in report.reason
    assert "yardarm confirm" in report.reason
    assert await place.live("ConfigMap", "c9")


async def test_an_empty_bundle_deletes_nothing(place):
    await place.hub.healthy(await place.assign(configmap("a")))

    report = await place.hub.report(await place.assign(), lambda r: r.phase == "Blocked")

    assert "the bundle is empty" in report.reason
    assert await place.live("ConfigMap", "a")


async def test_a_removed_application_leaves_nothing(place):
    await place.hub.healthy(await place.assign(configmap("a"), deployment("api")))

    await place.hub.report(await place.assign(removed=True), lambda r: r.phase == "Removed")

    assert await place.live("ConfigMap", "a") is None
    assert await place.live("Deployment", "api", "apps/v1") is None
    parent = ObjectRef("v1", "ConfigMap", "yardarm-system", f"{place.app}.{place.app}")
    assert await place.kube.get(parent) is None

    async def forgotten():
        return not list((place.settings.state / "units").iterdir())

    await place.until(forgotten)


async def test_orphaned_objects_stay(place):
    policy = Policy(deletion=DeletionPolicy(on_delete="orphan"))
    await place.hub.healthy(await place.assign(configmap("a"), policy=policy))

    await place.hub.report(await place.assign(removed=True, policy=policy), lambda r: r.phase == "Removed")

    assert await place.live("ConfigMap", "a")


async def test_a_restart_resumes_without_writing(place):
    given = await place.assign(configmap("a"), deployment("api"))
    await place.hub.healthy(given)
    await place.stop()
    seen = len(place.hub.reports[given.unit])

    await place.start()
    await place.hub.until(lambda: any(r.phase == "Applied" for r in place.hub.reports[given.unit][seen:]))

    assert place.agent_kube.writes == 0


async def test_a_restart_without_its_disk_changes_nothing_either(place, tmp_path):
    given = await place.assign(configmap("a"), deployment("api"))
    await place.hub.healthy(given)
    before = await place.live("Deployment", "api", "apps/v1")
    await place.stop()
    (tmp_path / "state").rename(tmp_path / "lost")
    seen = len(place.hub.reports[given.unit])

    await place.start()
    await place.hub.until(lambda: any(r.phase == "Applied" for r in place.hub.reports[given.unit][seen:]))

    after = await place.live("Deployment", "api", "apps/v1")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_cluster_made_anew_is_filled_and_not_called_drifted(place):
    given = await place.assign(configmap("a"), configmap("b"))
    first = await place.hub.healthy(given)
    await place.stop()
    for ref in (
        ObjectRef("v1", "ConfigMap", "yardarm-system", f"{place.app}.{place.app}"),
        place.ref("ConfigMap", "a"),
        place.ref("ConfigMap", "b"),
    ):
        await place.kube.delete(ref)

    await place.start()
    await place.hub.report(given, lambda r: r.at > first.at and r.phase == "Applied" and r.health == "Healthy")

    assert await place.live("ConfigMap", "b")
    assert not any(report.drift for report in place.hub.reports[given.unit])


async def test_with_the_hub_away_drift_is_still_healed(place):
    given = await place.assign(configmap("settings", color="blue"))
    await place.hub.healthy(given)
    await place.stop()
    await place.hub.nats.server._stop()

    await place.edit("ConfigMap", "settings", data={"color": "red"})
    await place.start()

    async def blue():
        return (await place.live("ConfigMap", "settings"))["data"] == {"color": "blue"}

    await place.until(blue)


async def test_what_was_published_meanwhile_is_caught_up(place):
    await place.hub.healthy(await place.assign(configmap("a")))
    await place.stop()
    given = await place.assign(configmap("a", new="yes"))

    await place.start()
    await place.hub.healthy(given)

    assert (await place.live("ConfigMap", "a"))["data"] == {"new": "yes"}


async def test_a_large_bundle_comes_in_packs(place):
    manifests = [configmap(f"c{n}", text=os.urandom(20000).hex()) for n in range(12)]

    given = await place.assign(*manifests, as_packs=True)
    await place.hub.healthy(given)

    assert (await place.live("ConfigMap", "c7"))["data"] == manifests[7]["data"]


async def test_a_definition_and_its_resource_in_one_commit(place):
    group = f"{place.app}.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}", "annotations": {"helm.sh/resource-policy": "keep"}},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}],
        },
    }  # fmt: skip
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1}}

    given = await place.assign(widget, definition)
    await place.hub.healthy(given)

    assert (await place.live("Widget", "one", f"{group}/v1"))["spec"] == {"size": 1}
    await place.kube.delete(ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", f"widgets.{group}"))


async def test_a_namespace_and_its_content_in_one_commit_and_the_namespace_is_protected(place):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.app, "labels": {"team": "web"}}}
    await place.hub.healthy(await place.assign(configmap("a"), namespace))

    report = await place.hub.report(await place.assign(configmap("a")), lambda r: r.phase == "Blocked")

    assert "deleting a Namespace needs `yardarm confirm`" in report.reason
    assert await place.live("ConfigMap", "a")


async def test_who_takes_our_label_off_takes_nothing_out_of_the_inventory(place):
    given = await place.assign(configmap("a"), configmap("b"))
    await place.hub.healthy(given)
    live = await place.live("ConfigMap", "a")

    live["metadata"]["labels"] = {}
    live["metadata"].pop("managedFields")
    await place.replace(live)
    report = await place.hub.report(given, lambda r: any(d.corrected for d in r.drift))

    assert "/metadata/labels" in report.drift[0].fields[0].path
    assert (await place.live("ConfigMap", "a"))["metadata"]["labels"]
    await place.hub.healthy(await place.assign(configmap("b")))
    assert await place.live("ConfigMap", "a") is None


async def test_times_outlive_a_restart(place):
    given = await place.assign(configmap("a"))
    first = await place.hub.healthy(given)

    async def written():
        return list((place.settings.state / "units").glob("*.timeline"))

    await place.until(written)
    await place.stop()
    await place.start()
    again = await place.hub.report(given, lambda r: r.at > first.at and r.phase == "Applied")

    assert again.timeline == first.timeline


async def test_one_bad_object_does_not_hold_up_the_others(place):
    bad = {**deployment("bad"), "spec": {"replicas": 1}}

    report = await place.hub.report(await place.assign(bad, configmap("good")), lambda r: r.phase == "Failed")

    assert "apps/Deployment" in report.reason
    assert await place.live("ConfigMap", "good")


async def test_a_fix_is_not_held_up_by_the_failure(place):
    bad = {**deployment("api"), "spec": {"replicas": 1}}
    await place.hub.report(await place.assign(bad), lambda r: r.phase == "Failed")

    await place.hub.healthy(await place.assign(deployment("api")))

    assert any(event.type == "superseded" for event in place.hub.events)


async def test_an_object_of_somebody_else_is_left_alone(place):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.app}}
    await place.kube.apply(namespace, manager="intruder")
    theirs = {**configmap("settings", owner="them"), "metadata": {"name": "settings", "namespace": place.app,
              "annotations": {"meta.helm.sh/release-name": "shop"}}}  # fmt: skip
    await place.kube.apply(theirs, manager="helm")

    report = await place.hub.report(await place.assign(configmap("settings")), lambda r: r.phase == "Blocked")

    assert "Helm release shop" in report.reason
    assert (await place.live("ConfigMap", "settings"))["data"] == {"owner": "them"}


async def test_a_field_of_somebody_else_is_a_named_conflict(place):
    await place.kube.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.app}}, manager="intruder"
    )
    await place.edit("ConfigMap", "settings", data={"color": "red"})

    given = await place.assign(configmap("settings", color="blue"))
    report = await place.hub.report(given, lambda r: r.phase == "Failed")

    assert "intruder" in report.reason
    assert (await place.live("ConfigMap", "settings"))["data"] == {"color": "red"}
    await place.hub.healthy(await place.assign(configmap("settings", color="blue"), policy=Policy(adopt="always")))


async def test_ignored_fields_are_left_to_others(place):
    policy = Policy(ignore=(IgnoreRule(kind="ConfigMap", fields=("/data/color",)),))
    given = await place.assign(configmap("settings", color="blue", size="1"), policy=policy)
    await place.hub.healthy(given)

    await place.edit("ConfigMap", "settings", data={"color": "red", "size": "2"})
    report = await place.hub.report(given, lambda r: any(d.corrected for d in r.drift))

    assert [field.path for field in report.drift[0].fields] == ["/data/size"]
    assert (await place.live("ConfigMap", "settings"))["data"] == {"color": "red", "size": "1"}


async def test_secret_values_are_not_reported(place):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
    given = await place.assign(secret)
    await place.hub.healthy(given)

    await place.edit("Secret", "s", data={"password": "c3dvcmRmaXNo"})
    report = await place.hub.report(given, lambda r: r.drift)

    text = str(place.hub.reports) + str(place.hub.events)
    assert report.drift[0].fields[0].path == "/data/password"
    assert not any(value in text for value in ("hunter2", "aHVudGVyMg", "c3dvcmRmaXNo", "swordfish"))


async def test_a_forged_assignment_changes_nothing(place):
    given = await place.assign(configmap("a"))
    await place.hub.healthy(given)
    forged = place.hub.assignment("c1", place.app, [configmap("evil")])

    await place.hub.publish(forged)
    await place.hub.until(lambda: any(e.type == "rejected" and "key" in e.message for e in place.hub.events))

    assert await place.live("ConfigMap", "evil") is None
    assert await place.live("ConfigMap", "a")


async def test_a_bundle_that_is_not_what_was_signed_is_dropped_and_may_be_put_right(place):
    good = place.hub.assignment("c1", place.app, [configmap("a")])
    await place.hub.publish(resigned(place.hub, good, digest="0" * 64))
    await place.hub.until(lambda: any(e.type == "rejected" for e in place.hub.events))

    await place.hub.publish(resigned(place.hub, good))

    await place.hub.healthy(good)


async def test_applications_wait_for_those_they_depend_on(place):
    policy = Policy(depends_on=(f"{place.app}-base",))
    given = await place.assign(configmap("a"), policy=policy)
    report = await place.hub.report(given, lambda r: r.phase == "Blocked")
    assert f"{place.app}-base is not on this cluster" in report.reason

    await place.hub.assign("c1", f"{place.app}-base", [configmap("b")], namespace=place.app)

    await place.hub.healthy(given)


async def test_heartbeats_carry_facts_and_the_digest_of_what_was_reported(place):
    await place.hub.healthy(await place.assign(configmap("a")))

    await place.hub.until(lambda: place.hub.beats and place.hub.beats[-1].units == 1 and place.hub.beats[-1].facts)

    assert place.hub.beats[-1].facts["kubernetes"].startswith("v1.")
    served = place.hub.served
    assert served.digest == place.hub.beats[-1].facts["apis"] == apis_digest(served.apis)
    assert {"v1", "v1/Pod", "apps/v1", "apps/v1/Deployment"} <= set(served.apis)
