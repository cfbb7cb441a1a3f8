"""The agent's own process, left alone: killed, without hub, without its cluster, with a bad disk, beside a second one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import uuid
from pathlib import Path

import pytest

from agent.domain import applyset
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.kube.errors import ApiError
from agent.kube.transport import Request
from agent.loop import run_agent
from agent.settings import AgentSettings
from shared.model import ObjectRef
from shared.tasks import Clock
from tests.fakes import apiserver
from tests.fakes.agenthub import agent_hub
from tests.fakes.faultproxy import Fault, FaultProxy

ROOT = Path(__file__).parents[2]


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "b"}}


def deployment(name, image="example.com/app:1"):
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


class Place:
    """A cluster behind a proxy that can make trouble, a hub, and agents as processes or in this one."""

    def __init__(self, server, hub, kube, proxy, folder):
        self.server, self.hub, self.kube, self.proxy, self.folder = server, hub, kube, proxy, folder
        self.name = f"a{uuid.uuid4().hex[:6]}"
        self.app = f"{self.name}-app"
        (folder / "agent.creds").write_text(str(hub.credentials(self.name)))
        user = {"user": {"token": server.token}}
        # The official client sends no token over plain HTTP by itself; the sandbox and the proxy take this one.
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": proxy.url}}],
            "users": [{"name": "u", **user}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }  # fmt: skip
        (folder / "kubeconfig").write_text(json.dumps(config))

    @contextlib.asynccontextmanager
    async def agent(self, state="state", *extra, limit=None):
        """`python -m agent`, killed at the end of the block."""
        command = [
            sys.executable, "-m", "agent", "--cluster", self.name, "--nats", self.hub.nats.server.url, "--creds",
            self.folder / "agent.creds", "--kubeconfig", self.folder / "kubeconfig", "--state", self.folder / state,
            "--heartbeat", "0.5", "--inventory-namespace", f"{self.name}-system", "--log-style", "text", "--lease", "3", *extra,
        ]  # fmt: skip
        with (self.folder / "agent.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *map(str, command), cwd=ROOT, stdout=log, stderr=log, preexec_fn=limit
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def settings(self, **more):
        given = {
            "cluster": self.name, "nats": self.hub.nats.server.url, "creds": None, "heartbeat": 0.5,
            "report_interval": 0.1, "inventory_namespace": f"{self.name}-system", "state": self.folder / "state",
            "lease": 3.0,
        }  # fmt: skip
        return AgentSettings(**(given | more))

    @contextlib.asynccontextmanager
    async def inside(self, clock=None, **settings):
        """An agent in this process; ended in order."""
        credentials = self.hub.credentials(self.name)
        async with (
            await Kube.connect(Access.url(self.proxy.url, self.server.token)) as kube,
            asyncio.TaskGroup() as group,
        ):
            task = group.create_task(run_agent(self.settings(**settings), kube, credentials, clock))
            yield task
            task.cancel()

    async def assign(self, *manifests, app="", **more):
        return await self.hub.assign(self.name, app or self.app, list(manifests), **more)

    async def live(self, kind, name, api_version="v1"):
        return await self.kube.get(ObjectRef(api_version, kind, self.app, name))

    async def listed(self, kind, api_version="v1"):
        found, _ = await self.kube.list(await self.kube.resource(api_version, kind), namespace=self.app)
        return found

    async def edit(self, name, **data):
        manifest = {**configmap(name, **data), "metadata": {"name": name, "namespace": self.app}}
        await self.kube.apply(manifest, force=True, manager="intruder")

    async def until(self, met, seconds=30):
        async with asyncio.timeout(seconds):
            while not (found := await met()):
                await asyncio.sleep(0.05)
            return found

    def problems(self):
        return [text for beat in self.hub.beats for text in beat.problems]


@pytest.fixture(params=apiserver.available(controllers=True))
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
        proxy = await stack.enter_async_context(FaultProxy(server.url, server.tls(), token=server.token))
        place = Place(server, hub, kube, proxy, tmp_path)
        yield place
        for name in (place.app, f"{place.name}-system"):
            await kube.delete(ObjectRef("v1", "Namespace", "", name))


# --- killed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
async def test_killed_again_and_again_it_rolls_out_once_and_loses_nothing(place, seed):
    """Killed after every few writes of an apply of 50 objects; each start goes on where the last one died."""
    old = [*(configmap(f"c{n}", v="1") for n in range(40)), *(deployment(f"d{n}") for n in range(10))]
    new = [
        *(configmap(f"c{n}", v="2") for n in range(5, 42)),
        *(deployment(f"d{n}", "example.com/app:2") for n in range(1, 11)),
    ]
    for manifests in (old, new):
        given = await place.assign(*manifests)
        for count in (1 + seed, 4, 9, 15):
            before = writes(place)
            async with place.agent(), asyncio.timeout(30):
                while writes(place) < before + count and not applied(place, given):
                    await asyncio.sleep(0.002)
        async with place.agent():
            await place.hub.healthy(given, 60)

    sets = await place.listed("ReplicaSet", "apps/v1")
    owners = [
        each["metadata"]["ownerReferences"][0]["name"] for each in sets if each["metadata"].get("ownerReferences")
    ]
    assert sorted(owners) == sorted([*(f"d{n}" for n in range(1, 10)), *(f"d{n}" for n in range(1, 11))])
    names = {each["metadata"]["name"] for each in await place.listed("ConfigMap") if applyset.part_of(each)}
    assert names == {f"c{n}" for n in range(5, 42)}
    assert {each["metadata"]["name"] for each in await place.listed("Deployment", "apps/v1")} == {
        f"d{n}" for n in range(1, 11)
    }
    record = applyset.read_record(await place.kube.get(applyset.parent_ref(given.unit, f"{place.name}-system")))
    assert record.scope.kinds == {"ConfigMap", "Deployment.apps"}


async def test_killed_in_the_middle_of_a_hook_it_runs_once(place):
    """Killed as soon as the Job is there, again while it waits for it, and when it has ended but was not yet told."""
    given = await place.assign(hook("migrate"), configmap("settings"))
    async with place.agent():
        (first,) = await place.until(lambda: place.listed("Job", "batch/v1"))
    async with place.agent():
        await place.hub.report(given, lambda r: "migrate" in r.reason, 40)
    assert await place.live("ConfigMap", "settings") is None

    await finish(place, "migrate")
    async with place.agent():
        await place.hub.healthy(given, 60)

    (last,) = await place.listed("Job", "batch/v1")
    assert last["metadata"]["uid"] == first["metadata"]["uid"]
    assert place.proxy.requests["delete", "jobs"] == 0
    assert await place.live("ConfigMap", "settings") is not None


def hook(name):
    """A Job to run before everything else, whose pod goes on until it is told to end."""
    pod = {
        "metadata": {"annotations": {"sandbox.yardarm.dev/fail": "never-ready", "test.yardarm.dev/never-ready": "true"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.com/migrate:1"}]},
    }  # fmt: skip
    metadata = {"name": name, "annotations": {"argocd.argoproj.io/hook": "PreSync"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"backoffLimit": 0, "template": pod}}


async def finish(place, job):
    """Ends the pod of a Job as a command that succeeds does."""

    async def placed():
        pods = await place.listed("Pod")
        return [pod for pod in pods if pod["metadata"]["name"].startswith(job) and pod["spec"].get("nodeName")]

    (pod,) = await place.until(placed)
    container = {"name": "c", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    container["state"] = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    path = f"/api/v1/namespaces/{place.app}/pods/{pod['metadata']['name']}/status"
    status = {"phase": "Succeeded", "containerStatuses": [container]}
    await place.kube._transport.send(
        Request("PATCH", path, {}, {"status": status}, content_type="application/merge-patch+json")
    )


async def test_a_restart_of_what_is_applied_writes_nothing(place):
    given = await place.assign(configmap("a"), deployment("d"))
    async with place.agent():
        await place.hub.healthy(given, 40)
        await place.until(lambda: saved(place, given))
    pods = {each["metadata"]["uid"] for each in await place.listed("Pod")}
    before = place.proxy.requests.copy()

    async with place.agent():
        await place.hub.until(lambda: len({beat.boot for beat in place.hub.beats if beat.units}) == 2, 40)
        boots = place.hub.reports[given.unit]
        await place.hub.until(lambda: boots[-1].health == "Healthy")

    more = place.proxy.requests - before
    assert {plural for verb, plural in more if verb in ("create", "patch", "delete")} <= {"leases"}
    assert {each["metadata"]["uid"] for each in await place.listed("Pod")} == pods


# --- alone -----------------------------------------------------------------------------------------------------------


async def test_without_hub_and_nats_drift_is_put_right_and_told_later(place):
    given = await place.assign(configmap("a", color="blue"), configmap("b"))
    async with place.agent():
        await place.hub.healthy(given)
        async with stopped(place.hub.nats.server._process):
            await place.edit("a", color="red")
            await place.until(lambda: colored(place, "blue"))
            await place.kube.delete(ObjectRef("v1", "ConfigMap", place.app, "b"))
            await place.until(lambda: place.live("ConfigMap", "b"))

        report = await place.hub.report(given, lambda r: sum(bool(d.corrected) for d in r.drift) == 2, 60)

    assert {drift.ref.name for drift in report.drift} == {"a", "b"}


async def test_started_without_hub_it_keeps_what_it_knew(place):
    given = await place.assign(configmap("a", color="blue"))
    async with place.agent():
        await place.hub.healthy(given)
        await place.until(lambda: saved(place, given))
    async with stopped(place.hub.nats.server._process):
        await place.edit("a", color="red")
        async with place.agent():
            await place.until(lambda: colored(place, "blue"))


async def test_an_hour_alone(place):
    """The clock is ours: an hour passes while NATS is away, with an edit every ten minutes."""
    clock = Movable()
    given = await place.assign(configmap("a", color="blue"))
    async with place.inside(clock):
        await place.hub.healthy(given)
        async with stopped(place.hub.nats.server._process):
            for number in range(6):
                await place.edit("a", color=f"red{number}")
                await place.until(lambda: colored(place, "blue"))
                clock.pass_by(600)
        report = await place.hub.report(given, lambda r: r.at > clock.started + 2400, 60)
    assert report.phase == "Applied"


async def test_the_api_server_away_and_back(place):
    given = await place.assign(configmap("a", color="blue"))
    async with place.agent():
        await place.hub.healthy(given)
        place.proxy.faults = (Fault("refuse"),)
        newer = await place.assign(configmap("a", color="green"))
        await place.hub.report(newer, lambda r: r.phase != "Applied" and "API" in r.reason, 30)
        # Longer than the lease lasts.
        await place.hub.until(lambda: any("lease" in r.reason for r in place.hub.reports[newer.unit]), 40)
        place.proxy.calm()
        await place.hub.healthy(newer, 60)


# --- the disk --------------------------------------------------------------------------------------------------------


async def test_a_full_disk_is_said_and_stops_nothing(place):
    """No file may grow beyond 4 KB: what the kernel answers then is handled as a full disk is."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    given = await place.assign(*(configmap(f"c{n}", v=os.urandom(180).hex()) for n in range(40)))
    # The log goes to a file too: the limit must not hit it.
    async with place.agent("state", "--log-level", "error", limit=limit):
        await place.hub.healthy(given, 40)
        await place.hub.until(
            lambda: any("state directory" in text and "cannot be written" in text for text in place.problems())
        )
        newer = await place.assign(*(configmap(f"c{n}", v=f"{n}") for n in range(40)))
        await place.hub.healthy(newer)


@pytest.mark.parametrize("how", ["a file in its place", "full", "read-only"])
async def test_a_state_directory_that_cannot_be_used(place, how):
    folder = place.folder / "state"
    async with contextlib.AsyncExitStack() as stack:
        if how == "a file in its place":
            folder.write_text("")
        else:
            folder.mkdir()
            options = "size=64k" if how == "full" else "size=1m,ro"
            done = await asyncio.create_subprocess_exec(
                "mount", "-t", "tmpfs", "-o", options, "none", str(folder), stderr=asyncio.subprocess.DEVNULL
            )
            if await done.wait():
                pytest.skip("mounting is for root")
            stack.push_async_callback(unmount, folder)
            if how == "full":
                (folder / "ballast").write_bytes(b"x" * 60 * 1024)
        given = await place.assign(*(configmap(f"c{n}", v=os.urandom(180).hex()) for n in range(40)))
        async with place.agent():
            await place.hub.healthy(given, 40)
            await place.hub.until(lambda: any("state directory" in text for text in place.problems()))
            newer = await place.assign(*(configmap(f"c{n}", v=f"{n}") for n in range(40)))
            await place.hub.healthy(newer)
            if how == "full":
                (folder / "ballast").unlink()
                await place.hub.healthy(await place.assign(*(configmap(f"c{n}", v=f"{n + 1}") for n in range(40))))
                await place.hub.until(lambda: place.hub.beats[-1].problems == ())


@pytest.mark.parametrize("damage", [b"", b"\x28\xb5\x2f\xfd\xff\xff" * 50])
async def test_damaged_state_is_fetched_again_and_nothing_is_written_anew(place, damage):
    given = await place.assign(configmap("a"), configmap("b"))
    async with place.agent():
        await place.hub.healthy(given)
        await place.until(lambda: saved(place, given))
    versions = {n: (await place.live("ConfigMap", n))["metadata"]["resourceVersion"] for n in "ab"}
    for path in (place.folder / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(damage)
    # Its identity is damaged too: it waits until the lease of its former life has expired.
    async with place.agent():
        newer = await place.assign(configmap("a"), configmap("c"))
        await place.hub.healthy(newer, 60)

    assert (await place.live("ConfigMap", "a"))["metadata"]["resourceVersion"] == versions["a"]
    assert await place.live("ConfigMap", "b") is None
    assert await place.live("ConfigMap", "c")


# --- the clock -------------------------------------------------------------------------------------------------------


class Movable(Clock):
    """Real time, and what is added to it. `pass_by` moves both clocks, `jump` only the one on the wall."""

    def __init__(self):
        self.started = super().now()
        self.passed = self.jumped = 0.0

    def now(self):
        return super().now() + self.passed + self.jumped

    def monotonic(self):
        return super().monotonic() + self.passed

    def pass_by(self, seconds):
        self.passed += seconds

    def jump(self, seconds):
        self.jumped += seconds


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_a_jump_of_the_clock(place, seconds):
    clock = Movable()
    given = await place.assign(configmap("a", color="blue"))
    async with place.inside(clock):
        await place.hub.healthy(given)
        clock.jump(seconds)
        await place.edit("a", color="red")
        await place.hub.report(given, lambda r: any(d.corrected for d in r.drift))
        await place.until(lambda: noted(place, clock))
    async with place.inside(clock):
        await place.edit("a", color="green")
        await place.until(lambda: colored(place, "blue"))
        await place.hub.report(
            given, lambda r: any(f.have == "green" for d in r.drift if d.corrected for f in d.fields)
        )

    times = [report.at for report in place.hub.reports[given.unit]]
    assert times == sorted(times)


# --- two of them -----------------------------------------------------------------------------------------------------


async def test_of_two_agents_for_one_cluster_only_one_acts(place):
    given = await place.assign(configmap("a", color="blue"))
    async with place.agent("first") as first:
        await place.hub.healthy(given)
        async with place.agent("second"):
            await place.hub.until(lambda: any("this one stands by" in text for text in place.problems()), 40)
            await place.hub.until(lambda: any("a second agent" in text for text in place.problems()), 40)
            boots = {beat.boot for beat in place.hub.beats if beat.units}
            count = place.proxy.requests["patch", "configmaps"]
            newer = await place.assign(configmap("a", color="green"))
            await place.hub.healthy(newer)
            parent_and_object = place.proxy.requests["patch", "configmaps"] - count

            assert parent_and_object == 1  # one agent wrote, once
            assert len(boots) == 1
            assert any(event.type == "lease" and "stands by" in event.message for event in place.hub.events)

            first.kill()
            await first.wait()
            newest = await place.assign(configmap("a", color="red"))
            await place.hub.healthy(newest, 60)

    assert (await place.live("ConfigMap", "a"))["data"] == {"color": "red"}
    assert "stands by" in (place.folder / "agent.log").read_text()


async def test_a_restart_takes_its_own_lease_at_once(place):
    """Were it to wait for the lease to expire, it would take a minute."""
    async with place.agent("state", "--lease", "60"):
        await place.hub.healthy(await place.assign(configmap("a")))
    given = await place.assign(configmap("a", v="2"))
    async with place.agent("state", "--lease", "60"):
        await place.hub.healthy(given, 20)


async def test_an_orderly_end_leaves_the_lease_to_the_next(place):
    async with place.agent("first", "--lease", "60") as first:
        await place.hub.healthy(await place.assign(configmap("a")))
        first.send_signal(signal.SIGTERM)
        assert await first.wait() == 0
    given = await place.assign(configmap("a", v="2"))
    async with place.agent("second", "--lease", "60"):
        await place.hub.healthy(given, 20)


async def test_one_that_was_frozen_does_not_write_over_its_successor(place):
    """Stopped for longer than its lease lasts, then woken: it finds that another acts."""
    given = await place.assign(configmap("a", color="blue"))
    async with place.agent("first") as first:
        await place.hub.healthy(given)
        first.send_signal(signal.SIGSTOP)
        async with place.agent("second"):
            newer = await place.assign(configmap("a", color="green"))
            await place.hub.healthy(newer, 60)
            first.send_signal(signal.SIGCONT)
            await place.hub.until(lambda: any("this one stands by" in t for t in place.hub.beats[-1].problems), 40)
            await place.edit("a", color="red")
            await place.until(lambda: colored(place, "green"))


def writes(place):
    return sum(
        n for (verb, plural), n in place.proxy.requests.items() if verb in ("patch", "delete") and plural != "leases"
    )


def applied(place, given):
    return any(
        r.generation == given.generation and r.health == "Healthy" for r in place.hub.reports.get(given.unit, ())
    )


async def saved(place, given):
    """Whether the agent has written down what it did."""
    path = place.folder / "state" / "units" / f"{given.namespace}.{given.application}.timeline"
    return path.exists() and str(given.generation) in path.read_text() and "healthy" in path.read_text()


async def noted(place, clock):
    path = place.folder / "state" / "moment"
    return path.exists() and float(path.read_text()) > clock.now() - 6


async def colored(place, color):
    live = await place.live("ConfigMap", "a")
    return live is not None and live["data"].get("color") == color


async def unmount(folder):
    await (await asyncio.create_subprocess_exec("umount", "-l", str(folder))).wait()


@contextlib.asynccontextmanager
async def stopped(process):
    """A process that does not answer for the time of the block."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, ApiError):
            os.kill(process.pid, signal.SIGCONT)
