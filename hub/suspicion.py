"""Looks after a cluster whose agent rejected a message: what in its desired state is not ours is written again.

Agents believe only what the hub has signed. Something else in the stream (damage, a foreign writer with the hub's
credentials) does no harm there, but hides what the unit should have from an agent that asks for it. To check every
message at every start would be a minute of work for a large fleet, so it is done when an agent complains.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hub import streams
from hub.publisher import Publisher
from shared import subjects
from shared.bus import Bus, Refused
from shared.errors import InvalidMessage, Unavailable
from shared.messages import Assignment, Root, decode
from shared.model import UnitKey
from shared.signing import Trust
from shared.tasks import Clock

log = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds between two rounds: a message that is bad again and again must not keep the hub busy."""


class Suspicion:
    """Runs on the leading hub."""

    def __init__(
        self, bus: Bus, publisher: Publisher, trust: Trust, again: Callable[[str], None], clock: Clock
    ) -> None:
        """`again` has an application worked out once more."""
        self._bus = bus
        self._publisher = publisher
        self._trust = trust
        self._again = again
        self._clock = clock
        self._doubted: set[str] = set()
        self._asked = asyncio.Event()

    def doubt(self, cluster: str) -> None:
        """Its agent rejected something."""
        self._doubted.add(cluster)
        self._asked.set()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._doubted:
                cluster = self._doubted.pop()
                try:
                    await self._look_at(cluster)
                except (Unavailable, Refused) as error:
                    log.info("desired state is checked later", extra={"cluster": cluster, "error": str(error)})
                    self._doubted.add(cluster)
                    self._asked.set()
                    break
            await self._clock.sleep(PAUSE)

    async def _look_at(self, cluster: str) -> None:
        everything = f"desired.{subjects.token(cluster)}.>"
        async for subject, data, _ in streams.last_per_subject(self._bus, streams.DESIRED.name, everything):
            try:
                about = subjects.parse_desired(subject)
            except InvalidMessage:
                continue  # no unit's subject: nobody reads it
            try:
                self._verify(about, data)
            except InvalidMessage as error:
                log.error("desired state that is not ours", extra={"subject": subject, "error": str(error)})
                self._write_again(about, cluster, data)

    def _verify(self, about: UnitKey | str, data: bytes) -> None:
        if isinstance(about, UnitKey):
            if self._trust.open(data, Assignment).unit != about:
                raise InvalidMessage("an assignment of another unit")
        elif about == "_root":
            self._trust.open(data, Root)

    def _write_again(self, about: UnitKey | str, cluster: str, data: bytes) -> None:
        if isinstance(about, UnitKey):
            self._publisher.distrust(about, _claimed_generation(data))
            self._again(about.application)
        else:
            self._publisher.distrust_root(cluster)


def _claimed_generation(data: bytes) -> int:
    """What has to be outdone."""
    try:
        return decode(data, Assignment).generation
    except InvalidMessage:
        return 0
