"""Template results that must not be made anew, in the hub's store: charts that draw passwords or make certificates.

The first result for certain inputs stands for good, for every hub and after every restart. It is kept as pieces, which
are written first, and a head that says how many there are: whoever writes the head decides.
"""

from __future__ import annotations

import msgspec
import zstandard

from hub.render.job import Templated
from hub.store import ABSENT, Conflict, Store
from shared.errors import InvalidMessage, Unavailable

PREFIX = "template"
PIECE = 512 * 1024
"""Bytes of one value: half of what NATS takes by default."""
LIMIT = 256 * 1024**2


class _Head(msgspec.Struct, frozen=True):
    pieces: int
    by: str


class KeptTemplates:
    """See `hub.render.templates.Kept`; any call may raise `Unavailable`."""

    def __init__(self, store: Store, name: str) -> None:
        """`name` is this hub's: of two that write at once, each writes pieces of its own."""
        self._store = store
        self._name = name
        self._decoder = msgspec.msgpack.Decoder(Templated)

    async def get(self, digest: str) -> Templated | None:
        """See `hub.render.templates.Kept`."""
        found = await self._store.get(f"{PREFIX}.{digest}.head")
        if found is None:
            return None
        head = msgspec.msgpack.decode(found[0], type=_Head)
        pieces = []
        for number in range(head.pieces):
            piece = await self._store.get(f"{PREFIX}.{digest}.{head.by}.{number}")
            if piece is None:
                raise InvalidMessage(f"piece {number} of the kept template result {digest} is gone from the store")
            pieces.append(piece[0])
        data = zstandard.ZstdDecompressor().decompress(b"".join(pieces), max_output_size=LIMIT)
        return self._decoder.decode(data)

    async def put(self, digest: str, made: Templated) -> Templated:
        """See `hub.render.templates.Kept`."""
        data = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(made))
        pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        for number, piece in enumerate(pieces):
            await self._store.put(f"{PREFIX}.{digest}.{self._name}.{number}", piece)
        head = msgspec.msgpack.encode(_Head(len(pieces), self._name))
        try:
            await self._store.put(f"{PREFIX}.{digest}.head", head, ABSENT)
        except Conflict:
            first = await self.get(digest)
            if first is None:
                raise Unavailable(f"the kept template result {digest} came and went") from None
            return first
        return made
