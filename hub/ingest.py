"""From a stream into a sink, as fast as the sink goes: how reports and events reach the hub.

A durable consumer remembers how far the sink got. A batch is acknowledged only after the sink has stored it, so
after a crash some messages come again: sinks must not mind.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from hub.pull import Pull
from shared.bus import Bus, Message, Refused, acknowledged
from shared.errors import Unavailable
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)

Sink = Callable[[Sequence[Message]], Awaitable[None]]

ACK_WAIT = 30
"""Seconds until what was not acknowledged is sent again."""
MAX_UNACKNOWLEDGED = 20_000
RETRY_LIMIT = 10.0
"""Seconds between attempts at the most, while NATS or the sink's store is away."""


class Ingest:
    """Carries messages of one stream into `sink`. One `Ingest` per durable name at a time."""

    def __init__(
        self,
        bus: Bus,
        stream: str,
        durable: str,
        sink: Sink,
        *,
        subject: str = "",
        clock: Clock | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """`durable` names the place to resume from. `subject` limits what comes; empty: everything.

        `config` is laid over the consumer's configuration, in JetStream's words: where to start, when to be forgotten.
        """
        self._bus = bus
        self._stream = stream
        self._durable = durable
        self._sink = sink
        self._subject = subject
        self._clock = clock or Clock()
        self._config = dict(config or {})
        self._pull: Pull | None = None
        self.count = 0
        """Messages stored by the sink so far."""
        bus.on_connected(self._reconnected)

    async def run(self) -> None:
        """Until cancelled. Outlives outages, a deleted consumer, and `Unavailable` from the sink.

        Other errors of the sink come through, and the batch comes again after `ACK_WAIT`.
        """
        backoff = Backoff(0.1, RETRY_LIMIT)
        while True:
            try:
                await self._prepare_consumer()
                async with Pull(self._bus, self._stream, self._durable, self._clock) as pull:
                    self._pull = pull
                    await self._carry(pull, backoff)
            except (Refused, Unavailable) as error:
                log.info("reading a stream is interrupted", extra=self._place(error))
            finally:
                self._pull = None
            await self._clock.sleep(backoff.next())

    async def _carry(self, pull: Pull, backoff: Backoff) -> None:
        while True:
            batch = await pull.take()
            backoff.reset()
            await self._store(batch)
            self.count += len(batch)
            await self._bus.publish(batch[-1].reply, b"+ACK")

    async def _store(self, batch: Sequence[Message]) -> None:
        backoff = Backoff(0.1, RETRY_LIMIT)
        while True:
            try:
                await self._sink(batch)
            except Unavailable as error:
                log.warning("a batch cannot be stored yet", extra=self._place(error) | {"messages": len(batch)})
                await self._clock.sleep(backoff.next())
            else:
                return

    async def _prepare_consumer(self) -> None:
        config: dict[str, Any] = {
            "name": self._durable,
            "durable_name": self._durable,
            "deliver_policy": "all",
            "ack_policy": "all",
            "ack_wait": ACK_WAIT * 10**9,
            "max_ack_pending": MAX_UNACKNOWLEDGED,
            **self._config,
        }
        path = f"$JS.API.CONSUMER.CREATE.{self._stream}.{self._durable}"
        if self._subject:
            config["filter_subject"] = self._subject
            path += f".{self._subject}"
        request = orjson.dumps({"stream_name": self._stream, "config": config})
        acknowledged(await self._bus.request(path, request), path)
        # What was on its way to an earlier connection comes again at once instead of after ACK_WAIT.
        path = f"$JS.API.CONSUMER.RESET.{self._stream}.{self._durable}"
        acknowledged(await self._bus.request(path), path)

    def _reconnected(self) -> None:
        if self._pull is not None:
            self._pull.interrupt("reconnected")

    def _place(self, error: Exception) -> dict[str, str]:
        return {"stream": self._stream, "consumer": self._durable, "error": str(error)}
