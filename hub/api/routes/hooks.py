"""Webhooks of Git hosts. They need no token: each is verified by its own signature."""

from __future__ import annotations

import enum

from fastapi import APIRouter, Request, Response

from hub.api.answers import Ctx, json_answer
from hub.api.audited import Acting
from hub.api.models.operations import Accepted
from hub.api.problems import Refusal
from hub.api.security.guard import OPEN_TO_ALL
from hub.domain.auditing import Via
from shared.errors import InvalidMessage, InvalidSignature

router = APIRouter(prefix="/hooks", tags=["hooks"])


class Provider(enum.StrEnum):
    """Who sends webhooks."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    BITBUCKET = "bitbucket"
    GENERIC = "generic"


@router.post("/{provider}", status_code=202, openapi_extra=OPEN_TO_ALL, responses={202: {"model": Accepted}})
async def hook(request: Request, ctx: Ctx, act: Acting, provider: Provider) -> Response:
    """Has the repositories that the webhook names fetched at once."""
    act.of("webhook.receive", provider.value)
    act.via = Via.GIT
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        done = await ctx.webhooks.received(provider.value, headers, body)
    except InvalidSignature as error:
        ctx.metrics.webhooks.labels(provider.value, "refused").inc()
        raise Refusal(401, str(error)) from error
    except InvalidMessage as error:
        ctx.metrics.webhooks.labels(provider.value, "refused").inc()
        raise Refusal(400, str(error)) from error
    ctx.metrics.webhooks.labels(provider.value, "accepted").inc()
    act.actor, act.detail = provider.value, done  # its signature has shown that it is who it says
    return json_answer({"accepted": True, "message": done}, 202)
