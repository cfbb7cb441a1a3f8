"""One cluster (sandbox or real), one agent on it, the hub it listens to, and kubectl as a person would use it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.kube.access import Access
from agent.kube.client import Kube
from agent.kube.transport import Request, Response, Transport
from agent.loop import run_agent
from agent.sandbox.server import Sandbox
from agent.settings import AgentSettings
from shared.messages import Assignment
from shared.model import ObjectRef
from tests.fakes.agenthub import AgentHub, agent_hub

KUBECONFIG = os.environ.get("YARDARM_TEST_KUBECONFIG")
BACKENDS = ["sandbox", *(["real"] if KUBECONFIG else [])]
Manifest = dict[str, Any]


class AgentPlace:
    """Everything is named after `app`, which is also the namespace: several tests may use one real server."""

    def __init__(self, hub: AgentHub, access: Access, kubeconfig: str, folder: Path) -> None:
        self.hub = hub
        self.app = f"t{uuid.uuid4().hex[:8]}"
        self.kubeconfig = kubeconfig
        self.is_sandbox = kubeconfig != KUBECONFIG
        self.requests: list[Request] = []
        self._access = access
        self._folder = folder
        self._task: asyncio.Task[None] | None = None
        self._agent: Kube | None = None
        self.kube: Kube
        self.settings = AgentSettings(
            cluster="c1", nats=hub.nats.server.url, creds=None, state=folder / "state", heartbeat=1.0,
            report_interval=0.1, inventory_namespace=f"{self.app}-system",
        )  # fmt: skip

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Starts the agent; every request it sends is noted."""
        self._group = group
        self._agent = await Kube.connect(self._access)
        self._agent._transport = _Noting(self._agent._transport, self.requests)  # type: ignore[assignment]
        self._task = group.create_task(run_agent(self.settings, self._agent, self.hub.credentials("c1")))

    async def again(self, **settings: Any) -> None:
        """Ends the agent and starts another with its state, and these settings."""
        await self.stop()
        self.settings = msgspec.structs.replace(self.settings, **settings)
        await self.start(self._group)

    async def stop(self) -> None:
        assert self._task is not None
        assert self._agent is not None
        self._task.cancel()
        await asyncio.wait((self._task,), timeout=10)
        await self._agent.close()

    def writes(self) -> list[str]:
        """The writes so far that were meant, as `METHOD path`; the inventory is not counted."""
        return [
            f"{each.method} {each.path}"
            for each in self.requests
            if each.method != "GET"
            and "dryRun" not in each.query
            and self.settings.inventory_namespace not in each.path
        ]

    async def assign(self, *manifests: Manifest, **more: Any) -> Assignment:
        return await self.hub.assign("c1", self.app, list(manifests), **more)

    async def live(self, api_version: str, kind: str, name: str) -> Manifest:
        found = await self.kube.get(ObjectRef(api_version, kind, self.app, name))
        assert found is not None, f"{kind} {name} is not there"
        return found

    async def until(self, met: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
        async with asyncio.timeout(seconds):
            while True:
                if found := await met():
                    return found
                await asyncio.sleep(0.05)

    async def kubectl(self, *arguments: str, stdin: list[Manifest] | None = None) -> str:
        """Runs kubectl in the namespace of the test, with these objects on its standard input."""
        given = _documents(stdin) if stdin else ""
        process = await asyncio.create_subprocess_exec(
            "kubectl", "--kubeconfig", self.kubeconfig, "--cache-dir", str(self._folder / "cache"), "-n", self.app,
            *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate(given.encode())
        assert process.returncode == 0, said.decode()
        return said.decode()

    async def write(self, manifest: Manifest, manager: str, *, method: str = "POST") -> Manifest:
        """A write as a program of that name makes it, not by apply."""
        resource = await self.kube.resource(manifest["apiVersion"], manifest["kind"])
        metadata = manifest["metadata"]
        path = resource.path(metadata.get("namespace") or "", metadata["name"])
        if method == "POST":
            path = path.rpartition("/")[0]
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = Request(method, path, {"fieldManager": manager}, manifest, content_type=kind)
        return (await self.kube._transport.send(request)).body


class _Noting:
    """Passes everything on."""

    def __init__(self, inner: Transport, requests: list[Request]) -> None:
        self._inner = inner
        self._requests = requests

    async def send(self, request: Request, **more: Any) -> Response:
        self._requests.append(request)
        return await self._inner.send(request, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _documents(manifests: list[Manifest]) -> str:
    return "\n".join(json.dumps(each) for each in manifests)


@contextlib.asynccontextmanager
async def agent_place(backend: str, folder: Path, **settings: Any) -> AsyncIterator[AgentPlace]:
    """A place with a running agent and an existing, empty namespace. `settings` are more of the agent's."""
    async with contextlib.AsyncExitStack() as stack:
        if backend == "sandbox":
            sandbox = await stack.enter_async_context(Sandbox(token="t"))
            access = Access.url(sandbox.add_cluster("c1", nodes=2), "t")
            kubeconfig = str(folder / "sandbox.kubeconfig")
            Path(kubeconfig).write_text(json.dumps(sandbox.kubeconfig()))
        else:
            assert KUBECONFIG
            access, kubeconfig = Access.kubeconfig(KUBECONFIG), KUBECONFIG
        hub = await stack.enter_async_context(agent_hub(folder))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        place = AgentPlace(hub, access, kubeconfig, folder)
        place.settings = msgspec.structs.replace(place.settings, **settings)
        place.kube = await stack.enter_async_context(await Kube.connect(access))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.app}}
        await place.kube.apply(namespace, manager="test")
        await place.start(group)
        try:
            yield place
        finally:
            await place.stop()
            for name in (place.app, place.settings.inventory_namespace):
                await place.kube.delete(ObjectRef("v1", "Namespace", "", name))
