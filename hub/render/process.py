"""One worker process: started when first needed, replaced after its end, killed with everything it has started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, Generic, TypeVar

import msgspec

from hub.render.job import HelmJob, Job, PlainJob, RenderError, Result, RulesJob
from hub.render.worker import HEADER, READY, Reply, length, pack
from shared.model import Problem

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Result)

_SMALL = 256 * 1024
_SAID = 4096
"""Bytes of what a worker wrote before its end that are looked at: a crash of Go prints every goroutine after that."""


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


class Worker(Generic[R]):
    """A process that answers jobs with results of `kind`, one at a time."""

    def __init__(self, kind: type[R], limits: PoolLimits, statistics: PoolStatistics) -> None:
        self._kind = kind
        self._limits = limits
        self._statistics = statistics
        self._process: asyncio.subprocess.Process | None = None
        self._said: IO[bytes] | None = None
        self._jobs = 0
        self._decoder = msgspec.msgpack.Decoder(Reply)

    async def run(self, job: Job) -> R:
        """What comes of a job. See `RenderPool`."""
        try:
            process = await self.ready()
        except OSError as error:
            raise _failure(job, f"no worker could be started: {error}", transient=True) from None
        try:
            frame = pack(job) if _size(job) < _SMALL else await asyncio.to_thread(pack, job)
        except (TypeError, ValueError, OverflowError) as error:
            raise _failure(job, f"its values cannot be written down: {error}", transient=True) from None
        self._hear_anew()
        try:
            async with asyncio.timeout(self._limits.timeout):
                reply = await self._exchange(process, frame)
        except TimeoutError:
            await self._kill()
            message = f"{_what(job)} took longer than {self._limits.timeout:g} s and was stopped"
            raise _failure(job, message, transient=isinstance(job, PlainJob)) from None
        except OverflowError as error:
            await self._kill()
            message = f"what it renders to is larger than {self._limits.reply_bytes // 1024**2} MiB"
            raise _failure(job, message, transient=False) from error
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
            raise await self._ended(job) from None
        except BaseException:
            await self._kill()
            raise
        self._jobs += 1
        if reply.out_of_memory or self._jobs >= self._limits.jobs_per_worker:
            await self.stop()
        if isinstance(reply.result, self._kind):
            return reply.result
        if reply.out_of_memory:
            raise _failure(job, self._too_much_memory(job), transient=isinstance(job, PlainJob))
        raise RenderError(reply.problems)

    async def stop(self) -> None:
        """Let the process end."""
        process, self._process = self._process, None
        self._hear_nothing()
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
        self._hear_nothing()
        self._said = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - as long as the process
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "hub.render.worker", str(self._limits.memory), str(self._limits.timeout),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=self._said,
            # Ctrl-C in a terminal is for the hub, which ends its workers itself, with what they have started.
            start_new_session=True,
            env=_environment(self._limits.memory),
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._limits.start_timeout):
                await self._read(self._process, len(READY))
        except asyncio.IncompleteReadError:
            raise OSError(f"it ended at once ({_ending(await self._kill())}) {self._last_words()}".rstrip()) from None
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
            raise OverflowError(size)
        body = await self._read(process, size)
        return self._decoder.decode(body) if size < _SMALL else await asyncio.to_thread(self._decoder.decode, body)

    async def _ended(self, job: Job) -> RenderError:
        """Why the worker died. A template does it by itself and would do it again; a kill from outside is chance."""
        code = await self._kill()
        said = self._last_words()
        message = f"{_what(job)} ended its worker ({_ending(code)})"
        if "stack" in said and ("exceeds" in said or "overflow" in said):
            message = f"{_what(job)} recursed without end and was stopped"
        elif "out of memory" in said or "cannot allocate memory" in said or "memory allocation error" in said:
            message = self._too_much_memory(job)
        log.info("a worker ended", extra={"application": job.application, "said": said})
        return _failure(job, message, transient=isinstance(job, PlainJob) or code == -signal.SIGKILL)

    async def _kill(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        self._statistics.killed += 1
        _kill(process)
        return await process.wait()

    def _too_much_memory(self, job: Job) -> str:
        return f"{_what(job)} needs more than {self._limits.memory // 1024**2} MB of memory"

    def _last_words(self) -> str:
        if self._said is None:
            return ""
        self._said.seek(0)
        return self._said.read(_SAID).decode(errors="replace").strip()

    def _hear_anew(self) -> None:
        # The worker writes where this file's position is, which both share.
        if self._said is not None:
            self._said.seek(0)
            self._said.truncate()

    def _hear_nothing(self) -> None:
        if self._said is not None:
            self._said.close()
            self._said = None


def _environment(memory: int) -> dict[str, str]:
    """Nothing of the hub's own: tokens may be in it. Go is told to collect well before the limit that kills it."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "GOMEMLIMIT": f"{memory // 3}B",
        "GOMAXPROCS": "2",
    }


def _kill(process: asyncio.subprocess.Process) -> None:
    # Not process.kill(): that may reap the child before asyncio does, and the reason of its end would be lost.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _failure(job: Job, message: str, *, transient: bool) -> RenderError:
    log.warning("a job was broken off", extra={"application": job.application, "reason": message})
    return RenderError((Problem("error", message, application=job.application),), transient=transient)


def _what(job: Job) -> str:
    return "to hold its objects against rules" if isinstance(job, RulesJob) else "rendering"


def _size(job: Job) -> int:
    if isinstance(job, RulesJob):
        return sum(map(len, job.objects))
    return len(job.archive) if isinstance(job, HelmJob) else sum(len(file.data) for file in job.files)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
