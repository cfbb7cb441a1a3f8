"""The web application: routes by resource, one error form, one way to get in. It reads, and hands on what is asked."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api import problems
from hub.api.audited import Audited
from hub.api.context import Context
from hub.api.routes import (
    applications,
    audit,
    confirmations,
    dora,
    fleet,
    history,
    holds,
    hooks,
    operations,
    pages,
    previews,
    rollouts,
    steering,
    stream,
    units,
)
from hub.api.security import BY_METHOD, SafeHeaders, keyring, require
from hub.api.wire import Unambiguous
from hub.metrics import Metrics
from shared.tasks import Clock

DESCRIPTION = """State of the fleet. Times are unix seconds. Lists are paged: pass `next` as `cursor`. Answers carry an
`ETag`; send it as `If-None-Match` to be told when nothing has changed. Errors are `application/problem+json`."""


def create_app(context: Context) -> FastAPI:
    """The hub's HTTP side as an ASGI application."""
    app = FastAPI(
        title="Yardarm",
        version=context.version,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # it would lead to whatever host the request names
        separate_input_output_schemas=False,
    )
    app.state.context = context
    app.state.boot = secrets.token_hex(4)
    app.state.audience = stream.Audience()
    app.state.keyring = keyring(context.token, context.tokens)
    api = APIRouter(prefix="/api/v1")
    for module in (fleet, applications, rollouts, dora, units, confirmations, history, stream):
        api.include_router(module.router, dependencies=[BY_METHOD])
    api.include_router(previews.router, dependencies=[require("viewer")])  # they cost work and change nothing
    api.include_router(audit.router)
    for module in (steering, holds):
        api.include_router(module.router, dependencies=[require("viewer")])  # each asks for the role that it needs
    app.include_router(api)
    app.include_router(hooks.router, prefix="/api/v1")
    app.include_router(operations.router)
    app.include_router(pages.router)
    problems.install(app)
    app.add_middleware(Unambiguous)
    app.add_middleware(SafeHeaders)
    app.add_middleware(_Measured, metrics=context.metrics, clock=context.view.clock)
    app.add_middleware(Audited, audit=context.audit, clock=context.view.clock)  # the outermost: it sees every refusal
    return app


class _Measured:
    """Counts and times requests by route."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock.monotonic()
        status = 500

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watching)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in {"GET", "POST", "HEAD", "OPTIONS"} else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            if not route.endswith("/stream"):
                self._metrics.request_seconds.labels(route).observe(self._clock.monotonic() - started)
