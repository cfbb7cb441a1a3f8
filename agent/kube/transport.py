"""HTTP to one API server: authorization, deadlines, and every failure turned into an error of `agent.kube.errors`.

The only module of the agent, beside the sandbox, that knows aiohttp.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from asyncio import sslproto
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from agent.kube.access import Endpoint
from agent.kube.errors import ApiError, ServerTimeout, Unauthorized, Unreachable, api_error
from shared import __version__

CONNECT_TIMEOUT = 5.0
DEADLINE = 30.0
"""Seconds for a whole request unless the caller says otherwise."""

TLS_BUFFER = 32 * 1024
"""Bytes that each TLS connection sets aside for reading. With asyncio's own 256 KB the forty connections of a first
apply would cost an agent ten megabytes; one TLS record has 16 KB at the most."""
sslproto.SSLProtocol.max_size = TLS_BUFFER

MAX_ERROR_BODY = 65536
MAX_MESSAGE = 2000
"""Characters of a server's message that are kept: it ends up in reports."""

_WARNING = re.compile(r'^\d{3} \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Request:
    """One request. `query` values are sent as they are; `body` is encoded as JSON."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    etag: str = ""
    act_as: str = ""
    """User to impersonate; empty for nobody."""


@dataclass(frozen=True)
class Response:
    """A good answer (2xx, 304). `warnings` are the server's own words, meant for people."""

    status: int
    body: Any
    etag: str = ""
    warnings: tuple[str, ...] = ()


class Transport:
    """A pool of connections to one server. Concurrency is the caller's business."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        connector = aiohttp.TCPConnector(
            ssl=endpoint.tls if endpoint.tls is not None else True,
            limit=0,
            keepalive_timeout=60,
            socket_factory=_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            trust_env=endpoint.trust_env,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"yardarm-agent/{__version__}"},
        )

    async def close(self) -> None:
        """Closes all connections; running requests fail."""
        await self._session.close()

    async def send(self, request: Request, *, deadline: float = DEADLINE) -> Response:
        """The answer, fully read.

        Raises:
            ApiError: any refusal or failure, see `agent.kube.errors`.
            AccessError: there are no credentials to send.
        """
        timeout = aiohttp.ClientTimeout(total=deadline, sock_connect=min(CONNECT_TIMEOUT, deadline))
        with self._failures(deadline):
            async with self._open(request, timeout) as answer:
                raw = await answer.read()
        etag = answer.headers.get("ETag", "")
        warnings = _warnings(answer.headers.getall("Warning", []))
        return Response(answer.status, _decode(raw, request) if raw else None, etag, warnings)

    @asynccontextmanager
    async def stream(self, request: Request, *, idle: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an endless answer, of any length. Silence for more than `idle` seconds is an error."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=idle)
        with self._failures(idle):
            async with self._open(request, timeout) as answer:
                yield _lines(answer.content)

    @asynccontextmanager
    async def _open(self, request: Request, timeout: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """Sends; again when credentials were refused and could be renewed, or the connection had died while idle.

        All that we ever send may be sent twice: applies and deletions are idempotent.
        """
        credentials = self._endpoint.credentials
        used = await credentials.authorization()
        try:
            answer = await self._attempt(request, timeout, used)
        except Unauthorized:
            other = await credentials.authorization(refused=used)
            if other == used:
                raise
            answer = await self._attempt(request, timeout, other)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            answer = await self._attempt(request, timeout, used)
        try:
            yield answer
        finally:
            answer.release()

    async def _attempt(
        self, request: Request, timeout: aiohttp.ClientTimeout, authorization: str
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": request.accept}
        if authorization:
            headers["Authorization"] = authorization
        if request.etag:
            headers["If-None-Match"] = request.etag
        if request.act_as:
            headers["Impersonate-User"] = request.act_as
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        answer = await self._session.request(
            request.method,
            self._endpoint.server + request.path,
            params=request.query,
            data=orjson.dumps(request.body) if request.body is not None else None,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            proxy=self._endpoint.proxy,
            server_hostname=self._endpoint.tls_server_name,
        )
        if answer.status < 300 or answer.status == 304:
            return answer
        try:
            raise _refusal(answer, await _start(answer.content))
        finally:
            answer.close()

    def _failures(self, seconds: float) -> _Failures:
        return _Failures(self._endpoint.server, seconds)


class _Failures:
    """Turns what aiohttp raises into what callers may know. A class, because a generator would hide cancellation."""

    def __init__(self, server: str, seconds: float) -> None:
        self._server = server
        self._seconds = seconds

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None or not isinstance(
            error, (aiohttp.ClientError, TimeoutError, OSError, asyncio.LimitOverrunError)
        ):
            return
        where = f"the Kubernetes API at {self._server}"
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            raise Unreachable(f"{where} does not accept connections: nothing within {CONNECT_TIMEOUT:g} s") from error
        if isinstance(error, TimeoutError):
            raise ServerTimeout(f"{where} did not answer within {self._seconds:g} s") from error
        raise Unreachable(f"{where} cannot be used: {_plain(error)}") from error


def _plain(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error}); check the certificate authority"
    if isinstance(error, aiohttp.ClientConnectorError):
        # asyncio words these by address; the number says it better.
        number = error.os_error.errno
        return os.strerror(number).lower() if number else str(error.os_error)
    return str(error) or type(error).__name__


async def _start(content: aiohttp.StreamReader) -> bytes:
    """The body as far as it is of interest. One read gives what has arrived, which may be less."""
    raw = b""
    while len(raw) < MAX_ERROR_BODY and (chunk := await content.read(MAX_ERROR_BODY - len(raw))):
        raw += chunk
    return raw


def _refusal(answer: aiohttp.ClientResponse, raw: bytes) -> ApiError:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = {"message": raw.decode("utf-8", "replace").strip()}
    if not isinstance(body, dict):
        body = {}
    if isinstance(text := body.get("message"), str) and len(text) > MAX_MESSAGE:
        body["message"] = text[:MAX_MESSAGE] + "…"
    retry_after = answer.headers.get("Retry-After", "")
    return api_error(answer.status, body, float(retry_after) if retry_after.isdigit() else None)


def _decode(raw: bytes, request: Request) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Unreachable(
            f"{request.method} {request.path}: the answer is not JSON; is this a Kubernetes API?"
        ) from error


def _warnings(headers: list[str]) -> tuple[str, ...]:
    """The texts of `Warning: 299 - "text"` headers; one header may carry one."""
    return tuple(re.sub(r"\\(.)", r"\1", found[1]) for text in headers if (found := _WARNING.match(text)))


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Splits at newlines without a limit on their length: an object may be 1.5 MB, its managedFields more again."""
    pending = bytearray()
    async for chunk in content.iter_any():
        searched = len(pending)
        pending += chunk
        while (end := pending.find(b"\n", searched)) >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            searched = 0
            if line:
                yield line
    if pending:
        yield bytes(pending)


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that notices within half a minute that a firewall forgot us: watches are silent for long."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # not on every platform
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock
