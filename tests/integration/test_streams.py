"""Streams on a real server: set up, fenced batches, immutable blobs, reading by subject."""

import asyncio
import os
import signal

import orjson
import pytest

from hub import streams
from hub.streams import ALL, BLOBS, DESIRED, EVENTS, REPORTS, Fence, Fenced, StreamConflict, StreamSpec, Writer
from shared import subjects
from shared.bus import Bus, Refused
from shared.errors import InvalidMessage, Unavailable
from tests.fakes.natshub import hub_nats, running


@pytest.fixture
async def nats(tmp_path):
    async with hub_nats(tmp_path) as nats:
        yield nats


@pytest.fixture
async def bus(nats):
    async with nats.hub() as bus:
        await streams.ensure(bus)
        yield bus


@pytest.fixture
async def fence(bus):
    return Fence(await bus.publish_stored(subjects.EPOCH, b"me"))


async def config_of(bus: Bus, name: str) -> dict:
    return orjson.loads((await bus.request(f"$JS.API.STREAM.INFO.{name}")).data)["config"]


async def read(bus: Bus, stream: str, subject: str) -> dict[str, bytes]:
    return {name: data async for name, data, _ in streams.last_per_subject(bus, stream, subject)}


async def consumers(bus: Bus, stream: str) -> list[str]:
    return orjson.loads((await bus.request(f"$JS.API.CONSUMER.NAMES.{stream}")).data)["consumers"]


async def test_setting_up_again_changes_nothing(bus):
    before = [await config_of(bus, spec.name) for spec in ALL]

    await streams.ensure(bus)

    assert [await config_of(bus, spec.name) for spec in ALL] == before


async def test_a_changed_declaration_updates_the_stream_and_keeps_its_content(bus, fence):
    changed = StreamSpec(EVENTS.name, {**EVENTS.config, "max_age": streams.HOUR, "max_bytes": 1024**2})
    await bus.publish_stored("events.c1.x", b"old")

    await streams.ensure(bus, [changed])

    assert (await config_of(bus, "EVENTS"))["max_age"] == streams.HOUR
    assert await read(bus, "EVENTS", "events.>") == {"events.c1.x": b"old"}


async def test_a_foreign_stream_in_the_way_is_an_error_that_says_so(nats):
    async with nats.hub() as bus:
        await bus.request("$JS.API.STREAM.CREATE.MINE", b'{"name":"MINE","subjects":["report.>"]}')

        with pytest.raises(StreamConflict, match=r"REPORTS \(report\.>\).*another stream has these subjects"):
            await streams.ensure(bus, [REPORTS])


async def test_what_cannot_be_updated_is_a_conflict_too(nats):
    async with nats.hub() as bus:
        body = b'{"name":"REPORTS","subjects":["report.>"],"storage":"memory"}'
        await bus.request("$JS.API.STREAM.CREATE.REPORTS", body)

        with pytest.raises(StreamConflict, match="storage"):
            await streams.ensure(bus, [REPORTS])


async def test_batches_of_any_length_are_written_whole_and_in_order(bus, fence):
    messages = [(f"desired.c{n % 7}.ns.a{n}", str(n).encode()) for n in range(2345)]

    assert await Writer(bus).batch(messages, fence) == 2345
    assert await Writer(bus).batch([], fence) == 0
    assert await Writer(bus).batch([("desired.c1.ns.one", b"1")], fence) == 1

    got = [item async for item in streams.last_per_subject(bus, "DESIRED", "desired.*.ns.*")]
    assert [(subject, data) for subject, data, _ in got] == [*messages, ("desired.c1.ns.one", b"1")]
    assert [sequence for _, _, sequence in got] == sorted(sequence for _, _, sequence in got)


async def test_large_messages_are_split_into_batches_by_bytes(bus, fence):
    body = bytes(900_000)
    messages = [(f"desired.c1.ns.a{n}", body) for n in range(20)]

    assert await Writer(bus).batch(messages, fence) == 20
    assert len(await read(bus, "DESIRED", "desired.c1.>")) == 20


@pytest.mark.parametrize("count", [1, 2, 1500])
async def test_an_old_leader_writes_nothing(bus, fence, count):
    await bus.publish_stored(subjects.EPOCH, b"somebody newer")
    messages = [(f"desired.c1.ns.a{n}", b"stale") for n in range(count)]

    with pytest.raises(Fenced):
        await Writer(bus).batch(messages, fence)

    assert await read(bus, "DESIRED", "desired.c1.>") == {}


async def test_a_batch_is_announced_to_agents_with_its_body(nats, bus, fence):
    async with nats.agent("c1") as agent:
        got: asyncio.Queue[bytes] = asyncio.Queue()

        async def put(message) -> None:
            got.put_nowait(message.data)

        await agent.subscribe(subjects.notify_all("c1"), put)
        await agent.publish_stored(subjects.event("c1", "sync"), b"")
        await Writer(bus).batch([(f"desired.c1.ns.a{n}", b"%d" % n) for n in range(5)], fence)

        assert [await asyncio.wait_for(got.get(), 10) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_batch_survives_a_killed_server(nats, bus, fence):
    async with asyncio.TaskGroup() as group:
        messages = ((f"desired.c{n % 10}.ns.a{n}", bytes(500)) for n in range(30_000))
        writing = group.create_task(Writer(bus).batch(messages, fence))
        await asyncio.sleep(0)
        pid = nats.server.pid
        async with asyncio.timeout(20):
            while orjson.loads((await bus.request("$JS.API.STREAM.INFO.DESIRED")).data)["state"]["messages"] < 3000:
                pass
        os.kill(pid, signal.SIGKILL)

    assert writing.result() == 30_000
    assert len(await read(bus, "DESIRED", "desired.*.ns.*")) == 30_000


async def test_without_a_server_a_write_ends_with_an_error(tmp_path):
    bus = Bus("nats://127.0.0.1:1", name="x")

    with pytest.raises(Unavailable, match="no connection"):
        await bus.publish("x", b"")


async def test_blobs_are_stored_once_and_never_change(bus):
    writer = Writer(bus)
    blobs = [(f"{n:064x}", b"%d" % n) for n in range(300)]

    assert await writer.put_blobs(blobs) == 300
    assert await writer.put_blobs([*blobs, ("f" * 64 + "-1", b"new")]) == 1
    assert await writer.put_blobs([(blobs[0][0], b"other bytes")]) == 0

    got = await read(bus, "BLOBS", "blob.>")
    assert len(got) == 301
    assert got[subjects.blob(subjects.TENANT, blobs[0][0])] == b"0"


async def test_a_blob_can_be_removed_and_stored_again(bus):
    writer = Writer(bus)
    await writer.put_blobs([("a" * 64, b"1")])

    await streams.purge_blob(bus, "a" * 64)
    assert await read(bus, BLOBS.name, "blob.>") == {}
    assert await writer.put_blobs([("a" * 64, b"2")]) == 1


async def test_all_blob_names_are_listed(bus):
    names = {f"{n:064x}" for n in range(500)}
    await Writer(bus).put_blobs([(name, b"x") for name in names])

    assert await streams.blob_names(bus) == names
    assert await streams.blob_names(bus, "another") == set()


async def test_a_bad_blob_name_is_refused_and_a_huge_blob_is_an_error(bus):
    with pytest.raises(InvalidMessage):
        await Writer(bus).put_blobs([("not-a-digest", b"")])
    with pytest.raises((Unavailable, Refused), match="payload"):
        await Writer(bus).put_blobs([("a" * 64, bytes(2 * 1024**2))])


async def test_reading_takes_the_newest_of_each_matching_subject_and_leaves_no_consumer(bus, fence):
    for body in (b"old", b"new"):
        await Writer(bus).batch([(f"desired.{c}.ns.{a}", body) for c in ("c1", "c2") for a in ("x", "y")], fence)

    got = await read(bus, DESIRED.name, "desired.c1.>")

    assert got == {"desired.c1.ns.x": b"new", "desired.c1.ns.y": b"new"}
    assert await read(bus, DESIRED.name, "desired.none.>") == {}
    assert await consumers(bus, DESIRED.name) == []


async def test_more_bytes_than_fit_one_request_are_read(bus, fence):
    await Writer(bus).batch(((f"desired.c1.ns.a{n}", bytes(400_000)) for n in range(100)), fence)

    assert len(await read(bus, DESIRED.name, "desired.c1.>")) == 100


async def test_a_reader_that_stops_early_or_is_slow_holds_nothing_up(bus, fence):
    await Writer(bus).batch(((f"desired.c1.ns.a{n}", b"") for n in range(5000)), fence)

    async for _ in streams.last_per_subject(bus, DESIRED.name, "desired.c1.>"):
        break

    assert len(await read(bus, DESIRED.name, "desired.c1.>")) == 5000


async def test_what_is_deleted_while_it_is_read_is_not_waited_for(bus, fence):
    await Writer(bus).batch(((f"desired.c1.ns.a{n:04}", b"") for n in range(5000)), fence)

    found = []
    async with asyncio.timeout(20):
        async for subject, _, _ in streams.last_per_subject(bus, DESIRED.name, "desired.c1.>"):
            if not found:
                await bus.request(f"$JS.API.STREAM.PURGE.{DESIRED.name}", b'{"filter": "desired.c1.>"}')
            found.append(subject)

    assert found[0] == "desired.c1.ns.a0000"
    assert len(found) < 5000
    assert await consumers(bus, DESIRED.name) == []


async def test_reading_an_unknown_stream_is_an_error(bus):
    with pytest.raises(Refused, match="stream not found"):
        await read(bus, "NONE", "x.>")


async def test_two_connections_can_write_at_once(nats, bus, fence):
    other = running(Bus(nats.server.url, name="b", credentials=nats.identity.hub_credentials()))
    async with other as second, asyncio.TaskGroup() as group:
        for number, connection in enumerate((bus, second, bus)):
            messages = [(f"desired.c{number}.ns.a{n}", b"") for n in range(2500)]
            group.create_task(Writer(connection).batch(messages, fence))

    assert len(await read(bus, DESIRED.name, "desired.*.ns.*")) == 7500
