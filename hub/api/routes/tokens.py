"""API tokens: made, listed, revoked. Nobody gives more than they have, and nobody sees what they could not give."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from hub.api import acts
from hub.api.answers import Ctx, json_answer, page
from hub.api.audited import Acting
from hub.api.context import Context, Issued
from hub.api.models.access import MadeToken, NewToken, Revoked, Token
from hub.api.models.common import Page
from hub.api.problems import Refusal
from hub.api.security.callers import fingerprint
from hub.api.security.guard import Caller, needs
from hub.domain.issued import IssuedToken, manages, objection
from hub.domain.principals import ROLES, Grant

router = APIRouter(prefix="/tokens", tags=["access"])

PREFIX = "yardarm_"
"""Lets scanners for leaked secrets tell a token by its looks."""

Identity = Annotated[str, Path(max_length=64)]


@router.get("", openapi_extra=needs("tokens.read"), responses={200: {"model": Page[Token]}})
async def tokens(ctx: Ctx, caller: Caller) -> Response:
    """Tokens that were made through the API and that the caller could have made, by name; always one page."""
    found = [_item(each) for each in _issued(ctx).all() if manages(caller, each)]
    return json_answer(page((found, None)))


@router.post("", status_code=201, openapi_extra=needs("tokens.write"), responses={201: {"model": MadeToken}})
async def create(ctx: Ctx, act: Acting, caller: Caller, asked: NewToken) -> Response:
    """Makes a token, which is good at once on this hub and within moments on others. It is told this once."""
    act.of("token.create", asked.name)
    grants = tuple(Grant(each.role, each.projects, each.environments) for each in asked.grants)
    now = ctx.view.clock.now()
    if set(asked.teams) & set(ROLES):
        raise Refusal(422, f"teams: {', '.join(ROLES)} are roles: grant them")
    if asked.expires is not None and asked.expires <= now:
        raise Refusal(422, "expires: that is in the past")
    why = objection(caller, asked.name, asked.teams, grants)
    if why:
        raise Refusal(403, why)
    token = PREFIX + secrets.token_urlsafe(32)
    act.detail = f"{', '.join(map(str, grants))}; {', '.join(asked.teams) or 'no team'}"
    made = IssuedToken(
        id=secrets.token_hex(6),
        name=asked.name,
        sha256=fingerprint(token),
        grants=grants,
        created_at=now,
        created_by=caller.name,
        roles=asked.teams,
        emails=asked.emails,
        expires=asked.expires,
    )
    with acts.stored():
        await _issued(ctx).create(made)
    return json_answer(_item(made) | {"token": token}, 201)


@router.delete("/{identity}", openapi_extra=needs("tokens.write"), responses={200: {"model": Revoked}})
async def revoke(ctx: Ctx, act: Acting, caller: Caller, identity: Identity) -> Response:
    """Has a token open nothing any more. Tokens of the settings are taken out of the settings."""
    act.of("token.revoke", identity)
    issued = _issued(ctx)
    found = issued.get(identity)
    if found is None or not manages(caller, found):
        raise Refusal(404, f"there is no token {identity!r} that you may revoke: see GET /api/v1/tokens")
    act.target = f"{found.name} ({found.id})"
    with acts.stored():
        await issued.revoke(identity, caller.name)
    return json_answer({"id": identity})


def _issued(ctx: Context) -> Issued:
    if ctx.issued is None:
        raise Refusal(503, "this hub has no store for tokens", {"Retry-After": "5"})
    return ctx.issued


def _item(token: IssuedToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "grants": [grant_item(each) for each in token.grants],
        "teams": list(token.roles),
        "emails": list(token.emails),
        "createdAt": token.created_at,
        "createdBy": token.created_by,
        "expires": token.expires,
        "used": token.used,
    }


def grant_item(grant: Grant) -> dict[str, Any]:
    """A grant with all its parts."""
    return {"role": grant.role, "projects": list(grant.projects), "environments": list(grant.environments)}
