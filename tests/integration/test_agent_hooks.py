"""Order, hooks and what blocks, through the real loop: a signed assignment on a real NATS, an agent, an API server.

Runs on the sandbox; on a real API server too when YARDARM_TEST_KUBECONFIG names a kubeconfig (with a controller
manager and the pretend kubelet, for Jobs to run).
"""

import asyncio
import contextlib
import os
import uuid

import msgspec
import pytest

from agent.domain import hooks
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.kube.transport import Request
from agent.loop import run_agent
from agent.sandbox.server import Sandbox
from agent.settings import AgentSettings
from shared.messages import Policy
from shared.model import ObjectRef
from tests.fakes.agenthub import agent_hub

KUBECONFIG = os.environ.get("YARDARM_TEST_KUBECONFIG")
BACKENDS = ["sandbox", *(["kubeconfig"] if KUBECONFIG else [])]

MADE_BY_CLUSTERS = {"kube-root-ca.crt", "openshift-service-ca.crt"}
SUCCEEDS = {"test.yardarm.dev/succeed-after": "0.2"}
HANGS = {"sandbox.yardarm.dev/fail": "never-ready", "test.yardarm.dev/never-ready": "true"}


class Place:
    """A cluster with an agent that can be stopped and started, the hub it listens to, and a record of Jobs made."""

    def __init__(self, hub, access, tmp_path, group):
        self.hub, self.access, self.group = hub, access, group
        self.app = f"t{uuid.uuid4().hex[:8]}"
        self.settings = AgentSettings(
            cluster="c1", nats=hub.nats.server.url, creds=None, state=tmp_path / "state", heartbeat=1.0,
            report_interval=0.05,
        )  # fmt: skip
        self.made = []
        self.gone = []

    async def start(self):
        self.inside = await Kube.connect(self.access)
        self.task = self.group.create_task(run_agent(self.settings, self.inside, self.hub.credentials("c1")))

    async def stop(self):
        self.task.cancel()
        await asyncio.wait((self.task,), timeout=10)
        await self.inside.close()

    async def assign(self, *manifests, app="", **more):
        return await self.hub.assign("c1", app or self.app, list(manifests), namespace=self.app, **more)

    async def live(self, kind, name, api_version="v1"):
        return await self.kube.get(ObjectRef(api_version, kind, self.app, name))

    async def job(self, name):
        return await self.live("Job", name, "batch/v1")

    async def until(self, met, seconds=20):
        async with asyncio.timeout(seconds):
            while True:
                if found := await met():
                    return found
                await asyncio.sleep(0.05)

    async def has_made(self, names):
        """The watch that keeps the record may be a little behind."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: self._made(len(names)), 5)
        assert self.made == names

    async def _made(self, count):
        return len(self.made) >= count

    async def follow(self):
        """Notes every Job and ConfigMap of the application's namespace as it comes and goes."""
        async with asyncio.TaskGroup() as group:
            for api_version, kind in (("batch/v1", "Job"), ("v1", "ConfigMap")):
                group.create_task(self._follow(api_version, kind))

    async def _follow(self, api_version, kind):
        resource = await self.kube.resource(api_version, kind)
        _, version = await self.kube.list(resource)
        async for event in self.kube.watch(resource, resource_version=version):
            metadata = (event.object or {}).get("metadata") or {}
            if metadata.get("namespace") != self.app or metadata.get("name") in MADE_BY_CLUSTERS:
                continue
            if event.type == "ADDED":
                self.made.append(metadata["name"])
            elif event.type == "DELETED":
                self.gone.append(metadata["name"])


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
        follower = group.create_task(place.follow())
        await place.start()
        yield place
        follower.cancel()
        await place.stop()
        await place.kube.delete(ObjectRef("v1", "Namespace", "", place.app))


def configmap(name, data="b", **annotations):
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": data}, "metadata": {"name": name} | noted(annotations)
    }  # fmt: skip


def noted(annotations):
    full = {
        "hook": "argocd.argoproj.io/hook", "policy": "argocd.argoproj.io/hook-delete-policy",
        "wave": "argocd.argoproj.io/sync-wave", "helm": "helm.sh/hook", "weight": "helm.sh/hook-weight",
        "after": "config.kubernetes.io/depends-on",
    }  # fmt: skip
    return {"annotations": {full[name]: text for name, text in annotations.items()}} if annotations else {}


def job(name, pod=SUCCEEDS, spec=None, **annotations):
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name} | noted(annotations),
        "spec": {
            "backoffLimit": 0, **(spec or {}),
            "template": {
                "metadata": {"annotations": pod},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.com/migrate:1"}]},
            },
        },
    }  # fmt: skip


def deployment(name, pod=None, **annotations):
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name} | noted(annotations),
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": pod or {}},
                "spec": {"containers": [{"name": "c", "image": "example.com/app:1"}]},
            },
        },
    }  # fmt: skip


async def fail(place, name):
    """Ends a Job's pod the way a failing command does."""
    await end(place, name, "Failed", 3)


async def end(place, name, phase, code):
    pods = await place.kube.resource("v1", "Pod")

    async def there():
        found, _ = await place.kube.list(pods, namespace=place.app)
        return [pod for pod in found if pod["metadata"]["name"].startswith(name) and pod["spec"].get("nodeName")]

    (pod, *_) = await place.until(there)
    path = f"/api/v1/namespaces/{place.app}/pods/{pod['metadata']['name']}/status"
    status = {"phase": phase, "containerStatuses": [
        {"name": "c", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
         "state": {"terminated": {"exitCode": code, "reason": "Ended"}}}]}  # fmt: skip
    await place.kube._transport.send(
        Request("PATCH", path, {}, {"status": status}, content_type="application/merge-patch+json")
    )


async def test_hooks_run_around_everything_else_and_once(place):
    bundle = [
        job("before", hook="PreSync"), configmap("settings"), job("during", hook="Sync", wave="1"),
        configmap("late", wave="2"), job("after", hook="PostSync", policy="HookSucceeded"),
    ]  # fmt: skip
    given = await place.assign(*bundle)
    report = await place.hub.healthy(given)

    await place.has_made(["before", "settings", "during", "late", "after"])
    assert report.counts == {"Healthy": 5}
    await place.until(lambda: place_gone(place, "after"))
    assert await place.job("before")

    await place.stop()
    await place.start()
    again = await place.assign(*bundle, policy=Policy(timeout=100.0))
    await place.hub.healthy(again)
    assert len(place.made) == 5

    changed = await place.assign(*bundle[:1], configmap("settings", "new"), *bundle[2:])
    await place.hub.healthy(changed)
    await place.has_made(["before", "settings", "during", "late", "after", "before", "during", "after"])


async def place_gone(place, name):
    return name in place.gone


async def test_a_restart_without_its_disk_runs_no_hook_again(place, tmp_path):
    given = await place.assign(job("before", hook="PreSync", policy="HookSucceeded"), configmap("a"))
    await place.hub.healthy(given)
    await place.stop()
    place.settings = msgspec.structs.replace(place.settings, state=tmp_path / "other")
    place.hub.reports.clear()
    await place.start()

    await place.hub.healthy(given)

    assert place.made.count("before") == 1


async def test_a_failing_hook_stops_the_revision_and_a_new_one_passes(place):
    given = await place.assign(
        job("migrate", HANGS, hook="PreSync"), configmap("settings"), configmap("cry", hook="SyncFail")
    )
    await fail(place, "migrate")

    report = await place.hub.report(given, lambda r: r.phase == "Failed")
    assert "migrate" in report.reason
    assert "BackoffLimitExceeded" in report.reason
    await place.until(lambda: place.live("ConfigMap", "cry"))
    assert not await place.live("ConfigMap", "settings")

    fixed = await place.assign(job("migrate", hook="PreSync"), configmap("settings"))
    await place.hub.healthy(fixed)
    assert await place.live("ConfigMap", "settings")


async def test_a_failed_hook_runs_again_when_its_job_is_deleted(place):
    given = await place.assign(job("migrate", HANGS, hook="PreSync"), configmap("settings"))
    await fail(place, "migrate")
    await place.hub.report(given, lambda r: r.phase == "Failed")

    await place.kube.delete(ObjectRef("batch/v1", "Job", place.app, "migrate"))

    await place.until(lambda: made_twice(place, "migrate"))


async def made_twice(place, name):
    return place.made.count(name) == 2


async def test_a_newer_revision_ends_the_wait_for_a_hook_at_once(place):
    first = await place.assign(job("migrate", HANGS, hook="PreSync"), configmap("settings"))
    await place.hub.report(first, lambda r: "migrate" in r.reason)

    second = await place.assign(configmap("settings"))
    await place.hub.healthy(second)

    await place.hub.until(lambda: any(event.type == "superseded" for event in place.hub.events))
    await place.until(lambda: place_gone(place, "migrate"))


async def test_hooks_of_helm_know_an_installation_from_an_upgrade(place):
    bundle = [
        job("second", helm="pre-install", weight="5"), job("first", helm="pre-install,pre-upgrade", weight="-5"),
        job("upgrade", helm="pre-upgrade"), job("tested", helm="test"), configmap("settings"),
    ]  # fmt: skip
    await place.hub.healthy(await place.assign(*bundle))
    await place.has_made(["first", "second", "settings"])

    await place.hub.healthy(await place.assign(*bundle[:-1], configmap("settings", "new")))
    await place.has_made(["first", "second", "settings", "first", "upgrade"])


async def test_hooks_run_when_the_application_leaves(place):
    bundle = [configmap("a"), job("drain", hook="PreDelete"), job("bye", helm="post-delete")]
    await place.hub.healthy(await place.assign(*bundle))
    await place.has_made(["a"])
    await place.stop()
    await place.start()

    gone = await place.assign(removed=True)
    await place.hub.report(gone, lambda r: r.phase == "Removed", 30)

    await place.has_made(["a", "drain", "bye"])
    await place.until(lambda: place_gone(place, "bye"))
    assert place.gone.index("a") < place.gone.index("bye")


async def test_an_agent_without_a_disk_knows_the_hooks_for_leaving_after_a_restart(place):
    """What the hub says of an application that left is that it left, and no more."""
    await place.stop()
    place.settings = msgspec.structs.replace(place.settings, state=None)
    await place.start()
    bundle = [configmap("a"), job("drain", hook="PreDelete")]
    await place.hub.healthy(await place.assign(configmap("a"), job("old", hook="PreDelete")))
    await place.hub.healthy(await place.assign(*bundle))
    await place.stop()
    gone = await place.assign(removed=True)
    await place.start()

    await place.hub.report(gone, lambda r: r.phase == "Removed", 30)

    await place.has_made(["a", "drain"])
    for kind in ("Secret", "ConfigMap"):
        kept = ObjectRef("v1", kind, place.settings.inventory_namespace, f"{place.app}.{place.app}")
        assert await place.kube.get(kept) is None


async def test_hooks_for_leaving_that_git_dropped_are_not_run_after_a_restart(place):
    await place.hub.healthy(await place.assign(configmap("a"), job("old", hook="PreDelete")))
    await place.hub.healthy(await place.assign(configmap("a")))
    await place.stop()
    place.settings = msgspec.structs.replace(place.settings, state=None)
    gone = await place.assign(removed=True)
    await place.start()

    await place.hub.report(gone, lambda r: r.phase == "Removed", 30)

    await place.has_made(["a"])


async def test_damaged_hooks_for_leaving_keep_the_application_until_somebody_decides(place):
    await place.hub.healthy(await place.assign(configmap("a"), job("drain", hook="PreDelete")))
    kept = ObjectRef("v1", "Secret", place.settings.inventory_namespace, f"{place.app}.{place.app}")
    await place.stop()
    place.settings = msgspec.structs.replace(place.settings, state=None)
    await place.kube.merge(await place.kube.get(kept), {"data": {"hooks": "eA=="}})
    gone = await place.assign(removed=True)
    await place.start()

    await place.hub.report(gone, lambda r: f"Secret {place.app}.{place.app} cannot be read" in r.reason)
    assert await place.live("ConfigMap", "a")

    await place.kube.delete(kept)
    await place.hub.report(gone, lambda r: r.phase == "Removed", 40)


async def test_a_hook_is_no_drift(place):
    given = await place.assign(configmap("note", hook="PostSync"), configmap("a"))
    await place.hub.healthy(given)
    edited = {**configmap("note", "changed"), "metadata": {"name": "note", "namespace": place.app}}
    await place.kube.apply(edited, force=True, manager="intruder")
    await place.kube.delete(ObjectRef("v1", "ConfigMap", place.app, "a"))

    await place.until(lambda: made_twice(place, "a"))

    assert (await place.live("ConfigMap", "note"))["data"] == {"a": "changed"}
    assert not [drift for report in place.hub.reports[given.unit] for drift in report.drift if drift.ref.name == "note"]


async def test_one_hopeless_object_holds_up_only_what_waits_for_it(place):
    hopeless = {**deployment("bad"), "spec": {"selector": {"matchLabels": {"app": "x"}}}}
    target = f"apps/namespaces/{place.app}/Deployment/bad"
    given = await place.assign(hopeless, configmap("free"), configmap("bound", after=target))

    report = await place.hub.report(given, lambda r: r.phase == "Failed")

    assert await place.live("ConfigMap", "free")
    assert not await place.live("ConfigMap", "bound")
    assert [str(each.object) for each in report.blockers] == [f"apps/Deployment {place.app}/bad"]
    assert report.blockers[0].waiting == 1


async def test_depends_on_orders_and_says_what_is_wrong_with_it(place):
    core = f"/namespaces/{place.app}/ConfigMap/"
    given = await place.assign(
        configmap("a", after=core + "z"), configmap("z"), configmap("lost", after=core + "nowhere"),
        configmap("x", after=core + "y"), configmap("y", after=core + "x"),
    )  # fmt: skip

    report = await place.hub.report(given, lambda r: r.phase == "Blocked")

    await place.has_made(["z", "a"])
    reasons = {each.ref.name: each.reason for each in report.objects}
    assert "nowhere, which is not in this application" in reasons["lost"]
    assert "wait for each other" in reasons["x"]
    assert "wait for each other" in reasons["y"]


async def test_a_webhook_comes_after_its_backend_is_healthy(place):
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"selector": {"app": "hook"}, "ports": [{"port": 443}]},
    }  # fmt: skip
    webhook = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": place.app},
        "webhooks": [{
            "name": "a.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "hook", "namespace": place.app}},
            "rules": [{"apiGroups": ["nothing.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
                       "resources": ["things"]}],
        }],
    }  # fmt: skip
    ref = ObjectRef("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", place.app)
    given = await place.assign(service, deployment("hook", HANGS), webhook)
    report = await place.hub.report(given, lambda r: any(b.object.name == "hook" for b in r.blockers))
    assert await place.kube.get(ref) is None
    assert report.blockers[0].waiting == 1

    await place.hub.healthy(await place.assign(service, deployment("hook"), webhook))

    assert await place.kube.get(ref)
    await place.kube.delete(ref)


async def test_applications_wait_for_the_newest_of_those_they_depend_on(place):
    waiting = await place.assign(
        configmap("second"), app=f"{place.app}-b", policy=Policy(depends_on=(f"{place.app}-a",))
    )
    report = await place.hub.report(waiting, lambda r: r.phase == "Blocked")
    assert report.blockers[0].unit == f"{place.app}-a"
    assert "not on this cluster" in report.blockers[0].reason

    await place.hub.healthy(await place.assign(configmap("first"), app=f"{place.app}-a"))
    done = await place.hub.healthy(waiting)

    await place.has_made(["first", "second"])
    assert not done.blockers


async def test_a_changed_job_says_what_to_do(place):
    await place.hub.healthy(await place.assign(job("once")))

    changed = job("once")
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/migrate:2"
    report = await place.hub.report(await place.assign(changed), lambda r: r.phase == "Failed")

    for word in ("Job", "hook", "force", "ttlSecondsAfterFinished"):
        assert word in report.reason


async def test_the_run_is_noted_with_the_inventory(place):
    await place.hub.healthy(await place.assign(job("before", hook="PreSync"), configmap("a")))

    parent = await place.kube.get(ObjectRef("v1", "ConfigMap", "yardarm-system", f"{place.app}.{place.app}"))
    assert '"over":true' in parent["metadata"]["annotations"]["yardarm.dev/hooks"]
    assert hooks.RUN in (await place.job("before"))["metadata"]["annotations"]


async def test_a_hook_of_two_moments_runs_at_both(place):
    await place.hub.healthy(await place.assign(job("both", hook="PreSync,PostSync"), configmap("a")))

    await place.has_made(["both", "a", "both"])


async def test_what_was_applied_before_is_put_back_whatever_waits(place):
    bundle = [deployment("base"), configmap("late", wave="1")]
    await place.hub.healthy(await place.assign(*bundle))
    given = await place.assign(deployment("base", HANGS), *bundle[1:], configmap("new", wave="1"))
    await place.hub.report(given, lambda r: any(b.waiting for b in r.blockers))

    await place.kube.delete(ObjectRef("v1", "ConfigMap", place.app, "late"))

    await place.until(lambda: made_twice(place, "late"))
    assert not await place.live("ConfigMap", "new")


async def test_who_waits_goes_on_when_its_turn_comes_though_something_else_failed(place):
    slow = {"sandbox.yardarm.dev/ready-after": "1", "test.yardarm.dev/ready-after": "1"}
    hopeless = {**deployment("bad"), "spec": {"selector": {"matchLabels": {"app": "x"}}}}
    target = f"apps/namespaces/{place.app}/Deployment/base"
    given = await place.assign(deployment("base", slow), hopeless, configmap("bound", after=target))
    await place.hub.report(given, lambda r: r.phase == "Failed")
    assert not await place.live("ConfigMap", "bound")

    # Retries of what failed are 15 seconds apart at the least.
    await place.until(lambda: place.live("ConfigMap", "bound"), 10)


async def test_the_deadline_makes_what_does_not_come_up_failed_and_it_still_goes_on(place):
    given = await place.assign(job("migrate", HANGS, hook="PreSync"), configmap("settings"), policy=Policy(timeout=1.0))
    report = await place.hub.report(given, lambda r: r.phase == "Failed")
    assert "not applied within 1 s" in report.reason
    since = report.blockers[0].since

    await fail(place, "migrate")
    report = await place.hub.report(given, lambda r: any("delete batch/Job" in b.unblock for b in r.blockers))

    assert "BackoffLimitExceeded" in report.reason
    assert report.blockers[0].since == since


async def test_a_restart_in_the_middle_of_a_hook_waits_for_it_and_runs_it_once(place):
    given = await place.assign(job("migrate", HANGS, hook="PreSync", policy="HookSucceeded"), configmap("settings"))
    await place.hub.report(given, lambda r: "migrate" in r.reason)
    await place.stop()
    await end(place, "migrate", "Succeeded", 0)
    place.hub.reports.clear()
    await place.start()

    await place.hub.healthy(given)

    await place.has_made(["migrate", "settings"])
