"""Webhooks of Git hosts. They need no token: each is verified by its own signature."""

from __future__ import annotations

import asyncio
import enum

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from hub.api.answers import Ctx, json_answer
from hub.api.audited import Acting
from hub.api.models.operations import Accepted
from hub.api.problems import Refusal
from hub.domain.auditing import Via
from shared.errors import InvalidMessage, InvalidSignature

router = APIRouter(prefix="/hooks", tags=["hooks"])

MAX_BODY = 5 * 1024 * 1024
"""Bytes; a push of thousands of commits is about 2 MB."""
PATIENCE = 15.0
"""Seconds to send the body in."""


class Provider(enum.StrEnum):
    """Who sends webhooks."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    BITBUCKET = "bitbucket"
    GENERIC = "generic"


@router.post("/{provider}", status_code=202, responses={202: {"model": Accepted}})
async def hook(request: Request, ctx: Ctx, act: Acting, provider: Provider) -> Response:
    """Has the repositories that the webhook names fetched at once."""
    act.of("webhook.receive", provider.value)
    act.via = Via.GIT
    body = await _body(request)
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


async def _body(request: Request) -> bytes:
    """The whole body.

    Raises:
        Refusal: it is too large (413) or comes too slowly (408).
    """
    parts = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for part in request.stream():
                parts += part
                if len(parts) > MAX_BODY:
                    raise Refusal(413, f"a webhook may have {MAX_BODY} bytes at the most", {"Connection": "close"})
    except TimeoutError as error:
        detail = f"the body did not come within {PATIENCE:g} s"
        raise Refusal(408, detail, {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise Refusal(400, "the sender closed the connection before the body was complete") from error
    return bytes(parts)
