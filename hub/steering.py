"""What people want done with rollouts, on its way from whichever hub was asked to the one that leads.

Requests and holds are records in the hub's store. A request is there until the leading hub has carried it out and
stored what came of it: none is lost with a hub, and none is carried out twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
import zstandard

from hub.domain.requests import Asked
from hub.domain.runs import Hold
from hub.store import ABSENT, Conflict, Store
from shared import bundle
from shared.errors import InvalidMessage, Unavailable
from shared.messages import encode
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

REQUESTS = "ask"
HOLDS = "hold"
KEPT_FOR = 7 * 86400
"""Seconds after which a request that no hub has carried out is forgotten."""
LIMIT = 64 * 1024**2


class Steering:
    """On the leading hub: hands requests on, and forgets those that are done."""

    def __init__(self, store: Store, ask: Callable[[str, Asked], None], clock: Clock) -> None:
        self._store = store
        self._ask = ask
        self._clock = clock
        self._done: Mailbox[str, None] = Mailbox()

    async def load(self) -> None:
        """Hands on what was asked before this hub began to lead."""
        async for key, data, _ in self._store.items(REQUESTS):
            self.heard(key, data)

    def heard(self, key: str, data: bytes) -> None:
        """A record of the store; others than requests are passed over."""
        if not key.startswith(f"{REQUESTS}."):
            return
        try:
            asked = msgspec.json.decode(bundle.decompress(data, LIMIT), type=Asked)
        except (InvalidMessage, msgspec.DecodeError) as error:
            log.warning("a stored request cannot be read", extra={"key": key, "error": str(error)})
            return
        self._ask(key.split(".")[1], asked)

    def done(self, application: str, asked: Asked) -> None:
        """What came of it is stored."""
        self._done.put(_key(application, asked), None)

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(0.5, 30)
        while True:
            key, _ = await self._done.get()
            try:
                await self._store.delete(key)
                backoff.reset()
            except Conflict:
                log.info("a request was forgotten already", extra={"key": key})
            except Unavailable as error:
                self._done.put_back(key, None)
                log.info("a request is not forgotten yet", extra={"key": key, "error": str(error)})
                await self._clock.sleep(backoff.next())


async def ask(store: Store, application: str, asked: Asked) -> None:
    """Stores a request, for whichever hub leads. May raise `Unavailable`; again is harmless."""
    data = zstandard.ZstdCompressor().compress(encode(asked))
    await store.put(_key(application, asked), data, ttl=KEPT_FOR)


async def hold(store: Store, application: str, new: Hold) -> None:
    """Stores a hold, in place of one of the same scope. May raise `Unavailable`; again is harmless."""

    def with_new(holds: tuple[Hold, ...]) -> tuple[Hold, ...]:
        return (*(each for each in holds if not _same_scope(each, new.cluster, new.environment)), new)

    await _change(store, application, with_new)


async def release(store: Store, application: str, cluster: str, environment: str) -> int:
    """Removes the hold of exactly this scope; returns how many there were. May raise `Unavailable`."""
    count = 0

    def without(holds: tuple[Hold, ...]) -> tuple[Hold, ...]:
        nonlocal count
        left = tuple(each for each in holds if not _same_scope(each, cluster, environment))
        count = len(holds) - len(left)
        return left

    await _change(store, application, without)
    return count


def holds_in(key: str, data: bytes) -> tuple[str, tuple[Hold, ...]]:
    """(application, its holds) of a record whose key begins with `HOLDS`.

    Raises:
        InvalidMessage: it cannot be read.
    """
    try:
        return key.split(".", 1)[1], msgspec.json.decode(data, type=tuple[Hold, ...])
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"not a record of holds: {error}") from error


async def _change(store: Store, application: str, change: Callable[[tuple[Hold, ...]], tuple[Hold, ...]]) -> None:
    """An empty list stays as a record: other hubs hear of what is written, not of what is deleted."""
    key = f"{HOLDS}.{application}"
    while True:
        found = await store.get(key)
        before = holds_in(key, found[0])[1] if found is not None else ()
        after = change(before)
        if after == before:
            return
        try:
            await store.put(key, msgspec.json.encode(after), found[1] if found is not None else ABSENT)
        except Conflict:
            continue
        return


def _same_scope(hold: Hold, cluster: str, environment: str) -> bool:
    return (hold.cluster, hold.environment) == (cluster, environment)


def _key(application: str, asked: Asked) -> str:
    return f"{REQUESTS}.{application}.{asked.id}"
