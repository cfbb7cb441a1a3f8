"""Why a SOPS document was not opened."""

from __future__ import annotations

from shared.errors import YardarmError


class NotOpened(YardarmError):
    """It was changed since it was encrypted, or is encrypted in a way that is not supported. Holds no secret."""


class NoKey(NotOpened):
    """None of the keys at hand can open it."""
