"""The connection to NATS, and the only importer of nats.

A `Bus` outlives outages: nats-py reconnects by itself after a lost connection, but closes for good when the server
refuses it (an expired or revoked user), so `run` makes a new client then, with backoff, and subscribes again.
JetStream is spoken as plain requests: the client library's conveniences lose or delay messages in ways that matter
here (no consumer and no KV watch carries desired state). Measurements: reference notes behind DESIGN section 5.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import nats
import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as ClientSubscription

from shared.credentials import Credentials
from shared.errors import Unavailable, YardarmError
from shared.nkeys import NKey
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)

RECONNECT_LIMIT = 30.0
"""Seconds between attempts at the most; drawn at random from zero up, so that a fleet does not return at once."""


class Message(msgspec.Struct, frozen=True):
    """What came in. `headers` is empty rather than None."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = {}
    reply: str = ""


Callback = Callable[[Message], Awaitable[None]]


class Refused(YardarmError):
    """JetStream said no. `code` is its err_code, e.g. 10071 for a wrong expected sequence."""

    WRONG_SEQUENCE = 10071

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Subscription:
    """What `Bus.subscribe` started. Lasts over reconnections until `end`."""

    def __init__(self, subject: str, callback: Callback, end: Callable[[Subscription], Awaitable[None]]) -> None:
        self.subject = subject
        self.callback = callback
        self.live: ClientSubscription | None = None
        self._end = end

    async def end(self) -> None:
        """No more callbacks once this has returned."""
        await self._end(self)


class Bus:
    """One process's connection. Start `run` in a TaskGroup; everything else may be called at any time.

    Calls made while there is no connection raise `Unavailable` (after waiting for `timeout`): they are not queued.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        credentials: Credentials | None = None,
        clock: Clock | None = None,
        inbox: str = "",
    ) -> None:
        """`url` may be several, comma-separated. `inbox` limits where replies come in (`_INBOX.<cluster>`)."""
        self._urls = url.split(",")
        self._name = name
        self._credentials = credentials
        self._clock = clock or Clock()
        self._inbox = inbox or "_INBOX"
        self._client: Client | None = None
        self._subscriptions: list[Subscription] = []
        self._on_connected: list[Callable[[], None]] = []
        self._up = asyncio.Event()
        self._closed = asyncio.Event()
        self._attempt = 0
        self.last_error = ""
        """Why the last connection failed or a publish was denied, for status."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now, as far as is known."""
        return self._up.is_set()

    async def wait_connected(self) -> None:
        """Returns once there is a connection."""
        await self._up.wait()

    def on_connected(self, callback: Callable[[], None]) -> None:
        """Calls back after every (re)connection: what was published meanwhile has been missed."""
        self._on_connected.append(callback)

    async def run(self) -> None:
        """Keeps a connection until cancelled, then closes it."""
        backoff = Backoff(0.2, RECONNECT_LIMIT)
        while True:
            self._closed.clear()
            try:
                task = asyncio.current_task()
                cancellations = task.cancelling() if task is not None else 0
                self._client = await self._connect()
                if task is not None and task.cancelling() > cancellations:
                    # As in `request`: a cancellation that comes together with the connection is lost in the client.
                    raise asyncio.CancelledError
                backoff.reset()
                await self._closed.wait()
            except (nats.errors.Error, OSError) as error:
                self._lost(error)
            finally:
                self._up.clear()
                client, self._client = self._client, None
                if client is not None:
                    await _close(client)
            await self._clock.sleep(backoff.next())

    def new_inbox(self) -> str:
        """A fresh subject on which this connection may receive answers."""
        return f"{self._inbox}.{secrets.token_hex(8)}"

    async def subscribe(self, subject: str, callback: Callback) -> Subscription:
        """Calls back for every message; lasts over reconnections. A failing callback is logged and goes on."""
        subscription = Subscription(subject, callback, self._unsubscribe)
        self._subscriptions.append(subscription)
        if self._client is not None and self._up.is_set():
            await _activate(self._client, subscription)
        return subscription

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None, *, reply: str = ""
    ) -> None:
        """Core NATS, at most once. `reply` names where answers go, when several are expected."""
        client = await self._connection(0)
        try:
            await client.publish(subject, data, reply=reply, headers=dict(headers) if headers else None)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"NATS did not take a message for {subject}: {error}") from error

    async def request(
        self, subject: str, data: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout: float = 5.0
    ) -> Message:
        """Sends and waits for the answer.

        Raises:
            Unavailable: no connection, nobody answers there, or no answer within `timeout` seconds. A missing
                permission looks the same to the caller; `last_error` then names it.
        """
        client = await self._connection(timeout)
        task = asyncio.current_task()
        cancellations = task.cancelling() if task is not None else 0
        try:
            answer = await client.request(subject, data, timeout=timeout, headers=dict(headers) if headers else None)
            if task is not None and task.cancelling() > cancellations:
                # The client uses asyncio.wait_for, which loses a cancellation that comes together with the answer.
                raise asyncio.CancelledError
        except nats.errors.NoRespondersError as error:
            raise Unavailable(f"nobody answers on {subject}: is the hub's JetStream up?") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable(f"no answer on {subject} within {timeout:g} s: {str(error) or 'timeout'}") from error
        return _message(answer)

    async def publish_stored(
        self,
        subject: str,
        data: bytes,
        *,
        msg_id: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 5.0,
    ) -> int:
        """Publishes into a stream and returns the sequence once it is stored. With `msg_id`, repeats are harmless.

        Raises:
            Unavailable: not acknowledged in time. It may have been stored nevertheless.
            Refused: JetStream said no.
        """
        head = dict(headers or {})
        if msg_id:
            head["Nats-Msg-Id"] = msg_id
        answer = await self.request(subject, data, headers=head, timeout=timeout)
        return int(acknowledged(answer, subject)["seq"])

    async def get_last(self, subject: str, *, timeout: float = 5.0) -> Message | None:
        """The last stored message by direct get (`get.…` or `$JS.API.DIRECT.GET.…`), None if there is none.

        Raises:
            Unavailable: no answer.
        """
        answer = await self.request(subject, timeout=timeout)
        status = answer.headers.get("Status")
        if status == "404":
            return None
        if status is not None:
            raise Unavailable(f"{subject}: {status} {answer.headers.get('Description', '')}")
        return msgspec.structs.replace(answer, subject=answer.headers.get("Nats-Subject", answer.subject))

    async def drop_connection(self) -> None:
        """Closes the connection; `run` makes a new one (used when credentials were renewed)."""
        if self._client is not None:
            await _close(self._client)

    async def _connection(self, timeout: float) -> Client:
        if not self._up.is_set():
            try:
                async with asyncio.timeout(timeout):
                    await self._up.wait()
            except TimeoutError as error:
                reason = f": {self.last_error}" if self.last_error else ""
                raise Unavailable(f"no connection to NATS at {', '.join(self._urls)}{reason}") from error
        if self._client is None:
            raise Unavailable("the connection to NATS is being closed")
        return self._client

    async def _connect(self) -> Client:
        options: dict[str, Any] = {}
        if self._credentials is not None:
            key, jwt = NKey.parse(self._credentials.seed), self._credentials.jwt
            options["user_jwt_cb"] = lambda: bytearray(jwt.encode())
            options["signature_cb"] = lambda nonce: base64.b64encode(key.sign(nonce.encode()))
        client = Client()
        try:
            await self._connected(client, options)
        except BaseException:
            await _close(client)  # a cancellation half-way leaves a socket that nobody else knows of
            raise
        self._attempt = 0
        self._client = client
        self._announce()
        return client

    async def _connected(self, client: Client, options: Mapping[str, Any]) -> None:
        """Connects, with everything that was subscribed to."""
        await client.connect(
            self._urls,
            name=self._name,
            inbox_prefix=self._inbox,
            connect_timeout=10,
            reconnect_time_wait=random.randint(1, 4),  # noqa: S311 - until the first success
            max_reconnect_attempts=-1,
            reconnect_to_server_handler=self._delay,
            max_outstanding_pings=2,
            ping_interval=20,
            error_cb=self._failed,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            closed_cb=self._was_closed,
            pending_size=8 * 1024 * 1024,
            **options,
        )
        for subscription in self._subscriptions:
            await _activate(client, subscription)
        await client.flush()

    async def _unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
        if subscription.live is not None and self._client is not None:
            try:
                await subscription.live.unsubscribe()
            except nats.errors.Error as error:  # the connection went first
                log.debug("ending a subscription failed", extra={"error": str(error)})

    def _announce(self) -> None:
        self._up.set()
        log.info("connected to NATS", extra={"server": str(self._urls[0])})
        for callback in self._on_connected:
            callback()

    def _delay(self, _servers: object, _info: object) -> tuple[None, float]:
        self._attempt += 1
        ceiling = min(RECONNECT_LIMIT, 0.1 * 2 ** min(self._attempt, 16))
        return None, random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret

    async def _failed(self, error: Exception) -> None:
        self.last_error = str(error) or type(error).__name__
        log.warning("NATS reports an error", extra={"error": self.last_error})

    async def _disconnected(self) -> None:
        self._up.clear()

    async def _reconnected(self) -> None:
        self._attempt = 0
        self._announce()

    async def _was_closed(self) -> None:
        self._up.clear()
        self._closed.set()

    def _lost(self, error: Exception) -> None:
        self.last_error = str(error) or type(error).__name__
        log.warning("no connection to NATS", extra={"error": self.last_error})


def acknowledged(answer: Message, subject: str) -> dict[str, Any]:
    """The body of a JetStream answer.

    Raises:
        Refused: it holds an error.
        Unavailable: it is no JetStream answer.
    """
    try:
        body = orjson.loads(answer.data)
    except orjson.JSONDecodeError as error:
        raise Unavailable(f"{subject}: not an answer of JetStream") from error
    if "error" in body:
        problem = body["error"]
        raise Refused(f"{subject}: {problem.get('description')}", int(problem.get("err_code", 0)))
    return dict(body)


async def _activate(client: Client, subscription: Subscription) -> None:
    callback = _shielded(subscription.subject, subscription.callback)
    subscription.live = await client.subscribe(subscription.subject, cb=callback)


def _message(received: Msg) -> Message:
    return Message(received.subject, received.data, received.headers or {}, received.reply or "")


def _shielded(subject: str, callback: Callback) -> Callable[[Msg], Awaitable[None]]:
    async def deliver(received: Msg) -> None:
        try:
            await callback(_message(received))
        except Exception:
            log.exception("a message was not handled", extra={"subject": received.subject, "subscription": subject})

    return deliver


async def _close(client: Client) -> None:
    try:
        await client.close()
    except (nats.errors.Error, OSError) as error:
        log.debug("closing the NATS connection failed", extra={"error": str(error)})
