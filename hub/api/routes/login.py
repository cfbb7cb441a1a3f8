"""Logging in by the provider, and out; and who asks. The pages send browsers about, the API tells what there is."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hub.api import acts
from hub.api.answers import Ctx, json_answer
from hub.api.audited import Acting
from hub.api.context import Context, Login
from hub.api.models.access import LoginWays, Self
from hub.api.problems import Refusal
from hub.api.routes.tokens import grant_item
from hub.api.security.cookies import LOGIN, SESSION, Cookies
from hub.api.security.guard import OPEN_TO_ALL, KnownCaller, needs
from hub.api.security.limits import Gauge, address
from hub.domain.access import held
from hub.domain.auditing import Via
from hub.domain.principals import ROLES
from shared.errors import InvalidMessage, Unavailable

router = APIRouter(tags=["access"])
pages = APIRouter(include_in_schema=False)

ON_THE_WAY = 600
"""Seconds to come back from the provider in."""


@router.get("/self", openapi_extra=needs("self.read"), responses={200: {"model": Self}})
async def self_(request: Request, known: KnownCaller) -> Response:
    """Who asks, and what they may do."""
    cookies: Cookies = request.app.state.cookies
    principal = known.principal
    told = {
        "name": principal.name,
        "via": known.via,
        "grants": [grant_item(each) for each in principal.granted],
        "teams": [each for each in principal.roles if each not in ROLES],
        "csrf": cookies.proof(known.session) if known.session else "",
    }
    return json_answer(told)


@router.get("/login", openapi_extra=OPEN_TO_ALL, responses={200: {"model": LoginWays}})
async def ways(ctx: Ctx) -> Response:
    """How to log in at this hub."""
    return json_answer(ctx.login.about() if ctx.login is not None else {"issuer": None, "clientId": None, "scopes": []})


@pages.get("/login", openapi_extra=OPEN_TO_ALL)
async def begin(request: Request, ctx: Ctx) -> Response:
    """Sends the browser to the provider."""
    login, cookies = _login(ctx), _cookies(request)
    try:
        there, kept = await login.begin()
    except Unavailable as error:
        raise Refusal(503, str(error), {"Retry-After": "5"}) from error
    answer = RedirectResponse(there, 303)
    cookies.set(answer, LOGIN, kept, ctx.view.clock.now(), ON_THE_WAY)
    return answer


@pages.get("/login/callback", openapi_extra=OPEN_TO_ALL)
async def finish(request: Request, ctx: Ctx, act: Acting) -> Response:
    """Takes the browser back from the provider, and begins its session."""
    login, cookies, now = _login(ctx), _cookies(request), ctx.view.clock.now()
    act.of("login")
    act.via = Via.OIDC
    kept = cookies.read(request, LOGIN, now)
    try:
        if kept is None:
            raise InvalidMessage("this browser has not begun a login here, or took too long: begin again at /login")
        principal, session = await login.finish(kept, dict(request.query_params))
    except InvalidMessage as error:
        gauge: Gauge = request.app.state.gauge
        gauge.failed(address(request.scope))
        raise Refusal(403, str(error)) from error
    except Unavailable as error:
        raise Refusal(503, str(error), {"Retry-After": "5"}) from error
    act.by(principal, Via.OIDC)
    act.detail = held(principal)
    answer = RedirectResponse("/", 303)
    cookies.drop(answer, LOGIN)
    cookies.set(answer, SESSION, {"id": session}, now, int(login.lasting))
    return answer


@pages.post("/logout", openapi_extra=needs("self.read"))
async def end(request: Request, ctx: Ctx, act: Acting, known: KnownCaller) -> Response:
    """Ends the session, on every hub."""
    act.of("logout")
    if not known.session:
        raise Refusal(409, "there is no session to end: a token is no session")
    with acts.stored():
        await _login(ctx).end(known.session)
    answer = json_answer({"name": known.principal.name})
    _cookies(request).drop(answer, SESSION)
    return answer


def _login(ctx: Context) -> Login:
    if ctx.login is None:
        raise Refusal(404, "this hub has no login provider: use a token, or set `login` in its settings")
    return ctx.login


def _cookies(request: Request) -> Cookies:
    cookies: Cookies = request.app.state.cookies
    return cookies
