"""The status page and the API's description as files of the package: no build, no request to another host.

The pages hold no data; what they show they ask the API for, with the token the person gave.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from fastapi import APIRouter, Request, Response

from hub.api.security.guard import OPEN_TO_ALL

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: str
    tag: str


def _load(name: str, media_type: str) -> _File:
    body = resources.files("hub.web").joinpath(name).read_bytes()
    return _File(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')


FILES = {
    "/": _load("index.html", "text/html; charset=utf-8"),
    "/docs": _load("docs.html", "text/html; charset=utf-8"),
    "/web/app.js": _load("app.js", "text/javascript; charset=utf-8"),
    "/web/client.js": _load("client.js", "text/javascript; charset=utf-8"),
    "/web/docs.js": _load("docs.js", "text/javascript; charset=utf-8"),
    "/web/style.css": _load("style.css", "text/css; charset=utf-8"),
    "/web/icon.svg": _load("icon.svg", "image/svg+xml"),
}


async def _serve(request: Request) -> Response:
    file = FILES[request.url.path]
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.media_type)


for path in FILES:
    router.add_api_route(path, _serve, methods=["GET", "HEAD"], openapi_extra=OPEN_TO_ALL)
