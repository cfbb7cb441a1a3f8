"""How a command ends: exit code 0 is fine, 1 is trouble found or met, 2 is wrong usage."""

from __future__ import annotations

import errno
from typing import NoReturn

from shared.errors import YardarmError

FOUND_TROUBLE = 1
USAGE = 2


class Trouble(YardarmError):
    """Ends the command with a message on standard error; `code` is the exit code."""

    def __init__(self, message: str, code: int = FOUND_TROUBLE) -> None:
        super().__init__(message)
        self.code = code


def usage(message: str) -> NoReturn:
    """Ends the command because of how it was called."""
    raise Trouble(message, USAGE)


def why(failure: BaseException, port: int) -> YardarmError:
    """What to tell of a failed TaskGroup that served on `port`: the first error in it is why."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if isinstance(failure, OSError) and failure.errno == errno.EADDRINUSE:
        return Trouble(f"port {port} is taken by another program: choose another, or 0 for a free one")
    return failure if isinstance(failure, YardarmError) else Trouble(str(failure))
