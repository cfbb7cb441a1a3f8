"""Who may ask, and what a browser may do with the answers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.audited import act_of
from hub.api.context import Context
from hub.api.problems import Refusal
from hub.domain.principals import OWNER, ROLES, KnownToken, Principal, Role

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Everything comes from this hub, nothing is inline, nobody may frame it."""

_BEARER = HTTPBearer(auto_error=False, description="The hub's API token.")


def fingerprint(token: str) -> str:
    """What the hub keeps of a token: its SHA-256 in hex. Tokens are random and long, so that no guess leads back."""
    return hashlib.sha256(token.encode()).hexdigest()


def keyring(own: str, others: Sequence[KnownToken]) -> tuple[KnownToken, ...]:
    """Every token that opens the API. `own`, in plain, is the hub's own, which may do everything."""
    return (*others, KnownToken(fingerprint(own), Principal(OWNER, (ROLES[-1],))))


async def caller(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> Principal:
    """Whose token the request shows.

    Raises:
        Refusal: 401: it shows none, or one that is unknown or has expired.
    """
    if given is None:
        detail = "this needs the hub's token: send `Authorization: Bearer <token>`; `yardarm demo` prints it"
        raise Refusal(401, detail, {"WWW-Authenticate": "Bearer"})
    shown = fingerprint(given.credentials)
    found: KnownToken | None = None
    for known in request.app.state.keyring:  # to the end, so that the time it takes tells nothing
        if hmac.compare_digest(shown, known.sha256):
            found = known
    invalid = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    if found is None:
        raise Refusal(401, "this is not a token of this hub", invalid)
    context: Context = request.app.state.context
    if found.expires is not None and found.expires <= context.view.clock.now():
        act_of(request.scope).by(found.holder)
        detail = f"this token of {found.holder.name} has expired: ask for a new one (`yardarm token create`)"
        raise Refusal(401, detail, invalid, expired=found.expires)
    act_of(request.scope).by(found.holder)
    return found.holder


Caller = Annotated[Principal, Depends(caller)]
"""Who asks, for routes that want to know."""


def demand(principal: Principal, role: Role) -> None:
    """Lets pass who may do what needs `role`.

    Raises:
        Refusal: 403, which says what is needed and what there is.
    """
    if not principal.may(role):
        has = ", ".join(principal.roles) or ROLES[0]
        detail = f"this needs the role {role}; the token of {principal.name} has {has}"
        raise Refusal(403, detail, needs=role, has=list(principal.roles))


def require(role: Role) -> Any:
    """A dependency of routes that only this role and those above it may use: `dependencies=[require("admin")]`."""

    async def check(principal: Caller) -> None:
        demand(principal, role)

    return Depends(check)


async def _by_method(request: Request, principal: Caller) -> None:
    demand(principal, "viewer" if request.method in {"GET", "HEAD"} else "operator")


BY_METHOD = Depends(_by_method)
"""What holds where nothing else is said: viewers read, anything else needs an operator."""


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
