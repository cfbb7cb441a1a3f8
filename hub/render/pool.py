"""Worker processes that render, and the queue in front of them.

Each worker has one job at a time; one that dies, hangs or outgrows its memory is replaced, and only its own job fails.
The queue is bounded and fair: applications take turns, so that one with a thousand variants does not hold up another
with one. The event loop only moves bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass
from types import TracebackType

import msgspec

from hub.render.job import PlainJob, Rendered, RenderError
from hub.render.worker import HEADER, READY, Reply, length, pack
from shared.model import Problem

log = logging.getLogger(__name__)

_SMALL = 256 * 1024


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What renders may cost. Times in seconds, memory in bytes of address space of one worker."""

    workers: int = 0
    """0: one per core, at most four."""
    timeout: float = 30.0
    start_timeout: float = 60.0
    memory: int = 1024**3
    waiting: int = 64
    """Jobs in the queue; further callers wait before they are let in."""
    reply_bytes: int = 256 * 1024**2
    jobs_per_worker: int = 5000
    """After so many a worker is replaced, so that nothing that leaks leaks for long."""


@dataclass(slots=True)
class PoolStatistics:
    """Counted since the start; `waiting` and `running` are of now."""

    rendered: int = 0
    failed: int = 0
    killed: int = 0
    started: int = 0
    waiting: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: PlainJob
    result: asyncio.Future[Rendered]


class RenderPool:
    """`async with RenderPool() as pool: await pool.render(job)`."""

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self._limits = limits or PoolLimits()
        self.statistics = PoolStatistics()
        self._turns: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._arrived = asyncio.Condition()
        self._room = asyncio.Semaphore(self._limits.waiting)
        self._tasks: asyncio.TaskGroup | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> RenderPool:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        for number in range(self._limits.workers or min(4, os.cpu_count() or 1)):
            self._workers.append(self._tasks.create_task(self._work(), name=f"render-{number}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        for turn in self._turns.values():
            for waiting in turn:
                waiting.result.cancel()
        self._turns.clear()
        if self._tasks is not None:
            # Not told of the caller's exception, which it would wrap in a group.
            await self._tasks.__aexit__(None, None, None)

    async def render(self, job: PlainJob) -> Rendered:
        """Render in a worker. Cancelling the caller takes a job back that has not begun.

        Raises:
            RenderError: the input is refused, or the render took too long, too much memory, or killed its worker.
        """
        async with self._room:
            if self._closed:
                raise RenderError(
                    (Problem("error", "the hub is stopping", application=job.application),), transient=True
                )
            waiting = _Waiting(job, asyncio.get_running_loop().create_future())
            async with self._arrived:
                self._turns.setdefault(job.application, deque()).append(waiting)
                self.statistics.waiting += 1
                self._arrived.notify()
            return await waiting.result

    async def _next(self) -> _Waiting:
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

    async def _work(self) -> None:
        worker = _Worker(self._limits, self.statistics)
        try:
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

    async def _run(self, worker: _Worker, waiting: _Waiting) -> None:
        try:
            rendered = await worker.render(waiting.job)
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
                waiting.result.set_result(rendered)


class _Worker:
    """One process, started when first needed and again after its end."""

    def __init__(self, limits: PoolLimits, statistics: PoolStatistics) -> None:
        self._limits = limits
        self._statistics = statistics
        self._process: asyncio.subprocess.Process | None = None
        self._jobs = 0
        self._decoder = msgspec.msgpack.Decoder(Reply)

    async def render(self, job: PlainJob) -> Rendered:
        """See `RenderPool.render`."""
        try:
            process = await self.ready()
        except OSError as error:
            raise self._failure(job, f"no worker could be started: {error}") from None
        try:
            frame = pack(job) if _size(job) < _SMALL else await asyncio.to_thread(pack, job)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._failure(job, f"its patches or variables cannot be written down: {error}") from None
        try:
            async with asyncio.timeout(self._limits.timeout):
                reply = await self._exchange(process, frame)
        except TimeoutError:
            await self._kill()
            raise self._failure(job, f"rendering took longer than {self._limits.timeout:g} s and was stopped") from None
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
            code = await self._kill()
            raise self._failure(job, f"rendering ended its worker ({_ending(code)})") from None
        except BaseException:
            await self._kill()
            raise
        self._jobs += 1
        if reply.out_of_memory or self._jobs >= self._limits.jobs_per_worker:
            await self.stop()
        if reply.rendered is not None:
            return reply.rendered
        if reply.out_of_memory:
            raise self._failure(job, f"rendering needs more than {self._limits.memory // 1024**2} MB of memory")
        raise RenderError(reply.problems)

    async def stop(self) -> None:
        """Let the process end."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await process.wait()
                return
        _kill(process)
        await process.wait()

    async def ready(self) -> asyncio.subprocess.Process:
        """The running process; starts it when there is none.

        Raises:
            OSError: it cannot be started, or does not get ready (TimeoutError).
        """
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._jobs = 0
        self._statistics.started += 1
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "hub.render.worker", str(self._limits.memory), str(self._limits.timeout),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal is for the hub, which ends its workers itself.
            start_new_session=True,
            # Nothing of the hub's environment: tokens may be in it.
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._limits.start_timeout):
                await self._read(self._process, len(READY))
        except asyncio.IncompleteReadError:
            raise OSError(f"it ended at once ({_ending(await self._kill())})") from None
        except BaseException:
            await self._kill()
            raise
        return self._process

    async def _read(self, process: asyncio.subprocess.Process, size: int) -> bytes:
        if process.stdout is None:
            raise BrokenPipeError
        return await process.stdout.readexactly(size)

    async def _exchange(self, process: asyncio.subprocess.Process, frame: bytes) -> Reply:
        if process.stdin is None:
            raise BrokenPipeError
        process.stdin.write(frame)
        await process.stdin.drain()
        size = length(await self._read(process, HEADER))
        if size > self._limits.reply_bytes:
            raise BrokenPipeError
        body = await self._read(process, size)
        return self._decoder.decode(body) if size < _SMALL else await asyncio.to_thread(self._decoder.decode, body)

    async def _kill(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        self._statistics.killed += 1
        _kill(process)
        return await process.wait()

    def _failure(self, job: PlainJob, message: str) -> RenderError:
        log.warning("a render was broken off", extra={"application": job.application, "reason": message})
        return RenderError((Problem("error", message, application=job.application),), transient=True)


def _kill(process: asyncio.subprocess.Process) -> None:
    # Not process.kill(): that may reap the child before asyncio does, and the reason of its end would be lost.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _size(job: PlainJob) -> int:
    return sum(len(file.data) for file in job.files)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
