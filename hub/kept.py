"""Bundles that may have to be given again: what clusters had before a rollout, and what one under way gives them.

Bundles are named by their content, so that each is stored once for all clusters and rollouts that mean it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping

import msgspec
import zstandard

from hub import streams
from hub.domain.publishing import Body
from hub.store import Store
from shared import bundle, subjects
from shared.bus import Bus
from shared.errors import InvalidMessage
from shared.messages import Assignment, decode, encode
from shared.model import UnitKey
from shared.tasks import together

log = logging.getLogger(__name__)

PREFIX = "body"
TOGETHER = 32
"""Bodies on their way to or from the store at one time."""
LIMIT = 64 * 1024**2


class KeptBodies:
    """Bundle bodies by digest. Any call that waits may raise `Unavailable`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._store = Store(bus)
        self._bodies: dict[str, Body] = {}

    async def load(self) -> None:
        """What an earlier hub kept."""
        async for key, data, _ in self._store.items(PREFIX):
            try:
                body = msgspec.json.decode(bundle.decompress(data, LIMIT), type=Body)
            except (InvalidMessage, msgspec.DecodeError) as error:
                log.error("a kept bundle cannot be read", extra={"key": key, "error": str(error)})
                continue
            self._bodies[body.digest] = body

    def get(self, digest: str) -> Body | None:
        """A body that is kept."""
        return self._bodies.get(digest)

    def packs(self, digests: Iterable[str]) -> set[str]:
        """The digests of the packs that these bodies are made of: they must not be swept away."""
        found = (self._bodies.get(digest) for digest in digests)
        return {pack.digest for body in found if body is not None for pack in body.packs}

    async def keep(self, digests: Iterable[str], known: Mapping[str, Body], given: Mapping[str, UnitKey]) -> None:
        """Keeps bodies: those at hand in `known`, others as they were assigned to the unit that `given` names.

        One that is neither at hand nor assigned any more is left out.
        """

        async def one(digest: str) -> None:
            body = known.get(digest) or await self._assigned(given.get(digest), digest)
            if body is None:
                log.warning("a bundle cannot be kept: it is not at hand", extra={"digest": digest})
                return
            data = zstandard.ZstdCompressor(level=1).compress(encode(body))
            await self._store.put(f"{PREFIX}.{digest}", data)
            self._bodies[digest] = body

        await together(map(one, set(digests) - self._bodies.keys()), TOGETHER)

    async def prune(self, needed: Collection[str]) -> None:
        """Forgets all others."""
        for digest in self._bodies.keys() - set(needed):
            del self._bodies[digest]
            await self._store.delete(f"{PREFIX}.{digest}")

    async def _assigned(self, unit: UnitKey | None, digest: str) -> Body | None:
        data = await streams.last(self._bus, streams.DESIRED.name, subjects.desired(unit)) if unit is not None else None
        assignment = decode(data, Assignment) if data is not None else None
        if assignment is None or assignment.digest != digest:
            return None
        return Body(digest, assignment.policy, assignment.objects, inline=assignment.inline, packs=assignment.packs)
