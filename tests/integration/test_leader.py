"""Election on a real server: exactly one leads, silence is followed by a takeover, an old leader is fenced."""

import asyncio
import contextlib
import os
import signal

import pytest

from hub import streams
from hub.leader import LEASE, Leader
from hub.store import Store
from hub.streams import Fence, Fenced, Writer
from shared import subjects
from shared.bus import Bus
from shared.errors import YardarmError
from tests.fakes.natshub import hub_nats

TTL = 3


@pytest.fixture
async def nats(tmp_path):
    async with hub_nats(tmp_path) as nats:
        async with nats.hub() as bus:
            await streams.ensure(bus)
        yield nats


class Hub:
    """A hub with a connection of its own. `terms` collects the fences it led under, `leading` is the present one."""

    def __init__(self, nats, name: str, everybody: list["Hub"]) -> None:
        self.bus = Bus(nats.server.url, name=name, credentials=nats.identity.hub_credentials())
        self.leader = Leader(self.bus, name, ttl=TTL)
        self.name = name
        self.terms: list[Fence] = []
        self.active = False
        self.everybody = everybody
        everybody.append(self)

    async def lead(self, fence: Fence) -> None:
        assert not any(hub.active for hub in self.everybody), "two lead"
        self.terms.append(fence)
        self.active = True
        try:
            await asyncio.Event().wait()
        finally:
            self.active = False

    def start(self, group: asyncio.TaskGroup) -> None:
        self.connection = group.create_task(self.bus.run())
        self.election = group.create_task(self.leader.run(self.lead))


@contextlib.asynccontextmanager
async def hubs(nats, *names: str):
    everybody: list[Hub] = []
    async with asyncio.TaskGroup() as group:
        for name in names:
            Hub(nats, name, everybody).start(group)
        try:
            yield everybody
        finally:
            for hub in everybody:
                hub.election.cancel()
            for hub in everybody:
                with contextlib.suppress(asyncio.CancelledError):
                    await hub.election
                hub.connection.cancel()


async def leader_of(everybody: list[Hub], *, besides: Hub | None = None) -> Hub:
    async with asyncio.timeout(30):
        while True:
            leading = [hub for hub in everybody if hub.active and hub is not besides]
            if leading:
                return leading[0]
            await asyncio.sleep(0.02)


async def test_one_of_several_leads_and_renews(nats):
    async with hubs(nats, "a", "b", "c") as everybody:
        first = await leader_of(everybody)
        store = Store(first.bus)
        found = await store.get(LEASE)
        assert found is not None

        async with asyncio.timeout(20):  # longer than the lease lives without renewal
            renewals = {found[1]}
            while len(renewals) < 5:
                found = await store.get(LEASE)
                assert found is not None
                renewals.add(found[1])
                await asyncio.sleep(0.05)

        assert first.active
        assert first.leader.leading
        assert await first.leader.holder() == first.name
        assert [len(hub.terms) for hub in everybody if hub is not first] == [0, 0]


async def test_a_leader_cut_off_stops_by_itself_and_another_takes_over(nats):
    async with hubs(nats, "a", "b") as everybody:
        first = await leader_of(everybody)
        first.connection.cancel()

        second = await leader_of(everybody, besides=first)

        assert not first.active
        assert second.terms[0].epoch > first.terms[0].epoch
        with pytest.raises(Fenced):
            await Writer(second.bus).batch([("desired.c1.ns.a", b"stale")], first.terms[0])
        await Writer(second.bus).batch([("desired.c1.ns.a", b"new")], second.terms[0])


async def test_a_leader_that_ends_orderly_gives_the_lease_back(nats):
    async with hubs(nats, "a") as everybody:
        first = await leader_of(everybody)
        first.election.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first.election

        assert not first.leader.leading
        assert await first.leader.holder() == ""


async def test_a_leader_whose_lease_was_taken_steps_down_and_tries_again(nats):
    async with hubs(nats, "a") as everybody:
        first = await leader_of(everybody)
        await Store(first.bus).put(LEASE, b"usurper 1", ttl=1)

        async with asyncio.timeout(30):
            while len(first.terms) < 2:
                await asyncio.sleep(0.02)
        assert first.terms[1].epoch > first.terms[0].epoch


async def test_it_leads_again_after_the_server_was_killed(nats):
    async with hubs(nats, "a", "b") as everybody:
        await leader_of(everybody)
        os.kill(nats.server.pid, signal.SIGKILL)

        async with asyncio.timeout(60):
            while True:
                found = await leader_of(everybody)
                with contextlib.suppress(YardarmError):
                    await Writer(found.bus).batch([("desired.c1.ns.a", b"1")], found.terms[-1])
                    break


async def test_an_error_of_the_work_comes_through_as_it_is(nats):
    async def fail(_: Fence) -> None:
        raise ValueError("mine")

    async with nats.hub() as bus:
        leader = Leader(bus, "a", ttl=TTL)
        with pytest.raises(ValueError, match="mine"):
            await leader.run(fail)
        assert await leader.holder() == ""


async def test_work_that_ends_ends_the_election(nats):
    fences: list[Fence] = []

    async def work(fence: Fence) -> None:
        fences.append(fence)

    async with nats.hub() as bus:
        await Leader(bus, "a", ttl=TTL).run(work)
        found = await bus.get_last(f"$JS.API.DIRECT.GET.DESIRED.{subjects.EPOCH}")

    assert found is not None
    assert fences == [Fence(int(found.headers["Nats-Sequence"]))]
