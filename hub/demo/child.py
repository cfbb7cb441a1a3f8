"""A process of the demo's own that never outlives it, however the demo ends.

It runs in a session of its own, so that Ctrl-C in the terminal reaches only the demo, which then ends it in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

STOP_LIMIT = 10.0
"""Seconds for an orderly end before it is killed."""

# Waits for the demo's end of the pipe to close, which the kernel does however the demo dies.
_GUARD = 'read -r _; kill -TERM "$1" && sleep 5 && kill -KILL "$1"'


class Child:
    """`async with Child(command, log=file) as child:` runs a command; its output goes to the end of `log`."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self._command = command
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._guard: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Child:
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._guard = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _GUARD,
            "demo-guard",
            str(self._process.pid),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(STOP_LIMIT):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        await self._end_guard()

    async def ended(self) -> int:
        """Waits for it to end by itself and returns its exit code."""
        return await self._process.wait() if self._process is not None else 0

    def last_lines(self) -> str:
        """The end of its output, for an error message."""
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
        except OSError as error:
            return f"(no log: {error})"

    async def _end_guard(self) -> None:
        """Only after the process is gone: the guard must not signal one that got its number later."""
        if self._guard is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._guard.kill()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        await self._guard.wait()
