"""All charts that the fleet is made of: which version is meant, kept up to date by one poller, and the archives.

A resolution that was good stays while its repository cannot be read, as do archives that were fetched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from hub.domain.charts import ResolvedChart, Wanted, repository
from hub.sources.charts.cache import Cache, digest_of
from hub.sources.charts.registry import Registry
from hub.sources.charts.repository import HttpRepository
from hub.sources.charts.single import SingleArchive, is_archive
from hub.sources.charts.watched import ChartSource, Resolutions, WatchedSource
from hub.sources.poller import Pace, Poller
from hub.sources.web import Web
from shared.errors import DocumentError
from shared.tasks import Clock

log = logging.getLogger(__name__)

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class WatchedChart:
    """A chart as it is known now. `resolved` is None until its repository was read.

    With an `error`, `resolved` is the last good one, and `error_since` (unix seconds) says since when it may be old.
    """

    wanted: Wanted
    resolved: ResolvedChart | None
    error: str = ""
    error_since: float = 0.0


class Charts:
    """Give it `on_move`, start `run`, and `watch` what is needed. Without `run`, `resolve` and `archive` work too."""

    def __init__(
        self,
        folder: Path,
        web: Web,
        pace: Pace,
        on_move: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`folder` holds what was fetched; `on_move` is called when something resolves to something else."""
        self._cache = Cache(folder)
        self._web = web
        self._on_move = on_move
        self._clock = clock
        self._sources: dict[str, WatchedSource] = {}
        self._downloads: dict[str, asyncio.Lock] = {}
        self._poller: Poller[Resolutions] = Poller(clock, self._moved, pace)

    async def watch(self, wanted: Wanted) -> WatchedChart:
        """What is known of a chart; it is watched from now on.

        Raises:
            DocumentError: the repository's address or the chart's name cannot be one.
        """
        key, source = self._source(wanted)
        if wanted not in source:
            await source.add(wanted)
            self._poller.watch(key, source)
            self._poller.wake(key)
        status = self._poller.status()[key]
        error, since = (status.error, status.error_since) if status.error else source.failure(wanted)
        return WatchedChart(wanted, source.last.get(wanted), error, since)

    def keep(self, wanted: Collection[Wanted]) -> None:
        """Nothing but these has to be watched."""
        for key, source in list(self._sources.items()):
            for each in source.others(wanted):
                source.discard(each)
            if not source:
                self._poller.forget(key)
                del self._sources[key]

    async def resolve(self, wanted: Wanted) -> ResolvedChart:
        """The chart that is meant now, asked for at once.

        Raises:
            DocumentError: there is no such chart, or it may not be read.
            Unavailable: its repository does not answer.
        """
        _, source = self._source(wanted)
        await source.source.refresh()
        return await source.source.resolve(wanted)

    async def archive(self, chart: ResolvedChart) -> bytes:
        """The chart's archive, which has the digest it was resolved to.

        Raises:
            DocumentError: it is gone, too large, or not what its repository promises.
            Unavailable: it cannot be had now.
        """
        lock = self._downloads.setdefault(chart.digest, asyncio.Lock())
        async with lock:
            known = await asyncio.to_thread(self._cache.archive, chart.digest)
            data = known if known is not None else await self._download(chart)
        if not lock.locked():
            self._downloads.pop(chart.digest, None)
        return data

    def wake(self) -> None:
        """Looks at everything at once."""
        for key in self._sources:
            self._poller.wake(key)

    async def run(self) -> None:
        """Polls until cancelled."""
        try:
            await self._poller.run()
        finally:
            await self.close()

    async def close(self) -> None:
        """Ends the connections; for those who do not `run`."""
        await self._web.close()

    async def _download(self, chart: ResolvedChart) -> bytes:
        _, source = self._source(Wanted(chart.repo, chart.chart, chart.version))
        data = await source.source.archive(chart)
        if not data.startswith(_GZIP):
            raise DocumentError(f"{chart.url} is not a chart archive (.tgz)", hint="it begins like something else")
        found = await asyncio.to_thread(digest_of, data)
        if found != chart.digest:
            raise DocumentError(
                f"{chart.file} from {chart.url} is not what {chart.repo} promises: it has the digest {found},"
                f" not {chart.digest}",
                hint="it was replaced or damaged; nothing of it is used",
            )
        await asyncio.to_thread(self._cache.keep_archive, chart.digest, data)
        return data

    def _source(self, wanted: Wanted) -> tuple[str, WatchedSource]:
        place = repository(wanted)
        key = f"{place.base}/{wanted.chart}".rstrip("/") if place.is_oci else place.base
        known = self._sources.get(key)
        if known is None:
            made: ChartSource
            if place.is_oci:
                made = Registry(place.host, key.removeprefix(f"oci://{place.host}/"), self._web, self._clock)
            elif is_archive(place.base):
                made = SingleArchive(place.base, self._web, self._cache)
            else:
                made = HttpRepository(place.base, self._web, self._cache)
            known = self._sources[key] = WatchedSource(made, self._cache, self._clock)
        return key, known

    async def _moved(self, key: str, _old: Resolutions | None, new: Resolutions) -> None:
        log.info("charts were looked at", extra={"repository": key, "found": len(new.found), "failed": len(new.failed)})
        self._on_move()
