"""The planning loop's results, kept and shared: the leading hub stores them, and every hub shows them.

The newest of each record is written behind what is shown. Values are zstd: a fleet of ten thousand clusters is some
megabytes as JSON, and NATS takes one.
"""

from __future__ import annotations

import logging
from typing import TypeVar

import msgspec
import zstandard

from hub.domain.records import ApplicationInfo, Fleet
from hub.store import Store
from hub.view import View
from shared import bundle
from shared.bus import Bus, Refused
from shared.errors import InvalidMessage, Unavailable
from shared.messages import encode
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

PREFIX = "shelf"
FLEET = f"{PREFIX}.fleet"
APPLICATION = f"{PREFIX}.application"
GONE = b""
GONE_FOR = 3600
"""Seconds for which a removed record leaves a mark, so that other hubs hear of it."""
LIMIT = 256 * 1024 * 1024

_COMPRESSOR = zstandard.ZstdCompressor(level=3)

T = TypeVar("T", ApplicationInfo, Fleet)


class Shelf:
    """On the leading hub: give it records; `run` stores them."""

    def __init__(self, bus: Bus, view: View, clock: Clock) -> None:
        self._store = Store(bus)
        self._view = view
        self._clock = clock
        self._pending: Mailbox[str, bytes] = Mailbox()

    async def load(self) -> dict[str, ApplicationInfo]:
        """What an earlier leader kept, shown in the view too. A record that cannot be read is left out."""
        found: dict[str, ApplicationInfo] = {}
        async for key, data, _ in self._store.items(APPLICATION):
            try:
                info = _read(data, ApplicationInfo) if data != GONE else None
            except InvalidMessage as error:
                log.warning("a stored application cannot be read", extra={"key": key, "error": str(error)})
                continue
            if info is not None:
                found[info.name] = info
                self._view.application_changed(info)
        return found

    def fleet_changed(self, fleet: Fleet) -> None:
        """Shows it now, stores it soon."""
        self._view.fleet_changed(fleet)
        self._pending.put(FLEET, _written(fleet))

    def application_changed(self, info: ApplicationInfo) -> None:
        """Shows it now, stores it soon."""
        self._view.application_changed(info)
        self._pending.put(f"{APPLICATION}.{info.name}", _written(info))

    def application_removed(self, name: str) -> None:
        """Forgets it."""
        self._view.application_removed(name)
        self._pending.put(f"{APPLICATION}.{name}", GONE)

    async def run(self) -> None:
        """Stores until cancelled. While NATS is away the newest of each waits."""
        backoff = Backoff(0.5, 30)
        while True:
            key, data = await self._pending.get()
            try:
                await self._store.put(key, data, ttl=GONE_FOR if data == GONE else 0)
                backoff.reset()
            except Unavailable as error:
                self._pending.put_back(key, data)
                log.warning("a record waits to be stored", extra={"key": key, "error": str(error)})
                await self._clock.sleep(backoff.next())
            except Refused as error:
                log.error("a record is not stored", extra={"key": key, "error": str(error)})


def show(view: View, key: str, data: bytes) -> None:
    """Shows a record that another hub has stored; keys that are not records are passed over.

    Raises:
        InvalidMessage: it cannot be read.
    """
    if key == FLEET:
        view.fleet_changed(_read(data, Fleet))
    elif key.startswith(f"{APPLICATION}.") and data == GONE:
        view.application_removed(key.rpartition(".")[2])
    elif key.startswith(f"{APPLICATION}."):
        view.application_changed(_read(data, ApplicationInfo))


def _written(record: Fleet | ApplicationInfo) -> bytes:
    return _COMPRESSOR.compress(encode(record))


def _read(data: bytes, kind: type[T]) -> T:
    try:
        record: T = msgspec.json.decode(bundle.decompress(data, LIMIT), type=kind)
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"not a record of a {kind.__name__}: {error}") from error
    return record
