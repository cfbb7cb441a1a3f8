"""Rollouts: how far each is, what it waits for, and what happened to earlier ones."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from hub.api.answers import Ctx, Cursor, Limit, Name, json_answer, page, tagged
from hub.api.context import Context
from hub.api.models.common import Page
from hub.api.models.rollouts import PastRollout, RolloutCluster, RolloutDetail
from hub.api.models.rollouts import Rollout as RolloutShape
from hub.api.problems import Refusal, unknown
from hub.api.security.guard import Seen, needs
from hub.domain.runs import Phase, Rollout, SlotState
from hub.view import progress
from hub.view.rollouts import RolloutFilter
from hub.view.visible import Visible

router = APIRouter(prefix="/rollouts", tags=["rollouts"])


@router.get("", openapi_extra=needs("rollouts.read"), responses={200: {"model": Page[RolloutShape]}})
async def rollouts(  # noqa: PLR0913 - one parameter per filter
    request: Request,
    ctx: Ctx,
    seen: Seen,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    application: Name = "",
    environment: Name = "",
    phase: Phase | None = None,
    active: bool | None = None,
    latest: bool = False,
) -> Response:
    """Rollouts, newest first: those under way, and the last twenty of each application.

    `active=true` leaves out those that have ended, `latest=true` all but the newest of each application; an environment
    is one of any cluster that takes part.
    """
    wanted = RolloutFilter(application, environment, phase, active, latest)
    return tagged(request, seen, lambda: page(progress.rollouts(ctx.view, wanted, limit, cursor, seen)))


@router.get("/{application}", openapi_extra=needs("rollouts.read"), responses={200: {"model": RolloutDetail}})
async def newest_rollout(ctx: Ctx, seen: Seen, application: str) -> Response:
    """The rollout of an application that is under way, or the last one, with everything there is to say of it."""
    return json_answer(progress.rollout_detail(ctx.view, newest(ctx, seen, application), seen))


@router.get(
    "/{application}/history", openapi_extra=needs("rollouts.read"), responses={200: {"model": Page[PastRollout]}}
)
async def rollout_history(ctx: Ctx, seen: Seen, application: str, limit: Limit = 20, cursor: Cursor = "") -> Response:
    """The last rollouts of an application, newest first, with how long they and their stages took."""
    newest(ctx, seen, application)
    return json_answer(page(progress.history(ctx.view, application, limit, cursor, seen)))


@router.get(
    "/{application}/{identity}", openapi_extra=needs("rollouts.read"), responses={200: {"model": RolloutDetail}}
)
async def one_rollout(ctx: Ctx, seen: Seen, application: str, identity: str) -> Response:
    """One rollout with everything there is to say of it."""
    return json_answer(progress.rollout_detail(ctx.view, _one(ctx, seen, application, identity), seen))


@router.get(
    "/{application}/{identity}/clusters",
    openapi_extra=needs("rollouts.read"),
    responses={200: {"model": Page[RolloutCluster]}},
)
async def rollout_clusters(  # noqa: PLR0913 - one parameter per filter
    ctx: Ctx,
    seen: Seen,
    application: str,
    identity: str,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    stage: Name = "",
    state: SlotState | None = None,
) -> Response:
    """The clusters of a rollout, stage by stage, each with its state and why."""
    rollout = _one(ctx, seen, application, identity)

    def shown(name: str) -> bool:
        return seen.pinned(rollout, name)

    return json_answer(page(progress.clusters(rollout, limit, cursor, stage, state or "", shown)))


def newest(ctx: Context, seen: Visible, application: str) -> Rollout:
    """The rollout of an application that is under way, or the last one.

    Raises:
        Refusal: 404.
    """
    found = ctx.view.rollouts.newest(application)
    if found is not None and seen.rollout(found):
        return found
    if application in seen.applications():
        raise Refusal(404, f"{application} has had no rollout yet: nothing of it has changed on any cluster")
    names = {*seen.applications(), *(each.application for each in filter(seen.rollout, ctx.view.rollouts.latest()))}
    raise unknown("application", application, names)


def _one(ctx: Context, seen: Visible, application: str, identity: str) -> Rollout:
    """A rollout by its id.

    Raises:
        Refusal: 404.
    """
    newest(ctx, seen, application)
    found = ctx.view.rollouts.get(identity)
    if found is None or found.application != application or not seen.rollout(found):
        known = len(ctx.view.rollouts.of(application))
        detail = f"{application} has no rollout {identity[:63]!r} among the last {known}: see its history"
        raise Refusal(404, detail)
    return found
