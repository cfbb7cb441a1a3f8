"""A real HTTP server that answers what a test tells it to: for what a healthy API server does not do on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ScriptedServer:
    """`routes` maps "METHOD /path" (or just "/path") to a handler; `requests` records what came, in order."""

    routes: dict[str, Handler] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.requests.append(request)
        handler = self.routes.get(f"{request.method} {request.path}") or self.routes.get(request.path)
        if handler is None:
            return web.Response(status=404, text="404 page not found\n")
        return await handler(request)


def status(
    code: int, message: str = "", reason: str = "", headers: dict[str, str] | None = None, **details: Any
) -> Handler:
    """Answers with a Kubernetes Status."""

    async def handle(_: web.Request) -> web.StreamResponse:
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        return web.json_response({**body, "details": details}, status=code, headers=headers)

    return handle


def answer(body: Any, **headers: str) -> Handler:
    """Answers 200 with JSON."""

    async def handle(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return handle


CORE = {
    "/api": answer({"kind": "APIVersions", "versions": ["v1"]}),
    "/apis": answer({"kind": "APIGroupList", "groups": []}),
    "/api/v1": answer(
        {
            "kind": "APIResourceList",
            "resources": [
                {
                    "name": "configmaps",
                    "kind": "ConfigMap",
                    "namespaced": True,
                    "verbs": ["get", "list", "patch", "watch"],
                },
                {"name": "configmaps/status", "kind": "ConfigMap", "namespaced": True, "verbs": ["get"]},
                {"name": "namespaces", "kind": "Namespace", "namespaced": False, "verbs": ["get", "list", "watch"]},
            ],
        }
    ),
}
"""Legacy discovery of two kinds."""


@asynccontextmanager
async def scripted_server(**kwargs: Any) -> AsyncIterator[ScriptedServer]:
    """Runs one on a free loopback port."""
    server = ScriptedServer(routes=dict(CORE), **kwargs)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.dispatch)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
