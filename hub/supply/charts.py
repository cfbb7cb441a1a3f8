"""Charts as the hub has them: watched, so that an answer is there at once and a good one stays."""

from __future__ import annotations

from collections.abc import Collection

from hub.domain.charts import ResolvedChart, Wanted
from hub.sources.charts.charts import Charts, WatchedChart
from shared.errors import Unavailable
from shared.model import Problem


class WatchedCharts:
    """See `hub.supply.pinned.Charts`."""

    def __init__(self, charts: Charts) -> None:
        self._charts = charts
        self._asked: dict[Wanted, WatchedChart] = {}

    async def resolve(self, wanted: Wanted) -> ResolvedChart:
        """The chart that is meant as of the last look at its repository; it is watched from now on.

        Raises:
            DocumentError: the repository's address or the chart's name cannot be one.
            Unavailable: its repository has not been read yet, or has no such chart.
        """
        watched = self._asked[wanted] = await self._charts.watch(wanted)
        if watched.resolved is None:
            raise Unavailable(watched.error or f"{wanted} has not been looked at yet")
        return watched.resolved

    async def archive(self, chart: ResolvedChart) -> bytes:
        """See `hub.supply.pinned.Charts`."""
        return await self._charts.archive(chart)

    def keep(self, wanted: Collection[Wanted]) -> None:
        """Nothing but these has to be watched."""
        for each in self._asked.keys() - set(wanted):
            del self._asked[each]
        self._charts.keep(wanted)

    def problems(self) -> list[Problem]:
        """What is wrong with repositories whose charts are in use all the same."""
        return [
            Problem("warning", f"{wanted}: {watched.error}; {watched.resolved.version} stays")
            for wanted, watched in self._asked.items()
            if watched.resolved is not None and watched.error
        ]
