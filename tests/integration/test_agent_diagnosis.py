"""Looking at the pods and events of what is not healthy: what is found, what it costs, when it ends.

Runs on the sandbox; on a real API server (with a controller manager and the pretend kubelet) too when
YARDARM_TEST_KUBECONFIG names a kubeconfig.
"""

import asyncio
import contextlib
import os
import uuid

import pytest

from agent import diagnosis
from agent.cache import LiveCache
from agent.diagnosis import PER_UNIT, Diagnosis
from agent.domain.health import health
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.sandbox.server import Sandbox
from shared.messages import Action, ObjectStatus
from shared.model import Health, ObjectRef, UnitKey
from shared.tasks import Clock

KUBECONFIG = os.environ.get("YARDARM_TEST_KUBECONFIG")
BACKENDS = ["sandbox", *(["kubeconfig"] if KUBECONFIG else [])]
LABEL = {"applyset.kubernetes.io/part-of": "test"}


class Counting(Kube):
    """A real client that notes what it lists."""

    def __init__(self, transport, clock):
        super().__init__(transport, clock)
        self.listed = []

    def pages(self, resource, **more):
        self.listed.append((resource.kind, more.get("label_selector"), more.get("field_selector")))
        return super().pages(resource, **more)


class Place:
    """A cluster, a cache of what is labelled, and a diagnosis of one unit."""

    def __init__(self, kube, looking):
        self.kube = kube
        self.looking = looking
        self.namespace = f"d{uuid.uuid4().hex[:8]}"
        self.unit = UnitKey("c1", self.namespace, "app")
        self.cache = LiveCache(kube)
        self.changed = []
        self.diagnosis = Diagnosis(looking, self.cache, Clock(), self.changed.append)

    async def make(self, manifest):
        manifest["metadata"] |= {"namespace": self.namespace, "labels": LABEL}
        made = await self.kube.apply(manifest)
        resource = await self.kube.resource(made["apiVersion"], made["kind"])
        await self.cache.ensure(resource)
        return ObjectRef(made["apiVersion"], made["kind"], self.namespace, made["metadata"]["name"])

    async def event(self, about, reason, message, kind="Warning"):
        now = await self.now()
        involved = {
            "apiVersion": about["apiVersion"], "kind": about["kind"], "namespace": self.namespace,
            "name": about["metadata"]["name"], "uid": about["metadata"]["uid"],
        }  # fmt: skip
        await self.kube.apply(
            {
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": uuid.uuid4().hex, "namespace": self.namespace},
                "involvedObject": involved, "type": kind, "reason": reason, "message": message,
                "firstTimestamp": now, "lastTimestamp": now, "count": 1,
            }
        )  # fmt: skip

    async def now(self):
        import datetime

        return datetime.datetime.fromtimestamp(Clock().now(), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def status(self, ref):
        live = self.cache.get(ref)
        if live is None:
            return ObjectStatus(ref, Health.MISSING, "is not there")
        if ref.kind == "PersistentVolumeClaim":
            # The sandbox binds claims at once.
            return ObjectStatus(ref, Health.PROGRESSING, "is not bound to a volume yet")
        verdict = health(live)
        return ObjectStatus(ref, verdict.health, verdict.reason)

    def explained(self, *refs):
        return self.diagnosis.explained(self.unit, [self.status(ref) for ref in refs])

    async def until(self, ref, part, seconds=20):
        """The reason of an object, once it has this in it."""
        async with asyncio.timeout(seconds):
            while True:
                (told,) = self.explained(ref)
                if part in told.reason:
                    return told.reason
                await asyncio.sleep(0.05)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(diagnosis, "DELAY", 0.05)
    monkeypatch.setattr(diagnosis, "AGAIN", 0.2)


@contextlib.asynccontextmanager
async def running(access):
    async with contextlib.AsyncExitStack() as stack:
        kube = await stack.enter_async_context(await Kube.connect(access))
        looking = await stack.enter_async_context(await Counting.connect(access))
        place = Place(kube, looking)
        ref = ObjectRef("v1", "Namespace", "", place.namespace)
        await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ref.name}})
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(place.cache.run()), group.create_task(place.diagnosis.run())]
        yield place
        for task in tasks:
            task.cancel()
        await kube.delete(ref)


@pytest.fixture(params=BACKENDS)
async def place(request):
    if request.param == "kubeconfig":
        async with running(Access.kubeconfig(KUBECONFIG)) as place:
            yield place
        return
    async with Sandbox(token="t") as sandbox, running(Access.url(sandbox.add_cluster("c1"), "t")) as place:
        yield place


@pytest.fixture
async def sandboxed():
    async with Sandbox(token="t") as sandbox, running(Access.url(sandbox.add_cluster("c1"), "t")) as place:
        yield place, sandbox


def deployment(name="api", image="example.com/api:1", replicas=1, **annotations):
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }  # fmt: skip


CRASHES = {"sandbox.yardarm.dev/fail": "CrashLoopBackOff", "test.yardarm.dev/never-ready": "true"}


async def test_the_reason_reaches_down_to_the_container(place):
    ref = await place.make(deployment(replicas=2, **CRASHES))

    reason = await place.until(ref, "CrashLoopBackOff")

    assert reason.startswith("0 of 2 replicas are available: CrashLoopBackOff: container app (example.com/api:1): ")
    assert reason.endswith("(on 2 of 2 pods)")
    assert place.unit in place.changed


async def test_one_look_is_one_list_of_pods_and_one_of_events(place):
    ref = await place.make(deployment(**CRASHES))

    await place.until(ref, "CrashLoopBackOff")

    pairs = list(zip(place.looking.listed[::2], place.looking.listed[1::2], strict=False))
    assert set(pairs) == {(("Pod", "app=api", None), ("Event", None, "type!=Normal"))}
    assert place.diagnosis.looks == len(pairs)


async def test_what_cannot_be_created_is_told_by_events(place):
    ref = await place.make(
        deployment("db", **{"sandbox.yardarm.dev/fail": "never-ready", "test.yardarm.dev/never-ready": "true"})
    )
    await place.event(
        await place.kube.get(ref), "FailedCreate", 'Error creating: pods "db-0" is forbidden: exceeded quota: none'
    )

    reason = await place.until(ref, "exceeded quota: none")

    assert 'pods cannot be created: pods "db-0" is forbidden' in reason


async def test_a_claim_without_pods_is_explained_by_its_own_events(place):
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    ref = await place.make(claim)
    live = await place.kube.get(ref)
    other = live | {"metadata": live["metadata"] | {"name": "other", "uid": str(uuid.uuid4())}}
    await place.event(other, "ProvisioningFailed", "of another claim")
    await place.event(live, "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found')

    async with asyncio.timeout(20):
        while place.cache.get(ref) is None:
            await asyncio.sleep(0.05)
    reason = await place.until(ref, "ProvisioningFailed")

    assert reason.endswith('ProvisioningFailed: storageclass.storage.k8s.io "fast" not found')
    assert {kind for kind, _, _ in place.looking.listed} == {"Event"}


async def test_what_was_found_is_forgotten_when_all_is_well(place):
    ref = await place.make(deployment(**CRASHES))
    await place.until(ref, "CrashLoopBackOff")

    (told,) = place.diagnosis.explained(place.unit, [ObjectStatus(ref, Health.HEALTHY)])
    listed = len(place.looking.listed)
    await asyncio.sleep(0.5)

    assert told.reason == ""
    assert len(place.diagnosis) == 0
    assert len(place.looking.listed) <= listed + 1  # a look under way may end


async def test_healthy_things_cost_nothing(place):
    refs = [ObjectRef("apps/v1", "Deployment", place.namespace, f"d{number}") for number in range(50)]

    told = place.diagnosis.explained(place.unit, [ObjectStatus(ref, Health.HEALTHY) for ref in refs])
    await asyncio.sleep(0.3)

    assert len(told) == 50
    assert place.looking.listed == []


async def test_the_number_looked_at_is_bounded(place):
    refs = [ObjectRef("apps/v1", "Deployment", place.namespace, f"d{number}") for number in range(100)]

    told = place.diagnosis.explained(place.unit, [ObjectStatus(ref, Health.DEGRADED, "bad") for ref in refs])

    assert [each.reason for each in told] == ["bad"] * 100
    assert len(place.diagnosis) == PER_UNIT


async def test_an_object_that_could_not_be_applied_is_left_alone(place):
    ref = ObjectRef("apps/v1", "Deployment", place.namespace, "d")

    place.diagnosis.explained(place.unit, [ObjectStatus(ref, Health.DEGRADED, "refused", Action.FAILED)])

    assert len(place.diagnosis) == 0


async def test_looks_become_rare_while_the_answer_stays_the_same(place, monkeypatch):
    monkeypatch.setattr(diagnosis, "SELDOM", 30.0)
    ref = await place.make(deployment(**CRASHES))
    await place.until(ref, "CrashLoopBackOff")

    async with asyncio.timeout(20):
        while place.diagnosis._cases[place.unit][ref.key].interval < 0.8:
            await asyncio.sleep(0.05)

    assert place.diagnosis.looks <= 8


async def test_missing_rights_are_named_with_verb_and_resource(sandboxed):
    place, sandbox = sandboxed
    ref = await place.make(deployment(**CRASHES))
    sandbox.set_faults("c1", [{"verb": "list", "resource": "pods", "code": 403}])

    reason = await place.until(ref, "cannot be seen")

    assert 'list resource "pods"' in reason or "list pods" in reason


async def test_a_cluster_that_does_not_answer_changes_nothing(sandboxed):
    place, sandbox = sandboxed
    ref = await place.make(deployment(**CRASHES))
    before = await place.until(ref, "CrashLoopBackOff")
    sandbox.set_faults("c1", [{"verb": "list", "resource": "events", "code": 500}])
    looks = place.diagnosis.looks

    async with asyncio.timeout(20):
        while place.diagnosis.looks == looks:
            await asyncio.sleep(0.05)
    (told,) = place.explained(ref)

    assert told.reason == before
