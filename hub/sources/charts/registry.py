"""Charts in an OCI registry: tags as versions, manifests, and blobs, as the distribution specification says.

Most registries want a bearer token even for what is public; where it can be had they say in their refusal.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec
import orjson

from hub.domain import semver
from hub.domain.charts import ResolvedChart, Wanted, is_digest
from hub.sources.charts import challenge
from hub.sources.charts.answers import check
from hub.sources.charts.index import none_fits
from hub.sources.charts.repository import ARCHIVE_BYTES
from hub.sources.web import Answer, Web
from shared.errors import DocumentError, Unavailable
from shared.tasks import Clock

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CHART = ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "application/tar+gzip")
_PAGE = 1000
_PAGES = 100
_TOKEN_LIFE = 60.0
"""Seconds, where a registry does not say; never less, so that one is not asked for at each request."""


class _Layer(msgspec.Struct, rename="camel"):
    media_type: str = ""
    digest: str = ""
    size: int = 0


class _Manifest(msgspec.Struct, rename="camel"):
    layers: list[_Layer] = []


class Registry:
    """One repository of a registry: all versions of one chart."""

    def __init__(self, host: str, path: str, web: Web, clock: Clock) -> None:
        self.name = f"oci://{host}/{path}"
        self._path = path
        self._web = web
        self._clock = clock
        scheme = "http" if web.access(f"http://{host}/{path}").plain_http else "https"
        self._base = f"{scheme}://{host}/v2/{path}"
        self._token = ""
        self._until = 0.0

    async def refresh(self) -> None:
        """There is nothing to prepare: each version is asked for."""

    async def resolve(self, wanted: Wanted) -> ResolvedChart:
        """The version that is meant, as of now.

        Raises:
            DocumentError: the registry has no such chart or version, or it is no chart.
            Unavailable: the registry does not answer.
        """
        exact = _is_exact(wanted.version)
        tag = _tag(wanted.version) if exact else await self._best(wanted)
        answer = await self._get(f"/manifests/{tag}", accept=_MANIFEST)
        if answer.status == 404 and exact:
            tag = await self._best(wanted)
            answer = await self._get(f"/manifests/{tag}", accept=_MANIFEST)
        check(answer, f"chart {self.name}:{tag}")
        layer = _chart_layer(answer, f"{self.name}:{tag}")
        return ResolvedChart(wanted.repo, wanted.chart, _version(tag), layer.digest, f"{self.name}@{layer.digest}")

    async def archive(self, chart: ResolvedChart) -> bytes:
        """The archive, not yet compared with its digest. May raise as `Web.get` and `check`."""
        digest = chart.url.rpartition("@")[2]
        answer = await self._get(f"/blobs/{digest}", limit=ARCHIVE_BYTES)
        return check(answer, f"chart {chart.file}").body

    async def tags(self) -> list[str]:
        """All tags. May raise as `resolve`."""
        found: list[str] = []
        path = f"/tags/list?n={_PAGE}"
        for _ in range(_PAGES):
            answer = check(await self._get(path), f"chart {self.name}")
            listed = _json(answer).get("tags")
            found += (tag for tag in listed or () if isinstance(tag, str))
            path = _next(answer, self._base)
            if not path:
                return found
        raise DocumentError(f"{self.name} has more than {_PAGE * _PAGES:,} tags")

    async def _best(self, wanted: Wanted) -> str:
        versions = {_version(tag): tag for tag in await self.tags()}
        if wanted.version in versions:
            return versions[wanted.version]
        best = semver.best(wanted.version or "*", versions)
        if best is None:
            raise none_fits(wanted, versions)
        return versions[best]

    async def _get(self, path: str, *, accept: str = "application/json", limit: int = 0) -> Answer:
        url = path if path.startswith(("http://", "https://")) else self._base + path
        headers = {"Accept": accept}
        answer = await self._web.get(url, limit=limit, headers=headers, authorization=self._authorization())
        if answer.status != 401:
            return answer
        asked = challenge.parse(answer.headers.get("WWW-Authenticate", ""))
        basic = self._web.access(self._base).basic
        if asked.scheme == "bearer":
            await self._fetch_token(asked)
        elif asked.scheme != "basic" or not basic:
            return answer
        authorization = self._authorization() or basic
        return await self._web.get(url, limit=limit, headers=headers, authorization=authorization)

    def _authorization(self) -> str | None:
        return f"Bearer {self._token}" if self._token and self._clock.monotonic() < self._until else None

    async def _fetch_token(self, asked: challenge.Challenge) -> None:
        realm = urlsplit(asked.parameters.get("realm", ""))
        secure = self._base.startswith("https://")
        if realm.scheme not in ("http", "https") or (secure and realm.scheme == "http"):
            raise DocumentError(f"{self.name} names no place for tokens that can be trusted: {realm.geturl()[:200]!r}")
        wanted = {"scope": f"repository:{self._path}:pull"}
        if service := asked.parameters.get("service"):
            wanted["service"] = service
        url = f"{realm.geturl()}{'&' if realm.query else '?'}{urlencode(wanted)}"
        # What is set for the registry is meant for those that it trusts to check it.
        answer = check(
            await self._web.get(url, authorization=self._web.access(self._base).basic), f"token for {self.name}"
        )
        body = _json(answer)
        token = body.get("token") or body.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise Unavailable(f"{self.name}: {realm.netloc} answers without a token")
        lasts = body.get("expires_in")
        life = float(lasts) if isinstance(lasts, int | float) else _TOKEN_LIFE
        self._token, self._until = token, self._clock.monotonic() + max(life, _TOKEN_LIFE) * 0.9


def _is_exact(version: str) -> bool:
    """Whether it names one version in full; `1.2` may be a range."""
    return version.count(".") >= 2 and semver.parse(version) is not None


def _tag(version: str) -> str:
    """A tag may not hold the plus sign of build metadata; Helm writes it as an underscore."""
    return version.replace("+", "_")


def _version(tag: str) -> str:
    return tag.replace("_", "+")


def _chart_layer(answer: Answer, name: str) -> _Layer:
    promised = answer.headers.get("Docker-Content-Digest", "")
    if is_digest(promised) and hashlib.sha256(answer.body).hexdigest() != promised.removeprefix("sha256:"):
        raise DocumentError(f"the manifest of {name} is not the one its digest {promised} promises")
    try:
        manifest = msgspec.json.decode(answer.body, type=_Manifest)
    except msgspec.DecodeError as error:
        raise DocumentError(f"the manifest of {name} cannot be read: {error}") from None
    layer = next((each for each in manifest.layers if each.media_type in _CHART), None)
    if layer is None or not is_digest(layer.digest):
        raise DocumentError(f"{name} is not a Helm chart", hint="is it an image, or another kind of artifact?")
    if layer.size > ARCHIVE_BYTES:
        raise DocumentError(f"{name} has {layer.size / 1024**2:.0f} MiB, a chart may have {ARCHIVE_BYTES // 1024**2}")
    return layer


def _json(answer: Answer) -> dict[str, Any]:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Unavailable(f"{urlsplit(answer.url).netloc} answers with something else than JSON")
    return body


def _next(answer: Answer, base: str) -> str:
    """The address of the next page, empty when this is the last one. Another host is not followed."""
    link, _, rest = answer.headers.get("Link", "").partition(">")
    if not link.startswith("<") or "next" not in rest:
        return ""
    url = urljoin(answer.url, link[1:])
    return url if urlsplit(url).netloc == urlsplit(base).netloc else ""
