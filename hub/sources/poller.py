"""Watches repositories: looks at each every so often, at once when a webhook says so, less often while it fails.

A repository is looked at by one task of its own, so that one that hangs or fails holds up no other. What happened last
is in `status`, for the API. It does not know what a change means: it tells `on_change`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, Self, TypeVar

from hub.domain import urls
from hub.sources.mirror import Notice
from hub.sources.webhooks import Delivery
from shared.errors import YardarmError
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)


class State(Protocol):
    """What a look at a repository finds: a mirror's tips, a chart repository's versions."""

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What a person should hear of."""

    def same_as(self, other: Self | None) -> bool:
        """Whether nothing that anybody uses has moved."""


S = TypeVar("S", bound=State)
S_co = TypeVar("S_co", bound=State, covariant=True)

OnChange = Callable[[str, S | None, S], Awaitable[None]]
"""Called with the address as given to `watch`, the state told of last (None at first), and the new one.

It is also called when nothing moved but `new.notices` has something to say. When it raises, the change is not taken as
told: it is called again with the same `old` after a while.
"""


class Fetches(Protocol[S_co]):
    """What the poller needs of a mirror."""

    name: str

    async def fetch(self) -> S_co:
        """Ask the remote; raises `shared.errors.Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a repository is looked at. In seconds."""

    interval: float = 15.0
    jitter: float = 0.25
    """Part of the interval by which it varies, so that a thousand hubs do not knock at once."""
    backoff_limit: float = 300.0
    least: float = 1.0
    """Between two looks, however many webhooks come in."""
    concurrent: int = 16
    """Repositories looked at at the same time."""


@dataclass(frozen=True, slots=True)
class SourceStatus(Generic[S]):
    """What is known of a repository. Times are unix seconds, 0 for never.

    While `error` is set, `state` is the last good one and `error_since` says since when it may be out of date.
    """

    name: str
    state: S | None = None
    checked_at: float = 0.0
    changed_at: float = 0.0
    error: str = ""
    error_since: float = 0.0
    next_attempt: float = 0.0


@dataclass(slots=True)
class _Watched(Generic[S]):
    address: str
    mirror: Fetches[S]
    status: SourceStatus[S]
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    told: S | None = None
    task: asyncio.Task[None] | None = None


class Poller(Generic[S]):
    """See the module. `run` is a task for the hub's TaskGroup; `watch` and `forget` may be called before and during."""

    def __init__(self, clock: Clock, on_change: OnChange[S], pace: Pace | None = None) -> None:
        self._clock = clock
        self._on_change = on_change
        self._pace = pace or Pace()
        self._watched: dict[str, _Watched[S]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._slots = asyncio.Semaphore(self._pace.concurrent)

    def watch(self, address: str, mirror: Fetches[S], known: S | None = None) -> None:
        """Look at a repository from now on, first at once. `known` was told of before (a restart)."""
        if address in self._watched:
            return
        watched = _Watched(address, mirror, SourceStatus(mirror.name, known), told=known)
        self._watched[address] = watched
        if self._group is not None:
            watched.task = self._group.create_task(self._follow(watched), name=f"poll {mirror.name}")

    def forget(self, address: str) -> None:
        """Look at it no more."""
        watched = self._watched.pop(address, None)
        if watched is not None and watched.task is not None:
            watched.task.cancel()

    def wake(self, address: str) -> bool:
        """Look at a repository at once; whether it is one that is watched (in whatever form the address is written)."""
        key = urls.normalise(address)
        return (
            self._wake(lambda each: each.address == address or (key != "" and urls.normalise(each.address) == key)) > 0
        )

    def deliver(self, delivery: Delivery) -> int:
        """Look at once at the repositories a webhook speaks of; how many there are. 0: none is watched here."""
        return self._wake(lambda watched: delivery.concerns(watched.address))

    def status(self) -> dict[str, SourceStatus[S]]:
        """By address."""
        return {address: watched.status for address, watched in self._watched.items()}

    async def run(self) -> None:
        """Look at all that is watched, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for watched in self._watched.values():
                    watched.task = group.create_task(self._follow(watched), name=f"poll {watched.mirror.name}")
                await asyncio.Event().wait()
            finally:
                self._group = None

    def _wake(self, chosen: Callable[[_Watched[S]], bool]) -> int:
        found = [watched for watched in self._watched.values() if chosen(watched)]
        for watched in found:
            watched.woken.set()
        return len(found)

    async def _follow(self, watched: _Watched[S]) -> None:
        backoff = Backoff(self._pace.interval, self._pace.backoff_limit)
        while True:
            watched.woken.clear()
            started = self._clock.monotonic()
            async with self._slots:
                good, retry_after = await self._look(watched)
            if good:
                backoff.reset()
                spread = self._pace.interval * self._pace.jitter
                delay = self._pace.interval + random.uniform(-spread, spread)  # noqa: S311 - jitter, not a secret
            else:
                delay = backoff.next(retry_after)
            watched.status = replace(watched.status, next_attempt=self._clock.now() + delay)
            await self._pause(watched, delay)
            too_soon = self._pace.least - (self._clock.monotonic() - started)
            if too_soon > 0:
                await self._clock.sleep(too_soon)

    async def _look(self, watched: _Watched[S]) -> tuple[bool, float | None]:
        try:
            state = await watched.mirror.fetch()
            told = watched.told
            if state.notices or not state.same_as(told):
                await self._on_change(watched.address, told, state)
                watched.told = state
        except YardarmError as error:
            self._failed(watched, str(error))
            return False, getattr(error, "retry_after", None)
        except Exception as error:
            log.exception("looking at a repository crashed", extra={"repository": watched.mirror.name})
            self._failed(watched, f"{type(error).__name__}: {error}")
            return False, None
        self._succeeded(watched, state)
        return True, None

    def _failed(self, watched: _Watched[S], error: str) -> None:
        now, status = self._clock.now(), watched.status
        error = urls.redact(error)
        if error != status.error:
            log.warning("a repository cannot be read", extra={"repository": watched.mirror.name, "error": error})
        watched.status = replace(status, checked_at=now, error=error, error_since=status.error_since or now)

    def _succeeded(self, watched: _Watched[S], state: S) -> None:
        now, status = self._clock.now(), watched.status
        if status.error:
            log.info("a repository can be read again", extra={"repository": watched.mirror.name})
        for notice in state.notices:
            log.warning(
                "a repository changed in an unusual way",
                extra={"repository": watched.mirror.name, "kind": notice.kind, "notice": notice.message},
            )
        changed_at = status.changed_at if state.same_as(status.state) else now
        watched.status = replace(
            status, state=state, checked_at=now, changed_at=changed_at, error="", error_since=0.0, next_attempt=0.0
        )

    async def _pause(self, watched: _Watched[S], delay: float) -> None:
        """Until the time is up or somebody wakes us."""
        async with asyncio.TaskGroup() as group:
            sleeping = group.create_task(self._clock.sleep(delay))
            woken = group.create_task(watched.woken.wait())
            await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            woken.cancel()
