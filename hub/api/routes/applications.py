"""Applications: where they are, why, and how far their newest revision has come."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from hub.api.answers import MAX_NAME, Ctx, Cursor, Limit, Name, json_answer, page, tagged
from hub.api.context import Context
from hub.api.models.applications import Application, ApplicationDetail, Trace
from hub.api.models.common import Page, Problem
from hub.api.problems import Refusal, no_application, no_cluster
from hub.api.security.guard import Seen, needs
from hub.domain.records import ApplicationInfo
from hub.view import read
from hub.view.trace import trace as trace_of
from hub.view.visible import Visible

router = APIRouter(prefix="/applications", tags=["applications"])


@router.get("", openapi_extra=needs("applications.read"), responses={200: {"model": Page[Application]}})
async def applications(
    request: Request, ctx: Ctx, seen: Seen, limit: Limit = 100, cursor: Cursor = "", project: Name = ""
) -> Response:
    """Applications by name."""
    return tagged(request, seen, lambda: page(read.applications(ctx.view, limit, cursor, project, seen)))


@router.get("/{name}", openapi_extra=needs("applications.read"), responses={200: {"model": ApplicationDetail}})
async def application(ctx: Ctx, seen: Seen, name: str) -> Response:
    """One application with its problems and its revisions, newest first."""
    found = read.application(ctx.view, name, seen)
    if found is None:
        raise no_application(name, seen)
    return json_answer(found)


@router.get("/{name}/explain", openapi_extra=needs("applications.read"))
async def explain(
    ctx: Ctx, seen: Seen, name: str, cluster: Annotated[str, Query(max_length=MAX_NAME)] = ""
) -> Response:
    """Why the application is on the cluster or not, and where its values come from.

    Without a cluster: of all clusters, whether each is selected and why.
    """
    _known(name, seen)
    if cluster and not seen.clusters([cluster]):
        raise no_cluster(cluster, seen)
    if cluster and not seen.unit((cluster, "", name)):
        raise Refusal(404, f"{name} on {cluster} is not among what you may see")
    try:
        return json_answer(ctx.explainer.explain(name, cluster) if cluster else _placement(ctx, name, seen))
    except LookupError as error:
        raise Refusal(404, str(error.args[0] if error.args else error)) from error


@router.get("/{name}/trace", openapi_extra=needs("applications.read"), responses={200: {"model": Trace}})
async def trace(ctx: Ctx, seen: Seen, name: str, limit: Limit = 1000, revision: Name = "") -> Response:
    """How far a revision (the newest one if left out; a prefix or a commit's will do) has come on each cluster."""
    info = _known(name, seen)
    found = trace_of(ctx.view, name, revision or None, limit, seen)
    if found is None:
        if not info.history:
            raise Refusal(404, f"nothing of {name} has been published yet: see its problems")
        raise Refusal(404, f"{name} has no revision or commit {revision[:100]!r} among its last {len(info.history)}")
    return json_answer(found)


@router.get("/{name}/problems", openapi_extra=needs("applications.read"), responses={200: {"model": Page[Problem]}})
async def problems(ctx: Ctx, seen: Seen, name: str, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """Why the application's newest commit is not (wholly) in effect."""
    _known(name, seen)
    return json_answer(page(read.problems(ctx.view, limit, cursor, name, seen)))


def _known(name: str, seen: Visible) -> ApplicationInfo:
    """What is known of an application that the caller may see.

    Raises:
        Refusal: 404.
    """
    info = seen.applications().get(name)
    if info is None:
        raise no_application(name, seen)
    return info


def _placement(ctx: Context, name: str, seen: Visible) -> dict[str, Any]:
    found = ctx.explainer.placement(name)
    return found | {"clusters": [each for each in found["clusters"] if seen.unit((each["cluster"], "", name))]}
