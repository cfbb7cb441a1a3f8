"""The time of the event loop, shared out among many who have something to work out at the same moment.

Asyncio runs all that is ready before it looks at sockets and timers again. When hundreds of applications go on at once
(the first load of a repository, a batch that is acknowledged), each for a millisecond, the API and every agent wait for
all of them together. Here only so many go on in one round of the loop as there is time for, in the order of asking.
"""

from __future__ import annotations

import asyncio
from collections import deque

from shared.tasks import Clock

ROUND = 0.005
"""Seconds that one round of the loop should take at most."""
MOST = 64
"""Turns in a round, however short they are."""


class Turns:
    """`await turns.turn()` before each stretch of work that takes more than some tenths of a millisecond.

    How many go on in a round follows from how long the last one took: half as many when it was too long, twice as many
    when there was time left and somebody waiting.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._width = 1
        self._taken = 0
        self._began = 0.0

    async def turn(self) -> None:
        """Returns when it is the caller's turn: at once when nobody waits and this round has time left."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._open(loop)
        if self._taken < self._width and not self._waiting:
            self._taken += 1
            return
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._began = self._clock.monotonic()
        loop.call_soon(self._close, loop)

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        """The round is over: everything that was ready with it has run."""
        if self._clock.monotonic() - self._began > ROUND:
            self._width = max(1, self._width // 2)
        elif self._waiting:
            self._width = min(MOST, self._width * 2)
        self._taken = 0
        while self._waiting and self._taken < self._width:
            mine = self._waiting.popleft()
            if not mine.done():  # cancelled meanwhile
                mine.set_result(None)
                self._taken += 1
        if self._taken:
            self._open(loop)
