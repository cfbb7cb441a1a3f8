"""A real HTTP proxy between an agent and an API server that makes trouble on purpose, by chance or by count.

async with FaultProxy(upstream, token=…, tls=…, seed=1) as proxy:
    access = Access.url(proxy.url, token)
    proxy.faults = (Fault("status", code=429, retry_after=1, verbs={"patch"}, chance=0.3), Fault("cut"))
    ...
    proxy.calm()

What faults do:
    delay    the answer comes `seconds` late
    status   `code` is answered; with `late`, after the request took effect
    cut      the request takes effect, and the connection dies in the middle of the answer
    refuse   the connection dies before the request is passed on
    gone     a watch begins with the ERROR event of 410 Gone, a list is answered with 410
    deaf     a watch stays open, but nothing comes through it any more, until `calm`
    end      a watch ends at once, in order
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

REASONS = {
    403: "Forbidden",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass
class Fault:
    what: str
    verbs: frozenset[str] = frozenset()
    """`get`, `list`, `watch`, `create`, `patch`, `delete`; empty for all that the fault can happen to."""
    plurals: frozenset[str] = frozenset()
    """Such as `configmaps`; empty for all."""
    namespace: str = ""
    """Empty for all."""
    chance: float = 1.0
    times: int = -1
    """How often it happens at most; negative for no limit."""
    code: int = 500
    retry_after: int | None = None
    late: bool = False
    seconds: float = 0.1

    def meets(self, verb: str, plural: str, namespace: str, luck: random.Random) -> bool:
        watching = {"gone": {"watch", "list"}, "deaf": {"watch"}, "end": {"watch"}}.get(self.what)
        if (watching and verb not in watching) or not self.times:
            return False
        if (self.verbs and verb not in self.verbs) or (self.plurals and plural not in self.plurals):
            return False
        if (self.namespace and namespace != self.namespace) or luck.random() >= self.chance:
            return False
        self.times -= self.times > 0
        return True


@dataclass
class FaultProxy:
    upstream: str
    tls: ssl.SSLContext | bool = False
    token: str = ""
    """Sent upstream where a request carries none: over plain HTTP the official client sends none."""
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    requests: Counter = field(default_factory=Counter)
    """(verb, plural) → how many."""
    happened: Counter = field(default_factory=Counter)
    acting: dict[str, set[str]] = field(default_factory=dict)
    """Verb of each write → in whose name it was sent; empty for the sender's own."""
    url: str = ""

    async def __aenter__(self) -> FaultProxy:
        self._luck = random.Random(self.seed)
        self._calm = asyncio.Event()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self.tls, limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.calm()
        await self._runner.cleanup()
        await self._session.close()

    def calm(self) -> None:
        """No more faults; deaf watches break."""
        self.faults = ()
        self._calm.set()
        self._calm = asyncio.Event()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        verb, plural, namespace = about(request)
        self.requests[verb, plural] += 1
        if verb in ("create", "patch", "delete"):
            self.acting.setdefault(verb, set()).add(request.headers.get("Impersonate-User", ""))
        fault = next((each for each in self.faults if each.meets(verb, plural, namespace, self._luck)), None)
        if fault is None:
            return await self._pass(request, verb, None)
        self.happened[fault.what, verb] += 1
        if fault.what == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.what == "refuse":
            return _abort(request)
        elif fault.what == "status":
            if fault.late:
                await self._fetch(request, await request.read())
            return _status(fault.code, fault.retry_after)
        elif fault.what == "gone":
            return _status(410, None) if verb == "list" else await _gone(request)
        elif fault.what == "end":
            return web.Response(body=b"", content_type="application/json")
        return await self._pass(request, verb, fault)

    async def _fetch(self, request: web.BaseRequest, body: bytes) -> bytes:
        async with self._open(request, body) as answer:
            return await answer.read()

    def _open(
        self, request: web.BaseRequest, body: bytes
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        return self._session.request(
            request.method, URL(self.upstream + request.raw_path, encoded=True), data=body or None, headers=headers,
            allow_redirects=False, timeout=aiohttp.ClientTimeout(total=None), skip_auto_headers=("Accept-Encoding",),
        )  # fmt: skip

    async def _pass(self, request: web.BaseRequest, verb: str, fault: Fault | None) -> web.StreamResponse:
        what = fault.what if fault is not None else ""
        try:
            async with self._open(request, await request.read()) as answer:
                headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
                response = web.StreamResponse(status=answer.status, headers=headers)
                if verb != "watch":
                    body = await answer.read()
                    response.content_length = len(body)
                    await response.prepare(request)
                    await response.write(body[: len(body) // 2] if what == "cut" else body)
                    return _abort(request) if what == "cut" else response
                await response.prepare(request)
                await self._stream(request, answer, response, what)
                return response
        except (aiohttp.ClientError, OSError):
            return _abort(request)

    async def _stream(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, response: web.StreamResponse, what: str
    ) -> None:
        if what == "deaf":
            await self._calm.wait()
            _abort(request)
            return
        async for chunk in answer.content.iter_any():
            if what == "cut":
                await response.write(chunk[: len(chunk) // 2])
                _abort(request)
                return
            await response.write(chunk)


def about(request: web.BaseRequest) -> tuple[str, str, str]:
    """(verb, plural, namespace) of an API request; the last two are empty for discovery and the like."""
    parts = [part for part in request.path.split("/") if part]
    # The sandbox has clusters under a path of their own.
    start = next((n for n, part in enumerate(parts) if part in ("api", "apis")), None)
    if start is None:
        return "get", "", ""
    parts = parts[start + (2 if parts[start] == "api" else 3) :]
    namespace = ""
    if len(parts) > 2 and parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    plural, named = (parts[0] if parts else ""), len(parts) > 1
    if request.method == "GET" and plural:
        reading = "get" if named else "watch" if request.query.get("watch") == "true" else "list"
        return reading, plural, namespace
    verbs = {"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
    return verbs[request.method], plural, namespace


def _abort(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _body(code: int) -> dict[str, object]:
    message = f"made up by the proxy: {code}"
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": REASONS[code],
        "message": message,
    }


def _status(code: int, retry_after: int | None) -> web.Response:
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return web.json_response(_body(code), status=code, headers=headers)


async def _gone(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(json.dumps({"type": "ERROR", "object": _body(410)}).encode() + b"\n")
    return response
