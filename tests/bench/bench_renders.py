"""Renders of a small application (ten objects) per second: through the hub's worker processes, and by a bare call.

The floor is the pure function in one process, so that with two workers on two cores half of it would be perfect. While
the pool renders, a 10 ms timer in the same event loop shows how late the hub would be for everything else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

import msgspec

from hub.render.job import File, PlainJob
from hub.render.plain import render
from hub.render.pool import RenderPool
from tests.bench.figures import Figure, percentile
from tests.bench.rig import say, workspace
from tests.bench.workload import write_application
from tests.fakes.gitrepo import GitRepo

RENDERS = 1000
CALLERS = 64
TICK = 0.01
LATE_LIMIT = 50.0


async def measure() -> list[Figure]:
    with workspace("renders") as folder:
        job = _job(folder)
    bare = _bare(job)
    idle = await _ticks(asyncio.sleep(2))
    async with RenderPool() as pool:
        await asyncio.gather(*(pool.render(_named(job, number)) for number in range(20)))  # the workers are up
        start = time.monotonic()
        late = await _ticks(_render_all(pool, job))
        seconds = time.monotonic() - start
        workers = pool.statistics.started
    say(f"{RENDERS / seconds:.0f} renders a second by {workers} workers, {RENDERS / bare:.0f} by a bare call")
    return [
        Figure(f"time of one render of 10 objects, by {workers} workers", seconds / RENDERS * 1000, "ms",
               bare / RENDERS * 1000, note=f"{RENDERS / seconds:.0f} a second, a bare call {RENDERS / bare:.0f}"),
        Figure("event loop while rendering: a 10 ms timer is late by, p99", percentile(late, 0.99) * 1000, "ms",
               percentile(idle, 0.99) * 1000, limit=LATE_LIMIT, note="the floor is the same loop doing nothing"),
    ]  # fmt: skip


def _job(folder: Path) -> PlainJob:
    repo = GitRepo(folder)
    write_application(repo, "shop", "shop")
    files = tuple(File(path.name, path.read_bytes()) for path in sorted((folder / "shop").iterdir()))
    job = PlainJob(application="shop", namespace="shop", files=files)
    if len(render(job).objects) != 10:
        raise RuntimeError("the application has not ten objects")
    return job


def _named(job: PlainJob, number: int) -> PlainJob:
    """A job of its own for each render; a comment in every file defeats all memory of earlier ones."""
    comment = f"# {number}\n".encode()
    files = tuple(msgspec.structs.replace(file, data=file.data + comment) for file in job.files)
    return msgspec.structs.replace(job, application=f"app-{number}", files=files)


def _bare(job: PlainJob) -> float:
    """Seconds that the renders take in this process, one after the other."""
    jobs = [_named(job, -number) for number in range(RENDERS)]
    start = time.monotonic()
    for each in jobs:
        render(each)
    return time.monotonic() - start


async def _render_all(pool: RenderPool, job: PlainJob) -> None:
    waiting = iter(range(100, 100 + RENDERS))

    async def caller() -> None:
        for number in waiting:
            await pool.render(_named(job, number))

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(caller())


async def _ticks(work: Awaitable[None]) -> list[float]:
    """How late a timer was, in seconds, each time it came while `work` ran."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            late.append(time.monotonic() - due)

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        await work
        ticking.cancel()
    return late
