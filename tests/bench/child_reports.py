"""Reads REPORTS from beginning to end: into a hub's view, or by a bare nats-py consumer that only counts.

python -m tests.bench.child_reports {view|bare} URL COUNT CLUSTERS; prints the seconds it took, once connected.
"""

from __future__ import annotations

import asyncio
import sys
import time

import nats
from nats.aio.msg import Msg

from hub.loops.reports import ReportsLoop
from hub.metrics import Metrics
from hub.view import View
from shared.bus import Bus
from shared.tasks import Clock
from tests.bench.bench_reports import units
from tests.fakes.natshub import running


async def view(url: str, count: int, clusters: int) -> float:
    """The hub's own loop; the assignments are in the view already."""
    clock = Clock()
    fleet = View(clock)
    fleet.assigned(units(count, clusters))
    async with running(Bus(url, name="view")) as bus:
        loop = ReportsLoop(bus, fleet, Metrics(fleet, "bench"), clock)
        async with asyncio.TaskGroup() as group:
            start = time.monotonic()
            reading = group.create_task(loop.run())
            await loop.loaded.wait()
            seconds = time.monotonic() - start
            reading.cancel()
    heard = sum(record.have is not None for cluster in fleet.clusters.values() for record in cluster.units.values())
    if heard != count:
        raise RuntimeError(f"{heard} of {count} reports are in the view")
    return seconds


async def bare(url: str, count: int, _clusters: int) -> float:
    """An ordered consumer of nats-py."""
    client = await nats.connect(url)
    done, seen = asyncio.Event(), 0

    async def take(_message: Msg) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            done.set()

    start = time.monotonic()
    await client.jetstream().subscribe(
        "report.>", cb=take, ordered_consumer=True, pending_msgs_limit=-1, pending_bytes_limit=-1
    )
    await done.wait()
    seconds = time.monotonic() - start
    await client.close()
    return seconds


if __name__ == "__main__":
    mode, url, count, clusters = sys.argv[1:]
    print(asyncio.run({"view": view, "bare": bare}[mode](url, int(count), int(clusters))))
