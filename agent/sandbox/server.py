"""The sandbox: many in-memory Kubernetes clusters behind one HTTP port, for demos, tests and large fleets.

    async with Sandbox(port=0, token="secret") as sandbox:
        url = sandbox.add_cluster("dev-eu-1", kubernetes="v1.36.0", nodes=3)
        config = sandbox.kubeconfig()

Faithful where an applier relies on it (see `tests/contract`), and no more: no containers run, no webhooks are called,
no RBAC is enforced, nothing is kept when the process ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from agent.sandbox import http, request
from agent.sandbox.cluster import Cluster
from agent.sandbox.controllers import start

Object = dict[str, Any]


def _request(
    message: RawRequestMessage, payload: StreamReader, protocol: web.RequestHandler,
    writer: AbstractStreamWriter, task: asyncio.Task[None],
) -> web.BaseRequest:  # fmt: skip
    """A request whose body may be larger than aiohttp's default: the API's own limit answers 413."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=4 * request.MAX_BODY)


class Sandbox:
    """Hosts clusters on loopback.

    `port` 0 takes a free one; `token` is the bearer token asked of every request (empty: none); `ready_after` is
    how many seconds pods take to become ready; `load_balancers` gives Services of that type an address.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        token: str = "",
        host: str = "127.0.0.1",
        ready_after: float = 0.0,
        load_balancers: bool = True,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the one place where the sandbox gets its clock
    ) -> None:
        self._port, self._token, self._host = port, token, host
        self._ready_after = ready_after
        self._load_balancers = load_balancers
        self._clock = clock
        self._clusters: dict[str, Cluster] = {}
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        """Starts listening."""
        api = http.Api(self._clusters, self._token)
        server = web.Server(api.handle, handler_cancellation=True, request_factory=_request, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends every cluster and stops listening."""
        for name in list(self._clusters):
            self.remove_cluster(name)
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def token(self) -> str:
        """The bearer token."""
        return self._token

    @property
    def _root(self) -> str:
        return f"http://{self._host}:{self._port}"

    def url(self, name: str) -> str:
        """The base URL of a cluster; requests under it carry the bearer token."""
        return self._root + http.path_of(name)

    def add_cluster(self, name: str, *, kubernetes: str = "v1.36.2", nodes: int = 1) -> str:
        """Makes a cluster with its system namespaces and `nodes` nodes; returns its base URL.

        Raises:
            ValueError: there is one of that name.
        """
        if name in self._clusters:
            raise ValueError(f"there is already a sandbox cluster {name!r}")
        cluster = Cluster(name, kubernetes=kubernetes, clock=self._clock)
        start(cluster, nodes=nodes, ready_after=self._ready_after, load_balancers=self._load_balancers)
        self._clusters[name] = cluster
        return self.url(name)

    def remove_cluster(self, name: str) -> None:
        """Ends a cluster: its watches end, its path answers 404."""
        cluster = self._clusters.pop(name)
        for storage in list(cluster.store.buckets):
            cluster.store.forget(storage)
        cluster.close()

    def set_faults(self, name: str, faults: list[Object]) -> None:
        """Makes a cluster misbehave on purpose; see `agent.sandbox.faults`. An empty list ends it."""
        self._clusters[name].faults.set(faults)

    def kubeconfig(self) -> Object:
        """A kubeconfig with a context per cluster, named like the cluster. As JSON it is a valid kubeconfig file.

        kubectl and client-go send no bearer token over plain HTTP, so here the token is part of the server's URL.
        """
        names = list(self._clusters)
        root = self._root + http.access_path(self._token)
        return {
            "apiVersion": "v1", "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": root + http.path_of(name)}} for name in names],
            "users": [{"name": "sandbox", "user": {"token": self._token} if self._token else {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "sandbox"}} for name in names],
            "current-context": names[0] if names else "",
        }  # fmt: skip
