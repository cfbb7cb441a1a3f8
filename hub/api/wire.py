"""HTTP as it comes in: who connects has to say what it wants within some seconds.

The server itself waits for ever for the end of the head of a request, so that a few thousand connections which send a
byte now and then would leave no room for anybody else. Bodies have their own limit, after it is known who sends them.
"""

from __future__ import annotations

import asyncio
import logging

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from hub.api.problems import problem

log = logging.getLogger(__name__)

HEAD_WITHIN = 10.0
"""Seconds from the connection, or from the first byte of a further request, to the end of its head."""

_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Prompt(H11Protocol):
    """A connection that is closed when a request does not begin in time. Its size is limited by h11, to 16 KiB."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to count."""
        super().connection_made(transport)
        self._count()

    def data_received(self, data: bytes) -> None:
        """Counts anew for each request of the connection."""
        if self._late is None and self._awaits_head():
            self._count()
        super().data_received(data)
        if not self._awaits_head():
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts no more."""
        self._stop()
        super().connection_lost(exc)

    def _awaits_head(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _count(self) -> None:
        self._late = self.loop.call_later(HEAD_WITHIN, self._give_up)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        log.info("a request did not come in time", extra={"source": self.client[0] if self.client else ""})
        self.transport.write(_TOO_LATE)
        self.transport.close()


_LENGTHS = {b"content-length", b"transfer-encoding"}


class Unambiguous:
    """Refuses requests whose end two programs could see in different places, such as this one and a proxy before it.

    What comes after the end that one of them sees would be somebody else's request to the other (RFC 9112, 6.3).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and {name for name, _ in scope["headers"]} >= _LENGTHS:
            detail = "Content-Length and Transfer-Encoding: send one of them"
            await problem(400, detail, {"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, receive, send)
