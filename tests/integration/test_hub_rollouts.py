"""Rollouts on a live hub: from commits to what is published, in which order, and what makes it stop or go back."""

from __future__ import annotations

import random

import pytest
import pytest_asyncio

from hub.domain.runs import SlotState
from tests.fakes.fleetagents import Mood
from tests.fakes.livehub import configmap, until
from tests.fakes.stagedhub import STAGES, StagedHub, staged_hub

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEV, PROD = STAGES
ONE_BY_ONE = [DEV, PROD | {"maxConcurrent": 1}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory):
    async with staged_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


async def test_stages_follow_each_other_and_no_more_are_under_way_than_may_be(hub: StagedHub):
    scene = await hub.scene("order", "prod-2", "prod-1", "dev-1", "dev-2", stages=ONE_BY_ONE)
    await scene.when("2", Mood.PROGRESSING)
    await scene.value("2")

    await scene.has_got(dev_1="2", dev_2="2")
    await scene.when("2", Mood.HEALTHY, "dev-1")
    assert scene.has() == {"dev-1": "2", "dev-2": "2", "prod-1": "1", "prod-2": "1"}
    await scene.when("2", Mood.HEALTHY, "dev-2")
    await scene.has_got(prod_1="2")
    assert scene.has()["prod-2"] == "1"
    await scene.when("2", Mood.HEALTHY, "prod-1", "prod-2")
    await scene.phase("Completed")

    assert scene.story() == ["dev-1: 2", "dev-2: 2", "prod-1: 2", "prod-2: 2"]
    stream = {unit.cluster: each.generation for unit, each in (await hub.live.desired()).items()}
    assert sorted(map(scene.full, scene.clusters), key=stream.get) == [
        "order-dev-1", "order-dev-2", "order-prod-1", "order-prod-2"
    ]  # fmt: skip


async def test_what_fails_goes_back_newest_first_to_the_very_bundles_and_is_not_tried_again(hub: StagedHub):
    stages = [DEV, {"name": "canary", "environments": ["canary"]}, PROD]
    scene = await hub.scene("back", "dev-1", "canary-1", "prod-1", stages=stages, onFailure="rollback")
    before = scene.digests()
    await scene.when("bad", Mood.DEGRADED, "canary-1")
    await scene.value("bad")
    await scene.has_got(canary_1="bad")
    await scene.fails()
    await scene.phase("RolledBack")

    assert scene.story() == ["dev-1: bad", "canary-1: bad", "canary-1: 1", "dev-1: 1"]
    assert scene.digests() == before
    shown = await hub.get("rollouts/back")
    assert shown["rejected"]
    assert "1 of 1 clusters failed in canary: back-canary-1: ImagePullBackOff" in shown["reason"]
    assert [each["type"] for each in shown["events"]][:2] == ["rollout.rolledback", "rollout.rollingback"]

    hub.repo.write("README.md", "something else")
    await hub.commit("nothing of it changes")
    assert len(scene.story()) == 4
    await scene.when("bad", Mood.HEALTHY, "canary-1")
    await scene.ask("release", reason="it was the registry")
    await scene.phase("Completed")
    assert scene.story()[4:] == ["dev-1: bad", "canary-1: bad", "prod-1: bad"]


async def test_a_bundle_too_large_for_a_message_goes_back_even_if_what_nobody_has_was_swept_away(hub: StagedHub):
    noise = random.Random(1).randbytes(30_000).hex()
    scene = await hub.scene("large", "dev-1", onFailure="pause")
    scene.content = configmap("large", noise)
    scene.write()
    await hub.commit("large: much")
    await scene.phase("Completed")
    before = scene.digests()
    assert hub.agents.of("large")[-1].packs

    await scene.when("bad", Mood.DEGRADED)
    await scene.value("bad")
    await scene.has_got(dev_1="bad")
    await scene.fails()
    await scene.phase("Paused")
    await hub.live.sweep()
    await scene.ask("rollback", reason="no good")
    await scene.phase("RolledBack")

    assert scene.has() == {"dev-1": noise}
    assert scene.digests() == before


async def test_taking_a_rejected_change_out_of_git_asks_for_nothing(hub: StagedHub):
    scene = await hub.scene("revert", "dev-1", "prod-1", onFailure="rollback")
    await scene.when("bad", Mood.DEGRADED, "prod-1")
    await scene.value("bad")
    await scene.has_got(prod_1="bad")
    await scene.fails()
    await scene.phase("RolledBack")
    await scene.value("1")
    await scene.value("3")
    await scene.phase("Completed")

    assert scene.story() == ["dev-1: bad", "prod-1: bad", "prod-1: 1", "dev-1: 1", "dev-1: 3", "prod-1: 3"]


async def test_people_pause_resume_and_approve(hub: StagedHub):
    approve = {"by": ["sre"], "count": 1, "notAuthor": True}
    scene = await hub.scene("gate", "dev-1", "prod-1", stages=[DEV])
    scene.strategy = {"stages": [DEV, PROD | {"approve": approve}]}
    await scene.when("2", Mood.PROGRESSING, "dev-1")
    await scene.value("2")
    await scene.has_got(dev_1="2")

    await scene.ask("pause", by="olga", reason="lunch")
    await scene.phase("Paused")
    await scene.when("2", Mood.HEALTHY, "dev-1")
    await until(lambda: scene.rollout.slots["gate-dev-1"].state is SlotState.HEALTHY)
    await scene.ask("resume", by="sam", status=403)
    assert scene.story() == ["dev-1: 2"]
    await scene.ask("resume", by="olga")
    await scene.phase("Progressing", "prod Waiting")
    await scene.waits("approval", "sre")

    assert "notAuthor" in (await scene.ask("approve", by="ada", status=403))["detail"]
    await scene.ask("approve", by="olga", status=403)
    assert scene.story() == ["dev-1: 2"]
    await scene.ask("approve", by="sam", reason="seen on dev")
    await scene.phase("Completed")

    assert scene.story() == ["dev-1: 2", "prod-1: 2"]
    told = [(each["type"], each["actor"]) for each in (await hub.get("rollouts/gate"))["events"]]
    assert ("rollout.approved", "sam") in told
    assert ("rollout.asked", "olga") in told


async def test_people_retry_skip_and_abort_what_has_failed(hub: StagedHub):
    scene = await hub.scene("fail", "dev-1", "dev-2", "prod-1")
    await scene.when("2", Mood.DEGRADED, "dev-1", "dev-2")
    await scene.value("2")
    await scene.has_got(dev_1="2", dev_2="2")
    await scene.fails()
    paused = await scene.phase("Paused")
    assert "2 of 2 clusters failed in dev" in paused.reason

    await scene.ask("skip", clusters=["fail-dev-2"], reason="its node is being replaced")
    await until(lambda: scene.rollout.slots["fail-dev-2"].state is SlotState.SKIPPED)
    await scene.ask("retry")
    await until(lambda: scene.story() == ["dev-1: 2", "dev-2: 2", "dev-1: 2"])
    await scene.when("2", Mood.HEALTHY, "dev-1")
    await scene.phase("Completed")
    assert scene.story()[3:] == ["prod-1: 2"]

    await scene.when("2", Mood.HEALTHY, "dev-2")
    await scene.when("3", Mood.PROGRESSING, "dev-1", "dev-2")
    await scene.value("3")
    await scene.has_got(dev_1="3", dev_2="3")
    await scene.ask("abort", status=422)
    await scene.ask("abort", reason="the wrong branch")
    await scene.phase("Aborted")
    assert scene.has() == {"dev-1": "3", "dev-2": "3", "prod-1": "2"}
    await scene.ask("rollback", reason="back then")
    await scene.phase("RolledBack")
    assert scene.has() == {"dev-1": "2", "dev-2": "2", "prod-1": "2"}


async def test_going_back_to_any_earlier_revision_gives_the_bundles_of_then(hub: StagedHub):
    scene = await hub.scene("earlier", "dev-1", "prod-1")
    first, revision = scene.digests(), scene.rollout.plan.revision
    for value in ("2", "3"):
        await scene.value(value)
        await scene.phase("Completed")

    said = await scene.ask("rollback", to=revision[:12], reason="2 was wrong, too")
    assert said["effect"]
    await scene.phase("RolledBack")

    assert scene.story()[4:] == ["prod-1: 1", "dev-1: 1"]
    assert scene.digests() == first


async def test_a_bypass_leaves_out_the_gates_and_is_told(hub: StagedHub):
    scene = await hub.scene("bypass", "dev-1", "prod-1", stages=[DEV])
    scene.strategy = {"stages": [DEV | {"soak": "1h"}, PROD | {"approve": {"by": ["nobody"]}}]}
    await scene.value("2")
    await scene.waits("soak")

    await scene.ask("bypass", by="olga", reason="the shop is down", status=403)
    await scene.ask("bypass", reason="the shop is down")
    done = await scene.phase("Completed")

    assert scene.story() == ["dev-1: 2", "prod-1: 2"]
    assert done.bypass == "admin: the shop is down"
    told = [(each["type"], each["message"]) for each in (await hub.get("events?limit=50"))["items"]]
    assert any(kind == "rollout.bypassed" and "the shop is down" in message for kind, message in told)


async def test_a_hold_keeps_an_environment_as_it_is_until_it_is_released(hub: StagedHub):
    scene = await hub.scene("hold", "dev-1", "prod-1")
    await hub.post("applications/hold/hold", by="olga", reason="black friday", environment="prod")
    await scene.value("2")
    await scene.waits("hold", "black friday")
    assert scene.story() == ["dev-1: 2"]

    await hub.post("applications/hold/release", by="olga", environment="prod")
    await scene.phase("Completed")
    assert scene.story() == ["dev-1: 2", "prod-1: 2"]


async def test_a_newer_commit_takes_the_place_of_an_older_one_and_begins_at_the_first_stage(hub: StagedHub):
    scene = await hub.scene("newer", "dev-1", "prod-1")
    await scene.when("2", Mood.PROGRESSING, "prod-1")
    await scene.value("2")
    await scene.has_got(prod_1="2")
    await scene.value("3")
    await scene.phase("Completed")

    assert scene.story() == ["dev-1: 2", "prod-1: 2", "dev-1: 3", "prod-1: 3"]
    assert [each["phase"] for each in (await hub.get("rollouts/newer/history"))["items"]] == [
        "Completed", "Superseded", "Completed"
    ]  # fmt: skip


async def test_a_newer_commit_waits_where_it_is_to(hub: StagedHub):
    scene = await hub.scene("queue", "dev-1", "prod-1", onNewer="queue")
    await scene.when("2", Mood.PROGRESSING, "prod-1")
    await scene.value("2")
    await scene.has_got(prod_1="2")
    await scene.value("3")
    assert scene.rollout.queued
    await scene.when("2", Mood.HEALTHY, "prod-1")
    await scene.has_got(dev_1="3", prod_1="3")

    assert scene.story() == ["dev-1: 2", "prod-1: 2", "dev-1: 3", "prod-1: 3"]
