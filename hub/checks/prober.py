"""Keeps on measuring many checks, each at its interval, by a task of its own: one that is slow delays no other.

There are two limits, so that a server that hangs cannot take all the room: on what is asked at once altogether, and on
what is asked at once of one server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from hub.domain.checking import Check
from hub.domain.checks import Measurement
from hub.domain.placeholders import Subject, fill
from shared.tasks import Clock

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Measurements under way at the same time."""
AT_ONCE_EACH = 4
"""Of those, for one server."""

K = TypeVar("K", bound=Hashable)
Measure = Callable[[Check, Subject], Awaitable[Measurement]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A check and what it is about."""

    check: Check
    subject: Subject

    @property
    def server(self) -> str:
        """Host and port of who is asked."""
        return urlsplit(fill(self.check.prometheus or self.check.http, self.subject)).netloc.lower()


@dataclass(slots=True)
class _Kept:
    probe: Probe
    task: asyncio.Task[None] | None = None


class Prober(Generic[K]):
    """See the module. `run` is a task for the hub's TaskGroup; `keep` may be called before and during."""

    def __init__(
        self, measure: Measure, on_measured: Callable[[K, Measurement], None], clock: Clock, at_once: int = AT_ONCE
    ) -> None:
        """`on_measured` is told of every measurement, unless its key is no longer kept."""
        self._measure = measure
        self._on_measured = on_measured
        self._clock = clock
        self._kept: dict[K, _Kept] = {}
        self._group: asyncio.TaskGroup | None = None
        self._slots = asyncio.Semaphore(at_once)
        self._servers: dict[str, asyncio.Semaphore] = {}

    def keep(self, probes: Mapping[K, Probe]) -> None:
        """Measure these from now on, new ones at once, and no others. A key with another probe begins anew."""
        for key in [key for key, kept in self._kept.items() if probes.get(key) != kept.probe]:
            task = self._kept.pop(key).task
            if task is not None:
                task.cancel()
        servers = {probe.server for probe in probes.values()}
        self._servers = {server: self._slots_of(server) for server in servers}
        for key, probe in probes.items():
            if key not in self._kept:
                self._kept[key] = _Kept(probe)
                self._start(key)

    async def run(self) -> None:
        """Measures what is kept, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for key in self._kept:
                    self._start(key)
                await asyncio.Event().wait()
            finally:
                self._group = None

    def _start(self, key: K) -> None:
        if self._group is not None:
            kept = self._kept[key]
            kept.task = self._group.create_task(self._follow(key, kept.probe), name=f"check {key}")

    def _slots_of(self, server: str) -> asyncio.Semaphore:
        return self._servers.get(server) or asyncio.Semaphore(AT_ONCE_EACH)

    async def _follow(self, key: K, probe: Probe) -> None:
        of_server = self._servers[probe.server]
        while True:
            started = self._clock.monotonic()
            async with of_server, self._slots:
                measurement = await self._look(probe)
            self._on_measured(key, measurement)
            taken = self._clock.monotonic() - started
            await self._clock.sleep(max(0.0, probe.check.interval - taken))

    async def _look(self, probe: Probe) -> Measurement:
        try:
            return await self._measure(probe.check, probe.subject)
        except Exception as error:
            log.exception("a measurement crashed", extra={"application": probe.subject.application})
            detail = f"the hub's own error, {type(error).__name__}: {error}"
            return Measurement(ok=None, value="", detail=detail, at=self._clock.now())
