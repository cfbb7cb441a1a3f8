"""Who may ask, and what a browser may do with the answers."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.problems import Refusal

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Everything comes from this hub, nothing is inline, nobody may frame it."""

_BEARER = HTTPBearer(auto_error=False, description="The hub's API token.")


async def require_token(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> None:
    """Lets pass whoever shows the token.

    Raises:
        Refusal: 401.
    """
    token: str = request.app.state.context.token
    if given is None:
        detail = "this needs the hub's token: send `Authorization: Bearer <token>`; `yardarm demo` prints it"
        raise Refusal(401, detail, {"WWW-Authenticate": "Bearer"})
    if not hmac.compare_digest(given.credentials.encode(), token.encode()):
        raise Refusal(401, "this is not the hub's token", {"WWW-Authenticate": 'Bearer error="invalid_token"'})


class SafeHeaders:
    """Adds headers that make browsers careful to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", POLICY)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, careful)
