"""One agent in a process of its own, alone with one API server: a sandbox in another process, or a real one.

The real one is that which YARDARM_TEST_KUBECONFIG names, or one brought up from the binaries in KUBEBUILDER_ASSETS.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from agent.kube.access import Access
from agent.kube.client import Kube
from shared.model import ObjectRef
from tests.bench.certificate import write_certificate
from tests.bench.rig import PYTHON, Program, until, workspace
from tests.fakes import apiserver
from tests.fakes.agenthub import AgentHub, agent_hub
from tests.fakes.faultproxy import FaultProxy

TOKEN = "bench"
WRITES = ("create", "patch", "update", "delete")


def configmap(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"key": name * 10}}


@dataclass
class Alone:
    """Everything it makes in the cluster is in namespaces of its own, which go away at the end."""

    folder: Path
    hub: AgentHub
    kube: Kube
    server: tuple[str, str, Path | None]
    """URL, token, file with the certificate authority."""
    cluster: str
    spaces: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def agent(self, url: str = "") -> AsyncIterator[Program]:
        """The agent as a pod would run it, without a kubeconfig; by `url` instead of straight to the server."""
        server, token, ca = self.server
        account, creds = self.folder / "account", self.folder / "creds"
        account.mkdir(exist_ok=True)
        (account / "token").write_text(token)
        (account / "ca.crt").write_bytes(ca.read_bytes() if ca is not None else b"")
        creds.write_text(str(self.hub.credentials(self.cluster)))
        command = [
            *(PYTHON, "-m", "tests.bench.child_incluster", url or server, account, "--cluster", self.cluster),
            *("--nats", self.hub.nats.server.url, "--creds", creds, "--state", self.folder / "state"),
            *("--inventory-namespace", f"{self.cluster}-system", "--heartbeat", "1"),
        ]
        log = self.folder / f"agent-{time.monotonic()}.log"
        boots = {beat.boot for beat in self.hub.beats}
        async with Program(command, log, KUBERNETES_SERVICE_HOST="127.0.0.1") as program:
            await until(lambda: any(beat.boot not in boots for beat in self.hub.beats), 60, "the agent is heard")
            yield program

    @asynccontextmanager
    async def proxy(self) -> AsyncIterator[FaultProxy]:
        """Between agent and server, to count requests."""
        url, token, ca = self.server
        async with FaultProxy(url, apiserver.ApiServer(url, token, str(ca or ""), "", "").tls()) as proxy:
            yield proxy

    def unit(self, application: str) -> str:
        """The name of an application, and of its namespace."""
        space = f"{self.cluster}-{application}"
        if space not in self.spaces:
            self.spaces.append(space)
        return space


def writes(asked: Counter[tuple[str, str]]) -> int:
    """How many requests may change something. The lease that says which agent acts is renewed all the time."""
    return sum(n for (verb, plural), n in asked.items() if verb in WRITES and plural != "leases")


@asynccontextmanager
async def alone(name: str) -> AsyncIterator[Alone]:
    """A server, a hub and the folder for an agent."""
    with workspace(name) as folder:
        async with AsyncExitStack() as stack:
            url, token, ca = await stack.enter_async_context(_server(folder))
            hub = await stack.enter_async_context(agent_hub(folder))
            kube = await stack.enter_async_context(await Kube.connect(Access.url(url, token, ca)))
            cluster = f"b{uuid.uuid4().hex[:6]}"
            place = Alone(folder, hub, kube, (url, token, ca), cluster, [f"{cluster}-system"])
            try:
                yield place
            finally:
                for space in place.spaces:
                    await kube.delete(ObjectRef("v1", "Namespace", "", space))


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
