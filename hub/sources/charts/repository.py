"""A chart repository over HTTP: an index, fetched again only when it has changed, and archives."""

from __future__ import annotations

import asyncio
import functools

from hub.domain.charts import ResolvedChart, Wanted
from hub.sources.charts.answers import check
from hub.sources.charts.cache import Cache, IndexHead, KeptIndex, digest_of
from hub.sources.charts.index import FILE, Release, choose, releases, resolved
from hub.sources.web import Web
from shared.errors import Unavailable

INDEX_BYTES = 64 * 1024**2
"""The largest public repositories have a third of it."""
ARCHIVE_BYTES = 32 * 1024**2


class HttpRepository:
    """The repository below the address `base`."""

    def __init__(self, base: str, web: Web, cache: Cache) -> None:
        self.name = base
        self._web = web
        self._cache = cache
        # The index itself is on disk only: it may be large.
        self._known: dict[str, tuple[Release, ...]] = {}

    async def refresh(self) -> None:
        """Asks whether the index has changed, and takes it if so.

        Raises:
            DocumentError: there is none, or it may not be read.
            Unavailable: the server does not answer.
        """
        kept = await asyncio.to_thread(self._cache.index, self.name)
        answer = await self._web.get(
            self._address(), limit=INDEX_BYTES, headers={"Accept-Encoding": "gzip", **conditions(kept)}
        )
        if answer.status == 304 and kept is not None:
            return
        check(answer, f"index of a chart repository at {self.name}")
        head = IndexHead(answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", ""))
        await asyncio.to_thread(releases, answer.body, "", self.name)  # before it takes the place of a good one
        if kept is None or kept.body != answer.body:
            self._known.clear()
        if kept is None or kept != KeptIndex(head, answer.body):
            await asyncio.to_thread(self._cache.keep_index, self.name, KeptIndex(head, answer.body))

    async def resolve(self, wanted: Wanted) -> ResolvedChart:
        """The release that is meant, as of the last index; without one, it is fetched.

        Raises:
            DocumentError: the repository has no such chart or version.
            Unavailable: there is no index, or the archive of a release without a digest cannot be had.
        """
        found = self._known.get(wanted.chart)
        if found is None:
            found = self._known[wanted.chart] = await self._releases(wanted.chart)
        chosen = resolved(choose(found, wanted), wanted, self.name)
        if chosen.digest:
            return chosen
        created = next(each.created for each in found if each.version == chosen.version)
        return await self._named(chosen, created)

    async def archive(self, chart: ResolvedChart) -> bytes:
        """The archive, not yet compared with its digest. May raise as `Web.get` and `check`."""
        return check(await self._web.get(chart.url, limit=ARCHIVE_BYTES), f"chart {chart.file}").body

    async def _releases(self, chart: str) -> tuple[Release, ...]:
        kept = await asyncio.to_thread(self._cache.index, self.name)
        if kept is None:
            raise Unavailable(f"{self.name} has not been read yet")
        return await asyncio.to_thread(functools.partial(releases, kept.body, chart, self._address()))

    async def _named(self, chart: ResolvedChart, created: str) -> ResolvedChart:
        """With the digest of the archive, which this index does not give."""
        key = f"digest {chart.url} {created}"
        known = await asyncio.to_thread(self._cache.note, key)
        if known is None:
            data = await self.archive(chart)
            known = digest_of(data).encode()
            await asyncio.to_thread(self._cache.keep_archive, known.decode(), data)
            await asyncio.to_thread(self._cache.keep_note, key, known)
        return ResolvedChart(chart.repo, chart.chart, chart.version, known.decode(), chart.url)

    def _address(self) -> str:
        base, mark, query = self.name.partition("?")
        return f"{base}/{FILE}{mark}{query}"


def conditions(kept: KeptIndex | None) -> dict[str, str]:
    """Headers that ask only for what is newer than what is kept."""
    headers = {}
    if kept is not None and kept.head.etag:
        headers["If-None-Match"] = kept.head.etag
    if kept is not None and kept.head.modified:
        headers["If-Modified-Since"] = kept.head.modified
    return headers
