"""Applications: where they are, why, and how far their newest revision has come."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from hub.api.answers import MAX_NAME, Ctx, Cursor, Limit, Name, json_answer, page, tagged
from hub.api.models.applications import Application, ApplicationDetail, Trace
from hub.api.models.common import Page, Problem
from hub.api.problems import Refusal, unknown
from hub.view import read
from hub.view.trace import trace as trace_of

router = APIRouter(prefix="/applications", tags=["applications"])


@router.get("", responses={200: {"model": Page[Application]}})
async def applications(
    request: Request, ctx: Ctx, limit: Limit = 100, cursor: Cursor = "", project: Name = ""
) -> Response:
    """Applications by name."""
    return tagged(request, ctx.view, lambda: page(read.applications(ctx.view, limit, cursor, project)))


@router.get("/{name}", responses={200: {"model": ApplicationDetail}})
async def application(ctx: Ctx, name: str) -> Response:
    """One application with its problems and its revisions, newest first."""
    found = read.application(ctx.view, name)
    if found is None:
        raise unknown("application", name, ctx.view.applications)
    return json_answer(found)


@router.get("/{name}/explain")
async def explain(ctx: Ctx, name: str, cluster: Annotated[str, Query(max_length=MAX_NAME)] = "") -> Response:
    """Why the application is on the cluster or not, and where its values come from.

    Without a cluster: of all clusters, whether each is selected and why.
    """
    if name not in ctx.view.applications:
        raise unknown("application", name, ctx.view.applications)
    if cluster and cluster not in ctx.view.clusters:
        raise unknown("cluster", cluster, ctx.view.clusters)
    try:
        return json_answer(ctx.explainer.explain(name, cluster) if cluster else ctx.explainer.placement(name))
    except LookupError as error:
        raise Refusal(404, str(error.args[0] if error.args else error)) from error


@router.get("/{name}/trace", responses={200: {"model": Trace}})
async def trace(ctx: Ctx, name: str, limit: Limit = 1000, revision: Name = "") -> Response:
    """How far a revision (the newest one if left out; a prefix or a commit's will do) has come on each cluster."""
    info = ctx.view.applications.get(name)
    if info is None:
        raise unknown("application", name, ctx.view.applications)
    found = trace_of(ctx.view, name, revision or None, limit)
    if found is None:
        if not info.history:
            raise Refusal(404, f"nothing of {name} has been published yet: see its problems")
        raise Refusal(404, f"{name} has no revision or commit {revision[:100]!r} among its last {len(info.history)}")
    return json_answer(found)


@router.get("/{name}/problems", responses={200: {"model": Page[Problem]}})
async def problems(ctx: Ctx, name: str, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """Why the application's newest commit is not (wholly) in effect."""
    if name not in ctx.view.applications:
        raise unknown("application", name, ctx.view.applications)
    return json_answer(page(read.problems(ctx.view, limit, cursor, name)))
