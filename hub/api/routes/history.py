"""Events: what happened."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from hub.api.answers import Ctx, Cursor, Limit, Name, page, tagged
from hub.api.models.common import Page
from hub.api.models.history import Event
from hub.api.security.guard import Seen, needs
from hub.view import read
from hub.view.history import EventFilter
from shared.messages import Severity

router = APIRouter(tags=["events"])


@router.get("/events", openapi_extra=needs("events.read"), responses={200: {"model": Page[Event]}})
async def events(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    ctx: Ctx,
    seen: Seen,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    cluster: Name = "",
    namespace: Name = "",
    application: Name = "",
    type: Annotated[str, Query(max_length=100, description="A type, or what comes before its dot.")] = "",  # noqa: A002
    severity: Severity | None = None,
    trace: Name = "",
) -> Response:
    """Events, newest first; the hub holds the newest ten thousand."""
    wanted = EventFilter(cluster, namespace, application, type, severity, trace)
    return tagged(request, seen, lambda: page(read.events(ctx.view, wanted, limit, cursor, seen)))
