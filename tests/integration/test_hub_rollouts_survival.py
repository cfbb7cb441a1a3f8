"""Rollouts outlive the hub that leads them: killed, or deposed by another one, in the middle of everything."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from hub.leader import LEASE
from hub.settings import RolloutSettings
from hub.store import Store
from shared.bus import Bus
from tests.fakes.fleetagents import FleetAgents, Mood
from tests.fakes.livehub import live_hub, until
from tests.fakes.natshub import running
from tests.fakes.natsserver import NatsServer
from tests.fakes.stagedhub import STAGES, JumpingClock, StagedHub, staged_repo, staged_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEV, PROD = STAGES


class Place:
    """A NATS, a repository and agents that outlive the hubs."""

    def __init__(self, folder: Path, nats: NatsServer, bus: Bus) -> None:
        self.folder = folder
        self.nats = nats
        self.bus = bus
        self.repo = staged_repo(folder / "fleet")
        self.clock = JumpingClock()
        self.agents = FleetAgents(bus)

    @contextlib.asynccontextmanager
    async def hub(self, name: str = "a", **more) -> AsyncIterator[StagedHub]:
        """A hub, until the block ends: then all of it is cancelled, wherever it is. All have the keys of the first."""
        state = self.folder / name
        if name != "a" and not state.exists():
            shutil.copytree(self.folder / "a" / "keys", state / "keys")
        given = staged_settings(state, self.repo, self.nats.url, name=name, **more)
        async with live_hub(given, self.clock) as live:
            hub = StagedHub(live, self.repo, self.agents, self.clock)
            try:
                yield hub
            finally:
                await hub.session.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    async with NatsServer(folder / "nats") as nats, running(Bus(nats.url, name="agents")) as bus:
        place = Place(folder, nats, bus)
        await place.agents.listen()
        yield place


async def test_an_approval_given_just_before_the_hub_dies_counts_and_nothing_is_published_twice(place: Place):
    async with place.hub() as hub:
        scene = await hub.scene("approve", "dev-1", "prod-1", stages=[DEV])
        rejected = await hub.scene("reject", "dev-1", "prod-1", onFailure="rollback")
        going = await hub.scene("going", "dev-1", "prod-1")
        await rejected.when("bad", Mood.DEGRADED, "prod-1")
        await rejected.value("bad")
        await rejected.has_got(prod_1="bad")
        await rejected.fails()
        await rejected.phase("RolledBack")
        await going.when("2", Mood.PROGRESSING, "prod-1")
        await going.value("2")
        await going.has_got(prod_1="2")
        scene.strategy = {"stages": [DEV, PROD | {"approve": {"by": ["sre"], "count": 2}}]}
        await scene.value("2")
        await scene.waits("approval")
        before = await hub.live.sequences()
        await scene.ask("approve", by="sam")

    async with place.hub() as hub:
        scene.hub = rejected.hub = going.hub = hub
        await hub.live.seen(place.repo.head)
        await until(lambda: [each.by for each in scene.rollout.approvals] == ["sam"])
        assert rejected.rollout.phase == "RolledBack"
        assert await hub.live.sequences() == before

        await going.when("2", Mood.HEALTHY, "prod-1")
        await going.phase("Completed")
        await scene.ask("approve", by="ada")
        await scene.phase("Completed")
        assert scene.story() == going.story() == ["dev-1: 2", "prod-1: 2"]
        assert rejected.story() == ["dev-1: bad", "prod-1: bad", "prod-1: 1", "dev-1: 1"]


async def test_a_hub_that_died_on_the_way_back_gives_the_bundles_of_before(place: Place):
    async with place.hub() as hub:
        scene = await hub.scene("midway", "dev-1", "prod-1", "prod-2", onFailure="rollback")
        before = scene.digests()
        await scene.when("bad", Mood.DEGRADED, "prod-1")
        await scene.value("bad")
        await scene.has_got(prod_1="bad", prod_2="bad")
        await scene.when("1", Mood.PROGRESSING, "dev-1")
        await scene.fails()
        await scene.phase("RollingBack")
        await scene.has_got(dev_1="1")

    async with place.hub() as hub:
        scene.hub = hub
        await scene.when("1", Mood.HEALTHY)
        await scene.phase("RolledBack")

    assert scene.digests() == before
    assert Counter(scene.story()) == Counter([f"{name}: {value}" for name in scene.clusters for value in ("bad", "1")])


async def test_of_two_hubs_the_second_goes_on_where_the_first_was_and_nothing_is_given_twice(place: Place):
    async with place.hub("a") as first, place.hub("b") as second:
        scene = await first.scene("two", "dev-1", "dev-2", "prod-1")
        await scene.when("2", Mood.PROGRESSING)
        await scene.value("2")
        await scene.has_got(dev_1="2", dev_2="2")
        assert second.live.hub.role() == "follower"

        await second.post("rollouts/two/pause", by="olga", reason="asked of the follower")
        await scene.phase("Paused")
        shown = []

        def same() -> bool:
            shown[:] = [hub.live.hub.view.rollouts.newest("two") for hub in (first, second)]
            return shown[0] == shown[1]

        await until(same)
        assert (await second.get("rollouts/two"))["reason"] == "asked of the follower"

        await Store(place.bus).delete(LEASE)  # the first does not know yet that it is deposed
        await until(lambda: second.live.hub.role() == "leader")
        await second.post("rollouts/two/resume", by="olga")
        await scene.when("2", Mood.HEALTHY)
        scene.hub = second
        await scene.phase("Completed")
        await until(lambda: first.live.hub.role() == "follower")
        await until(same)

        assert Counter(scene.story()) == Counter(["dev-1: 2", "dev-2: 2", "prod-1: 2"])
        assert scene.story()[-1] == "prod-1: 2"


async def test_all_rollouts_together_are_no_faster_than_the_rate(place: Place):
    names = [f"dev-{number}" for number in range(40)]
    async with place.hub(rollouts=RolloutSettings(rate=25)) as hub:
        scene = await hub.scene("rate", *names, stages=[])

    times = sorted(each.at for each in place.agents.of("rate"))
    assert len(times) == len(names)
    assert scene.has() == dict.fromkeys(sorted(names), "1")
    for begin in times:
        assert len([at for at in times if begin <= at < begin + 0.5]) <= 25 + 0.5 * 25
