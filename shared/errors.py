"""The error tree.

    YardarmError
    ├── DocumentError      a file a person wrote is wrong: names file, line and field
    ├── InvalidMessage     a payload from the wire cannot be read, or says what its sender may not say
    │   ├── InvalidSignature   not signed by a hub key that is trusted here
    │   └── DigestMismatch     the bytes are not those the name promises
    └── Unavailable        a peer (NATS, Git, Kubernetes) did not answer; trying again makes sense

Third-party exceptions stop at the adapter that caused them and become one of these. Every message says what is
wrong and, where there is something to do, what to do; the parts are on the instance for programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.model import Place


class YardarmError(Exception):
    """Root of all errors raised on purpose. `str()` is fit for a person."""


class DocumentError(YardarmError):
    """Something a person wrote cannot be used.

    `place` names file, line and field; `hint` says what to do and may be empty.
    """

    def __init__(self, message: str, place: Place | None = None, hint: str = "") -> None:
        self.message = message
        self.place = place
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place is not None else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class InvalidMessage(YardarmError):
    """A payload that cannot be read or must not be believed. It is dropped, logged and reported; never retried."""


class InvalidSignature(InvalidMessage):
    """The signature is missing, wrong, or made with a key that is not trusted."""


class DigestMismatch(InvalidMessage):
    """Content does not hash to the digest that names it."""


class Unavailable(YardarmError):
    """A peer did not answer in time or refused for now. `retry_after` is in seconds, None when not said."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
