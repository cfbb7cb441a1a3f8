"""Polling: when a repository is looked at, who is told, and what is shown while it fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from hub.sources.mirror import Notice, Tips
from hub.sources.poller import Pace, Poller
from hub.sources.webhooks import Delivery
from shared.errors import Unavailable
from shared.tasks import Clock

FLEET = "https://git.example.com/acme/fleet.git"


def tips(head: str, **kw: object) -> Tips:
    return Tips(head=head, default="refs/heads/main", refs={"refs/heads/main": head}, **kw)


class Hand(Clock):
    """A clock that only moves when told to. `slept` are the delays that were asked for."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        over = asyncio.Event()
        self._sleepers.append((self.time + seconds, over))
        await over.wait()

    def move(self, seconds: float) -> None:
        self.time += seconds
        for until, over in self._sleepers:
            if until <= self.time:
                over.set()


class Remote:
    """A mirror whose answers are scripted: tips, or an exception."""

    name = "git.example.com/acme/fleet"

    def __init__(self, *answers: Tips | Exception) -> None:
        self.answers = list(answers)
        self.looks = 0

    async def fetch(self) -> Tips:
        self.looks += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Told:
    def __init__(self) -> None:
        self.changes: list[tuple[str | None, str]] = []
        self.fail: Exception | None = None

    async def __call__(self, address: str, old: Tips | None, new: Tips) -> None:
        assert address == FLEET
        if self.fail is not None:
            raise self.fail
        self.changes.append((old.head if old else None, new.head))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(poller: Poller) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(poller.run())
        try:
            yield
        finally:
            task.cancel()


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def told() -> Told:
    return Told()


async def test_the_first_look_is_at_once_and_each_change_is_told_once(clock, told):
    remote = Remote(tips("a"), tips("a"), tips("b"))
    poller = Poller(clock, told)
    poller.watch(FLEET, remote)
    async with running(poller):
        await until(lambda: told.changes == [(None, "a")])
        await until(lambda: len(clock.slept) == 1)
        clock.move(20)
        await until(lambda: len(clock.slept) == 2)
        assert told.changes == [(None, "a")]
        clock.move(20)
        await until(lambda: told.changes == [(None, "a"), ("a", "b")])
    assert all(11 <= slept <= 19 for slept in clock.slept)


async def test_tips_known_from_before_a_restart_are_not_told_again(clock, told):
    remote = Remote(tips("a"))
    poller = Poller(clock, told)
    poller.watch(FLEET, remote, known=tips("a"))
    async with running(poller):
        await until(lambda: clock.slept)
    assert told.changes == []


async def test_a_webhook_makes_it_look_at_once(clock, told):
    remote = Remote(tips("a"), tips("b"))
    poller = Poller(clock, told)
    poller.watch(FLEET, remote)
    async with running(poller):
        await until(lambda: clock.slept)
        clock.move(5)
        assert poller.deliver(Delivery(frozenset({"git.example.com/acme/other"}))) == 0
        assert poller.deliver(Delivery(frozenset({"git.example.com/acme/fleet"}))) == 1
        await until(lambda: told.changes == [(None, "a"), ("a", "b")])
        assert poller.wake("git@git.example.com:acme/fleet")


async def test_a_flood_of_webhooks_is_looked_at_once_a_second(clock, told):
    remote = Remote(tips("a"))
    poller = Poller(clock, told, Pace(least=1.0))
    poller.watch(FLEET, remote)
    async with running(poller):
        await until(lambda: clock.slept)
        for _ in range(50):
            poller.wake(FLEET)
            await asyncio.sleep(0)
        await until(lambda: 1.0 in clock.slept)
        assert remote.looks == 1
        clock.move(1)
        await until(lambda: remote.looks == 2)


async def test_a_failing_repository_keeps_its_tips_and_says_since_when_and_when_next(clock, told):
    remote = Remote(
        tips("a"), Unavailable("https://bot:s3cr3t@git.example.com: refused"), Unavailable("refused"), tips("b")
    )
    poller = Poller(clock, told)
    poller.watch(FLEET, remote)
    async with running(poller):
        await until(lambda: clock.slept)
        clock.move(20)
        await until(lambda: poller.status()[FLEET].error)
        failing = poller.status()[FLEET]
        assert failing.state == tips("a")
        assert (failing.error, failing.error_since) == ("https://git.example.com: refused", 1020.0)
        await until(lambda: len(clock.slept) == 2)
        assert poller.status()[FLEET].next_attempt == 1020 + clock.slept[-1]
        clock.move(20)
        await until(lambda: len(clock.slept) == 3)
        assert poller.status()[FLEET].error_since == 1020.0
        assert clock.slept[2] >= 15
        clock.move(60)
        await until(lambda: told.changes == [(None, "a"), ("a", "b")])
        await until(lambda: not poller.status()[FLEET].error)
        assert poller.status()[FLEET].changed_at == clock.time


async def test_delays_grow_to_their_limit_and_a_webhook_cuts_them_short(clock, told):
    remote = Remote(Unavailable("down"))
    poller = Poller(clock, told, Pace(interval=10, backoff_limit=100))
    poller.watch(FLEET, remote)
    async with running(poller):
        for count in range(1, 9):
            await until(lambda count=count: len(clock.slept) == count)
            clock.move(100)
        assert 50 <= clock.slept[-1] <= 100
        await until(lambda: len(clock.slept) == 9)
        looks = remote.looks
        clock.move(5)
        poller.wake(FLEET)
        await until(lambda: remote.looks == looks + 1)


async def test_a_change_that_could_not_be_handled_is_told_again(clock, told):
    remote = Remote(tips("a"))
    poller = Poller(clock, told)
    poller.watch(FLEET, remote)
    told.fail = ValueError("a bug")
    async with running(poller):
        await until(lambda: poller.status()[FLEET].error == "ValueError: a bug")
        told.fail = None
        await until(lambda: clock.slept)
        clock.move(20)
        await until(lambda: told.changes == [(None, "a")])


async def test_notices_are_told_even_when_nothing_moved(clock, told, caplog):
    gone = tips("a", notices=(Notice("deleted", "fleet: heads/old was deleted"),))
    remote = Remote(tips("a"), gone, tips("a"))
    poller = Poller(clock, told)
    poller.watch(FLEET, remote)
    async with running(poller):
        await until(lambda: clock.slept)
        clock.move(20)
        await until(lambda: told.changes == [(None, "a"), ("a", "a")])
    assert "a repository changed in an unusual way" in caplog.text


async def test_one_that_hangs_holds_up_no_other_and_one_forgotten_is_left_alone(clock, told):
    class Hanging(Remote):
        async def fetch(self) -> Tips:
            await asyncio.Event().wait()
            raise AssertionError

    poller = Poller(clock, told)
    poller.watch("/hangs", Hanging(tips("x")))
    async with running(poller):
        remote = Remote(tips("a"))
        poller.watch(FLEET, remote)
        await until(lambda: told.changes == [(None, "a")])
        poller.forget(FLEET)
        poller.forget("/hangs")
        clock.move(100)
        await asyncio.sleep(0)
        assert remote.looks == 1
        assert poller.status() == {}
