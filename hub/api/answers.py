"""JSON answers, written once and told apart by an entity tag, so that asking again costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request, Response

from hub.api.context import Context
from hub.view.visible import Visible

MAX_PAGE = 1000
MAX_NAME = 253


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`content` as JSON."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def tagged(request: Request, seen: Visible, build: Callable[[], Any], *, beats: bool = False) -> Response:
    """The JSON of what `build` returns, or 304 when the asker has it already.

    The tag is the view's version (with `beats`, its heartbeats too) and what the asker may see of it: what is asked for
    need not be built to know.
    """
    view = seen.view
    parts = [request.app.state.boot, view.version, *([view.beats] if beats else []), *filter(None, [seen.tag])]
    tag = f'W/"{"-".join(map(str, parts))}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
    known = request.headers.get("if-none-match", "")
    if tag in (one.strip() for one in known.split(",")):
        return Response(status_code=304, headers=headers)
    return json_answer(build(), headers=headers)


def page(found: tuple[list[dict[str, Any]], str | None]) -> dict[str, Any]:
    """A page as it is sent."""
    items, following = found
    return {"items": items, "next": following}


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(_context)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Items on the page at the most.")]
Cursor = Annotated[str, Query(max_length=2000, description="`next` of the page before; left out: the first page.")]
Name = Annotated[str, Query(max_length=MAX_NAME)]
