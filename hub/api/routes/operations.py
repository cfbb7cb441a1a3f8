"""For the machinery around the hub: is it alive, is it ready, what does it count. Open: nothing here is secret."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from hub.api.answers import Ctx, json_answer
from hub.api.models.operations import Alive, Ready
from hub.api.security.guard import OPEN_TO_ALL

router = APIRouter(tags=["operations"])


@router.get("/healthz", openapi_extra=OPEN_TO_ALL, responses={200: {"model": Alive}})
async def healthz(ctx: Ctx) -> Response:
    """200 while the process answers."""
    return json_answer({"status": "ok", "version": ctx.version})


@router.get("/readyz", openapi_extra=OPEN_TO_ALL, responses={200: {"model": Ready}, 503: {"model": Ready}})
async def readyz(ctx: Ctx) -> Response:
    """200 when the hub can do its work, else 503 and what each unready part waits for."""
    missing = dict(ctx.readiness.missing())
    return json_answer(
        {"ready": not missing, "role": ctx.readiness.role(), "missing": missing}, 503 if missing else 200
    )


@router.get("/metrics", openapi_extra=OPEN_TO_ALL, responses={200: {"content": {"text/plain": {}}}})
async def metrics(ctx: Ctx) -> Response:
    """For Prometheus."""
    ctx.metrics.leading.set(ctx.readiness.role() == "leader")
    return Response(ctx.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
