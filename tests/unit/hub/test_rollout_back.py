"""The way back: to what the last completed rollout gave, and what happens to the revision that was rejected."""

from hub.domain.requests import objection
from hub.domain.runs import Phase
from tests.fakes.rolling import BY_STAGE, bundle, rolled_out

DEV = {"name": "dev", "environments": ["dev"]}
PROD = {"name": "prod", "environments": ["prod"]}


def rejected(*names: str):
    """A fleet whose v2 failed on the first prod cluster and was rolled back."""
    fleet = rolled_out(*names)
    fleet.commit("v2")
    fleet.settle(*(name for name in names if name.startswith("dev")))
    fleet.fail(next(name for name in names if name.startswith("prod")))
    fleet.settle()
    assert fleet.phase is Phase.ROLLED_BACK
    return fleet


def test_everybody_touched_goes_back_newest_stage_first():
    fleet = rolled_out("dev-1", "prod-1", "prod-2")
    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.published.clear()

    fleet.fail("prod-1")

    assert [(name, digest) for _, name, digest in fleet.published] == [("prod-1", "v1"), ("dev-1", "v1")]
    assert fleet.states() == {"dev-1": "Restoring", "prod-1": "Restoring", "prod-2": "Pending"}


def test_it_is_rolled_back_once_they_are_healthy_with_what_they_had():
    fleet = rejected("dev-1", "prod-1", "prod-2")

    assert fleet.states() == {"dev-1": "Restored", "prod-1": "Restored", "prod-2": "Pending"}
    assert set(fleet.has().values()) == {"v1"}


def test_the_rejected_revision_does_not_start_again_by_itself():
    fleet = rejected("dev-1", "prod-1")
    last = fleet.rollout

    fleet.propose()
    fleet.commit("the same bundles", digest="v2")

    assert fleet.rollout is last


def test_a_released_revision_starts_again():
    fleet = rejected("dev-1", "prod-1")

    fleet.ask("release", reason="the registry was down")
    fleet.propose()

    assert (fleet.phase, fleet.has()["dev-1"]) == (Phase.PROGRESSING, "v2")


def test_a_newer_commit_lifts_the_hold():
    fleet = rejected("dev-1", "prod-1")

    fleet.commit("v3")
    fleet.settle()

    assert (fleet.phase, fleet.has()) == (Phase.COMPLETED, {"dev-1": "v3", "prod-1": "v3"})


def test_a_revision_that_git_took_back_and_brings_again_starts_again():
    fleet = rejected("dev-1", "prod-1")

    fleet.commit("revert", digest="v1")
    assert fleet.phase is Phase.ROLLED_BACK

    fleet.commit("revert the revert", digest="v2")
    assert (fleet.phase, fleet.has()["dev-1"]) == (Phase.PROGRESSING, "v2")


def test_clusters_that_come_back_or_go_do_not_start_the_rejected_revision_again():
    fleet = rolled_out("dev-1", "prod-1", "prod-2", "prod-3")
    fleet.pause_clusters("prod-2")
    fleet.commit("v2")
    fleet.fail("dev-1")
    fleet.settle()

    fleet.pause_clusters("prod-2", paused=False)
    fleet.displace("prod-3")
    fleet.leave("prod-1")
    fleet.join("prod-4")

    assert fleet.phase is Phase.ROLLED_BACK
    assert "v2" not in fleet.has().values()


def test_what_a_half_done_rollout_left_is_proven_again_by_the_next():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.healthy("dev-1")

    fleet.commit("v3", "prod-1")

    assert fleet.states() == {"dev-1": "Assigned", "prod-1": "Pending"}
    fleet.healthy("dev-1")
    assert fleet.has() == {"dev-1": "v2", "prod-1": "v3"}


def test_after_a_half_done_rollout_the_way_back_leads_to_the_last_completed_one():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.healthy("dev-1")
    assert fleet.has() == {"dev-1": "v2", "prod-1": "v2"}

    fleet.commit("v3")
    fleet.healthy("dev-1")
    fleet.fail("prod-1")

    assert fleet.has() == {"dev-1": "v1", "prod-1": "v1"}


def test_after_an_aborted_rollout_too():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.ask("abort", reason="wrong day")
    assert (fleet.phase, fleet.has()) == (Phase.ABORTED, {"dev-1": "v2", "prod-1": "v1"})

    fleet.commit("v3")
    fleet.fail("dev-1")

    assert fleet.has() == {"dev-1": "v1", "prod-1": "v1"}


def test_an_aborted_revision_is_held():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.ask("abort")

    fleet.propose()
    fleet.settle()

    assert (fleet.phase, fleet.has()["prod-1"]) == (Phase.ABORTED, "v1")


def test_a_person_can_take_back_what_was_completed():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.settle()

    fleet.ask("rollback", reason="customers complain")
    assert (fleet.phase, fleet.has()) == (Phase.ROLLING_BACK, {"dev-1": "v1", "prod-1": "v1"})

    fleet.settle()
    assert (fleet.phase, fleet.rollout.by) == (Phase.ROLLED_BACK, "ann")


def test_a_person_can_go_back_to_a_revision_of_long_ago():
    fleet = rolled_out("dev-1", "prod-1")
    for revision in ("v2", "v3"):
        fleet.commit(revision)
        fleet.settle()

    fleet.ask("rollback", to={"dev-1": bundle("v1"), "prod-1": bundle("v1")}, revision="v1")
    fleet.settle()
    assert (fleet.phase, fleet.has()) == (Phase.ROLLED_BACK, {"dev-1": "v1", "prod-1": "v1"})

    fleet.commit("v4")
    fleet.fail("dev-1")
    assert fleet.has() == {"dev-1": "v1", "prod-1": "v1"}


def test_going_back_again_renews_the_hold_on_what_was_released():
    fleet = rejected("dev-1", "prod-1")
    fleet.ask("release")

    fleet.ask("rollback", to={"dev-1": bundle("v0"), "prod-1": bundle("v0")}, revision="v0")
    fleet.settle()
    fleet.propose()

    assert (fleet.phase, fleet.has()["dev-1"]) == (Phase.ROLLED_BACK, "v0")


def test_a_cluster_that_does_not_answer_does_not_hold_up_the_way_back_and_comes_along_later():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.fail("prod-1")
    fleet.silence("dev-1")
    fleet.healthy("prod-1")
    assert fleet.phase is Phase.ROLLING_BACK

    fleet.wait(120)
    assert (fleet.phase, fleet.states()["dev-1"]) == (Phase.ROLLED_BACK, "Offline")

    fleet.heard("dev-1")
    fleet.healthy("dev-1")
    assert fleet.states()["dev-1"] == "Restored"


def test_a_cluster_that_left_does_not_hold_up_the_way_back():
    fleet = rolled_out("dev-1", "dev-2", "prod-1")
    fleet.commit("v2")
    fleet.settle()
    fleet.leave("dev-2")

    fleet.ask("rollback")
    fleet.settle()

    assert fleet.phase is Phase.ROLLED_BACK


def test_windows_do_not_bind_the_way_back():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.close("prod")

    fleet.fail("prod-1")

    assert fleet.has() == {"dev-1": "v1", "prod-1": "v1"}


def test_a_newer_commit_takes_over_from_a_rollback_though_newer_ones_queue():
    fleet = rolled_out("dev-1", "prod-1", strategy=BY_STAGE | {"onNewer": "queue"})
    fleet.commit("v2")
    fleet.fail("dev-1")

    fleet.commit("v3")

    assert fleet.has()["dev-1"] == "v3"


def test_a_superseded_rollout_cannot_be_taken_back():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.commit("v3")
    (superseded,) = fleet.ended
    before = fleet.rollout

    fleet.rollout = superseded
    fleet.ask("rollback")

    assert fleet.rollout is superseded
    assert before.phase is Phase.PROGRESSING


def test_nothing_is_taken_back_where_nothing_would_change():
    fleet = rolled_out("dev-1", "prod-1")
    before = fleet.rollout

    fleet.ask("rollback")

    assert fleet.rollout.asked == before.asked
    assert objection(before, fleet.request("rollback")) == "no cluster has anything else than what it would go back to"


def test_a_cluster_that_was_to_leave_comes_back():
    fleet = rolled_out("dev-1", "prod-1", "prod-2")
    fleet.displace("prod-2")
    fleet.settle()
    assert fleet.phase is Phase.COMPLETED

    fleet.ask("rollback")

    assert fleet.has()["prod-2"] == "v1"


def test_with_continue_what_failed_is_not_what_the_next_goes_back_to():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV, PROD], "onFailure": "continue"})
    fleet.commit("v2")
    fleet.fail("dev-1")
    fleet.settle("prod-1")
    assert fleet.phase is Phase.FAILED

    fleet.commit("v3", strategy=BY_STAGE)
    fleet.fail("dev-1")

    assert fleet.has()["dev-1"] == "v1"


def test_a_cluster_that_was_paused_meanwhile_goes_back_when_it_goes_on():
    fleet = rolled_out("dev-1", "dev-2", "prod-1")
    fleet.commit("v2")
    fleet.pause_clusters("dev-2")
    fleet.fail("dev-1")
    fleet.settle()
    assert (fleet.phase, fleet.has()["dev-2"]) == (Phase.ROLLED_BACK, "v2")

    fleet.pause_clusters("dev-2", paused=False)

    assert (fleet.states()["dev-2"], fleet.has()["dev-2"]) == ("Restoring", "v1")


def test_a_cluster_that_comes_back_without_what_was_aborted_meanwhile_does_not_get_it():
    fleet = rolled_out("dev-1", "dev-2", "prod-1")
    fleet.commit("v2")
    fleet.leave("dev-2")
    fleet.ask("abort")

    fleet.join("dev-2")

    assert "dev-2" not in fleet.has()


def test_what_was_rejected_before_the_hub_could_give_it_is_not_given_later():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.clusters["dev-1"].given = bundle("v1")
    fleet.ask("abort")

    fleet.propose()

    assert fleet.has()["dev-1"] == "v1"
