"""Who asks: by a token of this hub, by a token of the login provider, or by the session of a browser."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import Request

from hub.api.audited import act_of
from hub.api.context import Context, Login
from hub.api.problems import Refusal
from hub.api.security.cookies import SESSION, Cookies
from hub.api.security.origin import same_origin
from hub.domain.principals import OWNER, ROLES, KnownToken, Principal
from shared.errors import InvalidMessage, Unavailable

Via = Literal["token", "oidc", "page"]
"""How somebody is known: a token of this hub, a token of the login provider, a browser's session."""


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody who was recognised. `session` is that of a browser, empty without one."""

    principal: Principal
    via: Via
    session: str = ""


def fingerprint(token: str) -> str:
    """What the hub keeps of a token: its SHA-256 in hex. Tokens are random and long, so that no guess leads back."""
    return hashlib.sha256(token.encode()).hexdigest()


def keyring(own: str, others: Sequence[KnownToken]) -> Mapping[str, KnownToken]:
    """The tokens of the settings by their SHA-256. `own`, in plain, is the hub's own, which may do everything."""
    mine = KnownToken(fingerprint(own), Principal(OWNER, (ROLES[-1],)))
    return {each.sha256: each for each in (*others, mine)}


async def recognised(request: Request) -> Known:
    """Who asks.

    Raises:
        Refusal: 401: nobody that this hub knows. 403: a browser that did not mean to. 503: not yet known.
    """
    given = request.headers.get("authorization", "")
    if given:
        scheme, _, credentials = given.partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(401, "send `Authorization: Bearer <token>`", {"WWW-Authenticate": "Bearer"})
        return await _bearer(request, credentials.strip())
    context: Context = request.app.state.context
    known = _session(request, context)
    if known is not None:
        return known
    detail = "this needs a token: send `Authorization: Bearer <token>`; `yardarm demo` prints one"
    if context.login is not None:
        detail = "this needs a login: `yardarm login`, the page's `Log in`, or `Authorization: Bearer <token>`"
    raise Refusal(401, detail, {"WWW-Authenticate": "Bearer"})


async def _bearer(request: Request, shown: str) -> Known:
    context: Context = request.app.state.context
    found = _token(request, context, fingerprint(shown))
    if found is not None:
        act_of(request.scope).by(found.holder)
        if found.expires is not None and found.expires <= context.view.clock.now():
            detail = f"this token of {found.holder.name} has expired: ask for a new one (`yardarm token create`)"
            raise Refusal(401, detail, _INVALID, expired=found.expires)
        return Known(found.holder, "token")
    if context.login is not None and shown.count(".") == 2:
        return Known(await _of_provider(context.login, shown), "oidc")
    if context.issued is not None and not context.issued.loaded:
        raise Refusal(503, "this hub is still reading which tokens there are", {"Retry-After": "1"})
    raise Refusal(401, "this is not a token of this hub", _INVALID)


async def _of_provider(login: Login, shown: str) -> Principal:
    try:
        return await login.bearer(shown)
    except InvalidMessage as error:
        raise Refusal(401, str(error), _INVALID) from error
    except Unavailable as error:
        raise Refusal(503, str(error), {"Retry-After": "5"}) from error


def _token(request: Request, context: Context, sha256: str) -> KnownToken | None:
    """Looked up by its hash: how long that takes tells something of the hash only, which leads to no token."""
    settings: Mapping[str, KnownToken] = request.app.state.keyring
    found = settings.get(sha256) or (context.issued.find(sha256) if context.issued is not None else None)
    return found if found is not None and hmac.compare_digest(found.sha256, sha256) else None


def _session(request: Request, context: Context) -> Known | None:
    if context.login is None:
        return None
    cookies: Cookies = request.app.state.cookies
    cookie = cookies.read(request, SESSION, context.view.clock.now())
    if cookie is None:
        return None
    principal = context.login.session(cookie["id"])
    if principal is None:
        raise Refusal(401, "this session has ended: log in again", {"WWW-Authenticate": "Bearer"})
    act_of(request.scope).by(principal)
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        _meant(request, cookies.proof(cookie["id"]))
    return Known(principal, "page", cookie["id"])


def _meant(request: Request, proof: str) -> None:
    """Lets pass what a page of this hub asks for, and not what another site makes a browser ask for.

    Raises:
        Refusal: 403.
    """
    if not same_origin(request):
        raise Refusal(403, "this came from another site: a session is good for the pages of this hub alone")
    if not hmac.compare_digest(request.headers.get("x-csrf-token", "").encode(), proof.encode()):
        raise Refusal(403, "send `X-CSRF-Token` as GET /api/v1/self tells it, or a token in place of the session")


_INVALID = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
