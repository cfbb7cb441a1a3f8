"""Requests to chart repositories and registries: bounded in time and size, within the policy, with the right secrets.

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
from hub.sources.egress import session
from hub.sources.urls import redact
from shared.errors import DocumentError, Unavailable

_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_LATER = (408, 425, 429)
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class ChartAccess:
    """What one host is shown, and how it is reached. With a `token` and no `username` the token is sent as it is."""

    username: str = ""
    token: str = field(default="", repr=False)
    plain_http: bool = False

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


class Web:
    """Use it in one event loop, and `close` it."""

    def __init__(self, egress: Egress, access: Callable[[str], ChartAccess], limits: WebLimits | None = None) -> None:
        """`access` gives what to show for an address."""
        self._egress = egress
        self._access = access
        self._limits = limits or WebLimits()
        self._session: aiohttp.ClientSession | None = None

    def access(self, url: str) -> ChartAccess:
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
        limit = limit or self._limits.document_bytes
        try:
            async with asyncio.timeout(self._limits.total):
                return await self._follow(URL(url), limit, dict(headers or {}), authorization)
        except TimeoutError:
            raise Unavailable(f"{_shown(url)} did not answer within {self._limits.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            raise Unavailable(f"{_shown(url)} cannot be read: {redact(str(error)) or type(error).__name__}") from None

    async def _follow(self, url: URL, limit: int, headers: dict[str, str], authorization: str | None) -> Answer:
        first = url
        for _ in range(_REDIRECTS):
            own = authorization is not None and url.origin() == first.origin()
            shown = authorization if own else self._authorization(url)
            sent = {**headers, "Authorization": shown} if shown else headers
            answer = await self._ask(url, limit, sent)
            if answer.status not in _MOVED or "Location" not in answer.headers:
                return answer
            target = url.join(URL(answer.headers["Location"]))
            if target.scheme not in ("http", "https") or not target.host:
                raise DocumentError(f"{_shown(str(url))} redirects to {_shown(str(target))}, which is not the web")
            if url.scheme == "https" and target.scheme == "http":
                raise DocumentError(f"{_shown(str(url))} redirects from https to http: {_shown(str(target))}")
            url = target
        raise DocumentError(f"{_shown(str(first))} redirects more than {_REDIRECTS} times")

    def _authorization(self, url: URL) -> str:
        access = self._access(str(url))
        return access.authorization if url.scheme == "https" or access.plain_http else ""

    async def _ask(self, url: URL, limit: int, headers: dict[str, str]) -> Answer:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect)
        headers = {"Accept-Encoding": "identity", **headers}
        async with self._client().get(url, headers=headers, allow_redirects=False, timeout=timeout) as response:
            body = b"" if response.status in _MOVED else await _read(response, limit)
            return Answer(response.status, response.headers, body, str(url))

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Archives are gzip themselves, and some servers call that an encoding: bodies are taken as they are.
            self._session = session(self._egress, auto_decompress=False)
        return self._session


def check(answer: Answer, what: str) -> Answer:
    """The answer when it is a good one.

    Raises:
        DocumentError: the server says that there is no such thing, or that these credentials may not have it.
        Unavailable: the server cannot answer now.
    """
    status, place = answer.status, _shown(answer.url)
    if status < 400:
        return answer
    if status >= 500 or status in _LATER:
        after = answer.headers.get("Retry-After", "")
        raise Unavailable(f"{place} answers {status}", retry_after=float(after) if after.isdigit() else None)
    if status in (401, 403):
        raise DocumentError(
            f"{what} may not be read: {place} answers {status}", hint="an operator sets credentials: charts.access"
        )
    raise DocumentError(f"there is no {what}: {place} answers {status}")


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    too_large = DocumentError(f"{_shown(str(response.url))} is larger than {limit / 1024**2:g} MiB")
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


def _shown(url: str) -> str:
    """Without what may be secret: redirects to storage carry signatures in their query."""
    return redact(url.partition("?")[0])
