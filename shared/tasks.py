"""Time and tasks: the clock everybody is handed, newest-wins mailboxes, backoff, and supervision.

Nothing else in Yardarm reads the time or starts an unowned task; lint holds that.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from typing import Generic, TypeVar

from shared.errors import YardarmError

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Clock:
    """Real time. Tests hand in one they can move."""

    def now(self) -> float:
        """Unix seconds; may jump."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only go forward, for durations."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)


class Backoff:
    """Delays that double from `first` to `limit` seconds, each drawn between half and whole ("equal jitter")."""

    def __init__(self, first: float = 1.0, limit: float = 60.0) -> None:
        self._first = first
        self._limit = limit
        self.failures = 0

    def next(self, at_least: float | None = None) -> float:
        """Counts a failure and returns how long to wait; never less than `at_least` (a Retry-After)."""
        ceiling = min(self._limit, self._first * 2 ** min(self.failures, 32))
        self.failures += 1
        return max(at_least or 0.0, random.uniform(ceiling / 2, ceiling))  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Counts a success."""
        self.failures = 0


class Mailbox(Generic[K, V]):
    """A queue in which a newer value for a key replaces the older one: bounded by the number of keys.

    Keys come out in the order in which they first became pending.
    """

    def __init__(self) -> None:
        self._pending: dict[K, V] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.replaced = 0
        """How many values never came out because a newer one took their place."""

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, key: K) -> bool:
        return key in self._pending

    def put(self, key: K, value: V) -> None:
        """Never blocks."""
        if key in self._pending:
            self.replaced += 1
        self._pending[key] = value
        self._wake_one()

    def _wake_one(self) -> None:
        """One value is work for one: of several workers the others sleep on."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    def put_back(self, key: K, value: V) -> None:
        """Returns what could not be used, unless something newer has come."""
        if key not in self._pending:
            self.put(key, value)

    def discard(self, key: K) -> None:
        """Takes back what is pending for `key`."""
        self._pending.pop(key, None)

    async def wait(self) -> None:
        """Returns once something is pending."""
        while not self._pending:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                elif self._pending:  # woken and cancelled at once: what came is for another one
                    self._wake_one()
                raise

    async def get(self) -> tuple[K, V]:
        """The oldest pending key with its newest value; waits for one."""
        await self.wait()
        key = next(iter(self._pending))
        return key, self._pending.pop(key)

    async def drain(self) -> dict[K, V]:
        """All that is pending; waits for at least one."""
        await self.wait()
        taken, self._pending = self._pending, {}
        return taken


async def supervise(
    name: str, run: Callable[[], Awaitable[None]], clock: Clock, *, first: float = 0.5, limit: float = 30.0
) -> None:
    """Runs `run` for ever: when it fails or ends, says so and starts it again after a growing delay.

    For loops whose failure must not take the process down. Cancellation goes through.
    """
    backoff = Backoff(first, limit)
    while True:
        started = clock.monotonic()
        try:
            await run()
            log.warning("a task that should not end has ended", extra={"task": name})
        except YardarmError as error:
            log.warning("a task failed", extra={"task": name, "error": str(error)})
        except Exception:
            log.exception("a task crashed", extra={"task": name})
        if clock.monotonic() - started > limit:
            backoff.reset()
        await clock.sleep(backoff.next())


async def together(calls: Iterable[Awaitable[None]], limit: int) -> None:
    """Awaits all of them, at most `limit` at one time. The first error ends the others, and is raised by itself."""
    gate = asyncio.Semaphore(limit)

    async def one(call: Awaitable[None]) -> None:
        async with gate:
            await call

    try:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(one(call))
    except* YardarmError as errors:
        raise errors.exceptions[0] from None


class Lanes(Generic[K, V]):
    """Serial per key, parallel across keys, newest wins: a newer value cancels the work on an older one at once.

    `work` must be safe to cancel. When it fails, that is logged and the lane is free again: trying again is its own
    business. Lanes without work cost nothing.
    """

    def __init__(self, work: Callable[[K, V], Awaitable[None]]) -> None:
        self._work = work
        self._mailbox: Mailbox[K, V] = Mailbox()
        self._busy: dict[K, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._mailbox) + len(self._busy)

    def __contains__(self, key: K) -> bool:
        return key in self._mailbox or key in self._busy

    def put(self, key: K, value: V) -> None:
        """Never blocks."""
        self._mailbox.put(key, value)

    def drop(self, key: K) -> None:
        """Ends the work on `key`."""
        self._mailbox.discard(key)
        if key in self._busy:
            self._busy[key].cancel()

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                key, value = await self._mailbox.get()
                before = self._busy.get(key)
                if before is not None:
                    before.cancel()
                self._busy[key] = group.create_task(self._lane(key, value, before), name=f"lane {key}")

    async def _lane(self, key: K, value: V, before: asyncio.Task[None] | None) -> None:
        try:
            if before is not None:
                await _ended(before)
            await self._work(key, value)
        except Exception:
            log.exception("work failed", extra={"lane": str(key)})
        finally:
            if self._busy.get(key) is asyncio.current_task():
                del self._busy[key]


async def _ended(task: asyncio.Task[None]) -> None:
    """Waits for a cancelled task to end, even when the waiter is cancelled itself: two must never overlap."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
