"""Ingest on a real server: everything arrives, is acknowledged only when stored, and resumes after crashes."""

import asyncio
import contextlib
import os
import signal

import orjson
import pytest

from hub import streams
from hub.ingest import Ingest
from shared.errors import Unavailable
from tests.fakes.natshub import hub_nats


@pytest.fixture
async def nats(tmp_path):
    async with hub_nats(tmp_path) as nats:
        async with nats.hub() as bus:
            await streams.ensure(bus)
        yield nats


class Collected:
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.seen: list[bytes] = []
        self.failures = 0

    async def __call__(self, messages) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the sink is away")
        self.batches.append(len(messages))
        self.seen += [message.data for message in messages]


@contextlib.asynccontextmanager
async def carrying(bus, sink, **options):
    async with asyncio.TaskGroup() as group:
        ingest = Ingest(bus, "EVENTS", "hub", sink, **options)
        task = group.create_task(ingest.run())
        try:
            yield ingest
        finally:
            task.cancel()


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def write(bus, numbers) -> None:
    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(bus.publish_stored(f"events.c{number % 3}.x", b"%d" % number, timeout=30))


def numbers(count: int) -> set[bytes]:
    return {b"%d" % number for number in range(count)}


async def consumer(bus) -> dict:
    return orjson.loads((await bus.request("$JS.API.CONSUMER.INFO.EVENTS.hub")).data)


async def floor(bus) -> int:
    return int((await consumer(bus))["ack_floor"]["stream_seq"])


def delivered_up_to(info: dict) -> int:
    return int(info["delivered"]["stream_seq"])


async def test_a_burst_and_a_trickle_arrive_once_and_in_order(nats):
    sink = Collected()
    async with nats.hub() as bus:
        await write(bus, range(5000))
        async with carrying(bus, sink):
            await until(lambda: len(sink.seen) >= 5000)
            for number in range(5000, 5020):
                await bus.publish_stored("events.c1.x", b"%d" % number)
                await until(lambda expected=number: len(sink.seen) > expected)
            async with asyncio.timeout(20):
                while await floor(bus) < 5020:
                    await asyncio.sleep(0.01)

    assert len(sink.seen) == 5020
    assert set(sink.seen) == numbers(5020)
    assert len(sink.batches) < 1000


async def test_the_next_run_goes_on_where_the_last_one_stopped(nats):
    first, second = Collected(), Collected()
    async with nats.hub() as bus:
        await write(bus, range(10))
        async with carrying(bus, first):
            await until(lambda: len(first.seen) == 10)
            async with asyncio.timeout(20):
                while await floor(bus) < 10:
                    await asyncio.sleep(0.01)
        await write(bus, range(10, 15))
        async with carrying(bus, second):
            await until(lambda: len(second.seen) >= 5)

    assert set(second.seen) == numbers(15) - numbers(10)


async def test_what_was_not_stored_comes_again_at_once_after_a_crash(nats):
    async def crash(_) -> None:
        raise RuntimeError("crash")

    sink = Collected()
    async with nats.hub() as bus:
        await write(bus, range(10))
        with pytest.raises(BaseExceptionGroup):
            async with carrying(bus, crash):
                await asyncio.sleep(60)
        async with asyncio.timeout(10), carrying(bus, sink):  # sooner than the server itself would send it again
            await until(lambda: len(sink.seen) >= 10)

    assert set(sink.seen) == numbers(10)


async def test_a_sink_that_is_away_for_a_while_loses_nothing(nats):
    sink = Collected()
    sink.failures = 3
    async with nats.hub() as bus:
        await write(bus, range(10))
        async with carrying(bus, sink):
            await until(lambda: len(sink.seen) >= 10)

    assert sorted(sink.seen) == sorted(numbers(10))


async def test_what_came_later_does_not_confirm_what_was_lost_on_the_way(nats):
    """Acknowledging a message confirms all before it: what a broken connection took must have come again by then."""
    gate, entered = asyncio.Event(), asyncio.Event()
    seen: list[bytes] = []

    async def sink(messages) -> None:
        entered.set()
        await gate.wait()
        seen.extend(message.data for message in messages)

    async with nats.hub() as bus:
        await write(bus, range(5000))
        async with carrying(bus, sink):
            await entered.wait()
            async with asyncio.timeout(20):
                while delivered_up_to(await consumer(bus)) < 1000:
                    await asyncio.sleep(0.01)
            await bus.drop_connection()
            await bus.wait_connected()
            gate.set()
            await until(lambda: b"4999" in seen)
            await until(lambda: len(seen) >= 5000)

    assert set(seen) == numbers(5000)


async def test_nothing_is_lost_when_the_server_is_killed_under_load(nats):
    sink = Collected()

    async def stubborn(bus, number: int) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                await bus.publish_stored("events.c1.x", b"%d" % number, msg_id=str(number), timeout=2)
                return

    async with nats.hub() as bus, nats.hub() as other, carrying(bus, sink):
        for kill in range(3):
            async with asyncio.TaskGroup() as group:
                for number in range(kill * 2000, (kill + 1) * 2000):
                    group.create_task(stubborn(other, number))
                await until(lambda kill=kill: len(set(sink.seen)) > kill * 2000 + 200)
                os.kill(nats.server.pid, signal.SIGKILL)
        await until(lambda: set(sink.seen) == numbers(6000))


async def test_a_deleted_consumer_is_made_again(nats):
    sink = Collected()
    async with nats.hub() as bus, carrying(bus, sink):
        await write(bus, range(5))
        await until(lambda: len(sink.seen) >= 5)
        await bus.request("$JS.API.CONSUMER.DELETE.EVENTS.hub")
        await write(bus, range(5, 8))
        await until(lambda: set(sink.seen) == numbers(8))


async def test_only_the_subjects_asked_for_come(nats):
    sink = Collected()
    async with nats.hub() as bus:
        await bus.publish_stored("events.c1.drift", b"yes")
        await bus.publish_stored("events.c1.health", b"no")
        async with carrying(bus, sink, subject="events.*.drift"):
            await until(lambda: sink.seen)
            await bus.publish_stored("events.c2.health", b"no")
            await bus.publish_stored("events.c2.drift", b"too")
            await until(lambda: len(sink.seen) > 1)

    assert sink.seen == [b"yes", b"too"]
