"""Looks at the hub's read model whenever it has changed, and hands on what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from hub.cli.matrix import order_clusters
from hub.demo.progress import Snapshot
from hub.view import UnitFilter, View, read
from shared.tasks import Clock

EVERYTHING = 1_000_000
LEAST = 0.2
"""Seconds between two looks at the least."""
MOST = 1.0
"""Seconds between two looks at the most: silence is news too."""


async def snapshots(view: View, clock: Clock) -> AsyncIterator[Snapshot]:
    """The fleet as it is now, then again after every change, for ever."""
    while True:
        seen = view.feed.number
        yield take(view, clock.now())
        try:
            async with asyncio.timeout(MOST):
                await view.feed.beyond(seen)
        except TimeoutError:
            continue
        await clock.sleep(LEAST)


def take(view: View, now: float) -> Snapshot:
    """All that the demo shows, as the API would answer it."""
    environments = read.environments(view)
    return Snapshot(
        at=now,
        summary=read.summary(view),
        clusters=order_clusters(read.clusters(view, EVERYTHING)[0], environments),
        applications=read.applications(view, EVERYTHING)[0],
        units=read.units(view, UnitFilter(), EVERYTHING)[0],
        drift=read.drift(view, UnitFilter(), EVERYTHING)[0],
        problems=read.problems(view, EVERYTHING)[0],
    )
