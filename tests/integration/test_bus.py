"""The bus against a real nats-server: it outlives outages, and says plainly when it cannot deliver."""

import asyncio
import contextlib
import json

import pytest

from shared.bus import Bus, Message, Refused
from shared.errors import Unavailable
from tests.fakes.natsserver import NatsServer


@contextlib.asynccontextmanager
async def running(bus: Bus):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.run())
        try:
            yield bus
        finally:
            task.cancel()


@pytest.fixture
async def server(tmp_path):
    async with NatsServer(tmp_path / "nats") as server:
        yield server


async def make_stream(bus: Bus, name: str, subjects: list[str]) -> None:
    config = {"name": name, "subjects": subjects, "max_msgs_per_subject": 1, "allow_direct": True}
    await bus.request(f"$JS.API.STREAM.CREATE.{name}", json.dumps(config).encode())


async def test_stored_messages_are_got_back_by_subject(server):
    async with running(Bus(server.url, name="test")) as bus:
        await make_stream(bus, "S", ["s.>"])

        first = await bus.publish_stored("s.a", b"1", msg_id="x")
        again = await bus.publish_stored("s.a", b"1", msg_id="x")
        got = await bus.get_last("$JS.API.DIRECT.GET.S.s.a")

        assert first == again
        assert got is not None
        assert (got.subject, got.data) == ("s.a", b"1")
        assert await bus.get_last("$JS.API.DIRECT.GET.S.s.b") is None


async def test_a_wrong_expected_sequence_is_refused_with_its_code(server):
    async with running(Bus(server.url, name="test")) as bus:
        await make_stream(bus, "S", ["s.>"])
        await bus.publish_stored("s.a", b"1")

        with pytest.raises(Refused) as refused:
            await bus.publish_stored("s.a", b"2", headers={"Nats-Expected-Last-Subject-Sequence": "7"})

        assert refused.value.code == Refused.WRONG_SEQUENCE


async def test_subscriptions_last_over_a_killed_server(server):
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def collect(message: Message) -> None:
        seen.put_nowait(message.data)

    reconnections: list[None] = []
    async with running(Bus(server.url, name="test")) as bus:
        bus.on_connected(lambda: reconnections.append(None))
        await bus.subscribe("hello", collect)
        await bus.wait_connected()
        await bus.publish("hello", b"before")
        assert await asyncio.wait_for(seen.get(), 10) == b"before"

        await server.kill()
        with pytest.raises(Unavailable, match=r"NATS|answer"):
            await bus.request("nobody", timeout=0.2)
        await server.start()

        async with asyncio.timeout(30):
            while len(reconnections) < 2:
                await asyncio.sleep(0.05)
        await bus.publish("hello", b"after")
        assert await asyncio.wait_for(seen.get(), 10) == b"after"


async def test_it_connects_when_the_server_comes_up_later(tmp_path):
    server = NatsServer(tmp_path / "nats")
    async with running(Bus(server.url, name="test")) as bus:
        with pytest.raises(Unavailable, match=r"no connection to NATS at nats://127\.0\.0\.1"):
            await bus.request("x", timeout=0.2)
        await server.start()

        await asyncio.wait_for(bus.wait_connected(), 30)
    await server.kill()


async def test_a_failing_callback_does_not_end_the_subscription(server, caplog):
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def picky(message: Message) -> None:
        if message.data == b"bad":
            raise ValueError("no")
        seen.put_nowait(message.data)

    async with running(Bus(server.url, name="test")) as bus:
        await bus.subscribe("hello", picky)
        await bus.wait_connected()
        await bus.publish("hello", b"bad")
        await bus.publish("hello", b"good")

        assert await asyncio.wait_for(seen.get(), 10) == b"good"
    assert "a message was not handled" in caplog.text


async def test_nobody_listening_is_an_error_that_says_so(server):
    async with running(Bus(server.url, name="test")) as bus:
        with pytest.raises(Unavailable, match="nobody answers on void"):
            await bus.request("void")
