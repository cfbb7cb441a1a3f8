"""Whatever happens in whatever order, the agent ends where Git is, and touches nothing that is not its own.

A Hypothesis state machine of commits, edits and deletions by others, restarts and sudden deaths of the agent, faults of
the API server and outages of NATS. Runs on the sandbox, and on a real server when there is one. By default the same
few examples every time; YARDARM_MODEL_EXAMPLES=200 looks for more, at random.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import os
import uuid

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import agent.vigil
from agent.domain import applyset
from agent.evaluator import Evaluator
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.kube.errors import ApiError
from agent.kube.transport import Request
from agent.loop import Agent
from agent.settings import AgentSettings
from agent.state import State
from agent.unsealing import NoKeys
from shared.errors import Unavailable
from shared.messages import DeletionPolicy, Policy
from shared.model import ObjectRef
from shared.tasks import Backoff, Clock
from tests.fakes import apiserver
from tests.fakes.agenthub import agent_hub
from tests.fakes.faultproxy import Fault, FaultProxy

EXAMPLES = int(os.environ.get("YARDARM_MODEL_EXAMPLES") or 0)
PROFILE = settings(
    max_examples=EXAMPLES or 15, stateful_step_count=20, derandomize=not EXAMPLES, deadline=None, database=None,
    suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
)  # fmt: skip
SETTLED_WITHIN = 60.0

APPS = ("one", "two")
PLURALS = {"ConfigMap": "configmaps", "Secret": "secrets", "Service": "services", "Deployment": "deployments"}
API = {"Deployment": "apps/v1"}


def manifest(kind: str, variant: int) -> dict:
    """The only object of its kind in an application, in one of three shapes."""
    name = f"the-{kind.lower()}"
    body = {"apiVersion": API.get(kind, "v1"), "kind": kind, "metadata": {"name": name, "labels": {"v": str(variant)}}}
    labels = {"app": name}
    match kind:
        case "ConfigMap":
            body["data"] = {"color": f"c{variant}", **({"extra": "x"} if variant == 2 else {})}
        case "Secret":
            body["stringData" if variant == 1 else "data"] = {"password": "c2VjcmV0" if variant != 1 else "plain"}
        case "Service":
            ports = [{"name": "web", "port": 80 + variant}, {"name": "more", "port": 90}][: 1 + variant % 2]
            body["spec"] = {"selector": labels, "ports": ports}
        case "Deployment":
            image = {"name": "app", "image": f"example.com/app:{variant}"}
            template = {"metadata": {"labels": labels}, "spec": {"containers": [image]}}
            body["spec"] = {"replicas": 1 + variant % 2, "selector": {"matchLabels": labels}, "template": template}
    return body


EDITS = {
    "ConfigMap": {"data": {"color": "red", "theirs": "1"}},
    "Secret": {"data": {"password": "ZWRpdGVk"}},
    "Service": {"spec": {"selector": {"app": "other"}}},
    "Deployment": {"spec": {"replicas": 3}},
}
FAULTS = {
    "slow": (Fault("delay", chance=0.5, seconds=0.15),),
    "cut": (Fault("cut", chance=0.3),),
    "refuse": (Fault("refuse", chance=0.3),),
    "conflict": (Fault("status", code=409, chance=0.3, verbs=frozenset({"patch", "delete"})),),
    "throttle": (Fault("status", code=429, retry_after=0, chance=0.3),),
    "stumble": (Fault("status", code=500, chance=0.3), Fault("status", code=504, late=True, chance=0.2)),
    "dead": (Fault("status", code=503),),
    "gone": (Fault("gone", chance=0.7), Fault("end", chance=0.5)),
    "deaf": (Fault("deaf", chance=0.5), Fault("cut", verbs=frozenset({"watch"}), chance=0.5)),
}
objects = st.dictionaries(st.sampled_from(sorted(PLURALS)), st.integers(0, 2))
pauses = st.sampled_from((0.0, 0.002, 0.01, 0.03, 0.1, 0.3))


class World:
    """What outlives an example: an event loop, NATS, and the API server."""

    def __init__(self, kind: str, folder) -> None:
        self.kind, self.folder = kind, folder
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.sync = contextlib.ExitStack()
        self.numbers = itertools.count(1)

    def __enter__(self) -> World:
        self.runner.__enter__()
        self.runner.run(self._enter())
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.__exit__(None, None, None)
        self.sync.close()

    async def _enter(self) -> None:
        if self.kind == "sandbox":
            self.server = await self.stack.enter_async_context(apiserver.sandbox(self.folder))
        else:
            self.server = apiserver.real(self.folder)
        self.hub = await self.stack.enter_async_context(agent_hub(self.folder))
        ca = self.server.ca or None
        self.kube = await self.stack.enter_async_context(
            await Kube.connect(Access.url(self.server.url, self.server.token, ca))
        )


class Machine(RuleBasedStateMachine):
    world: World

    def __init__(self) -> None:
        super().__init__()
        self.number = next(self.world.numbers)
        self.name = f"m{self.number}-{uuid.uuid4().hex[:5]}"
        self.stack = contextlib.AsyncExitStack()
        self.git: dict[str, dict[str, int]] = {}
        self.policies = dict.fromkeys(APPS, Policy(deletion=DeletionPolicy("100%")))
        self.given: dict = {}
        self.task = None

    def run(self, work):
        return self.world.runner.run(work)

    # --- the world ------------------------------------------------------------------------------------------------

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed):
        self.run(self._begin(seed))

    async def _begin(self, seed):
        world = self.world
        self.proxy = await self.stack.enter_async_context(FaultProxy(world.server.url, world.server.tls(), seed=seed))
        self.foreign = {}
        for app in APPS:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.space(app)}}
            await world.kube.apply(namespace, manager="somebody")
            for kind in ("ConfigMap", "Deployment"):
                theirs = copy.deepcopy(manifest(kind, 1))
                theirs["metadata"] |= {"name": "foreign", "namespace": self.space(app)}
                if kind == "Deployment":
                    theirs["spec"]["replicas"] = 0
                await world.kube.apply(theirs, manager="somebody")
        await asyncio.sleep(0.3 if world.kind == "sandbox" else 1.5)  # until their controllers have looked at them
        for app in APPS:
            for kind in ("ConfigMap", "Deployment"):
                ref = ObjectRef(API.get(kind, "v1"), kind, self.space(app), "foreign")
                self.foreign[ref] = identity(await world.kube.get(ref))
        await self._start()

    def space(self, app):
        return f"{self.name}-{app}"

    async def _start(self):
        world = self.world
        self.kube = await Kube.connect(Access.url(self.proxy.url, world.server.token))
        settings = AgentSettings(
            cluster=self.name, nats=world.hub.nats.server.url, creds=None, heartbeat=1.0, report_interval=0.1,
            inventory_namespace=f"{self.name}-system", lease=3.0,
        )  # fmt: skip
        state = State(world.folder / self.name)
        self.lock = state.locked()
        self.lock.__enter__()
        self.agent = Agent(settings, self.kube, world.hub.credentials(self.name), state, Clock(), Evaluator(), NoKeys())
        self.task = asyncio.get_running_loop().create_task(self.agent.run())

    async def _stop(self, *, clean):
        if not clean:
            self.agent._keeper.flush = nothing
            self.agent._lease.release = nothing
        self.task.cancel()
        done, _ = await asyncio.wait((self.task,), timeout=20)
        if not done:
            for task in asyncio.all_tasks():
                task.print_stack()
        assert done, "the agent does not end"
        assert self.task.cancelled(), self.task.exception()
        await self.kube.close()
        self.lock.__exit__(None, None, None)

    # --- what happens ---------------------------------------------------------------------------------------------

    @rule(app=st.sampled_from(APPS), objects=objects, pause=pauses)
    def commit(self, app, objects, pause):
        self.git[app] = objects
        self.run(self._assign(app, pause))

    @rule(app=st.sampled_from(APPS), drift=st.sampled_from(("correct", "report")), prune=st.booleans(), pause=pauses)
    def change_policy(self, app, drift, prune, pause):
        self.policies[app] = Policy(drift=drift, prune=prune, deletion=DeletionPolicy("100%"))
        if app in self.git:
            self.run(self._assign(app, pause))

    @precondition(lambda self: self.git)
    @rule(app=st.sampled_from(APPS), pause=pauses)
    def leave(self, app, pause):
        if self.git.pop(app, None) is not None:
            self.policies[app] = Policy(deletion=DeletionPolicy("100%"))
            self.run(self._assign(app, pause, removed=True))

    async def _assign(self, app, pause, **more):
        manifests = [manifest(kind, variant) for kind, variant in self.git.get(app, {}).items()]
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unavailable):
                    self.given[app] = await self.world.hub.assign(
                        self.name, app, manifests, namespace=self.space(app), policy=self.policies[app], **more
                    )
                    break
                await asyncio.sleep(0.1)
        await asyncio.sleep(pause)

    @rule(app=st.sampled_from(APPS), kind=st.sampled_from(sorted(PLURALS)), how=st.sampled_from("apm"), pause=pauses)
    def edit(self, app, kind, how, pause):
        self.run(self._edit(app, kind, how, pause))

    async def _edit(self, app, kind, how, pause):
        ref = ObjectRef(API.get(kind, "v1"), kind, self.space(app), f"the-{kind.lower()}")
        kube = self.world.kube
        with contextlib.suppress(ApiError):
            live = await kube.get(ref)
            if live is None:
                return
            if how == "a":
                head = {
                    "apiVersion": ref.api_version,
                    "kind": kind,
                    "metadata": {"name": ref.name, "namespace": ref.namespace},
                }
                if kind == "Service":
                    return
                await kube.apply({**head, **EDITS[kind]}, force=True, manager="intruder")
            elif how == "m":
                await kube.merge(live, {**EDITS[kind], "metadata": {"labels": {"v": "edited", "theirs": "1"}}})
            else:
                path = (await kube.resource(ref.api_version, kind)).path(ref.namespace, ref.name)
                changed = {**live, **EDITS[kind]} if "data" in EDITS[kind] else live
                # Who takes our label off something that is about to leave keeps it: that is another test's business.
                changed["metadata"] = {**live["metadata"], "labels": {**live["metadata"].get("labels", {}), "v": "put"}}
                await kube._transport.send(Request("PUT", path, {"fieldManager": "intruder"}, changed))
        await asyncio.sleep(pause)

    @rule(app=st.sampled_from(APPS), kind=st.sampled_from(sorted(PLURALS)), pause=pauses)
    def delete(self, app, kind, pause):
        ref = ObjectRef(API.get(kind, "v1"), kind, self.space(app), f"the-{kind.lower()}")
        self.run(self.world.kube.delete(ref))
        self.run(asyncio.sleep(pause))

    @rule(clean=st.booleans(), pause=pauses)
    def restart(self, clean, pause):
        self.run(self._restart(clean, pause))

    async def _restart(self, clean, pause):
        await self._stop(clean=clean)
        await asyncio.sleep(pause)
        await self._start()

    @rule(which=st.sets(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=2), pause=pauses)
    def trouble(self, which, pause):
        self.proxy.faults = tuple(copy.copy(fault) for each in sorted(which) for fault in FAULTS[each])
        self.run(asyncio.sleep(pause))

    @rule(pause=pauses)
    def calm(self, pause):
        self.proxy.calm()
        self.run(asyncio.sleep(pause))

    @rule(pause=pauses)
    def lose_nats(self, pause):
        process = self.world.hub.nats.server._process
        if process is not None and process.returncode is None:  # else it is away already
            process.kill()
        self.run(asyncio.sleep(pause))

    @rule(seconds=st.sampled_from((0.3, 1.0)))
    def wait(self, seconds):
        self.run(asyncio.sleep(seconds))

    # --- how it must end ------------------------------------------------------------------------------------------

    def teardown(self):
        if self.task is None:
            return
        try:
            self.run(self._settle())
        finally:
            self.run(self._end())

    async def _end(self):
        await self._stop(clean=True)
        await self.stack.aclose()
        for space in (*map(self.space, APPS), f"{self.name}-system"):
            await self.world.kube.delete(ObjectRef("v1", "Namespace", "", space))

    async def _settle(self):
        self.proxy.calm()
        for app in APPS:
            plain = Policy(deletion=DeletionPolicy("100%"))
            if app in self.git and self.policies[app] != plain:
                self.policies[app] = plain
                await self._assign(app, 0)
        wrong = ["not looked yet"]
        try:
            async with asyncio.timeout(SETTLED_WITHIN):
                while wrong:
                    await asyncio.sleep(0.1)
                    await self._confirm()
                    wrong = [text async for text in self._wrong()]
        except TimeoutError:
            last = {app: self.world.hub.reports.get(given.unit, [None])[-1] for app, given in self.given.items()}
            raise AssertionError(f"{wrong}\nGit: {self.git}\nlast reports: {last}") from None
        before = self.proxy.requests["patch", "configmaps"], self.proxy.requests["delete", "configmaps"]
        await asyncio.sleep(0.3)
        wrong = [text async for text in self._wrong()]
        assert not wrong, "it did not stay settled"
        assert before == (self.proxy.requests["patch", "configmaps"], self.proxy.requests["delete", "configmaps"])

    async def _confirm(self):
        """A person's word for what would delete much."""
        for app, given in self.given.items():
            report = self.world.hub.reports.get(given.unit, [None])[-1]
            if report and report.generation == given.generation and report.awaiting and not given.confirmed:
                more = {"removed": True} if given.removed else {}
                await self._assign(app, 0, confirmed=(report.awaiting.token,), **more)

    async def _wrong(self):
        """What is not as it must be at the end."""
        for ref, was in self.foreign.items():
            # Never: not even on the way.
            assert identity(await self.world.kube.get(ref)) == was, f"{ref} is not ours and was touched"
        for app, given in self.given.items():
            reports = self.world.hub.reports.get(given.unit, [])
            phase = "Removed" if given.removed else "Applied"
            if not reports or reports[-1].generation != given.generation or reports[-1].phase != phase:
                yield f"{app} is not reported as {phase}"
        for app in APPS:
            async for text in self._wrong_objects(app):
                yield text

    async def _wrong_objects(self, app):
        kube, wanted = self.world.kube, {}
        for kind, variant in self.git.get(app, {}).items():
            wanted[kind] = manifest(kind, variant)
        unit = self.given[app].unit if app in self.given else None
        parent = applyset.parent_ref(unit, f"{self.name}-system") if unit else None
        members = set()
        for kind in PLURALS:
            resource = await kube.resource(API.get(kind, "v1"), kind)
            for live in (await kube.list(resource, namespace=self.space(app)))[0]:
                if parent and applyset.part_of(live) == applyset.set_id(parent):
                    members.add(kind)
                    if "deletionTimestamp" in live["metadata"]:
                        yield f"{kind} of {app} is still being deleted"
                    elif kind in wanted and (field := unlike(wanted[kind], live)):
                        yield f"{kind} of {app} differs in {field}"
        if members != set(wanted):
            yield f"{app} has the members {sorted(members)} instead of {sorted(wanted)}"
        if parent:
            live = await kube.get(parent)
            covers = {ObjectRef(API.get(kind, "v1"), kind, "", "").group_kind for kind in wanted}
            if live is None and wanted:
                yield f"the inventory of {app} is missing"
            if live is not None and app not in self.git:
                yield f"the inventory of {app} is still there"
            elif live is not None and applyset.read_record(live).scope.kinds != covers:
                yield f"the inventory of {app} covers {applyset.read_record(live).scope.kinds}"


async def nothing():
    """In place of what a killed process does not do."""


def identity(live):
    metadata = (live or {}).get("metadata") or {}
    return metadata.get("uid"), metadata.get("resourceVersion")


def unlike(wanted, live, path=""):
    """Where `live` does not hold what is wanted; empty when it does."""
    if path == "/stringData":
        return ""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            if key not in live and key != "stringData":
                return f"{path}/{key}"
            if found := unlike(value, live.get(key), f"{path}/{key}"):
                return found
        return ""
    if isinstance(wanted, list):
        if len(wanted) != len(live):
            return path
        return next((found for one, other in zip(wanted, live, strict=True) if (found := unlike(one, other, path))), "")
    return "" if wanted == live else path


# The NATS client drops the connection to a server that is killed while it says hello, without closing it.
HALF_OPEN = r"Exception ignored in. <(function (StreamWriter|_SelectorTransport)\.__del__|socket\.socket)"


@pytest.mark.filterwarnings(f"ignore:{HALF_OPEN}:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(3600 if EXAMPLES else 240)
@pytest.mark.parametrize("kind", apiserver.available(controllers=True))
def test_it_always_ends_where_git_is(kind, tmp_path, monkeypatch):
    # Patience is for real clusters: here the same number of attempts takes a tenth of the time.
    patient = Backoff.next
    monkeypatch.setattr(Backoff, "next", lambda self, at_least=None: patient(self, at_least) / 10)
    monkeypatch.setattr(agent.vigil, "SLOWEST", 1.0)
    with World(kind, tmp_path) as world:
        machine = type("AgentMachine", (Machine,), {"world": world})
        run_state_machine_as_test(machine, settings=PROFILE)
