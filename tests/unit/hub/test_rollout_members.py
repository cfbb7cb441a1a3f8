"""Clusters that do not answer, that come and go, and commits that come in between."""

import pytest

from hub.domain.plans import undisturbed
from hub.domain.runs import Phase, StagePhase
from tests.fakes.rolling import BY_STAGE, bundle, rolled_out

DEV = {"name": "dev", "environments": ["dev"]}
PROD = {"name": "prod", "environments": ["prod"]}
ONE_BY_ONE = {"stages": [PROD | {"maxConcurrent": 1}]}


def test_a_cluster_that_does_not_answer_leaves_its_slot_to_others():
    fleet = rolled_out("prod-1", "prod-2", strategy=ONE_BY_ONE)
    fleet.commit("v2")

    fleet.silence("prod-1")
    fleet.wait(119)
    assert fleet.has()["prod-2"] == "v1"

    fleet.wait(1)
    assert (fleet.states()["prod-1"], fleet.has()["prod-2"]) == ("Offline", "v2")

    fleet.healthy("prod-2")
    assert fleet.phase is Phase.COMPLETED


def test_a_cluster_that_was_away_is_given_the_revision_when_its_stage_is_done_and_catches_up():
    fleet = rolled_out("prod-1", "prod-2", strategy=ONE_BY_ONE)
    fleet.commit("v2")
    fleet.silence("prod-2", lasting=600)
    assert fleet.has() == {"prod-1": "v2", "prod-2": "v1"}

    fleet.healthy("prod-1")
    assert (fleet.phase, fleet.has()["prod-2"]) == (Phase.COMPLETED, "v2")

    fleet.heard("prod-2")
    fleet.healthy("prod-2")
    assert fleet.states()["prod-2"] == "Healthy"


def test_a_cluster_that_is_back_in_time_takes_its_turn():
    fleet = rolled_out("prod-1", "prod-2", strategy=ONE_BY_ONE)
    fleet.commit("v2")
    fleet.silence("prod-2", lasting=600)
    assert fleet.states()["prod-2"] == "Offline"

    fleet.heard("prod-2")
    assert (fleet.states()["prod-2"], fleet.has()["prod-2"]) == ("Pending", "v1")

    fleet.settle()
    assert fleet.phase is Phase.COMPLETED


def test_a_stage_of_which_nothing_is_heard_proves_nothing():
    fleet = rolled_out("dev-1", "dev-2", "prod-1")
    fleet.commit("v2")
    fleet.silence("dev-1", "dev-2", lasting=600)
    fleet.wait(86400)

    assert (fleet.stage("dev"), fleet.waits("dev")) == (StagePhase.PROGRESSING, ["clusters"])
    assert fleet.has()["prod-1"] == "v1"

    fleet.heard("dev-1")
    fleet.healthy("dev-1")
    assert fleet.has()["prod-1"] == "v2"


def test_nor_do_one_that_failed_and_one_that_does_not_answer():
    stages = [DEV | {"maxFailures": 1}, PROD]
    fleet = rolled_out("dev-1", "dev-2", "prod-1", strategy={"stages": stages})
    fleet.commit("v2")
    fleet.silence("dev-2", lasting=600)

    fleet.fail("dev-1")

    assert (fleet.stage("dev"), fleet.waits("dev")) == (StagePhase.PROGRESSING, ["clusters"])


def test_while_a_cluster_is_silent_what_it_said_does_not_count():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.silence("dev-1")

    fleet.healthy("dev-1")

    assert fleet.states()["dev-1"] == "Assigned"


def test_a_cluster_that_missed_it_in_a_freeze_gets_it_when_the_freeze_ends():
    fleet = rolled_out("prod-1", "prod-2", strategy=ONE_BY_ONE)
    fleet.commit("v2")
    fleet.silence("prod-2", lasting=600)
    fleet.close("prod")
    fleet.healthy("prod-1")
    assert (fleet.phase, fleet.has()["prod-2"]) == (Phase.COMPLETED, "v1")

    fleet.open()

    assert fleet.has()["prod-2"] == "v2"


def test_a_cluster_that_joins_takes_part_in_its_stage():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")

    fleet.join("dev-2", "prod-2")
    assert fleet.has() == {"dev-1": "v2", "prod-1": "v1", "dev-2": "v2"}

    fleet.healthy("dev-1")
    assert fleet.stage("dev") is StagePhase.PROGRESSING
    fleet.settle()
    assert fleet.phase is Phase.COMPLETED
    assert set(fleet.has().values()) == {"v2"}


def test_a_cluster_that_joins_when_its_stage_is_done_is_given_the_revision_at_once():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.healthy("dev-1")

    fleet.join("dev-2")

    assert (fleet.stage("dev"), fleet.has()["dev-2"]) == (StagePhase.DONE, "v2")


def test_a_cluster_that_joins_when_all_is_done_needs_no_rollout():
    fleet = rolled_out("dev-1", "prod-1")
    last = fleet.rollout.id

    fleet.join("prod-2")

    assert (fleet.rollout.id, fleet.has()["prod-2"]) == (last, "v1")


def test_a_cluster_that_leaves_is_waited_for_no_longer():
    fleet = rolled_out("dev-1", "dev-2", "prod-1")
    fleet.commit("v2")
    fleet.healthy("dev-1")

    fleet.leave("dev-2")

    assert (fleet.states()["dev-2"], fleet.has()["prod-1"]) == ("Skipped", "v2")


def test_a_cluster_that_leaves_while_a_newer_revision_waits_holds_up_nobody():
    fleet = rolled_out("dev-1", "dev-2", "prod-1", strategy=BY_STAGE | {"onNewer": "queue"})
    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.commit("v3")
    assert fleet.rollout.queued == "v3"

    fleet.leave("dev-2")

    assert (fleet.rollout.plan.revision, fleet.has()["prod-1"]) == ("v2", "v2")


def test_a_cluster_that_is_paused_is_left_out_and_goes_on_from_where_it_was():
    fleet = rolled_out("dev-1", "dev-2", "prod-1")
    fleet.commit("v2", strategy=BY_STAGE)
    fleet.pause_clusters("dev-2")
    fleet.healthy("dev-1")
    assert fleet.has() == {"dev-1": "v2", "dev-2": "v2", "prod-1": "v2"}

    fleet.pause_clusters("dev-2", paused=False)
    assert fleet.states()["dev-2"] == "Assigned"

    fleet.settle()
    assert fleet.phase is Phase.COMPLETED


def test_a_cluster_that_left_the_fleet_and_is_back_has_what_all_have():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.leave("prod-1")

    fleet.join("prod-1")

    assert fleet.has()["prod-1"] == "v1"


def test_what_the_hub_could_not_carry_out_is_made_good_with_the_next_look_at_git():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.clusters["dev-1"].given = fleet.rollout.plan.clusters["dev-1"].previous

    fleet.propose()

    assert fleet.has()["dev-1"] == "v2"


def test_the_application_leaves_a_cluster_when_its_stage_has_its_turn():
    fleet = rolled_out("dev-1", "prod-1", "prod-2")
    fleet.clusters["prod-2"].placed = False

    fleet.commit("v2")
    assert fleet.has()["prod-2"] == "v1"

    fleet.healthy("dev-1")
    fleet.healthy("prod-1")
    assert fleet.has()["prod-2"] == ""

    fleet.healthy("prod-2")
    assert fleet.phase is Phase.COMPLETED


def test_a_cluster_that_was_to_lose_the_application_and_leaves_the_fleet_holds_up_nobody():
    fleet = rolled_out("dev-1", "prod-1", "prod-2")
    fleet.displace("prod-2")

    fleet.leave("prod-2")

    assert fleet.phase is Phase.COMPLETED


def test_a_newer_commit_takes_over_and_starts_from_the_first_stage():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.healthy("dev-1")

    fleet.commit("v3")

    assert fleet.has() == {"dev-1": "v3", "prod-1": "v2"}
    assert [each.phase for each in fleet.ended] == [Phase.SUPERSEDED]
    assert fleet.tells("superseded") == ["superseded: v3 is newer"]


def test_with_queue_a_newer_commit_waits_its_turn():
    fleet = rolled_out("dev-1", "prod-1", strategy=BY_STAGE | {"onNewer": "queue"})
    fleet.commit("v2")

    fleet.commit("v3")
    assert (fleet.rollout.plan.revision, fleet.rollout.queued) == ("v2", "v3")

    fleet.settle()
    assert fleet.phase is Phase.COMPLETED
    fleet.propose()
    assert (fleet.rollout.plan.revision, fleet.has()["dev-1"]) == ("v3", "v3")


def test_a_queue_is_empty_again_when_git_goes_back_to_what_is_under_way():
    fleet = rolled_out("dev-1", "prod-1", strategy=BY_STAGE | {"onNewer": "queue"})
    fleet.commit("v2")
    fleet.commit("v3")

    fleet.commit("back to v2", digest="v2")

    assert (fleet.rollout.plan.revision, fleet.rollout.queued) == ("v2", "")


def test_another_strategy_for_the_same_revision_takes_over():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV, PROD | {"approve": {"by": ["sre"]}}]})
    fleet.commit("v2")
    fleet.healthy("dev-1")

    fleet.commit("v2", strategy=BY_STAGE)
    fleet.healthy("dev-1")

    assert fleet.has()["prod-1"] == "v2"


def test_a_cluster_that_comes_into_the_application_goes_through_its_stage():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.clusters["prod-1"].environments = ("dev",)
    fleet.displace("dev-1")
    fleet.settle()

    fleet.clusters["dev-1"].placed = True
    fleet.propose()

    assert fleet.states() == {"dev-1": "Assigned"}
    assert fleet.stage("dev") is StagePhase.PROGRESSING


@pytest.mark.parametrize("seconds", [1.0, 3600.0])
def test_rollouts_follow_each_other_in_time_though_the_clock_is_put_back(seconds):
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    before = fleet.rollout.plan.at

    fleet.now -= seconds
    fleet.commit("v3")

    assert fleet.rollout.plan.at > before


def test_who_cannot_be_worked_out_goes_on_with_what_is_under_way_unless_others_get_something_else():
    fleet = rolled_out("dev-1", "prod-1", strategy=BY_STAGE)
    assert undisturbed(fleet.rollout, {}, {"dev-1", "prod-1"}) == {}
    fleet.commit("v2")

    both = {"dev-1": bundle("v2"), "prod-1": bundle("v2")}
    assert undisturbed(fleet.rollout, {}, {"dev-1", "prod-1", "prod-9"}) == both
    assert undisturbed(fleet.rollout, {"dev-1": bundle("v2")}, {"prod-1"}) == {"prod-1": bundle("v2")}
    assert undisturbed(fleet.rollout, {"dev-1": bundle("v3")}, {"prod-1"}) == {}
    assert undisturbed(None, {}, {"dev-1"}) == {}
