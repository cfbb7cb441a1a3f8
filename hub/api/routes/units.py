"""Units and their drift."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from hub.api.answers import Ctx, Cursor, Limit, Name, json_answer, page, tagged
from hub.api.models.common import Page
from hub.api.models.units import Drift, Unit, UnitDetail
from hub.api.problems import Refusal
from hub.api.security.guard import Seen, needs
from hub.domain.status import STATES, State
from hub.view import UnitFilter, read

router = APIRouter(tags=["units"])

States = Annotated[str, Query(max_length=200, description="One state, or several with commas between.")]


@router.get("/units", openapi_extra=needs("units.read"), responses={200: {"model": Page[Unit]}})
async def units(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    ctx: Ctx,
    seen: Seen,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    cluster: Name = "",
    namespace: Name = "",
    application: Name = "",
    environment: Name = "",
    state: States = "",
) -> Response:
    """Units by cluster, namespace and application."""
    wanted = UnitFilter(cluster, namespace, application, environment, _states(state))
    return tagged(request, seen, lambda: page(read.units(ctx.view, wanted, limit, cursor, seen)))


@router.get(
    "/units/{cluster}/{namespace}/{application}",
    openapi_extra=needs("units.read"),
    responses={200: {"model": UnitDetail}},
)
async def unit(ctx: Ctx, seen: Seen, cluster: str, namespace: str, application: str) -> Response:
    """One unit with its objects, drift, conditions, times and events."""
    found = read.unit(ctx.view, (cluster, namespace, application), seen)
    if found is None:
        raise Refusal(404, f"no application {application[:63]!r} in namespace {namespace[:63]!r} on {cluster[:63]!r}")
    return json_answer(found)


@router.get("/drift", openapi_extra=needs("units.read"), responses={200: {"model": Page[Drift]}})
async def drift(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    ctx: Ctx,
    seen: Seen,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    cluster: Name = "",
    application: Name = "",
    environment: Name = "",
    standing: Annotated[bool, Query(description="Leave out what was put right.")] = False,
) -> Response:
    """Objects that differ from Git, field by field; what was put right lately too."""
    wanted = UnitFilter(cluster=cluster, application=application, environment=environment, drifted=True)

    def build() -> dict[str, Any]:
        return page(read.drift(ctx.view, wanted, limit, cursor, standing=standing, seen=seen))

    return tagged(request, seen, build)


def _states(text: str) -> frozenset[State]:
    names = {name.casefold(): name for name in STATES}
    found: set[State] = set()
    for part in filter(None, (one.strip() for one in text.split(","))):
        if part.casefold() not in names:
            raise Refusal(422, f"state: {part[:50]!r} is not a state; there are {', '.join(STATES)}")
        found.add(State(names[part.casefold()]))
    return frozenset(found)
