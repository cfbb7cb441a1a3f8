"""Writes state to disk behind the agent's back: off the event loop, newest content only.

What the hub assigned can be had from it again, so applying never waits for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from agent.domain.desired import Key
from agent.state import State
from shared.bundle import Bundle
from shared.messages import Timeline
from shared.model import UnitKey
from shared.tasks import Clock, Mailbox

GATHER = 1.0
"""Seconds from the first thing to be written until all that has come meanwhile is. Digests lost with a killed process
cost a comparison, not a write to the cluster."""

Kind = Literal["assignment", "applied", "timeline", "granted", "moment"]


class Keeper:
    """The queue of what is to be written, by unit and kind. Run `run` in a TaskGroup, `flush` at the end."""

    def __init__(self, state: State | None, clock: Clock) -> None:
        """`state` is None when nothing is kept."""
        self._clock = clock
        self._state = state
        self._mailbox: Mailbox[tuple[UnitKey | None, Kind], Callable[[], None]] = Mailbox()
        self._writing: asyncio.Future[None] | None = None

    @property
    def problem(self) -> str:
        """Why nothing can be kept, empty when it can."""
        return self._state.problem if self._state is not None else ""

    def keep(self, unit: UnitKey, signed: bytes, bundle: Bundle) -> None:
        """An assignment and its bundle."""
        if (state := self._state) is not None:
            self._mailbox.put((unit, "assignment"), lambda: state.save(unit, signed, bundle))

    def keep_applied(self, unit: UnitKey, applied: Mapping[Key, str]) -> None:
        """What was applied; the mapping is read when it is written."""
        if (state := self._state) is not None:
            self._mailbox.put((unit, "applied"), lambda: state.save_applied(unit, dict(applied)))

    def keep_granted(self, unit: UnitKey, digest: str, granted: Collection[Key]) -> None:
        """Which deletions were confirmed, for the bundle of this digest."""
        if (state := self._state) is not None:
            self._mailbox.put((unit, "granted"), lambda: state.save_granted(unit, digest, granted))

    def keep_timeline(self, unit: UnitKey, generation: int, timeline: Timeline) -> None:
        """When an assignment reached each point."""
        if (state := self._state) is not None:
            self._mailbox.put((unit, "timeline"), lambda: state.save_timeline(unit, generation, timeline))

    def keep_moment(self, at: float) -> None:
        """The time up to which reports were made."""
        if (state := self._state) is not None:
            self._mailbox.put((None, "moment"), lambda: state.save_moment(at))

    def forget(self, unit: UnitKey) -> None:
        """A unit that is gone: also what was still to be written of it."""
        if (state := self._state) is not None:
            self._mailbox.put((unit, "applied"), lambda: None)
            self._mailbox.put((unit, "timeline"), lambda: None)
            self._mailbox.put((unit, "granted"), lambda: None)
            self._mailbox.put((unit, "assignment"), lambda: state.forget(unit))

    async def run(self) -> None:
        """Writes for ever."""
        while True:
            await self._mailbox.wait()
            # While a unit is being applied its digests change all the time, and applying it is more urgent: gather.
            await self._clock.sleep(GATHER)
            writes = list((await self._mailbox.drain()).values())
            # Not to be given up half-way: what has left the mailbox is nowhere else.
            self._writing = asyncio.get_running_loop().run_in_executor(None, _write, writes)
            await asyncio.shield(self._writing)

    async def flush(self) -> None:
        """Writes what is pending, and waits for what is being written."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        while len(self._mailbox):
            _, write = await self._mailbox.get()
            write()


def _write(writes: list[Callable[[], None]]) -> None:
    for write in writes:
        write()
