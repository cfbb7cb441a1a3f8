"""The view fed from real streams: rebuilt at start, followed afterwards, unharmed by bad messages."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from hub import streams
from hub.loops.reports import ReportsLoop
from hub.metrics import Metrics
from hub.view import View, read
from hub.view.history import EventFilter
from shared import subjects
from shared.bus import Bus
from shared.messages import Event, Heartbeat, Phase, ServedApis, Severity, apis_digest, decode, encode
from shared.model import Health
from shared.tasks import Clock
from tests.fakes.fleetview import assignment, event, heartbeat, report


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


class Fed:
    """A view with its loop, on a bus."""

    def __init__(self, bus):
        self.clock = Clock()
        self.view = View(self.clock, self._made)
        self.metrics = Metrics(self.view, "test")
        self.facts = 0
        self.loop = ReportsLoop(bus, self.view, self.metrics, self.clock, on_facts=self.on_facts)

    def _made(self, event):
        self.loop.store(event)

    def on_facts(self):
        self.facts += 1

    def state(self, cluster="dev-1", application="web"):
        record = self.view.index.units.get((cluster, application, application))
        return record.shown.state if record is not None else None


@contextlib.asynccontextmanager
async def running(bus):
    fed = Fed(bus)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(fed.loop.run())
        async with asyncio.timeout(20):
            await fed.loop.loaded.wait()
        yield fed
        task.cancel()


@pytest.fixture
async def bus(nats_server):
    bus = Bus(nats_server.url, name="hub")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.run())
        async with asyncio.timeout(20):
            await bus.wait_connected()
        await streams.ensure(bus)
        yield bus
        task.cancel()


def now_report(cluster="dev-1", **other):
    now = Clock().now()
    return report(cluster, at=other.pop("at", now), since=now, **other)


async def put(bus, *messages):
    for message in messages:
        match message:
            case Heartbeat():
                subject = subjects.beat(message.cluster)
            case Event():
                subject = subjects.event(message.cluster, "apply")
            case _:
                kind = subjects.desired if hasattr(message, "policy") else subjects.report
                subject = kind(message.unit)
        await bus.publish_stored(subject, encode(message))


async def test_a_new_process_shows_what_was_stored_and_then_what_comes(bus):
    now = Clock().now()
    await put(
        bus,
        now_report(),
        assignment(at=now),
        assignment("dev-2", at=now),
        heartbeat(at=now),
        event("stored", now, cluster="dev-1"),
    )

    async with running(bus) as fed:
        assert fed.state() == "Ready"
        assert fed.state("dev-2") == "Waiting"
        assert fed.facts == 1
        assert [one.id for one in fed.view.events.newest(EventFilter())] == ["stored"]

        await put(bus, now_report(phase=Phase.FAILED, health=Health.DEGRADED, reason="no", at=now + 1))
        await until(lambda: fed.state() == "Failed")


async def test_an_empty_hub_is_loaded_at_once(bus):
    async with running(bus) as fed:
        assert read.summary(fed.view)["units"]["total"] == 0


async def test_bad_messages_are_told_and_disturb_nothing(bus):
    now = Clock().now()
    async with running(bus) as fed:
        await put(bus, assignment(at=now), heartbeat(at=now))
        await bus.publish_stored("report.dev-1.web.other", b'{"v": 1, "cluster": 3}')
        await bus.publish_stored("report.dev-1.web.stolen", encode(now_report("prod-1")))
        await bus.publish_stored("report.dev-1.what", b"{}")
        await bus.publish_stored("events.dev-1.apply", encode(event("forged", now, cluster="prod-1")))
        await bus.publish_stored("report.dev-2._beat", encode(heartbeat("dev-2", now))[:-1] + b"[" * 5000)
        deep: list = []
        for _ in range(400):
            deep = [deep]
        await bus.publish_stored("report.dev-3._beat", encode(heartbeat("dev-3", now, facts={"deep": deep})))
        await put(bus, now_report())
        await until(lambda: fed.state() == "Ready")

        assert set(fed.view.clusters) == {"dev-1"}
        told = list(fed.view.events.newest(EventFilter(type="message.invalid")))
        assert {one.cluster for one in told} == {"dev-1", "dev-2", "dev-3"}
        assert fed.metrics.registry.get_sample_value("yardarm_reports_total", {"result": "invalid"}) == 6


async def test_what_the_hub_sees_itself_becomes_history(bus):
    async with running(bus) as fed:
        now = Clock().now()
        await put(bus, assignment(at=now), heartbeat(at=now), now_report(phase=Phase.FAILED, reason="cannot apply"))
        await until(lambda: fed.state() == "Failed")

        stored = None
        async with asyncio.timeout(20):
            while stored is None:
                stored = await bus.get_last("$JS.API.DIRECT.GET.EVENTS.events.dev-1.unit")
                await asyncio.sleep(0.02)

    found = decode(stored.data, Event)
    assert (found.type, found.severity, found.message) == ("unit.failed", Severity.ERROR, "cannot apply")
    assert found.trace == "a" * 32

    async with running(bus) as again:
        assert [one.id for one in again.view.events.newest(EventFilter(type="unit.failed"))] == [found.id]


async def test_lost_reports_are_asked_for_again(bus):
    asked = asyncio.Event()

    async def nudged(_message):
        asked.set()

    await bus.subscribe(subjects.notify_all("dev-1"), nudged)
    async with running(bus) as fed:
        now = Clock().now()
        await put(bus, heartbeat(at=now, states="not ours"))
        await until(lambda: fed.view.beats == 1)
        await put(bus, heartbeat(at=now + 0.1, states="not ours"))
        async with asyncio.timeout(20):
            await asked.wait()


async def test_the_time_of_a_heartbeat_is_when_nats_got_it(bus):
    async with running(bus) as fed:
        await put(bus, heartbeat(at=Clock().now() - 3600))
        await until(lambda: "dev-1" in fed.view.clusters and fed.view.clusters["dev-1"].beat)

        record = fed.view.clusters["dev-1"]
        assert record.connection == "connected"
        assert record.skew == pytest.approx(3600, abs=30)


async def test_lists_of_apis_are_kept_once_and_as_long_as_a_cluster_has_them(bus):
    def served(cluster, *apis):
        return encode(ServedApis(1, cluster, apis_digest(apis), apis))

    old, new = ("apps/v1", "v1"), ("apps/v1", "v1", "v2")
    async with running(bus) as fed:
        for cluster in ("dev-1", "dev-2"):
            await bus.publish_stored(subjects.apis(cluster), served(cluster, *old))
        await until(lambda: fed.view.apis == {apis_digest(old): old} and "dev-2" in fed.view.clusters)
        assert fed.facts == 1
        for cluster in ("dev-1", "dev-2"):
            await bus.publish_stored(subjects.apis(cluster), served(cluster, *new))
        await until(lambda: fed.view.apis == {apis_digest(new): new})
        await bus.publish_stored(subjects.apis("dev-1"), encode(ServedApis(1, "dev-1", apis_digest(old), new)))
        await until(lambda: list(fed.view.events.newest(EventFilter(type="message.invalid"))))
        assert fed.view.apis == {apis_digest(new): new}
