"""Holds on applications, and having one looked at now. Each request is told, whether it is accepted or refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Annotated

from fastapi import APIRouter, Body, Response

from hub.api import acts
from hub.api.answers import Ctx
from hub.api.audited import Acting
from hub.api.context import Context
from hub.api.models.rollouts import Asking, Effect, Scope
from hub.api.problems import Refusal, no_application, no_cluster, unknown
from hub.api.security.guard import Caller, Seen, demand, needs
from hub.domain import effects, telling
from hub.domain.principals import EVERY, Principal
from hub.domain.runs import Hold
from hub.view.visible import Visible

router = APIRouter(prefix="/applications", tags=["steering"])

Scoping = Annotated[Scope, Body(default_factory=Scope)]
Plain = Annotated[Asking, Body(default_factory=Asking)]


@router.post(
    "/{application}/hold", status_code=202, openapi_extra=needs("applications.ask"), responses={202: {"model": Effect}}
)
async def hold(ctx: Ctx, act: Acting, caller: Caller, seen: Seen, application: str, body: Scoping) -> Response:
    """Has nothing new go to an application, everywhere or only on a cluster or in an environment. Needs a reason."""
    act.of("hold.set", application, body.reason, looks=body.dry_run)
    _known(ctx, seen, application, body)
    given = Hold(caller.name, ctx.view.clock.now(), body.reason, body.cluster, body.environment)
    with _told(ctx, caller, application, "hold", body):
        demand(caller, "applications.steer", seen.project_of(application), [_scope(body, seen)])
        acts.reason(body)
    act.detail = effect = effects.held(application, given)
    if not body.dry_run:
        with acts.stored():
            await ctx.rollouts.hold(application, given)
        _tell(ctx, caller, application, "held", f"{effect} ({body.reason})")
    return acts.answer(effect, application, dry_run=body.dry_run)


@router.post(
    "/{application}/release",
    status_code=202,
    openapi_extra=needs("applications.ask"),
    responses={202: {"model": Effect}},
)
async def release(ctx: Ctx, act: Acting, caller: Caller, seen: Seen, application: str, body: Scoping) -> Response:
    """Lets go of the hold of exactly this scope: on a cluster, in an environment, or (with neither) everywhere."""
    act.of("hold.release", application, body.reason, looks=body.dry_run)
    _known(ctx, seen, application, body)
    holds = seen.holds(application)
    meant = [each for each in holds if (each.cluster, each.environment) == (body.cluster, body.environment)]
    with _told(ctx, caller, application, "release", body):
        demand(caller, "applications.steer", seen.project_of(application), [_scope(body, seen)])
        if not meant:
            raise Refusal(409, _not_held(application, body, holds))
    act.detail = effect = effects.released(application, meant)
    if not body.dry_run:
        with acts.stored():
            await ctx.rollouts.release(application, caller.name, body.reason, body.cluster, body.environment)
        _tell(ctx, caller, application, "released", effect)
    return acts.answer(effect, application, dry_run=body.dry_run)


@router.post(
    "/{application}/sync", status_code=202, openapi_extra=needs("applications.ask"), responses={202: {"model": Effect}}
)
async def sync(ctx: Ctx, act: Acting, caller: Caller, seen: Seen, application: str, body: Plain) -> Response:
    """Has an application looked at now: its repositories fetched, and what is wanted compared with what is there."""
    act.of("application.sync", application, body.reason, looks=body.dry_run)
    _known(ctx, seen, application, Scope())
    with _told(ctx, caller, application, "sync", body):
        demand(caller, "applications.steer", seen.project_of(application), ())
    effect = f"looks at {application} and its repositories now"
    if not body.dry_run:
        with acts.stored():
            act.detail = effect = await ctx.rollouts.sync(application)
        _tell(ctx, caller, application, "synced", effect)
    return acts.answer(effect, application, dry_run=body.dry_run)


def _known(ctx: Context, seen: Visible, application: str, scope: Scope) -> None:
    """Lets pass what there is.

    Raises:
        Refusal: 404 or 422.
    """
    if application not in seen.applications():
        raise no_application(application, seen)
    if scope.cluster and scope.environment:
        raise Refusal(422, "either a cluster or an environment: a hold is about one of them, or about all")
    if scope.cluster and not seen.clusters([scope.cluster]):
        raise no_cluster(scope.cluster, seen)
    environments = [each.name for each in ctx.view.fleet.environments if seen.environment(each.name)]
    if scope.environment and scope.environment not in environments:
        raise unknown("environment", scope.environment, environments)


def _scope(scope: Scope, seen: Visible) -> str:
    """The environment that a hold is about; all of them where it names none: clusters may come to be in any."""
    return seen.environment_of(scope.cluster) if scope.cluster else scope.environment or EVERY


def _not_held(application: str, body: Scope, holds: Iterable[Hold]) -> str:
    what = effects.scope(application, body.cluster, body.environment)
    others = ", ".join(effects.scope(application, each.cluster, each.environment) for each in holds)
    return f"nobody holds {what}" + (f"; held are: {others}" if others else "")


@contextlib.contextmanager
def _told(ctx: Context, caller: Principal, application: str, what: str, body: Asking) -> Iterator[None]:
    """Tells of a refusal."""
    try:
        yield
    except Refusal as refusal:
        if not body.dry_run:
            at = ctx.view.clock.now()
            event = telling.refused_of_application(application, what, caller.name, refusal.detail, at)
            ctx.rollouts.tell(event)
            acts.note("a request about an application was refused", application, what, caller, refusal.detail)
        raise


def _tell(ctx: Context, caller: Principal, application: str, what: str, effect: str) -> None:
    ctx.rollouts.tell(telling.of_application(application, what, caller.name, effect, ctx.view.clock.now()))
    acts.note("a request about an application was accepted", application, what, caller, effect)
