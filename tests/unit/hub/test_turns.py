"""Turns on the event loop: whoever asks first goes on first, and no round of the loop is longer than it should be."""

from __future__ import annotations

import asyncio
import itertools

from hypothesis import given
from hypothesis import strategies as st

from hub.turns import MOST, ROUND, Turns
from shared.tasks import Clock


class Busy(Clock):
    """Time that passes only while somebody works."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed


class Work:
    """Tasks that each take a turn and then work for a while; `done` tells (number, round of the loop, seconds)."""

    def __init__(self) -> None:
        self.clock = Busy()
        self.turns = Turns(self.clock)
        self.done: list[tuple[int, int, float]] = []
        self.round = 0

    async def run(self, seconds: list[float], cancelled: frozenset[int] = frozenset()) -> None:
        counting = asyncio.create_task(self._count())
        tasks = [asyncio.create_task(self._work(number, each)) for number, each in enumerate(seconds)]
        await asyncio.sleep(0)
        for number in cancelled:
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        counting.cancel()

    async def _work(self, number: int, seconds: float) -> None:
        await self.turns.turn()
        self.clock.passed += seconds
        self.done.append((number, self.round, seconds))

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.round += 1

    def rounds(self) -> list[list[float]]:
        """How long each turn of a round took."""
        grouped = itertools.groupby(self.done, key=lambda each: each[1])
        return [[seconds for _, _, seconds in turns] for _, turns in grouped]


WORK = st.lists(st.floats(0, 10 * ROUND), min_size=2, max_size=200)


@given(WORK, st.data())
def test_all_who_still_want_to_go_on_in_the_order_of_asking(seconds, data):
    cancelled = data.draw(st.frozensets(st.integers(1, len(seconds) - 1)))
    work = Work()
    asyncio.run(work.run(seconds, cancelled))
    assert [number for number, _, _ in work.done] == [n for n in range(len(seconds)) if n not in cancelled]


@given(WORK)
def test_a_round_is_never_twice_as_wide_as_one_that_had_time_left(seconds):
    work = Work()
    asyncio.run(work.run(seconds))
    width = 1
    for turns in work.rounds():
        assert len(turns) <= width
        width = max(1, width // 2) if sum(turns) > ROUND else min(MOST, width * 2)


def test_what_takes_long_goes_on_one_at_a_time():
    work = Work()
    asyncio.run(work.run([2 * ROUND] * 50))
    assert [len(turns) for turns in work.rounds()] == [1] * 50


def test_what_takes_no_time_does_not_wait_long():
    work = Work()
    asyncio.run(work.run([0.0] * 1000))
    assert len(work.rounds()) < 1000 / MOST + 10


async def test_who_comes_alone_does_not_wait_at_all():
    turns = Turns(Busy())
    for _ in range(3):
        asked = asyncio.create_task(turns.turn())
        await asyncio.sleep(0)
        assert asked.done()
        await asyncio.sleep(0)
