"""An agent with many objects: a restart with 5,000, memory, the first apply of 1,000, and drift as NATS hears of it.

Against one sandbox cluster in a process of its own, or the real server that YARDARM_TEST_KUBECONFIG names. Requests are
counted by a proxy in between in the restart only. The floor of the first apply is a bare loop of the same requests with
the same concurrency on the same server.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import orjson

from agent.cache import PAGE
from agent.domain import applyset
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.settings import AgentSettings
from shared.model import ObjectRef, UnitKey
from tests.bench.certificate import write_certificate
from tests.bench.figures import Figure, percentile
from tests.bench.rig import PYTHON, Program, say, until, workspace
from tests.fakes import apiserver
from tests.fakes.agenthub import AgentHub, agent_hub
from tests.fakes.faultproxy import FaultProxy

MANY, UNITS = 5000, 10
FIRST = 1000
EDITS = 60
TOKEN = "bench"


async def measure() -> list[Figure]:
    with workspace("agent-scale") as folder:
        async with AsyncExitStack() as stack:
            url, token, ca = await stack.enter_async_context(_server(folder))
            hub = await stack.enter_async_context(agent_hub(folder))
            kube = await stack.enter_async_context(await Kube.connect(Access.url(url, token, ca)))
            bench = _Bench(folder, hub, kube, (url, token, ca), f"b{uuid.uuid4().hex[:6]}")
            try:
                return [*await bench.first_apply(), *await bench.drift(), *await bench.restart()]
            finally:
                for space in bench.spaces:
                    await kube.delete(ObjectRef("v1", "Namespace", "", space))


def configmap(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"key": name * 10}}


class _Bench:
    def __init__(
        self, folder: Path, hub: AgentHub, kube: Kube, server: tuple[str, str, Path | None], name: str
    ) -> None:
        self.folder, self.hub, self.kube, self.server, self.name = folder, hub, kube, server, name
        self.spaces = [f"{name}-system"]
        (folder / "creds").write_text(str(hub.credentials(name)))

    @asynccontextmanager
    async def agent(self, url: str = "") -> AsyncIterator[Program]:
        """The agent as a pod would run it, without a kubeconfig."""
        server, token, ca = self.server
        account = self.folder / "account"
        account.mkdir(exist_ok=True)
        (account / "token").write_text(token)
        (account / "ca.crt").write_bytes(ca.read_bytes() if ca is not None else b"")
        command = [
            *(PYTHON, "-m", "tests.bench.child_incluster", url or server, account, "--cluster", self.name),
            *("--nats", self.hub.nats.server.url, "--creds", self.folder / "creds", "--state", self.folder / "state"),
            *("--inventory-namespace", f"{self.name}-system", "--heartbeat", "1"),
        ]
        log = self.folder / f"agent-{time.monotonic()}.log"
        async with Program(command, log, KUBERNETES_SERVICE_HOST="127.0.0.1") as program:
            boots = {beat.boot for beat in self.hub.beats}
            await until(lambda: any(beat.boot not in boots for beat in self.hub.beats), 60, "the agent is heard")
            yield program

    def unit(self, application: str) -> str:
        space = f"{self.name}-{application}"
        if space not in self.spaces:
            self.spaces.append(space)
        return space

    async def first_apply(self) -> list[Figure]:
        """The bare loop and the agent take turns, each with new namespaces; the best of two counts for both."""
        bare: list[float] = []
        ours: list[float] = []
        async with self.agent() as program:
            warm = await self.hub.assign(self.name, self.unit("warm"), [configmap("a")])
            await self.hub.healthy(warm, 60)
            for turn in range(2):
                bare.append(await self._bare(f"bare{turn}"))
                started = time.monotonic()
                space = self.unit(f"first{turn}")
                given = await self.hub.assign(
                    self.name, space, [configmap(f"c{n}") for n in range(FIRST)], as_packs=True
                )
                await self.hub.healthy(given, 120)
                ours.append(time.monotonic() - started)
                say(f"first apply of {FIRST}: {ours[-1]:.2f} s, bare loop {bare[-1]:.2f} s")
                await self.hub.assign(self.name, space, [configmap(f"c{n}") for n in range(FIRST)], as_packs=True)
                program.alive()
        return [
            Figure(
                f"first apply of {FIRST} objects, until reported healthy", min(ours), "s", min(bare), ratio_limit=1.25
            )
        ]

    async def _bare(self, application: str) -> float:
        space = self.unit(application)
        await self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        unit = applyset.set_id(applyset.parent_ref(UnitKey(self.name, space, space)))
        gate = asyncio.Semaphore(AgentSettings(cluster="x", nats="", creds=None).concurrency)

        async def one(number: int) -> None:
            manifest = applyset.as_member(configmap(f"c{number}"), unit)
            manifest["metadata"]["namespace"] = space
            async with gate:
                await self.kube.apply(manifest)

        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(FIRST):
                group.create_task(one(number))
        return time.monotonic() - started

    async def drift(self) -> list[Figure]:
        """From the response to the edit until the report that names it has come over NATS."""
        took: list[float] = []
        apps = [self.unit(f"drift{n}") for n in range(6)]
        async with self.agent() as program:
            given = {a: await self.hub.assign(self.name, a, [configmap(f"c{n}") for n in range(10)]) for a in apps}
            for each in given.values():
                await self.hub.healthy(each, 60)
            for number in range(EDITS):
                space, name = apps[number % len(apps)], f"c{number // len(apps)}"
                manifest = configmap(name, key="edited")
                manifest["metadata"]["namespace"] = space
                await self.kube.apply(manifest, force=True, manager="somebody")
                answered = time.monotonic()
                await self.hub.report(given[space], lambda r, n=name: any(d.ref.name == n for d in r.drift), 30)
                took.append((time.monotonic() - answered) * 1000)
                program.alive()
                await asyncio.sleep(0.2)
            resident = program.rss
        return [
            Figure(f"{EDITS} outside edits: response to report on NATS, p50", percentile(took, 0.5), "ms"),
            Figure(f"{EDITS} outside edits: response to report on NATS, p99", percentile(took, 0.99), "ms", limit=500),
            Figure("agent resident after them", resident, "MB"),
        ]

    async def restart(self) -> list[Figure]:
        """Requests and memory of a restart with many objects that are all as they should be."""
        each = MANY // UNITS
        given = []
        async with self.agent():
            for number in range(UNITS):
                manifests = [configmap(f"c{n}") for n in range(each)]
                given.append(await self.hub.assign(self.name, self.unit(f"many{number}"), manifests, as_packs=True))
            for assignment in given:
                await self.hub.healthy(assignment, 300)
            await asyncio.sleep(2)
        say(f"{MANY} objects are applied; now the restart")
        url, token, ca = self.server
        tls = apiserver.ApiServer(url, token, str(ca or ""), "", "").tls()
        async with FaultProxy(url, tls) as proxy:
            count = {a.unit: len(self.hub.reports[a.unit]) for a in given}
            started = time.monotonic()
            async with self.agent(proxy.url) as program:
                await until(
                    lambda: all(len(self.hub.reports[unit]) > n for unit, n in count.items()), 120, "all are reported"
                )
                ready = time.monotonic() - started
                await asyncio.sleep(5)
                program.alive()
                resident = program.rss
            asked = proxy.requests
        lists = sum(n for (verb, plural), n in asked.items() if verb == "list" and plural == "configmaps")
        writes = sum(
            n for (verb, plural), n in asked.items() if verb in ("create", "patch", "delete") and plural != "leases"
        )
        gets = sum(n for (verb, plural), n in asked.items() if verb == "get" and plural not in ("", "leases"))
        resource = await self.kube.resource("v1", "ConfigMap")
        labelled, _ = await self.kube.list(resource, label_selector=applyset.PART_OF)
        pages = -(-len(labelled) // PAGE) + 1
        return [
            Figure(f"restart with {MANY} objects: until all are reported", ready, "s"),
            Figure(
                f"… pages of the one list of their kind ({PAGE} each), and of the inventories",
                lists,
                "requests",
                limit=pages,
            ),
            Figure("… objects asked for one by one", gets, "requests", limit=0),
            Figure("… writes", writes, "requests", limit=0),
            Figure(f"agent resident with {MANY} objects after a restart", resident, "MB", limit=120),
        ]


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[tuple[str, str, Path | None]]:
    if os.environ.get("YARDARM_TEST_KUBECONFIG") or os.environ.get("KUBEBUILDER_ASSETS"):
        with apiserver.started():
            real = apiserver.real(folder)
            yield real.url, real.token, Path(real.ca)
        return
    certificate, key = write_certificate(folder)
    out = folder / "urls.json"
    setup = {"clusters": ["c"], "token": TOKEN, "certificate": str(certificate), "key": str(key), "out": str(out)}
    (folder / "setup.json").write_bytes(orjson.dumps(setup))
    async with Program(
        [PYTHON, "-m", "tests.bench.child_sandbox", folder / "setup.json"], folder / "sandbox.log"
    ) as program:

        async def up() -> bool:
            return out.exists()

        await program.answers(up, 30, "the sandbox is up")
        yield orjson.loads(out.read_bytes())["https"]["c"], TOKEN, certificate
