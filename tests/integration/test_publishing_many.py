"""Many units at once, over a real NATS: confirmations that are carried out together, and lists that grow too long."""

import asyncio
import contextlib
import itertools

import pytest

from hub import streams
from hub.domain.jobchecks import JobRun, check_unit
from hub.domain.publishing import EMPTY, Order
from hub.domain.records import Consent
from hub.loops.consents import Consents, record
from hub.metrics import Metrics
from hub.publisher import Cause, Publisher
from hub.store import Store
from hub.streams import Fence
from hub.turns import Turns
from hub.view import View
from shared import bundle, subjects
from shared.messages import Assignment, Root, decode
from shared.model import UnitKey
from shared.tasks import Clock
from tests.fakes.natshub import hub_nats

CLUSTERS = 150


@pytest.fixture
async def hub(tmp_path):
    """(store, publisher, consents) of a hub that leads, and the bus."""
    async with hub_nats(tmp_path / "hub") as nats, nats.hub() as bus, asyncio.TaskGroup() as group:
        await streams.ensure(bus)
        fence = Fence(await bus.publish_stored(subjects.EPOCH, b"me"))
        clock = Clock()
        metrics = Metrics(View(clock), "0")
        publisher = Publisher(bus, nats.identity.signing_key, Turns(clock), metrics, clock, lambda _: None)
        store = Store(bus)
        consents = Consents(store, publisher, lambda _: None, clock)
        loops = [group.create_task(run) for run in (publisher.run(fence), consents.run(), consents.sweep())]
        yield bus, store, publisher, consents
        for loop in loops:
            loop.cancel()


async def stored(bus):
    found = {}
    async for _, data, sequence in streams.last_per_subject(bus, streams.DESIRED.name, subjects.DESIRED_ALL):
        with contextlib.suppress(Exception):
            assignment = decode(data, Assignment)
            found[assignment.unit] = (assignment, sequence)
    return found


async def listed(bus):
    every = streams.last_per_subject(bus, streams.DESIRED.name, "desired.*._root")
    roots = [decode(data, Root) async for _, data, _ in every]
    return {root.cluster: {entry.application for entry in bundle.listed(root)} for root in roots}


async def at_rest(publisher):
    async with asyncio.timeout(30):
        while not publisher.idle:
            await asyncio.sleep(0.02)


async def test_what_is_confirmed_for_many_clusters_is_written_together(hub):
    bus, store, publisher, consents = hub
    units = [UnitKey(f"c{number}", "shop", "shop") for number in range(CLUSTERS)]
    cause = Cause("commit", "revision", "")
    given = await publisher.publish([Order(unit, EMPTY) for unit in units], cause)
    words = [
        Consent("objects", f"{number:032}", "me", 1.0, application="shop", unit=each.unit, generation=each.generation,
                digest=each.digest)
        for number, each in enumerate(given)
    ]  # fmt: skip
    stale = words[0]
    newer = await publisher.publish([Order(stale.unit, EMPTY)], cause)
    await record(store, words)

    async for key, data, _ in store.items("consent"):
        consents.heard(key, data)

    async def told():
        return {unit: each for unit, each in (await stored(bus)).items() if each[0].confirmed}

    async with asyncio.timeout(30):
        while len(found := await told()) < CLUSTERS - 1:
            await asyncio.sleep(0.02)
        while [key async for key, _, _ in store.items("consent")]:
            await asyncio.sleep(0.02)
    assert {unit: each[0].confirmed for unit, each in found.items()} == {
        word.unit: (word.token,) for word in words if word is not stale
    }
    assert (await stored(bus))[stale.unit][0].generation == newer[0].generation
    # One after the other, the root of each cluster would come between its assignment and the next one.
    sequences = sorted(sequence for _, sequence in found.values())
    together = sum(after == before + 1 for before, after in itertools.pairwise(sequences))
    assert together > CLUSTERS // 2


async def test_an_agent_may_let_go_before_the_hub_knows_that_it_was_told(hub):
    bus, _, publisher, _ = hub
    cause = Cause("commit", "revision", "")
    units = [UnitKey("c1", f"app-{n}", f"app-{n}") for n in range(200)]

    async def lets_go(message):
        if isinstance(unit := subjects.parse_desired(message.subject), UnitKey):
            assignment = decode(message.data, Assignment)
            if assignment.removed:
                publisher.forget(unit, assignment.generation)

    await bus.subscribe("notify.desired.c1.>", lets_go)
    await publisher.publish([Order(unit, EMPTY) for unit in units], cause)
    await publisher.publish([Order(unit, None) for unit in units], cause)

    async with asyncio.timeout(30):
        while any(publisher.of_application(unit.application) for unit in units):
            await asyncio.sleep(0.02)
    await at_rest(publisher)
    assert await stored(bus) == {}


async def test_a_list_too_long_for_any_message_holds_up_no_other(hub, monkeypatch, caplog):
    bus, _, publisher, _ = hub
    monkeypatch.setattr("hub.roots.LIST_BYTES", 1200)
    cause = Cause("commit", "revision", "")
    many = [UnitKey("a-crowded", f"app-{n}", f"app-{n}") for n in range(20)]

    await publisher.publish([Order(unit, EMPTY) for unit in [*many, UnitKey("z-quiet", "web", "web")]], cause)

    await at_rest(publisher)
    assert (await listed(bus)).keys() == {"z-quiet"}
    assert len([record for record in caplog.records if getattr(record, "cluster", "") == "a-crowded"]) == 1
    assert len(await stored(bus)) == 21
    (found,) = publisher.too_long()
    assert (found.cluster, found.units, found.limit) == ("a-crowded", 20, 1200)
    assert found.size > 1200

    gone = await publisher.publish([Order(unit, None) for unit in many[6:]], cause)
    await at_rest(publisher)
    assert [each.units for each in publisher.too_long()] == [20]  # until they have left, they are on the list
    for each in gone:
        publisher.forget(each.unit, each.generation)
    await at_rest(publisher)
    assert publisher.too_long() == ()
    assert (await listed(bus))["a-crowded"] == {unit.application for unit in many[:6]}


async def test_checks_are_no_applications_that_nobody_describes(hub):
    _, _, publisher, _ = hub
    check = check_unit(JobRun("shop", "canary", 1, "smoke.yaml", "run"), "c1", "shop")
    await publisher.publish([Order(UnitKey("c1", "shop", "shop"), EMPTY), Order(check, EMPTY)], Cause("c", "r", ""))

    assert (publisher.applications(), publisher.live()) == ({"shop"}, {"shop"})
    assert set(publisher.checks()) == {check}

    await publisher.publish([Order(check, None)], Cause("c", "r", ""))
    assert publisher.checks()[check].removed
    publisher.forget(check, publisher.checks()[check].generation)
    assert publisher.checks() == {}
    assert publisher.live() == {"shop"}
