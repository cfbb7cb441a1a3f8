"""The fleet as a whole: summary, clusters, environments, repositories, problems."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from hub.api.answers import Ctx, Cursor, Limit, Name, json_answer, page, tagged
from hub.api.models.common import Page, Problem
from hub.api.models.fleet import Cluster, Environment, Repository, Summary
from hub.api.problems import no_cluster
from hub.api.security.guard import Seen, needs
from hub.view import read

router = APIRouter(tags=["fleet"])


@router.get("/summary", openapi_extra=needs("fleet.read"), responses={200: {"model": Summary}})
async def summary(request: Request, ctx: Ctx, seen: Seen) -> Response:
    """The fleet in a few numbers."""
    return tagged(request, seen, lambda: read.summary(ctx.view, seen), beats=True)


@router.get("/clusters", openapi_extra=needs("fleet.read"), responses={200: {"model": Page[Cluster]}})
async def clusters(
    request: Request,
    ctx: Ctx,
    seen: Seen,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    environment: Name = "",
    state: Name = "",
) -> Response:
    """Clusters by name."""

    def build() -> dict[str, Any]:
        return page(read.clusters(ctx.view, limit, cursor, environment, state, seen))

    return tagged(request, seen, build, beats=True)


@router.get("/clusters/{name}", openapi_extra=needs("fleet.read"), responses={200: {"model": Cluster}})
async def cluster(ctx: Ctx, seen: Seen, name: str) -> Response:
    """One cluster with its agent."""
    found = read.cluster(ctx.view, name, seen)
    if found is None:
        raise no_cluster(name, seen)
    return json_answer(found)


@router.get("/environments", openapi_extra=needs("fleet.read"), responses={200: {"model": Page[Environment]}})
async def environments(request: Request, ctx: Ctx, seen: Seen) -> Response:
    """Environments in the order of promotion; always one page."""
    return tagged(request, seen, lambda: page((read.environments(ctx.view, seen), None)))


@router.get("/repositories", openapi_extra=needs("fleet.read"), responses={200: {"model": Page[Repository]}})
async def repositories(request: Request, ctx: Ctx, seen: Seen) -> Response:
    """The repositories that everything comes from, and since when one cannot be read; always one page."""
    return tagged(request, seen, lambda: page((read.repositories(ctx.view, seen), None)))


@router.get("/problems", openapi_extra=needs("fleet.read"), responses={200: {"model": Page[Problem]}})
async def problems(
    request: Request, ctx: Ctx, seen: Seen, limit: Limit = 100, cursor: Cursor = "", application: Name = ""
) -> Response:
    """What is wrong with what people wrote, with file and line: errors first."""
    return tagged(request, seen, lambda: page(read.problems(ctx.view, limit, cursor, application, seen)))
