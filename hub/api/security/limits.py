"""How much one caller, and one address, may ask for; and bodies that are whole, small enough, and come in time."""

from __future__ import annotations

import asyncio
import math

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.problems import Refusal
from hub.domain.limiting import Level, Limits, Rate, full, take
from shared.tasks import Clock

HOOKS = "/api/v1/hooks/"
HOOK_BODY = 5 * 1024 * 1024
"""Bytes of a webhook; a push of thousands of commits is about 2 MB."""
REMEMBERED = 20_000
"""Callers and addresses whose use is remembered; who is not starts with a whole burst."""


class Gauge:
    """Counts what callers and addresses ask for.

    Raises (all methods):
        Refusal: 429, with how long to wait.
    """

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._levels: dict[tuple[str, str], Level] = {}

    def called(self, name: str) -> None:
        """A known caller asks."""
        self._take("caller", name, self._limits.caller, f"{name} asks too often")

    def asked(self, host: str) -> None:
        """An address asks for something."""
        self._take("address", host, self._limits.address, "too many requests from this address")

    def failed(self, host: str) -> None:
        """An address has shown what opens nothing. Good tokens are taken from it all the same."""
        self._take("failures", host, self._limits.failures, "too many tokens from this address that are none")

    def _take(self, kind: str, name: str, rate: Rate, why: str) -> None:
        now = self._clock.monotonic()
        if len(self._levels) >= REMEMBERED:
            self._forget(now)
        level, wait = take(self._levels.pop((kind, name), None), rate, now)
        self._levels[kind, name] = level
        if wait:
            seconds = math.ceil(wait)
            raise Refusal(429, f"{why}: wait {seconds} s", {"Retry-After": str(seconds)})

    def _forget(self, now: float) -> None:
        """Those who have been quiet; if all are busy, those who asked longest ago."""
        rates = {"caller": self._limits.caller, "address": self._limits.address, "failures": self._limits.failures}
        self._levels = {key: level for key, level in self._levels.items() if not full(level, rates[key[0]], now)}
        for key in list(self._levels)[: len(self._levels) - REMEMBERED // 2]:
            del self._levels[key]


def address(scope: Scope) -> str:
    """Where a request comes from: an IP address, as far as the server knows it."""
    client = scope.get("client")
    return str(client[0]) if client else ""


class Limited:
    """Refuses addresses that ask too often, and reads bodies before anything else sees the request."""

    def __init__(self, app: ASGIApp, limits: Limits, gauge: Gauge) -> None:
        self._app = app
        self._limits = limits
        self._gauge = gauge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._gauge.asked(address(scope))
            receive = await self._whole(scope, receive)
        except Refusal as refusal:
            await refusal.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _whole(self, scope: Scope, receive: Receive) -> Receive:
        """Hands on the body in one piece; where there is none, nothing is waited for.

        Raises:
            Refusal: 400, 408 or 413.
        """
        headers = dict(scope["headers"])
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return receive
        most = HOOK_BODY if scope["path"].startswith(HOOKS) else self._limits.body
        try:
            announced = int(headers.get(b"content-length", b"0"))
        except ValueError as error:
            raise Refusal(400, "Content-Length is no number", _CLOSE) from error
        if announced > most:
            raise _too_large(most)
        try:
            async with asyncio.timeout(self._limits.patience):
                body = await _read(receive, most)
        except TimeoutError as error:
            raise Refusal(408, f"the body did not come within {self._limits.patience:g} s", _CLOSE) from error
        return _Replay(body, receive)


class _Replay:
    """Gives a body that was read, then whatever else comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _read(receive: Receive, most: int) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the sender closed the connection before the body was complete", _CLOSE)
        parts += message.get("body", b"")
        if len(parts) > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            return bytes(parts)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"a body may have {most} bytes at the most here", _CLOSE)


_CLOSE = {"Connection": "close"}
