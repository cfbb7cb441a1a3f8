"""A chart repository over HTTP and an OCI registry, as aiohttp applications to start with `httpserver.listening`.

The repository serves what `put` packs; the registry what the distribution specification says a registry does for
pulls: tags in pages, manifests by tag or digest, blobs by digest, and tokens for scopes. `misbehave` of either makes it
answer wrongly. `requests` are the paths that were asked for.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import yaml
from aiohttp import web

from tests.fakes.charts import chart_archive, chart_yaml

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\n"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def packed(name: str, version: str, **files: str) -> bytes:
    """A small chart."""
    within = {"Chart.yaml": chart_yaml(name, version), "templates/a.yaml": TEMPLATE}
    return chart_archive(name, {**within, **files})


async def hang(_request: web.Request) -> web.StreamResponse:
    """Answers when it is too late."""
    await asyncio.sleep(3600)
    return web.Response()


async def trickle(request: web.Request) -> web.StreamResponse:
    """Sends a byte now and then, for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"#")
        await asyncio.sleep(0.05)


@dataclass
class ChartRepository:
    """`charts/` below the origin is the repository."""

    username: str = ""
    password: str = ""
    with_digests: bool = True
    base: str = ""
    """What addresses of archives in the index begin with; relative by default."""
    entries: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    archives: dict[str, bytes] = field(default_factory=dict)
    misbehave: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    not_modified: int = 0

    def put(self, name: str, version: str, data: bytes | None = None) -> bytes:
        """Adds a version; returns its archive."""
        data = data if data is not None else packed(name, version)
        file = f"{name}-{version}.tgz"
        self.archives[file] = data
        entry: dict[str, object] = {"apiVersion": "v2", "name": name, "version": version, "urls": [self.base + file]}
        entry["created"] = f"2026-01-01T00:00:{len(self.archives):02}Z"
        if self.with_digests:
            entry["digest"] = digest(data).removeprefix("sha256:")
        self.entries.setdefault(name, []).insert(0, entry)
        return data

    def index(self) -> bytes:
        """`index.yaml`."""
        return yaml.safe_dump({"apiVersion": "v1", "entries": self.entries, "generated": "2026-01-01"}).encode()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path.lstrip("/")
        self.requests.append(path)
        self.authorizations.append(request.headers.get("Authorization", ""))
        if path in self.misbehave:
            return await self.misbehave[path](request)
        wanted = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if self.username and request.headers.get("Authorization") != wanted:
            return web.Response(status=401)
        if path == "charts/index.yaml":
            body = self.index()
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            if request.headers.get("If-None-Match") == etag:
                self.not_modified += 1
                return web.Response(status=304)
            response = web.Response(body=body, headers={"ETag": etag})
            response.enable_compression()
            return response
        name = path.removeprefix("charts/")
        if path.startswith("charts/") and name in self.archives:
            # Some servers take .tgz for an encoding rather than a type.
            return web.Response(body=self.archives[name], headers={"Content-Encoding": "x-gzip"})
        return web.Response(status=404)


@dataclass
class OciRegistry:
    """Repositories by path. With `users`, a token is asked for, and tokens are for those with a password there."""

    users: dict[str, str] = field(default_factory=dict)
    tokens: bool = False
    page: int = 2
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    """Repository to tag to the digest of its manifest."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    misbehave: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    realm: str = ""
    issued: int = 0
    valid: set[str] = field(default_factory=set)

    def put(self, repository: str, tag: str, data: bytes, media_type: str = "") -> str:
        """Adds a chart under a tag; returns the digest of its archive."""
        config = b"{}"
        media_type = media_type or "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest(config), "size": 2},
            "layers": [{"mediaType": media_type, "digest": digest(data), "size": len(data)}],
        }
        body = json.dumps(manifest).encode()
        for blob in (config, data, body):
            self.blobs[digest(blob)] = blob
        self.tags.setdefault(repository, {})[tag] = digest(body)
        return digest(data)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/token", self._token)
        app.router.add_get("/v2/{path:.*}", self._serve)
        return app

    async def _token(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        if "/token" in self.misbehave:
            return await self.misbehave["/token"](request)
        given = request.headers.get("Authorization", "")
        known = {"Basic " + base64.b64encode(f"{user}:{word}".encode()).decode() for user, word in self.users.items()}
        if self.users and given not in known:
            return web.Response(status=401)
        self.issued += 1
        token = f"token-{self.issued}"
        self.valid.add(f"Bearer {token}")
        assert request.query["service"] == "registry"
        assert re.fullmatch(r"repository:[a-z/]+:pull", request.query["scope"])
        return web.json_response({"token": token, "expires_in": 300})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        if request.path in self.misbehave:
            return await self.misbehave[request.path](request)
        if self.tokens and request.headers.get("Authorization") not in self.valid:
            realm = self.realm or f"http://{request.host}/token"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:x:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        found = re.fullmatch(r"(?P<name>.+)/(?P<what>tags/list|manifests/.+|blobs/.+)", request.match_info["path"])
        if found is None or found["name"] not in self.tags:
            return web.json_response({"errors": [{"code": "NAME_UNKNOWN"}]}, status=404)
        what, _, reference = found["what"].partition("/")
        if what == "tags":
            return self._list(request, found["name"])
        wanted = self.tags[found["name"]].get(reference, reference)
        if wanted not in self.blobs:
            return web.json_response({"errors": [{"code": "UNKNOWN"}]}, status=404)
        kind = "application/vnd.oci.image.manifest.v1+json" if what == "manifests" else "application/octet-stream"
        return web.Response(body=self.blobs[wanted], content_type=kind, headers={"Docker-Content-Digest": wanted})

    def _list(self, request: web.Request, name: str) -> web.StreamResponse:
        """In pages of `page`, whatever more is asked for, as a registry may."""
        tags = [tag for tag in sorted(self.tags[name]) if tag > request.query.get("last", "")]
        shown = tags[: min(self.page, int(request.query.get("n", self.page)))]
        headers = {}
        if len(tags) > len(shown):
            headers["Link"] = f'</v2/{name}/tags/list?n={self.page}&last={shown[-1]}>; rel="next"'
        return web.json_response({"name": name, "tags": shown}, headers=headers)
