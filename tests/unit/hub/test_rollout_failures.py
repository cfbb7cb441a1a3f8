"""What fails stops a rollout, sends it back or is put up with, as the strategy says; and a person may think otherwise."""

import pytest

from hub.domain.requests import objection
from hub.domain.runs import Phase, StagePhase
from tests.fakes.rolling import BY_STAGE, Fleet, bundle, rolled_out

DEV = {"name": "dev", "environments": ["dev"]}
PROD = {"name": "prod", "environments": ["prod"], "maxConcurrent": 1}
PAUSING = {"stages": [DEV, PROD], "onFailure": "pause"}


def test_what_fails_for_a_moment_is_no_failure():
    fleet = rolled_out("dev-1", "prod-1")

    fleet.commit("v2")
    fleet.failing("dev-1")
    fleet.wait(4.9)
    fleet.progressing("dev-1")
    fleet.wait(60)

    assert fleet.phase is Phase.PROGRESSING
    assert fleet.states()["dev-1"] == "Assigned"


def test_what_fails_for_long_enough_is_one_and_prod_never_sees_it():
    fleet = rolled_out("dev-1", "prod-1")

    fleet.commit("v2")
    fleet.fail("dev-1", reason="ImagePullBackOff")

    assert fleet.phase is Phase.ROLLING_BACK
    assert fleet.tells("failed") == ["1 of 1 clusters failed in dev: dev-1: ImagePullBackOff"]
    assert fleet.has() == {"dev-1": "v1", "prod-1": "v1"}
    assert ("prod-1", "v2") not in [(name, digest) for _, name, digest in fleet.published]

    fleet.healthy("dev-1")
    assert fleet.phase is Phase.ROLLED_BACK


def test_what_is_not_healthy_within_its_deadline_has_failed():
    fleet = rolled_out("dev-1", "prod-1", strategy=PAUSING | {"deadline": "5m"})

    fleet.commit("v2")
    fleet.progressing("dev-1")
    fleet.wait(299)
    assert fleet.phase is Phase.PROGRESSING

    fleet.wait(1)
    assert fleet.phase is Phase.PAUSED
    assert "not healthy within 5m" in fleet.rollout.reason


def test_the_deadline_begins_when_the_cluster_was_given_the_revision():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV | {"soak": "1h"}, PROD], "deadline": "5m"})

    fleet.commit("v2")
    fleet.settle()
    fleet.wait(3600)
    fleet.progressing("prod-1")
    fleet.wait(299)

    assert fleet.states()["prod-1"] == "Assigned"


def test_as_many_may_fail_as_the_stage_allows():
    stages = [PROD | {"maxFailures": 1, "maxConcurrent": 3}]
    fleet = rolled_out("prod-1", "prod-2", "prod-3", strategy={"stages": stages})

    fleet.commit("v2")
    fleet.fail("prod-1")
    assert fleet.phase is Phase.PROGRESSING

    fleet.healthy("prod-2", "prod-3")
    assert fleet.phase is Phase.COMPLETED


def test_one_more_than_may_stops_it():
    stages = [PROD | {"maxFailures": 1, "maxConcurrent": 3}]
    fleet = rolled_out("prod-1", "prod-2", "prod-3", strategy={"stages": stages})

    fleet.commit("v2")
    fleet.fail("prod-1", "prod-3")

    assert fleet.phase is Phase.PAUSED
    assert fleet.rollout.reason == "2 of 3 clusters failed in prod, 1 may: prod-1: CrashLoopBackOff"


def test_with_pause_everybody_stays_as_they_are():
    fleet = rolled_out("dev-1", "prod-1", "prod-2", strategy=PAUSING)

    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.fail("prod-1")

    assert fleet.phase is Phase.PAUSED
    assert fleet.has() == {"dev-1": "v2", "prod-1": "v2", "prod-2": "v1"}


def test_a_rollout_that_stands_for_a_failure_goes_on_when_it_is_healthy_after_all():
    fleet = rolled_out("dev-1", "prod-1", strategy=PAUSING)
    fleet.commit("v2")
    fleet.fail("dev-1")

    fleet.healthy("dev-1")

    assert fleet.phase is Phase.PROGRESSING
    assert fleet.has()["prod-1"] == "v2"


def test_with_continue_it_goes_through_all_stages_and_says_that_it_failed():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV, PROD], "onFailure": "continue"})

    fleet.commit("v2")
    fleet.fail("dev-1")
    fleet.healthy("prod-1")

    assert fleet.phase is Phase.FAILED
    assert fleet.has() == {"dev-1": "v2", "prod-1": "v2"}


def test_a_person_who_resumes_puts_up_with_what_has_failed_and_not_with_more():
    fleet = rolled_out("prod-1", "prod-2", "prod-3", strategy={"stages": [PROD]})
    fleet.commit("v2")
    fleet.fail("prod-1")

    fleet.ask("resume", reason="known")
    assert fleet.phase is Phase.PROGRESSING
    assert fleet.has()["prod-2"] == "v2"

    fleet.fail("prod-2")
    assert fleet.phase is Phase.PAUSED
    assert fleet.has()["prod-3"] == "v1"


def test_a_failed_cluster_can_be_tried_again():
    fleet = rolled_out("dev-1", "prod-1", strategy=PAUSING)
    fleet.commit("v2")
    fleet.fail("dev-1")

    fleet.ask("retry")
    assert fleet.again == ["dev-1"]
    assert (fleet.phase, fleet.states()["dev-1"]) == (Phase.PROGRESSING, "Assigned")

    fleet.settle()
    assert fleet.phase is Phase.COMPLETED


def test_a_retry_gives_the_whole_deadline_once_more():
    fleet = rolled_out("dev-1", "prod-1", strategy=PAUSING | {"deadline": "5m"})
    fleet.commit("v2")
    fleet.progressing("dev-1")
    fleet.wait(300)

    fleet.ask("retry", clusters=("dev-1",))
    fleet.wait(299)
    assert fleet.phase is Phase.PROGRESSING

    fleet.wait(1)
    assert fleet.phase is Phase.PAUSED


def test_a_skipped_cluster_is_waited_for_no_longer_and_gets_nothing():
    fleet = rolled_out("dev-1", "prod-1", "prod-2")
    fleet.commit("v2")

    fleet.ask("skip", clusters=("prod-1",), reason="being rebuilt")
    fleet.settle("dev-1", "prod-2")

    assert fleet.phase is Phase.COMPLETED
    assert fleet.has() == {"dev-1": "v2", "prod-1": "v1", "prod-2": "v2"}
    assert fleet.rollout.slots["prod-1"].reason == "skipped by ann: being rebuilt"


def test_skipping_without_a_name_leaves_out_what_has_failed():
    fleet = rolled_out("dev-1", "dev-2", "prod-1", strategy=PAUSING)
    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.fail("dev-2")

    fleet.ask("skip")

    assert fleet.states()["dev-2"] == "Skipped"
    assert (fleet.phase, fleet.has()["prod-1"]) == (Phase.PROGRESSING, "v2")


def test_a_paused_rollout_gives_nobody_anything_and_stays_so_though_all_is_well():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")

    fleet.ask("pause", reason="demo at noon")
    fleet.settle()
    fleet.wait(3600)
    assert (fleet.phase, fleet.has()) == (Phase.PAUSED, {"dev-1": "v2", "prod-1": "v1"})
    assert fleet.tells("paused") == ["paused: demo at noon"]

    fleet.ask("resume")
    assert fleet.has()["prod-1"] == "v2"


def test_a_request_that_comes_twice_is_carried_out_once():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")

    fleet.ask("pause", id="one")
    fleet.ask("resume", id="two")
    before = fleet.rollout
    fleet.ask("pause", id="one")

    assert fleet.rollout is before


def test_a_request_that_comes_again_when_a_newer_rollout_has_begun_does_nothing():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.ask("pause", id="one")

    fleet.commit("v3")
    fleet.ask("pause", id="one")

    assert fleet.phase is Phase.PROGRESSING


def test_a_request_for_one_rollout_is_not_carried_out_on_the_next():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    meant = fleet.rollout.id

    fleet.commit("v3")
    fleet.ask("abort", rollout=meant)

    assert fleet.phase is Phase.PROGRESSING


@pytest.mark.parametrize(
    ("verb", "more", "words"),
    [
        ("resume", {}, "not paused"),
        ("retry", {}, "no cluster has failed"),
        ("retry", {"clusters": ("dev-1",)}, "dev-1: not failed"),
        ("skip", {"clusters": ("moon-1",)}, "moon-1: not among the clusters"),
        ("approve", {}, "no stage of this rollout asks for an approval"),
        ("release", {}, "no revision is held"),
        ("pause", {"rollout": "run-1"}, "v2 has followed it"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason_and_changes_nothing(verb, more, words):
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    before = fleet.rollout

    fleet.ask(verb, **more)

    assert fleet.rollout is before
    assert words in objection(before, fleet.request(verb, **more))


def test_nothing_can_be_asked_of_a_rollout_that_is_over_but_to_go_back():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    fleet.settle()

    for verb in ("pause", "resume", "abort", "bypass", "approve", "retry", "skip", "release"):
        assert objection(fleet.rollout, fleet.request(verb)) != ""
    assert objection(fleet.rollout, fleet.request("rollback")) == ""


def test_a_cluster_in_a_failed_stage_is_shown_with_what_its_agent_said():
    fleet = rolled_out("dev-1", strategy={"stages": [DEV]})
    fleet.commit("v2")

    fleet.fail("dev-1", reason="Deployment web: 0 of 3 ready")

    assert fleet.stage("dev") is StagePhase.FAILED
    assert fleet.rollout.slots["dev-1"].reason == "Deployment web: 0 of 3 ready"
    assert fleet.rollout.troubled == fleet.now


def test_a_first_revision_that_fails_stays_as_there_is_nothing_to_go_back_to():
    fleet = Fleet("dev-1", "prod-1", strategy=BY_STAGE)
    fleet.commit("v1")

    fleet.fail("dev-1")

    assert fleet.phase is Phase.ROLLED_BACK
    assert fleet.states() == {"dev-1": "Kept", "prod-1": "Pending"}
    assert fleet.rollout.position("dev-1") == bundle("v1")
