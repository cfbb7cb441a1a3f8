"""The audit trail on a real server: append-only, complete over an outage, read by page and as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import orjson
import pytest

from hub import auditlog, streams
from hub.auditlog import AuditLog
from hub.domain.auditing import Entry, Result, Wanted
from hub.metrics import Metrics
from hub.view import View
from shared.bus import Bus
from shared.tasks import Clock
from tests.fakes.natshub import running

START = 1_700_000_000.0


def entry(number: int, **other) -> Entry:
    return Entry(**({"id": f"e{number}", "at": START + number, "action": "hold.set", "actor": "ann"} | other))


@contextlib.asynccontextmanager
async def trail(bus: Bus):
    log = AuditLog(bus, "hub-1", Metrics(View(), "test"), Clock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(log.run())
        yield log
        task.cancel()


@pytest.fixture
async def bus(nats_server):
    async with running(Bus(nats_server.url, name="hub")) as bus:
        yield bus


async def test_entries_are_read_by_page_newest_first_and_as_they_come(bus):
    await streams.ensure(bus, [auditlog.stream(0)])
    async with trail(bus) as log:
        for number in range(1, 31):
            await log.record(entry(number, actor="ann" if number % 3 else "bob", action="hold.set"))

        found, before = await log.page(Wanted(), 20)
        rest, end = await log.page(Wanted(), 20, before or 0)
        assert [each.entry.id for each in (*found, *rest)] == [f"e{number}" for number in range(30, 0, -1)]
        assert end is None
        assert {each.entry.hub for each in found} == {"hub-1"}

        of_bob, _ = await log.page(Wanted(actor="bob", since=START + 10), 20)
        assert [each.entry.id for each in of_bob] == [f"e{number}" for number in (30, 27, 24, 21, 18, 15, 12)]

        seen, number = await log.after(Wanted(), 5, 27)
        assert ([each.entry.id for each in seen], number) == (["e28", "e29", "e30"], 30)
        assert await log.after(Wanted(), 5, number) == ([], 30)
        assert await log.page(Wanted(actor="nobody"), 5) == ([], None)


async def test_nobody_can_take_an_entry_back(bus):
    await streams.ensure(bus, [auditlog.stream(0)])
    async with trail(bus) as log:
        await log.record(entry(1))
    kept = orjson.loads((await bus.request("$JS.API.STREAM.INFO.AUDIT")).data)["config"]

    for path, body in [
        ("STREAM.PURGE.AUDIT", {}),
        ("STREAM.MSG.DELETE.AUDIT", {"seq": 1}),
        ("STREAM.UPDATE.AUDIT", kept | {"deny_purge": False}),
        ("STREAM.UPDATE.AUDIT", kept | {"deny_delete": False}),
    ]:
        answer = orjson.loads((await bus.request(f"$JS.API.{path}", orjson.dumps(body))).data)
        assert "error" in answer, path
    rolled = await bus.request("audit.hold", b"{}", headers={"Nats-Rollup": "all"})
    assert "error" in orjson.loads(rolled.data)
    assert await streams.bounds(bus, "AUDIT") == (1, 1)


async def test_the_retention_can_be_set_later_and_changes_nothing_else(bus):
    await streams.ensure(bus, [auditlog.stream(0)])
    await streams.ensure(bus, [auditlog.stream(400)])

    config = orjson.loads((await bus.request("$JS.API.STREAM.INFO.AUDIT")).data)["config"]
    assert (config["max_age"], config["deny_purge"]) == (400 * streams.DAY, True)


async def test_what_happens_while_nats_is_away_is_stored_when_it_is_back(nats_server, bus, monkeypatch):
    monkeypatch.setattr(auditlog, "PATIENCE", 0.05)
    monkeypatch.setattr(auditlog, "LATE", 0.0)
    await streams.ensure(bus, [auditlog.stream(0)])
    async with trail(bus) as log:
        await log.record(entry(1))
        await nats_server.kill(signal.SIGKILL)
        for number in (2, 3, 4):
            await log.record(entry(number))
        assert "3 audit entries wait" in log.late()

        await nats_server.start()
        async with asyncio.timeout(30):
            while log.late():
                await asyncio.sleep(0.05)
        found, _ = await log.page(Wanted(), 10)

    assert [each.entry.id for each in found] == ["e4", "e3", "e2", "e1"]


async def test_none_is_lost_without_being_counted_and_logged(bus, monkeypatch, caplog):
    """Without a stream nothing can be stored: what does not fit is counted, what waits at the end is in the log."""
    monkeypatch.setattr(auditlog, "PATIENCE", 0.05)
    monkeypatch.setattr(auditlog, "WAITING", 2)
    metrics = Metrics(View(), "test")
    log = AuditLog(bus, "hub-1", metrics, Clock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(log.run())
        for number in range(3):
            await log.record(entry(number))
        task.cancel()

    assert metrics.registry.get_sample_value("yardarm_audit_entries_total", {"result": "lost"}) == 1
    told = [each.entry["id"] for each in caplog.records if each.levelname == "ERROR"]
    assert told == ["e2", "e0", "e1"]


async def test_a_flood_of_refusals_is_one_entry_with_its_number(bus):
    await streams.ensure(bus, [auditlog.stream(0)])
    async with trail(bus) as log:
        for number in range(500):
            refused = {"action": "request.refused", "result": Result.REFUSED, "actor": "", "source": "203.0.113.9"}
            await log.record(entry(0, id=f"r{number}", **refused))
        await log.record(entry(61, action="hold.set"))
        found, _ = await log.page(Wanted(), 100)

    assert [each.entry.count for each in found] == [1, 490, *[1] * 10]
