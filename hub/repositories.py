"""All repositories the fleet is made of: a mirror each, watched by one poller.

A repository that an earlier process had fetched is there at once, even when its remote is away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hub.metrics import Metrics
from hub.sources.access import Credentials, Limits
from hub.sources.mirror import Mirror, Notice, Tips, directory_name
from hub.sources.poller import Pace, Poller
from hub.sources.webhooks import Delivery
from shared.errors import YardarmError
from shared.tasks import Clock


@dataclass(frozen=True, slots=True)
class Watched:
    """A repository as it is known now. `available` is false until its first fetch; `error` is why the last one failed.

    `moved_at` is when its newest commit was noticed.
    """

    mirror: Mirror
    available: bool
    empty: bool
    moved_at: float
    error: str
    error_since: float


class _Measured:
    """A mirror whose fetches are counted and timed."""

    def __init__(self, mirror: Mirror, metrics: Metrics, clock: Clock) -> None:
        self.name = mirror.name
        self._mirror = mirror
        self._metrics = metrics
        self._clock = clock
        self._last: Tips | None = None

    async def fetch(self) -> Tips:
        """The mirror's fetch."""
        start = self._clock.monotonic()
        try:
            tips = await self._mirror.fetch()
        except YardarmError:
            self._metrics.git_fetches.labels("error").inc()
            raise
        self._metrics.git_fetch_seconds.observe(self._clock.monotonic() - start)
        self._metrics.git_fetches.labels("unchanged" if tips.same_as(self._last) else "changed").inc()
        self._last = tips
        return tips


class Repositories:
    """Give it `on_move`, start `run`, and `watch` what is needed."""

    def __init__(
        self,
        folder: Path,
        credentials: Callable[[str], Credentials],
        limits: Limits,
        pace: Pace,
        on_move: Callable[[tuple[Notice, ...]], None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """`folder` holds the mirrors; `credentials` gives what to show for an address.

        `on_move` gets what a person should hear of: history that was rewritten, branches that are gone.
        """
        self._folder = folder
        self._credentials = credentials
        self._limits = limits
        self._on_move = on_move
        self._metrics = metrics
        self._clock = clock
        self._mirrors: dict[str, Mirror] = {}
        self._tips: dict[str, Tips] = {}
        self._moved: dict[str, float] = {}
        self._poller = Poller(clock, self._moved_on, pace)

    async def watch(self, address: str) -> Watched:
        """What is known of the repository; it is watched from now on.

        Raises:
            DocumentError: the address cannot be one of a repository.
        """
        mirror = self._mirrors.get(address)
        if mirror is None:
            mirror = Mirror(address, self._folder / directory_name(address), self._credentials(address), self._limits)
            self._mirrors[address] = mirror
            before = await mirror.local()
            if before is not None:
                self._tips[address] = before
            self._poller.watch(address, _Measured(mirror, self._metrics, self._clock), before)
        return self._now(address)

    def all(self) -> Mapping[str, Watched]:
        """Every watched repository, by the address it was given as."""
        return {address: self._now(address) for address in self._mirrors}

    def deliver(self, delivery: Delivery) -> int:
        """Looks at once at what a webhook speaks of; returns how many of the repositories are watched here."""
        return self._poller.deliver(delivery)

    def wake(self) -> None:
        """Looks at everything at once."""
        for address in self._mirrors:
            self._poller.wake(address)

    async def run(self) -> None:
        """Polls until cancelled."""
        try:
            await self._poller.run()
        finally:
            for mirror in self._mirrors.values():
                mirror.close()

    async def _moved_on(self, address: str, _old: Tips | None, new: Tips) -> None:
        if not new.same_as(self._tips.get(address)):
            self._moved[address] = self._clock.now()
        self._tips[address] = new
        self._on_move(new.notices)

    def _now(self, address: str) -> Watched:
        status, tips = self._poller.status()[address], self._tips.get(address)
        return Watched(
            mirror=self._mirrors[address],
            available=tips is not None,
            empty=tips is not None and tips.empty,
            moved_at=self._moved.get(address, self._clock.now()),
            error=status.error,
            error_since=status.error_since,
        )
