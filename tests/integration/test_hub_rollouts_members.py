"""Rollouts on a live hub whose fleet does not stand still: clusters join, leave, fall silent and come back."""

from __future__ import annotations

import pytest
import pytest_asyncio

from hub.domain.runs import SlotState
from tests.fakes.fleetagents import Mood
from tests.fakes.livehub import until
from tests.fakes.stagedhub import STAGES, Scene, StagedHub, staged_hub

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEV, PROD = STAGES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    async with staged_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


async def joins(scene: Scene, cluster: str, **spec) -> None:
    """A cluster is added to the fleet in Git, and its agent is heard."""
    scene.clusters = (*scene.clusters, cluster)
    scene.hub.repo.write(f"fleet/{scene.name}/{cluster}.yaml", scene.cluster(cluster, **spec))
    await scene.hub.agents.join(scene.full(cluster))
    await scene.hub.commit(f"{cluster} joins")


async def test_who_joins_in_the_middle_has_what_was_completed_and_then_waits_for_its_stage(hub: StagedHub):
    scene = await hub.scene("join", "dev-1", "prod-1")
    await scene.when("2", Mood.PROGRESSING, "dev-1")
    await scene.value("2")
    await scene.has_got(dev_1="2")

    await joins(scene, "prod-2")
    await scene.has_got(prod_2="1")
    assert scene.digests()["prod-2"] == scene.digests()["prod-1"]
    await scene.when("2", Mood.HEALTHY, "dev-1")
    await scene.phase("Completed")

    assert scene.story() == ["dev-1: 2", "prod-2: 1", "prod-1: 2", "prod-2: 2"]


async def test_who_joins_after_a_rollback_has_what_the_others_went_back_to(hub: StagedHub):
    scene = await hub.scene("late", "dev-1", "prod-1", onFailure="rollback")
    await scene.when("bad", Mood.DEGRADED)
    await scene.value("bad")
    await scene.has_got(dev_1="bad")
    await scene.fails()
    await scene.phase("RolledBack")

    await joins(scene, "prod-2")
    await scene.has_got(prod_2="1")
    await scene.value("3")
    await scene.phase("Completed")

    assert scene.story()[2:] == ["prod-2: 1", "dev-1: 3", "prod-1: 3", "prod-2: 3"]


async def test_who_joins_together_with_a_change_goes_back_with_the_others(hub: StagedHub):
    scene = await hub.scene("both", "dev-1", "prod-1", onFailure="rollback")
    scene.content = scene.content.replace("'1'", "'bad'")
    scene.write()
    await scene.when("bad", Mood.DEGRADED, "prod-1")
    await joins(scene, "prod-2")
    await scene.has_got(prod_1="bad", prod_2="bad")
    await scene.fails()
    await scene.phase("RolledBack")

    assert [each for each in scene.story() if "prod-2" in each] == ["prod-2: 1", "prod-2: bad", "prod-2: 1"]
    assert scene.has() == {"dev-1": "1", "prod-1": "1", "prod-2": "1"}
    assert scene.digests()["prod-2"] == scene.digests()["prod-1"]


async def test_who_leaves_the_fleet_holds_nobody_up(hub: StagedHub):
    scene = await hub.scene("leave", "dev-1", "dev-2", "prod-1")
    await scene.when("2", Mood.PROGRESSING, "dev-2")
    await scene.value("2")
    await scene.has_got(dev_1="2", dev_2="2")

    hub.repo.write("fleet/leave/clusters.yaml", "---\n".join(map(scene.cluster, ("dev-1", "prod-1"))))
    await hub.commit("dev-2 is gone")
    await scene.phase("Completed")

    assert scene.story() == ["dev-1: 2", "dev-2: 2", "prod-1: 2"]
    assert scene.rollout.slots["leave-dev-2"].state is SlotState.SKIPPED


async def test_leaving_the_placement_goes_through_the_stages_too(hub: StagedHub):
    scene = await hub.scene("narrow", "dev-1", "dev-2", "prod-1", "prod-2")
    await scene.when("1", Mood.PROGRESSING, "dev-1")
    scene.write(placement={"clusters": ["narrow-dev-1", "narrow-prod-1"]})
    await hub.commit("fewer clusters")
    await scene.phase("Completed")

    assert scene.story() == ["dev-2: gone", "prod-2: gone"]


async def test_silent_clusters_leave_their_slots_and_catch_up_when_they_are_back(hub: StagedHub):
    stages = [DEV, PROD | {"maxConcurrent": 1}]
    scene = await hub.scene("silent", "dev-1", "prod-1", "prod-2", "prod-3", stages=stages, offline={"after": "1s"})
    await scene.when("2", Mood.PROGRESSING, "prod-2")
    await scene.mood("prod-1", Mood.SILENT)
    await scene.value("2")
    hub.pass_time(5)
    await scene.has_got(prod_2="2")
    await scene.mood("prod-2", Mood.SILENT)
    hub.pass_time(5)
    await scene.phase("Completed")
    states = {name: slot.state for name, slot in scene.rollout.slots.items()}
    assert states["silent-prod-1"] is states["silent-prod-2"] is SlotState.OFFLINE
    assert (await hub.get("rollouts/silent"))["stages"][1]["clusters"]["offline"] == 2

    hub.agents.content('"value":"2"', Mood.HEALTHY, "silent-prod-2")
    await scene.mood("prod-1", Mood.HEALTHY)
    await scene.mood("prod-2", Mood.HEALTHY)
    await until(lambda: {slot.state for slot in scene.rollout.slots.values()} == {SlotState.HEALTHY})
    assert scene.has() == {"dev-1": "2", "prod-1": "2", "prod-2": "2", "prod-3": "2"}
    assert sorted(scene.story()) == ["dev-1: 2", "prod-1: 2", "prod-2: 2", "prod-3: 2"]


async def test_a_stage_of_which_nothing_is_heard_is_no_proof(hub: StagedHub):
    scene = await hub.scene("mute", "dev-1", "prod-1", offline={"after": "1s"})
    await scene.mood("dev-1", Mood.SILENT)
    await scene.value("2")
    hub.pass_time(5)

    await scene.waits("clusters", "nothing is heard of 1 of 1")
    assert scene.has()["prod-1"] == "1"
    await scene.mood("dev-1", Mood.HEALTHY)
    await scene.phase("Completed")
    assert scene.story() == ["dev-1: 2", "prod-1: 2"]
