"""What is asked of one chart repository, and what came of it at the last look."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from hub.domain.charts import ResolvedChart, Wanted
from hub.sources.charts.cache import Cache
from hub.sources.mirror import Notice
from shared.errors import DocumentError
from shared.tasks import Clock


class ChartSource(Protocol):
    """A chart repository: over HTTP, or one chart of a registry."""

    name: str

    async def refresh(self) -> None:
        """Looks what is new; may raise DocumentError and Unavailable."""

    async def resolve(self, wanted: Wanted) -> ResolvedChart:
        """What is meant as of the last look; may raise DocumentError and Unavailable."""

    async def archive(self, chart: ResolvedChart) -> bytes:
        """Its archive, unchecked; may raise DocumentError and Unavailable."""


@dataclass(frozen=True, slots=True)
class Resolutions:
    """What was found for each that is wanted, and why nothing was found for others."""

    found: Mapping[Wanted, ResolvedChart] = field(default_factory=dict)
    failed: Mapping[Wanted, str] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

    def same_as(self, other: Resolutions | None) -> bool:
        """Whether everything resolves alike."""
        return other is not None and self.found == other.found and self.failed == other.failed


class WatchedSource:
    """One repository with all that is wanted of it. A resolution that was good stays until there is a newer one."""

    def __init__(self, source: ChartSource, cache: Cache, clock: Clock) -> None:
        self.name = source.name
        self.source = source
        self.last: dict[Wanted, ResolvedChart] = {}
        self._cache = cache
        self._clock = clock
        self._wanted: set[Wanted] = set()
        self._failed: dict[Wanted, tuple[str, float]] = {}

    def others(self, wanted: Collection[Wanted]) -> set[Wanted]:
        """What is watched and not among these."""
        return {each for each in self._wanted if each not in wanted}

    def __contains__(self, wanted: Wanted) -> bool:
        return wanted in self._wanted

    def __bool__(self) -> bool:
        return bool(self._wanted)

    async def add(self, wanted: Wanted) -> None:
        """From now on this is looked for too. What an earlier process found is there at once."""
        known = await asyncio.to_thread(self._cache.note, _key(wanted))
        if known is not None and wanted not in self.last:
            with contextlib.suppress(msgspec.DecodeError):
                self.last[wanted] = msgspec.json.decode(known, type=ResolvedChart)
        self._wanted.add(wanted)

    def discard(self, wanted: Wanted) -> None:
        """Nobody wants this any more."""
        self._wanted.discard(wanted)
        self._failed.pop(wanted, None)
        self.last.pop(wanted, None)

    def failure(self, wanted: Wanted) -> tuple[str, float]:
        """Why the last look found nothing for it, and since when that is so; empty when it did."""
        return self._failed.get(wanted, ("", 0.0))

    async def fetch(self) -> Resolutions:
        """Looks at the repository; see `hub.sources.poller.Fetches`."""
        await self.source.refresh()
        found: dict[Wanted, ResolvedChart] = {}
        failed: dict[Wanted, str] = {}
        for wanted in sorted(self._wanted):
            try:
                found[wanted] = await self.source.resolve(wanted)
            except DocumentError as error:
                failed[wanted] = str(error)
        for wanted, chart in found.items():
            if self.last.get(wanted) != chart:
                await asyncio.to_thread(self._cache.keep_note, _key(wanted), msgspec.json.encode(chart))
        self.last |= {wanted: chart for wanted, chart in found.items() if wanted in self._wanted}
        now = self._clock.now()
        self._failed = {
            wanted: (error, self._failed.get(wanted, ("", now))[1])
            for wanted, error in failed.items()
            if wanted in self._wanted
        }
        return Resolutions(found, failed)


def _key(wanted: Wanted) -> str:
    return f"resolved {wanted.repo} {wanted.chart} {wanted.version}"
