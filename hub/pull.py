"""Reading a JetStream consumer fast: several pull requests in flight, answers on one inbox.

The client library's `fetch` costs 25 µs a message and stalls now and then; this costs a fifth and asks for more while
earlier messages are still coming. At most one and a half batches are held here, so a slow reader slows the server.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import NamedTuple

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


class Pull:
    """The messages of one pull consumer. Use as `async with`, with one reader."""

    def __init__(self, bus: Bus, stream: str, consumer: str, clock: Clock | None = None) -> None:
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = bus.new_inbox()
        self._clock = clock or Clock()
        self._arrived: list[Message] = []
        self._outstanding = 0
        self._last = 0
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

    def interrupt(self, reason: str) -> None:
        """Ends it: `take` raises, also when it is waiting now."""
        self._gone = reason
        self._wake.set()

    async def take(self) -> list[Message]:
        """All that has come; waits for at least one message. Nothing is missing between what it returns.

        Raises:
            Unavailable: no connection, the consumer was deleted, messages were lost on the way, or no sign of life
                for some heartbeats. Prepare the consumer again and use a new Pull.
        """
        while True:
            if self._gone:
                raise Unavailable(f"{self._subject}: {self._gone}")
            if self._outstanding <= BATCH // 2:
                await self._ask()
            if self._arrived:
                taken, self._arrived = self._arrived, []
                self._check_gap(taken)
                return taken
            self._wake.clear()
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._wake.wait()
            except TimeoutError:
                self._check_silence()

    def _check_gap(self, taken: list[Message]) -> None:
        """A connection that broke loses what was on its way, and acknowledging the next would confirm that too."""
        first, last = Delivery.of(taken[0]).number, Delivery.of(taken[-1]).number
        if last - first + 1 != len(taken) or self._last not in (0, first - 1):
            raise Unavailable(f"{self._subject}: messages were lost after delivery {self._last}")
        self._last = last

    def _check_silence(self) -> None:
        silent = self._clock.monotonic() - self._heard
        if silent > 2 * HEARTBEAT:
            raise Unavailable(f"{self._subject}: nothing heard for {silent:.0f} s")

    async def _ask(self) -> None:
        request = {
            "batch": BATCH,
            "max_bytes": MAX_BYTES,
            "expires": int(EXPIRES * 1e9),
            "idle_heartbeat": int(HEARTBEAT * 1e9),
        }
        await self._bus.publish(self._subject, orjson.dumps(request), reply=self._inbox)
        if self._outstanding <= 0:
            self._heard = self._clock.monotonic()  # no heartbeats while nothing was asked for
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


class Delivery(NamedTuple):
    """What a consumer writes into the reply subject of a message."""

    sequence: int
    """Of the message in its stream."""
    number: int
    """Counts this consumer's deliveries, without gaps."""
    waiting: int
    """Messages still to be delivered."""

    @classmethod
    def of(cls, message: Message) -> Delivery:
        """Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`."""
        parts = message.reply.split(".")
        # The newer form has domain and account before the stream, and a random token at the end.
        at = 5 if len(parts) == 9 else 7
        return cls(int(parts[at]), int(parts[at + 1]), int(parts[at + 3]))


def stored_at(message: Message) -> float:
    """When the server stored a message, unix seconds, as the consumer wrote it into the reply subject."""
    parts = message.reply.split(".")
    return int(parts[7 if len(parts) == 9 else 9]) / 1e9
