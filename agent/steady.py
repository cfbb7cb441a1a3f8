"""A clock that does not go back, for reports: the hub orders those of a generation by their time."""

from __future__ import annotations

from shared.tasks import Clock

TOLERANCE = 10.0
"""Seconds by which the time kept on disk may be ahead of the clock before the clock is taken to have jumped."""


class SteadyClock(Clock):
    """The time of `clock`, except that it goes on at its own pace when that one jumps back.

    A jump forward is followed: after a suspended machine wakes up, the wall clock is right.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0.0
        self._at = clock.monotonic()

    def not_before(self, saved: float) -> None:
        """Tells of the time at which another process went on from here; see `TOLERANCE`."""
        if self._clock.now() < saved - TOLERANCE:
            self._last = max(self._last, saved + TOLERANCE)

    def now(self) -> float:
        """Unix seconds; never less than before."""
        at = self._clock.monotonic()
        self._last = max(self._clock.now(), self._last + at - self._at) if self._last else self._clock.now()
        self._at = at
        return self._last

    def monotonic(self) -> float:
        """See `Clock`."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await self._clock.sleep(seconds)
