"""Errors as RFC 9457 problem documents: what is wrong with the request, and what to do instead."""

from __future__ import annotations

import difflib
import http
import logging
from collections.abc import Iterable
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from hub.view.index import BadCursor
from hub.view.visible import Visible

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

SCHEMA = {
    "type": "object",
    "title": "Trouble",
    "description": "A problem document (RFC 9457). Some have more members than these.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}
"""What every error is, for the OpenAPI document."""


class Refusal(Exception):
    """An answer that is a problem document. `extra` adds members to it."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.extra = extra

    def response(self) -> Response:
        """As HTTP."""
        return problem(self.status, self.detail, self.headers, **self.extra)


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **extra: Any) -> Response:
    """A problem document."""
    body = {"type": "about:blank", "title": http.HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(orjson.dumps(body | extra), status, headers, MEDIA_TYPE)


def unknown(kind: str, name: str, known: Iterable[str]) -> Refusal:
    """There is nothing of this name; names that are nearly it are offered."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return Refusal(404, f"no {kind} is named {name[:100]!r}{hint}")


def no_application(name: str, seen: Visible) -> Refusal:
    """There is no such application, or none that the caller may see: nobody is told which."""
    return unknown("application", name, seen.applications())


def no_cluster(name: str, seen: Visible) -> Refusal:
    """There is no such cluster, or none that the caller may see."""
    return unknown("cluster", name, seen.clusters())


def install(app: FastAPI) -> None:
    """Turns every error of an application into a problem document."""
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(BadCursor, _bad_cursor)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _crash)


async def _refusal(_request: Request, error: Exception) -> Response:
    return error.response() if isinstance(error, Refusal) else problem(500, "an error")


async def _bad_cursor(_request: Request, error: Exception) -> Response:
    return problem(400, str(error))


async def _invalid(_request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{"field": ".".join(map(str, one["loc"][1:])), "message": one["msg"]} for one in found]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    in_path = bool(found) and all(one["loc"][0] == "path" for one in found)
    return problem(404 if in_path else 422, detail, errors=errors)


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else None
    if status == http.HTTPStatus.NOT_FOUND:
        return problem(404, f"there is nothing at {request.url.path[:200]}; see /docs for what there is", headers)
    if status == http.HTTPStatus.METHOD_NOT_ALLOWED:
        allow = {"Allow": ", ".join(_possible(request)) or (headers or {}).get("Allow", "")}
        return problem(405, f"{request.method} is not possible at {request.url.path[:200]}; see /docs", allow)
    return problem(status, str(getattr(error, "detail", error)), headers)


def _possible(request: Request) -> list[str]:
    """The methods of all operations at a path: a router alone tells those of the first route that it comes upon."""
    found: set[str] = set()
    for template, methods in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(request.url.path):
            found |= {method.upper() for method in methods}
    return sorted(found)


async def _crash(request: Request, error: Exception) -> Response:
    log.error("a request failed", extra={"path": request.url.path}, exc_info=error)
    return problem(500, "the hub made a mistake; its log has the details")
