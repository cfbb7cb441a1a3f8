"""Keeps application records over restarts: shows each at once, stores the newest of each behind it."""

from __future__ import annotations

import logging

import msgspec

from hub.domain.records import ApplicationInfo
from hub.store import Store
from hub.view import View
from shared.bus import Bus
from shared.errors import Unavailable
from shared.messages import encode
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

PREFIX = "application"


class Shelf:
    """Give it records; `run` stores them."""

    def __init__(self, bus: Bus, view: View, clock: Clock) -> None:
        self._store = Store(bus)
        self._view = view
        self._clock = clock
        self._pending: Mailbox[str, ApplicationInfo | None] = Mailbox()

    async def load(self) -> dict[str, ApplicationInfo]:
        """What an earlier process kept, shown in the view too. A record this build cannot read is left out."""
        found: dict[str, ApplicationInfo] = {}
        async for key, data, _ in self._store.items(PREFIX):
            try:
                info = msgspec.json.decode(data, type=ApplicationInfo)
            except msgspec.DecodeError as error:
                log.warning("a stored application cannot be read", extra={"key": key, "error": str(error)})
                continue
            found[info.name] = info
            self._view.application_changed(info)
        return found

    def application_changed(self, info: ApplicationInfo) -> None:
        """Shows it now, stores it soon."""
        self._view.application_changed(info)
        self._pending.put(info.name, info)

    def application_removed(self, name: str) -> None:
        """Forgets it."""
        self._view.application_removed(name)
        self._pending.put(name, None)

    async def run(self) -> None:
        """Stores until cancelled. While NATS is away the newest of each waits."""
        backoff = Backoff(0.5, 30)
        while True:
            name, info = await self._pending.get()
            try:
                if info is None:
                    await self._store.delete(f"{PREFIX}.{name}")
                else:
                    await self._store.put(f"{PREFIX}.{name}", encode(info))
                backoff.reset()
            except Unavailable as error:
                self._pending.put_back(name, info)
                log.warning("an application record waits to be stored", extra={"error": str(error)})
                await self._clock.sleep(backoff.next())
