"""The fleet as a whole: summary, clusters, environments, repositories, problems."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from hub.api.answers import Ctx, Cursor, Limit, Name, json_answer, page, tagged
from hub.api.models.common import Page, Problem
from hub.api.models.fleet import Cluster, Environment, Repository, Summary
from hub.api.problems import unknown
from hub.view import read

router = APIRouter(tags=["fleet"])


@router.get("/summary", responses={200: {"model": Summary}})
async def summary(request: Request, ctx: Ctx) -> Response:
    """The fleet in a few numbers."""
    return tagged(request, ctx.view, lambda: read.summary(ctx.view), beats=True)


@router.get("/clusters", responses={200: {"model": Page[Cluster]}})
async def clusters(
    request: Request, ctx: Ctx, limit: Limit = 100, cursor: Cursor = "", environment: Name = "", state: Name = ""
) -> Response:
    """Clusters by name."""
    return tagged(
        request, ctx.view, lambda: page(read.clusters(ctx.view, limit, cursor, environment, state)), beats=True
    )


@router.get("/clusters/{name}", responses={200: {"model": Cluster}})
async def cluster(ctx: Ctx, name: str) -> Response:
    """One cluster with its agent."""
    found = read.cluster(ctx.view, name)
    if found is None:
        raise unknown("cluster", name, ctx.view.clusters)
    return json_answer(found)


@router.get("/environments", responses={200: {"model": Page[Environment]}})
async def environments(request: Request, ctx: Ctx) -> Response:
    """Environments in the order of promotion; always one page."""
    return tagged(request, ctx.view, lambda: page((read.environments(ctx.view), None)))


@router.get("/repositories", responses={200: {"model": Page[Repository]}})
async def repositories(request: Request, ctx: Ctx) -> Response:
    """The repositories that everything comes from, and since when one cannot be read; always one page."""
    return tagged(request, ctx.view, lambda: page((read.repositories(ctx.view), None)))


@router.get("/problems", responses={200: {"model": Page[Problem]}})
async def problems(
    request: Request, ctx: Ctx, limit: Limit = 100, cursor: Cursor = "", application: Name = ""
) -> Response:
    """What is wrong with what people wrote, with file and line: errors first."""
    return tagged(request, ctx.view, lambda: page(read.problems(ctx.view, limit, cursor, application)))
