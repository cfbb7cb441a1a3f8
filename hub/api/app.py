"""The web application: routes by resource, one error form, one way to get in. It reads, and hands on what is asked."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
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
    login,
    operations,
    pages,
    previews,
    rollouts,
    steering,
    stream,
    tokens,
    units,
)
from hub.api.security.callers import keyring
from hub.api.security.cookies import Cookies
from hub.api.security.guard import SCHEME, guard
from hub.api.security.headers import SafeHeaders
from hub.api.security.limits import Gauge, Limited
from hub.api.wire import Unambiguous
from hub.metrics import Metrics
from shared.tasks import Clock

DESCRIPTION = """State of the fleet. Times are unix seconds. Lists are paged: pass `next` as `cursor`. Answers carry an
`ETag`; send it as `If-None-Match` to be told when nothing has changed. Errors are `application/problem+json`."""


_MODULES = (
    fleet, applications, rollouts, dora, units, confirmations, history, stream, previews, steering, holds, audit,
    tokens, login, hooks,
)  # fmt: skip


class _Api(FastAPI):
    """Describes once what all operations share: tokens (which need one is told with each), and errors."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        components = document["components"]
        components["securitySchemes"] = {
            SCHEME: {"type": "http", "scheme": "bearer", "description": "A token of this hub, or of a login at it."}
        }
        components["schemas"]["Trouble"] = problems.SCHEMA
        refused = {
            "description": "What is wrong, and what to do",
            "content": {problems.MEDIA_TYPE: {"schema": _TROUBLE}},
        }
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = refused
        return document


_TROUBLE = {"$ref": "#/components/schemas/Trouble"}


def create_app(context: Context) -> FastAPI:
    """The hub's HTTP side as an ASGI application."""
    app = _Api(
        title="Yardarm",
        version=context.version,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,  # it would lead to whatever host the request names
        separate_input_output_schemas=False,
        dependencies=[Depends(guard)],
    )
    app.state.context = context
    app.state.boot = secrets.token_hex(4)
    app.state.audience = stream.Audience()
    app.state.keyring = keyring(context.token, context.tokens)
    app.state.cookies = Cookies(context.login.key if context.login is not None else b"", context.https)
    gauge = app.state.gauge = Gauge(context.limits, context.view.clock)
    api = APIRouter(prefix="/api/v1")
    for module in _MODULES:
        api.include_router(module.router)
    app.include_router(api)
    for outside in (operations.router, pages.router, login.pages):
        app.include_router(outside)
    problems.install(app)
    app.add_middleware(Limited, limits=context.limits, gauge=gauge)
    app.add_middleware(Unambiguous)
    app.add_middleware(SafeHeaders, https=context.https)
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
            method = scope["method"] if scope["method"] in {"GET", "POST", "DELETE", "HEAD", "OPTIONS"} else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            if not route.endswith("/stream"):
                self._metrics.request_seconds.labels(route).observe(self._clock.monotonic() - started)
