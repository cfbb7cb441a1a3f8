"""Delivery figures: how fast changes reach clusters, and how often they fail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hub.api.answers import Ctx, Name, json_answer
from hub.api.models.dora import Delivery
from hub.api.security.guard import Seen, needs
from hub.domain.principals import EVERY
from shared.messages import to_json

router = APIRouter(tags=["rollouts"])

LONGEST = 366


@router.get("/dora", openapi_extra=needs("rollouts.read"), responses={200: {"model": Delivery}})
async def dora(
    ctx: Ctx,
    seen: Seen,
    *,
    application: Name = "",
    environment: Name = "",
    days: Annotated[int, Query(ge=1, le=LONGEST, description="How many days back from now.")] = 30,
) -> Response:
    """Lead time, deployment frequency, failure rate and recovery time, as DORA defines them.

    Without an environment a rollout is one deployment, on all its clusters, and rows tell of each environment too; who
    may not see all environments has to name one.
    """
    view = ctx.view

    def shown(name: str) -> bool:
        return seen.in_environment(name, environment or EVERY)

    return json_answer(to_json(await view.delivery.report(application, environment, days, view.clock.now(), shown)))
