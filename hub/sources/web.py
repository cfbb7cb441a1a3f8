"""Requests to servers that documents name: bounded in time and size, within the policy, with the right secrets.

Secrets are looked up by the host that is asked, at each redirect anew, so that none is shown to another host; and they
are sent over plain http only where an operator says that this is how the host is reached.
"""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from hub.domain.egress import Egress
from hub.domain.urls import redact
from hub.sources.egress import session
from shared.errors import DocumentError, Unavailable

_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class HostAccess:
    """What one host is shown, and how it is reached. With a `token` and no `username` the token is sent as it is."""

    username: str = ""
    token: str = field(default="", repr=False)
    plain_http: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More that it is shown, as secret as the token."""

    @property
    def basic(self) -> str:
        """The header's value for a name and a password, empty when there is no name."""
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.token}".encode()).decode()

    @property
    def authorization(self) -> str:
        """The header's value, empty when there is nothing to show."""
        return self.basic or (f"Bearer {self.token}" if self.token else "")


@dataclass(frozen=True, slots=True)
class WebLimits:
    """What one request may cost. Seconds and bytes."""

    connect: float = 10.0
    total: float = 60.0
    """With all redirects, to the last byte."""
    document_bytes: int = 4 * 1024**2
    """Of what is neither an index nor a chart: manifests, lists of tags, tokens."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that was read to its end. `url` is where it came from in the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, wherever redirects take it. `limit` 0: the body does not matter; `final`: a status not to follow."""

    limit: int
    headers: Mapping[str, str] = field(default_factory=dict)
    authorization: str | None = None
    form: Mapping[str, str] | None = None
    final: int = 0


class Web:
    """Use it in one event loop, and `close` it."""

    def __init__(self, egress: Egress, access: Callable[[str], HostAccess], limits: WebLimits | None = None) -> None:
        """`access` gives what to show for an address."""
        self._egress = egress
        self._access = access
        self._limits = limits or WebLimits()
        self._session: aiohttp.ClientSession | None = None

    def access(self, url: str) -> HostAccess:
        """What the host of an address is shown."""
        return self._access(url)

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self, url: str, *, limit: int = 0, headers: Mapping[str, str] | None = None, authorization: str | None = None
    ) -> Answer:
        """The answer, whatever its status; at most `limit` bytes (0: as many as a small document may have).

        The body may come compressed when `headers` say so, and is decompressed within the same limit.

        `authorization` is for the host of `url` only; None: what is set for each host.

        Raises:
            Denied: the policy does not let the hub go there.
            DocumentError: too large, or redirected in a way that is not followed.
            Unavailable: no answer, or not in time.
        """
        return await self._bounded(url, _Asked(limit or self._limits.document_bytes, headers or {}, authorization))

    async def post(self, url: str, form: Mapping[str, str]) -> Answer:
        """The answer to a form, which goes again wherever a redirect leads. Raises as `get`."""
        return await self._bounded(url, _Asked(self._limits.document_bytes, form=form))

    async def probe(self, url: str, expected: int, *, body: bool) -> Answer:
        """The answer, whose status may be `expected` even where that is a redirect; with its body only if it matters.

        Raises as `get`.
        """
        return await self._bounded(url, _Asked(self._limits.document_bytes if body else 0, final=expected))

    async def _bounded(self, url: str, asked: _Asked) -> Answer:
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._follow(URL(url), asked)
        except TimeoutError:
            raise Unavailable(f"{shown_url(url)} did not answer within {self._limits.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            raise Unavailable(
                f"{shown_url(url)} cannot be read: {redact(str(error)) or type(error).__name__}"
            ) from None

    async def _follow(self, url: URL, asked: _Asked) -> Answer:
        first = url
        for _ in range(_REDIRECTS):
            own = asked.authorization is not None and url.origin() == first.origin()
            shown = {"Authorization": asked.authorization or ""} if own else self._secrets(url)
            answer = await self._ask(url, asked, {name: value for name, value in shown.items() if value})
            if answer.status not in _MOVED or answer.status == asked.final or "Location" not in answer.headers:
                return answer
            target = url.join(URL(answer.headers["Location"]))
            if target.scheme not in ("http", "https") or not target.host:
                raise DocumentError(
                    f"{shown_url(str(url))} redirects to {shown_url(str(target))}, which is not the web"
                )
            if url.scheme == "https" and target.scheme == "http":
                raise DocumentError(f"{shown_url(str(url))} redirects from https to http: {shown_url(str(target))}")
            url = target
        raise DocumentError(f"{shown_url(str(first))} redirects more than {_REDIRECTS} times")

    def _secrets(self, url: URL) -> dict[str, str]:
        access = self._access(str(url))
        if url.scheme != "https" and not access.plain_http:
            return {}
        return {**access.headers, "Authorization": access.authorization}

    async def _ask(self, url: URL, asked: _Asked, shown: Mapping[str, str]) -> Answer:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect)
        headers = {"Accept-Encoding": "identity", **asked.headers, **shown}
        method = "GET" if asked.form is None else "POST"
        async with self._client().request(
            method, url, data=asked.form, headers=headers, allow_redirects=False, timeout=timeout
        ) as response:
            matters = asked.limit and (response.status not in _MOVED or response.status == asked.final)
            body = await _read(response, asked.limit) if matters else b""
            return Answer(response.status, response.headers, body, str(url))

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Archives are gzip themselves, and some servers call that an encoding: bodies are taken as they are.
            self._session = session(self._egress, auto_decompress=False)
        return self._session


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    too_large = DocumentError(f"{shown_url(str(response.url))} is larger than {limit / 1024**2:g} MiB")
    if (response.content_length or 0) > limit:
        raise too_large
    asked = "gzip" in response.request_info.headers.get("Accept-Encoding", "")
    compressed = asked and response.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip")
    expanding = zlib.decompressobj(zlib.MAX_WBITS | 16) if compressed else None
    body = bytearray()
    async for part in response.content.iter_chunked(_CHUNK):
        body += part if expanding is None else expanding.decompress(part, limit + 1 - len(body))
        if len(body) > limit:
            raise too_large
    return bytes(body)


def shown_url(url: str) -> str:
    """An address without what may be secret: redirects to storage carry signatures in their query."""
    return redact(url.partition("?")[0])
