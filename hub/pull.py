"""Reading a JetStream consumer fast: several pull requests in flight, answers on one inbox.

The client library's `fetch` costs 25 µs a message and stalls now and then; this costs a fifth and asks for more while
earlier messages are still coming. At most one and a half batches are held here, so a slow reader slows the server.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

import orjson

from shared.bus import Bus, Message, Subscription
from shared.errors import Unavailable
from shared.tasks import Clock

log = logging.getLogger(__name__)

BATCH = 1000
"""Messages per request. Larger gains nothing, smaller costs requests."""
MAX_BYTES = 16 * 1024 * 1024
"""Bytes per request: reports with all their objects can be 100 KB each."""
EXPIRES = 20.0
"""Seconds after which the server gives up a request that was not filled."""
HEARTBEAT = 5.0
"""Seconds between the server's signs of life while there is nothing to send."""


class ConsumerGone(Unavailable):
    """The consumer was deleted, or nobody serves it: make it again."""


class Pull:
    """The messages of one pull consumer. Use as `async with`, with one reader."""

    def __init__(self, bus: Bus, stream: str, consumer: str, clock: Clock | None = None) -> None:
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = bus.new_inbox()
        self._clock = clock or Clock()
        self._arrived: list[Message] = []
        self._outstanding = 0
        self._gone = ""
        self._wake = asyncio.Event()
        self._heard = self._clock.monotonic()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Pull:
        self._subscription = await self._bus.subscribe(self._inbox, self._receive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None:
            await self._subscription.end()

    def renew(self) -> None:
        """Forgets what was asked for: after a reconnection nobody answers it any more."""
        self._outstanding = 0
        self._wake.set()

    async def take(self) -> list[Message]:
        """All that has come; waits for at least one message.

        Raises:
            ConsumerGone: the consumer has to be made again.
            Unavailable: no connection, or no sign of life for some heartbeats.
        """
        while True:
            if self._gone:
                raise ConsumerGone(f"{self._subject}: {self._gone}")
            if self._outstanding <= BATCH // 2:
                await self._ask()
            if self._arrived:
                taken, self._arrived = self._arrived, []
                return taken
            self._wake.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._wake.wait()
            except TimeoutError:
                self._check_silence()

    def _check_silence(self) -> None:
        silent = self._clock.monotonic() - self._heard
        if silent > 2 * HEARTBEAT:
            self._outstanding = 0
            self._heard = self._clock.monotonic()
            raise Unavailable(f"{self._subject}: nothing heard for {silent:.0f} s")

    async def _ask(self) -> None:
        request = {
            "batch": BATCH,
            "max_bytes": MAX_BYTES,
            "expires": int(EXPIRES * 1e9),
            "idle_heartbeat": int(HEARTBEAT * 1e9),
        }
        await self._bus.publish(self._subject, orjson.dumps(request), reply=self._inbox)
        self._outstanding += BATCH

    async def _receive(self, message: Message) -> None:
        self._heard = self._clock.monotonic()
        status = message.headers.get("Status") if message.headers else None
        if status is None:
            self._arrived.append(message)
            self._outstanding -= 1
        elif status != "100":
            self._request_ended(status, message)
        self._wake.set()

    def _request_ended(self, status: str, message: Message) -> None:
        """The server closed a request early: 408 expired, 409 for several reasons, 503 nobody there."""
        reason = f"{status} {message.headers.get('Description', '')}".strip()
        pending = message.headers.get("Nats-Pending-Messages")
        self._outstanding -= int(pending) if pending is not None else self._outstanding
        if status == "503" or "Consumer Deleted" in reason:
            self._gone = reason
        elif status not in ("404", "408") and "MaxBytes" not in reason:
            log.info("a pull request ended early", extra={"subject": self._subject, "reason": reason})


def delivered(message: Message) -> tuple[int, int]:
    """(stream sequence, messages still waiting) as the consumer wrote them into the reply subject."""
    parts = message.reply.split(".")
    # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>, and in the newer form
    # with domain and account before the stream and a random token at the end.
    at = 5 if len(parts) == 9 else 7
    return int(parts[at]), int(parts[at + 3])
