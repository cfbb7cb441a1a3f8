"""The list of each cluster's units: what an agent that starts, or has missed a notice, goes by.

A list is written after the assignments it names. One that is too long for a message is not written, holds up no other,
and is a finding until it fits again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from hub.domain import publishing
from hub.domain.publishing import Given, TooLong
from shared import bundle, subjects
from shared.messages import Root, encode
from shared.model import UnitKey
from shared.tasks import Clock

if TYPE_CHECKING:
    from hub.streams import Fence, Writer
    from hub.turns import Turns
    from shared.signing import SigningKey

log = logging.getLogger(__name__)

SHARE = 0.1
"""The part of the time that may go into lists: that of a cluster with thousands costs as much as it is long, and while
thousands are published one after the other, each would be out of date before it is read."""
DELAY = 5.0
"""Seconds that a list may be behind at most."""
LIST_BYTES = 1_000_000
"""Of a list as it travels: a message of NATS has 1 MiB, its subject and headers included."""


class Roots:
    """The lists as this hub last wrote or read them, and which of them are out of date."""

    def __init__(self, writer: Writer, key: SigningKey, turns: Turns, clock: Clock) -> None:
        self._writer = writer
        self._key = key
        self._turns = turns
        self._clock = clock
        self._stored: dict[str, bytes] = {}
        self._stale: set[str] = set()
        self._under_way: set[str] = set()
        self._too_long: dict[str, TooLong] = {}
        self.due = 0.0
        """When the next ones should be written, by the monotonic clock."""

    @property
    def pending(self) -> bool:
        """Whether some list is out of date."""
        return bool(self._stale or self._under_way)

    def too_long(self) -> tuple[TooLong, ...]:
        """The lists that cannot be written, by cluster."""
        return tuple(self._too_long[cluster] for cluster in sorted(self._too_long))

    def read(self, cluster: str, root: Root) -> None:
        """This is in the stream."""
        self._stored[cluster] = encode(msgspec.structs.replace(root, key="", signature=b""))

    def stale(self, clusters: Iterable[str]) -> None:
        """Units of these clusters were given something else."""
        self._stale.update(clusters)

    def distrust(self, cluster: str) -> None:
        """What is in the stream is not ours: it is written again."""
        self._stored.pop(cluster, None)
        self._stale.add(cluster)

    async def write(self, units: Callable[[str], Mapping[UnitKey, Given]], fence: Fence) -> None:
        """Brings the lists up to date that are not. `units` gives those of a cluster.

        Raises:
            Unavailable: not acknowledged; they stay out of date.
            Fenced: another hub leads now.
        """
        start = self._clock.monotonic()
        self._under_way, self._stale = self._stale, set()
        messages, contents = [], {}
        try:
            for cluster in sorted(self._under_way):
                await self._turns.turn()
                listed = dict(units(cluster))
                content, message = await self._made(cluster, listed)
                if self._fits(cluster, len(listed), len(message)) and message:
                    contents[cluster] = content
                    messages.append((subjects.desired_root(cluster), message))
            if messages:
                await self._writer.batch(messages, fence)
                self._stored.update(contents)
        except BaseException:
            self._stale |= self._under_way
            raise
        finally:
            self._under_way = set()
        now = self._clock.monotonic()
        self.due = now + min(DELAY, (now - start) * (1 / SHARE - 1))

    async def _made(self, cluster: str, units: Mapping[UnitKey, Given]) -> tuple[bytes, bytes]:
        """The list and its message; no message when the same list is in the stream."""
        before = self._stored.get(cluster, b"")
        if len(units) < bundle.LONG_LIST:
            return _written(self._key, cluster, units, before)
        return await asyncio.to_thread(_written, self._key, cluster, units, before)

    def _fits(self, cluster: str, units: int, size: int) -> bool:
        if size <= LIST_BYTES:
            self._too_long.pop(cluster, None)
            return True
        # It must not hold up the lists of other clusters, in one write with which it would fail.
        found = TooLong(cluster, units, size, LIST_BYTES)
        if cluster not in self._too_long:
            log.error(found.problem(None).message, extra={"cluster": cluster, "units": units, "bytes": size})
        self._too_long[cluster] = found
        return False


def _written(key: SigningKey, cluster: str, units: Mapping[UnitKey, Given], before: bytes) -> tuple[bytes, bytes]:
    root = bundle.packed_list(publishing.root(cluster, units))
    content = encode(root)
    return content, b"" if content == before else encode(key.sign(root))
