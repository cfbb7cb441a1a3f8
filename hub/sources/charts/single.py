"""A chart that is published as one archive at an address of its own, without an index beside it."""

from __future__ import annotations

import asyncio
import re

from hub.domain.charts import ResolvedChart, Wanted
from hub.sources.charts.answers import check
from hub.sources.charts.cache import Cache, IndexHead, KeptIndex, digest_of
from hub.sources.charts.index import Release, choose
from hub.sources.charts.repository import ARCHIVE_BYTES, conditions
from hub.sources.web import Web
from shared.errors import Unavailable

_ADDRESS = re.compile(r"[^?]*/(?P<name>[^/?]+?)(?:-(?P<version>v?\d+\.\d+\.\d+[^/?]*))?\.tgz(\?.*)?")


def is_archive(base: str) -> bool:
    """Whether an address is that of an archive rather than of a repository."""
    return _ADDRESS.fullmatch(base) is not None


class SingleArchive:
    """The archive at the address `base`. Its version is that in its name; what has none there is any version."""

    def __init__(self, base: str, web: Web, cache: Cache) -> None:
        self.name = base
        self._web = web
        self._cache = cache

    async def refresh(self) -> None:
        """Asks whether the archive has changed, and takes it if so.

        Raises:
            DocumentError: there is none, or it may not be read.
            Unavailable: the server does not answer.
        """
        kept = await asyncio.to_thread(self._cache.index, self.name)
        answer = await self._web.get(self.name, limit=ARCHIVE_BYTES, headers=conditions(kept))
        if answer.status == 304 and kept is not None:
            return
        check(answer, f"chart at {self.name}")
        head = IndexHead(answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", ""))
        await asyncio.to_thread(self._cache.keep_index, self.name, KeptIndex(head, answer.body))

    async def resolve(self, wanted: Wanted) -> ResolvedChart:
        """The archive as of the last look.

        Raises:
            DocumentError: another version is wanted than the one in its name.
            Unavailable: it has not been had yet.
        """
        kept = await self._kept()
        match = _ADDRESS.fullmatch(self.name)
        version = (match["version"] if match is not None else "") or wanted.version or "0.0.0"
        chosen = choose([Release(version, self.name, "")], wanted)
        digest = await asyncio.to_thread(digest_of, kept.body)
        return ResolvedChart(wanted.repo, wanted.chart, chosen.version, digest, self.name)

    async def archive(self, chart: ResolvedChart) -> bytes:  # noqa: ARG002 - there is only one
        """The archive, not yet compared with its digest. May raise as `resolve`."""
        return (await self._kept()).body

    async def _kept(self) -> KeptIndex:
        kept = await asyncio.to_thread(self._cache.index, self.name)
        if kept is None:
            raise Unavailable(f"{self.name} has not been read yet")
        return kept
