"""Keys with compare-and-set on a real server."""

import asyncio

import pytest

from hub import streams
from hub.store import ABSENT, Conflict, Store
from hub.streams import KV_HUB
from shared.errors import InvalidMessage, YardarmError
from tests.fakes.natshub import hub_nats


@pytest.fixture
async def store(tmp_path):
    async with hub_nats(tmp_path) as nats, nats.hub() as bus:
        await streams.ensure(bus, [KV_HUB])
        yield Store(bus)


async def test_what_was_put_is_got_with_its_revision(store):
    assert await store.get("application.shop") is None

    first = await store.put("application.shop", b"1")
    second = await store.put("application.shop", b"")

    assert second > first
    assert await store.get("application.shop") == (b"", second)


async def test_of_many_who_change_the_same_revision_one_wins(store):
    revision = await store.put("a", b"0", ABSENT)
    won: list[int] = []

    async def attempt(number: int) -> None:
        try:
            await store.put("a", b"%d" % number, revision)
        except Conflict:
            return
        won.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(attempt(number))

    assert len(won) == 1
    found = await store.get("a")
    assert found is not None
    assert found[0] == b"%d" % won[0]


async def test_a_key_that_exists_cannot_be_made_again_but_a_deleted_one_can(store):
    await store.put("a", b"1", ABSENT)
    with pytest.raises(Conflict, match="a was changed meanwhile"):
        await store.put("a", b"2", ABSENT)

    assert await store.delete("a") is True
    assert await store.delete("a") is False
    await store.put("a", b"3", ABSENT)


async def test_deleting_spares_what_somebody_else_has_written(store):
    revision = await store.put("a", b"1")
    await store.put("a", b"2")

    with pytest.raises(Conflict):
        await store.delete("a", revision)
    found = await store.get("a")
    assert found is not None
    assert found[0] == b"2"


async def test_a_key_with_a_time_to_live_goes_unless_it_is_written_again(store):
    await store.put("short", b"1", ttl=1)
    kept = await store.put("kept", b"1", ttl=1)
    await store.put("kept", b"2", kept)

    async with asyncio.timeout(20):
        while await store.get("short") is not None:
            await asyncio.sleep(0.05)
    await store.put("short", b"again", ABSENT)
    assert await store.get("kept") is not None


async def test_keys_below_a_prefix_are_listed(store):
    for key in ("application.a", "application.b.c", "applications.d", "application"):
        await store.put(key, key.encode())

    assert sorted([key async for key in store.keys("application")]) == ["application.a", "application.b.c"]
    assert {key: value async for key, value, _ in store.items("application")}["application.a"] == b"application.a"
    assert [key async for key in store.keys("none")] == []


@pytest.mark.parametrize("key", ["", ".", "a.", ".a", "a..b", "a b", "*", "a.>", "é", "a\r\nb"])
async def test_a_key_that_is_no_key_is_refused(store, key):
    with pytest.raises(InvalidMessage, match="cannot be a key"):
        await store.put(key, b"")
    with pytest.raises(InvalidMessage):
        await store.get(key)


async def test_without_the_stream_the_error_says_so(tmp_path):
    async with hub_nats(tmp_path) as nats, nats.hub() as bus:
        with pytest.raises(YardarmError, match="stream not found"):
            await Store(bus).get("a")
