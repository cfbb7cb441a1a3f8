"""Workers of one kind, and the queue in front of them.

The queue is bounded and fair: applications take turns, so that one with a thousand variants does not hold up another
with one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Generic

from hub.render.job import Job, RenderError
from hub.render.process import PoolLimits, PoolStatistics, R, Worker
from shared.model import Problem


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[R]):
    job: Job
    result: asyncio.Future[R]


class Crew(Generic[R]):
    """Results of `kind` from as many workers as the limits say."""

    def __init__(self, kind: type[R], limits: PoolLimits) -> None:
        self._kind = kind
        self._limits = limits
        self.statistics = PoolStatistics()
        self._turns: OrderedDict[str, deque[_Waiting[R]]] = OrderedDict()
        self._arrived = asyncio.Condition()
        self._room = asyncio.Semaphore(limits.waiting)
        self._workers: list[asyncio.Task[None]] = []
        self._closed = False

    def start(self, tasks: asyncio.TaskGroup, name: str, *, on_demand: bool) -> None:
        """Works until `close`. `on_demand`: a process starts with its first job."""
        for number in range(self._limits.workers or min(4, os.cpu_count() or 1)):
            self._workers.append(tasks.create_task(self._work(on_demand=on_demand), name=f"{name}-{number}"))

    def close(self) -> None:
        """Ends the workers, and those who wait for them."""
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        for turn in self._turns.values():
            for waiting in turn:
                waiting.result.cancel()
        self._turns.clear()

    async def run(self, job: Job) -> R:
        """The result of a job. Cancelling the caller takes a job back that has not begun.

        Raises:
            RenderError: the input is refused, or the render took too long, too much memory, or killed its worker.
        """
        async with self._room:
            if self._closed:
                raise RenderError(
                    (Problem("error", "the hub is stopping", application=job.application),), transient=True
                )
            waiting: _Waiting[R] = _Waiting(job, asyncio.get_running_loop().create_future())
            async with self._arrived:
                self._turns.setdefault(job.application, deque()).append(waiting)
                self.statistics.waiting += 1
                self._arrived.notify()
            return await waiting.result

    async def _next(self) -> _Waiting[R]:
        """The oldest job of the application whose turn it is."""
        async with self._arrived:
            while True:
                await self._arrived.wait_for(lambda: self._turns)
                application, turn = self._turns.popitem(last=False)
                waiting = turn.popleft()
                self.statistics.waiting -= 1
                if turn:
                    self._turns[application] = turn
                if not waiting.result.done():
                    return waiting

    async def _work(self, *, on_demand: bool) -> None:
        worker = Worker(self._kind, self._limits, self.statistics)
        try:
            if not on_demand:
                with contextlib.suppress(OSError):  # said again, with the job's name, when there is one
                    await worker.ready()
            while True:
                waiting = await self._next()
                self.statistics.running += 1
                try:
                    await self._run(worker, waiting)
                finally:
                    self.statistics.running -= 1
        finally:
            await worker.stop()

    async def _run(self, worker: Worker[R], waiting: _Waiting[R]) -> None:
        try:
            result = await worker.run(waiting.job)
        except RenderError as error:
            self.statistics.failed += 1
            if not waiting.result.done():
                waiting.result.set_exception(error)
        except BaseException:
            waiting.result.cancel()
            raise
        else:
            self.statistics.rendered += 1
            if not waiting.result.done():
                waiting.result.set_result(result)
