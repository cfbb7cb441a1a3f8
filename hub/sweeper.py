"""Takes bundle bodies out of the store that nothing names any more.

A body goes only when two looks an interval apart found it unused, and never while bodies are being stored, so that one
that is about to be assigned again cannot be lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from hub import streams
from hub.publisher import Publisher
from shared.bus import Bus
from shared.errors import Unavailable
from shared.tasks import Clock

log = logging.getLogger(__name__)

INTERVAL = 3600.0
"""Seconds between looks. Bodies are small and shared: there is no hurry."""


class Sweeper:
    """Runs on the leading hub."""

    def __init__(self, bus: Bus, publisher: Publisher, in_use: Callable[[], set[str]], clock: Clock) -> None:
        """`in_use` gives the digests of packs that may be assigned again although no unit has them now."""
        self._bus = bus
        self._publisher = publisher
        self._in_use = in_use
        self._clock = clock
        self._suspects: set[str] = set()

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            await self._clock.sleep(INTERVAL)
            try:
                await self.sweep()
            except Unavailable as error:
                log.info("unused bundle bodies are looked for later", extra={"error": str(error)})

    async def sweep(self) -> int:
        """One look; returns how many blobs it removed."""
        async with self._publisher.storing:
            used = self._publisher.packs() | self._in_use()
            unused = {name for name in await streams.blob_names(self._bus) if name.partition("-")[0] not in used}
            doomed = unused & self._suspects
            self._publisher.not_stored(name.partition("-")[0] for name in doomed)
            for name in sorted(doomed):
                await streams.purge_blob(self._bus, name)
            self._suspects = unused - doomed
        if doomed:
            log.info("unused bundle bodies removed", extra={"blobs": len(doomed)})
        return len(doomed)
