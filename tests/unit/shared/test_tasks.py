"""Mailboxes, lanes, backoff and supervision: newest wins, and nothing dies silently."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Unavailable
from shared.tasks import Backoff, Clock, Lanes, Mailbox, supervise


class FastClock(Clock):
    """Sleeps take no time but are counted."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers())))
def test_a_mailbox_gives_the_newest_value_of_each_key_once(puts):
    async def scenario() -> None:
        box: Mailbox[int, int] = Mailbox()
        for key, value in puts:
            box.put(key, value)
        taken = dict([await box.get() for _ in range(len(box))])

        assert taken == dict(puts)
        assert box.replaced == len(puts) - len(taken)

    asyncio.run(scenario())


async def test_waiting_readers_get_what_comes_later():
    box: Mailbox[str, int] = Mailbox()
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(box.get())
        await asyncio.sleep(0)
        box.put("a", 1)

        assert await reader == ("a", 1)


async def test_a_reader_that_is_cancelled_when_its_value_comes_leaves_it_to_another():
    box: Mailbox[str, int] = Mailbox()
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(box.get()) for _ in range(2))
        await asyncio.sleep(0)
        box.put("a", 1)
        first.cancel()

        assert await second == ("a", 1)


@given(st.lists(st.sampled_from(["put", "get", "cancel", "turn"]), max_size=40))
def test_no_value_is_left_lying_while_somebody_waits(steps):
    async def scenario() -> None:
        box: Mailbox[int, int] = Mailbox()
        readers: list[asyncio.Task] = []
        for number, step in enumerate(steps):
            if step == "put":
                box.put(number, number)
            elif step == "get":
                readers.append(asyncio.create_task(box.get()))
            elif step == "cancel" and readers:
                readers[number % len(readers)].cancel()
            elif step == "turn":
                await asyncio.sleep(0)
        for _ in range(len(steps) + 2):
            await asyncio.sleep(0)

        assert not len(box) or all(reader.done() for reader in readers)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    asyncio.run(scenario())


async def run_lanes(lanes: Lanes, until: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lanes.run())
        async with asyncio.timeout(10):
            await until.wait()
        task.cancel()


async def test_a_newer_value_cancels_the_work_on_an_older_one():
    started, done, finished = asyncio.Event(), asyncio.Event(), []

    async def work(key: str, value: int) -> None:
        if value == 1:
            started.set()
            lanes.put(key, 2)
            await asyncio.Event().wait()
        finished.append((key, value))
        done.set()

    lanes: Lanes[str, int] = Lanes(work)
    lanes.put("a", 1)
    await run_lanes(lanes, done)

    assert started.is_set()
    assert finished == [("a", 2)]


async def test_stuck_work_on_one_key_does_not_hold_up_another():
    done = asyncio.Event()

    async def work(key: str, _value: int) -> None:
        if key == "stuck":
            await asyncio.Event().wait()
        done.set()

    lanes: Lanes[str, int] = Lanes(work)
    lanes.put("stuck", 1)
    lanes.put("other", 1)

    await run_lanes(lanes, done)


async def test_failing_work_is_logged_and_frees_its_lane(caplog):
    done = asyncio.Event()

    async def work(_key: str, value: int) -> None:
        if value == 1:
            lanes.put("a", 2)
            raise ValueError("no")
        done.set()

    lanes: Lanes[str, int] = Lanes(work)
    lanes.put("a", 1)
    await run_lanes(lanes, done)

    assert "work failed" in caplog.text


async def test_never_two_at_once_for_one_key():
    running, most, done = 0, 0, asyncio.Event()

    async def work(_key: str, value: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            if value < 20:
                lanes.put("a", value + 1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        finally:
            if value % 2:
                await asyncio.sleep(0)
                lanes.put("a", value + 1)
                await asyncio.sleep(0)
            running -= 1
        if value == 20:
            done.set()

    lanes: Lanes[str, int] = Lanes(work)
    lanes.put("a", 1)
    await run_lanes(lanes, done)

    assert most == 1


@given(st.integers(0, 40), st.floats(0, 200))
def test_backoff_grows_to_its_limit_and_never_undercuts_retry_after(failures, retry_after):
    backoff = Backoff(1, 60)
    for _ in range(failures):
        backoff.next()

    delay = backoff.next(at_least=retry_after)

    assert delay >= retry_after
    assert delay <= max(retry_after, 60)
    assert delay >= min(60, 2**failures) / 2


async def test_supervised_work_is_started_again_however_it_ends():
    clock, runs = FastClock(), []

    async def run() -> None:
        runs.append(None)
        match len(runs):
            case 1:
                raise Unavailable("gone")
            case 2:
                raise ValueError("a fault of ours")
            case 3:
                return
        raise asyncio.CancelledError

    task = asyncio.ensure_future(supervise("test", run, clock))
    await asyncio.wait([task], timeout=10)

    assert len(runs) == 4
    assert len(clock.slept) == 3
