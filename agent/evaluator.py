"""Puts questions in CEL to a process of their own, which is started by the first and ended when none come.

The library holds Python's lock while it evaluates and cannot be stopped: an expression that costs a minute would cost
the agent a minute. So the agent waits without blocking, and a process that takes too long ends. At rest nothing of it
is in memory.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec

from agent.domain.expressions import Answer
from shared.errors import YardarmError

COST = 0.2
"""Seconds of processor time for the questions about one object. Usual ones take 20 microseconds."""
PATIENCE = 30.0
"""Seconds for an answer, start included: on a busy machine the process may have to wait for its turn."""
IDLE = 30.0
"""Seconds without a question after which the process is ended."""

_Answers = msgspec.json.Decoder(list[Answer])


class TooCostly(YardarmError):
    """The expressions took more processor time or memory than they may."""


class NoAnswer(YardarmError):
    """There is no answer, through no fault of the expressions."""


class Evaluator:
    """One process for all who share this. A context manager, which ends it."""

    def __init__(self, cost: float = COST) -> None:
        self._cost = cost
        self._turn = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._idle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def running(self) -> bool:
        """Whether there is a process now."""
        return self._process is not None

    async def ask(self, expressions: Sequence[str], about: Mapping[str, Any]) -> list[Answer]:
        """What each of the expressions says of an object.

        Raises:
            TooCostly: they cost more than they may.
            NoAnswer: the process cannot be started, or was ended by somebody else.
        """
        question = msgspec.json.encode({"expressions": expressions, "about": about}) + b"\n"
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            try:
                async with asyncio.timeout(PATIENCE):
                    answers = _Answers.decode(await self._said(question))
            except TimeoutError as error:
                self._end()
                raise NoAnswer(f"there was no answer within {PATIENCE:g} s") from error
            except (OSError, msgspec.DecodeError) as error:
                raise self._why_ended() from error
            except BaseException:
                # An answer that nobody waits for any more must not be taken for the next.
                self._end()
                raise
            self._idle = asyncio.get_running_loop().call_later(IDLE, self._end)
            return answers

    async def _said(self, question: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        line = self._line or self._start()
        await loop.sock_sendall(line, question)
        said = b""
        while not said.endswith(b"\n"):
            more = await loop.sock_recv(line, 64 * 1024)
            if not more:
                raise ConnectionResetError
            said += more
        return said

    def _start(self) -> socket.socket:
        line, other = socket.socketpair()
        line.setblocking(False)
        try:
            with other:
                command = [sys.executable, "-m", "agent.celworker", str(self._cost)]
                ends = other.fileno()
                # Its own session: Ctrl-C is for us. When we die, its input ends, and it with it.
                self._process = subprocess.Popen(command, stdin=ends, stdout=ends, start_new_session=True)  # noqa: S603
        except OSError:
            line.close()
            raise
        self._line = line
        return line

    def _why_ended(self) -> YardarmError:
        process = self._process
        if process is None:
            return NoAnswer("the process that evaluates expressions cannot be started")
        try:
            code = process.wait(1)
        except subprocess.TimeoutExpired:
            return NoAnswer("the process that evaluates expressions answers nonsense")
        finally:
            self._end()
        if code == -signal.SIGVTALRM:
            return TooCostly(f"took more than {self._cost:g} s")
        if code == -signal.SIGKILL:
            return NoAnswer("the process that evaluates expressions was killed")
        return TooCostly(f"needs too much memory, or breaks the evaluator (exit {code})")

    def _end(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        line, self._line = self._line, None
        if line is not None:
            line.close()
        if process is not None:
            process.kill()  # nothing happens to one that has ended already
            process.wait()
