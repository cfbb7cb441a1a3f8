"""The guard before every route: who asks, how often, and whether they may. What declares no action is refused.

A route says what it needs where it is written: `@router.get("/units", openapi_extra=needs("units.read"))`. The
OpenAPI document shows it, as `x-yardarm-action` and `x-yardarm-role`.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request

from hub.api.audited import act_of
from hub.api.context import Context
from hub.api.problems import Refusal
from hub.api.security.callers import Known, recognised
from hub.api.security.limits import Gauge, address
from hub.domain.access import ACTIONS, OPEN, Action, allowed, allowed_in
from hub.domain.auditing import Via
from hub.domain.principals import Principal
from hub.view.visible import Visible

ACTION = "x-yardarm-action"
SCHEME = "token"
"""The name of the security scheme in the OpenAPI document."""

OPEN_TO_ALL: dict[str, Any] = {ACTION: OPEN.name}
"""For routes that hold nothing secret, or know who asks by other means."""


def needs(action: str) -> dict[str, Any]:
    """What a route adds to its description to be reached: the action that it is."""
    return {ACTION: action, "x-yardarm-role": ACTIONS[action].role, "security": [{SCHEME: []}]}


async def guard(request: Request) -> None:
    """Lets pass who may; the rest of the request finds them as `Caller`.

    Raises:
        Refusal: 401, 403, 429 or 503.
    """
    action = _declared(request)
    if action is OPEN:
        return
    gauge: Gauge = request.app.state.gauge
    try:
        known = await recognised(request)
    except Refusal as refusal:
        if refusal.status == HTTPStatus.UNAUTHORIZED and "authorization" in request.headers:
            gauge.failed(address(request.scope))
        raise
    request.state.known = known
    act_of(request.scope).by(known.principal, Via.OIDC if known.via == "oidc" else None)
    gauge.called(known.principal.name)
    if action is None:
        raise Refusal(403, "nobody may do this: it does not say what it needs")
    if not (decision := allowed(known.principal, action)).ok:
        raise _forbidden(known.principal, action, decision.why)


def _declared(request: Request) -> Action | None:
    extra = getattr(request.scope.get("route"), "openapi_extra", None) or {}
    name: str = extra.get(ACTION, "")
    return OPEN if name == OPEN.name else ACTIONS.get(name)


async def _known(request: Request) -> Known:
    known: Known = request.state.known
    return known


async def _caller(request: Request) -> Principal:
    return (await _known(request)).principal


async def _seen(request: Request) -> Visible:
    context: Context = request.app.state.context
    return Visible(context.view, (await _caller(request)).granted)


KnownCaller = Annotated[Known, Depends(_known)]
"""Who asks, and how they are known."""
Caller = Annotated[Principal, Depends(_caller)]
"""Who asks."""
Seen = Annotated[Visible, Depends(_seen)]
"""What they may see."""


async def still_known(request: Request) -> bool:
    """Whether the caller of a request that lasts is still who they were: a token may expire or be revoked meanwhile."""
    known: Known = request.state.known
    try:
        return await recognised(request) == known
    except Refusal:
        return False


def demand(principal: Principal, action: str, project: str | None, environments: Iterable[str]) -> None:
    """Lets pass who may do this in a project, in each of these environments.

    Raises:
        Refusal: 403, which says what is needed and what there is.
    """
    decision = allowed_in(principal, ACTIONS[action], project, environments)
    if not decision.ok:
        raise _forbidden(principal, ACTIONS[action], decision.why)


def _forbidden(principal: Principal, action: Action, why: str) -> Refusal:
    teams = [role for role in principal.roles if role not in {each.role for each in principal.granted}]
    return Refusal(403, why, needs=action.role, has=[*map(str, principal.granted), *teams])
