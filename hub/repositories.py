"""All repositories the fleet is made of: a mirror each, watched by one poller.

A repository that an earlier process had fetched is there at once, even when its remote is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hub.domain import urls
from hub.domain.records import RepositoryInfo
from hub.metrics import Metrics
from hub.sources import egress
from hub.sources.access import Limits
from hub.sources.mirror import Mirror, Notice, Tips, directory_name
from hub.sources.modules import Reach
from hub.sources.poller import Pace, Poller
from hub.sources.terms import Terms
from hub.sources.webhooks import Delivery
from shared.errors import DocumentError, YardarmError
from shared.model import Problem
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


def _unreadable(info: RepositoryInfo) -> Problem:
    since = datetime.fromtimestamp(info.since, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if not info.available:
        return Problem("error", info.error, hint="nothing is known of it yet; it is tried again")
    return Problem("warning", f"{info.error}; the last good state stays, and may be out of date since {since}")


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
        terms: Terms,
        limits: Limits,
        pace: Pace,
        on_move: Callable[[tuple[Notice, ...]], None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """`folder` holds the mirrors.

        `on_move` gets what a person should hear of: history that was rewritten, branches that are gone.
        """
        self._folder = folder
        self._terms = terms
        self._limits = limits
        self._on_move = on_move
        self._metrics = metrics
        self._clock = clock
        self._mirrors: dict[str, Mirror] = {}
        self._folders: dict[Path, Mirror] = {}
        self._tips: dict[str, Tips] = {}
        self._moved: dict[str, float] = {}
        self._incomplete: set[Mirror] = set()
        self._pace = pace
        self._poller = Poller(clock, self._moved_on, pace)

    async def watch(self, address: str) -> Watched:
        """What is known of the repository; it is watched from now on.

        Raises:
            DocumentError: the address cannot be one of a repository.
        """
        if address not in self._mirrors:
            mirror = self._mirror(address)
            before = await mirror.local()
            if address not in self._mirrors:  # somebody else may have come first meanwhile
                self._mirrors[address] = mirror
                if before is not None:
                    self._tips[address] = before
                self._poller.watch(address, _Measured(mirror, self._metrics, self._clock), before)
        return self._now(address)

    def keep(self, addresses: Collection[str]) -> None:
        """Others than these are not looked at any more, nor spoken of; what was fetched of them stays."""
        for address in self._mirrors.keys() - addresses:
            self._poller.forget(address)
            for known in (self._mirrors, self._tips, self._moved):
                known.pop(address, None)

    def _mirror(self, address: str) -> Mirror:
        """The mirror for an address. Addresses that differ only in what libgit2 is not told share one folder.

        Raises:
            DocumentError: it is no address; or a folder of this machine, and it may not be.
        """
        folder, terms = self._folder / directory_name(address), self._terms
        is_own = address in terms.own
        if not (is_own or terms.local) and urls.parse(address).transport == "file":
            raise DocumentError(
                f"{address} is a folder of the hub's own machine, which documents may not name",
                hint="give the address of a Git server; or the operator of the hub sets git.local: true",
            )
        if folder not in self._folders:
            self._folders[folder] = Mirror(
                address,
                folder,
                terms.credentials(address),
                self._limits,
                None if is_own else self._refusal,
                terms.acceptance(address),
                Reach(terms.credentials, self._refusal) if terms.submodules else None,
            )
        return self._folders[folder]

    def _refusal(self, host: str, port: int) -> str:
        return egress.refusal(self._terms.egress, host, port)

    def all(self) -> Mapping[str, Watched]:
        """Every watched repository, by the address it was given as."""
        return {address: self._now(address) for address in self._mirrors}

    def infos(self) -> tuple[RepositoryInfo, ...]:
        """Every watched repository as it may be shown, by name; what does not change is equal from look to look."""
        found = {
            watched.mirror.name: RepositoryInfo(
                watched.mirror.name,
                watched.available,
                self._moved.get(address, 0.0),
                watched.error,
                watched.error_since,
            )
            for address, watched in self.all().items()
        }
        return tuple(found[name] for name in sorted(found))

    def problems(self) -> list[Problem]:
        """What is to be said of repositories that cannot be read."""
        return [_unreadable(info) for info in self.infos() if info.error]

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
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poller.run())
                group.create_task(self._watch_terms())
        finally:
            for mirror in self._folders.values():
                mirror.close()

    async def complete(self, mirror: Mirror, commit: str) -> None:
        """Has the submodules of a commit; may raise as `Mirror.complete`. What cannot be had is tried again."""
        self._incomplete.add(mirror)
        await mirror.complete(commit)
        self._incomplete.discard(mirror)

    async def _watch_terms(self) -> None:
        """A commit that did not count may do so without moving: when its signer is let in, or a submodule is there."""
        while True:
            await self._clock.sleep(self._pace.interval)
            if self._terms.changed() or self._incomplete:
                self._incomplete.clear()
                self._on_move(())

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
