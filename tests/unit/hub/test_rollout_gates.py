"""Approvals, windows, holds and checks: what a stage waits for, and that a change which is taken back waits for none."""

import pytest

from hub.domain.requests import objection
from hub.domain.runs import Phase, StagePhase, Wait
from tests.fakes.rolling import rolled_out

DEV = {"name": "dev", "environments": ["dev"]}
PROD = {"name": "prod", "environments": ["prod"]}
CHECK = {"http": "http://example.com/health", "for": "2m"}


def approving(count=1):
    return {"stages": [DEV, PROD | {"approve": {"by": ["sre"], "count": count}}]}


def checking(**more):
    return {"stages": [DEV | {"checks": [CHECK]}, PROD], "deadline": "10m", **more}


def test_a_stage_waits_for_its_approvals():
    fleet = rolled_out("dev-1", "prod-1", strategy=approving(2))
    fleet.commit("v2")
    fleet.healthy("dev-1")
    assert (fleet.stage("prod"), fleet.waits("prod")) == (StagePhase.WAITING, ["approval"])

    fleet.ask("approve", by="ann", roles=("sre",))
    fleet.ask("approve", by="ann", roles=("sre",))
    assert fleet.has()["prod-1"] == "v1"

    fleet.ask("approve", by="bob", roles=("sre",))
    assert fleet.has()["prod-1"] == "v2"


def test_an_approval_may_come_before_the_stage_has_its_turn():
    fleet = rolled_out("dev-1", "prod-1", strategy=approving())
    fleet.commit("v2")

    fleet.ask("approve", stage="prod", roles=("sre",))
    fleet.healthy("dev-1")

    assert fleet.has()["prod-1"] == "v2"


def test_an_approval_is_of_one_revision_only():
    fleet = rolled_out("dev-1", "prod-1", strategy=approving())
    fleet.commit("v2")
    fleet.ask("approve", roles=("sre",))

    fleet.commit("v3")
    fleet.healthy("dev-1")

    assert (fleet.stage("prod"), fleet.has()["prod-1"]) == (StagePhase.WAITING, "v1")


def test_a_stage_that_has_started_needs_no_approval_any_more():
    fleet = rolled_out("dev-1", "prod-1", strategy=approving())
    fleet.commit("v2")
    fleet.ask("approve", stage="prod", roles=("sre",))
    fleet.healthy("dev-1")

    assert objection(fleet.rollout, fleet.request("approve", stage="prod")) == "stage prod has started already"
    assert (
        objection(fleet.rollout, fleet.request("approve", stage="dev")) == "stage dev asks for no approval; prod does"
    )
    assert objection(fleet.rollout, fleet.request("approve")) == "no stage waits for an approval any more"


def test_the_wait_is_shown_since_when_it_began_though_others_approved_since():
    fleet = rolled_out("dev-1", "prod-1", strategy=approving(2))
    fleet.commit("v2")
    fleet.healthy("dev-1")
    began = fleet.now

    fleet.wait(500)
    fleet.ask("approve", by="ann", roles=("sre",))

    assert fleet.run("prod").waits[0].since == began


def test_a_window_that_closes_in_the_middle_of_a_stage_stops_who_has_not_begun():
    fleet = rolled_out("prod-1", "prod-2", strategy={"stages": [PROD | {"maxConcurrent": 1}]})
    fleet.commit("v2")

    fleet.close("prod", until=fleet.now + 900)
    fleet.healthy("prod-1")
    assert (fleet.has()["prod-2"], fleet.waits("prod")) == ("v1", ["window"])

    fleet.open()
    assert fleet.has()["prod-2"] == "v2"


def test_a_stage_does_not_start_while_its_window_is_closed():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV, PROD]})
    fleet.close("prod")

    fleet.commit("v2")
    fleet.healthy("dev-1")

    assert (fleet.stage("prod"), fleet.waits("prod")) == (StagePhase.WAITING, ["window"])


def test_the_first_stage_heeds_a_window_that_was_closed_before_the_commit():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV, PROD]})
    fleet.close("dev")

    fleet.commit("v2")

    assert fleet.has() == {"dev-1": "v1", "prod-1": "v1"}


def test_a_cluster_that_is_held_waits_and_the_others_go_on():
    fleet = rolled_out("prod-1", "prod-2", strategy={"stages": [PROD | {"maxConcurrent": 1}]})
    fleet.hold("prod-1")

    fleet.commit("v2")
    fleet.settle()
    assert fleet.has() == {"prod-1": "v1", "prod-2": "v2"}
    assert fleet.run("prod").waits[0].reason == "held by ann: look first"

    fleet.unhold()
    assert fleet.has()["prod-1"] == "v2"


def test_a_stage_waits_for_another_application():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV, PROD]})
    fleet.need("prod", Wait("dependency", "database is not healthy on prod-1"))

    fleet.commit("v2")
    fleet.settle()
    assert fleet.waits("prod") == ["dependency"]

    fleet.need("prod")
    assert fleet.has()["prod-1"] == "v2"


def test_a_check_must_hold_for_its_time_before_the_stage_is_done():
    fleet = rolled_out("dev-1", "prod-1", strategy=checking())
    fleet.commit("v2")
    fleet.healthy("dev-1")
    assert (fleet.stage("dev"), fleet.waits("dev")) == (StagePhase.CHECKING, ["check"])

    fleet.measure("dev", ok=True)
    fleet.wait(60)
    fleet.measure("dev", ok=True)
    fleet.wait(59)
    fleet.measure("dev", ok=True)
    assert fleet.has()["prod-1"] == "v1"

    fleet.wait(1)
    fleet.measure("dev", ok=True)
    assert fleet.has()["prod-1"] == "v2"


def test_a_check_that_fails_for_as_long_fails_the_stage():
    fleet = rolled_out("dev-1", "prod-1", strategy=checking(onFailure="rollback"))
    fleet.commit("v2")
    fleet.healthy("dev-1")

    for _ in range(2):
        fleet.measure("dev", ok=False, detail="answers 500")
        assert fleet.phase is Phase.PROGRESSING
        fleet.wait(60)
    fleet.measure("dev", ok=False, detail="answers 500")

    assert fleet.phase is Phase.ROLLING_BACK
    assert "answers 500" in fleet.rollout.reason


def test_a_check_that_cannot_be_measured_pauses_and_rolls_nothing_back():
    fleet = rolled_out("dev-1", "prod-1", strategy=checking(onFailure="rollback"))
    fleet.commit("v2")
    fleet.healthy("dev-1")

    fleet.measure("dev", ok=None, detail="no answer from the monitoring")
    fleet.wait(3600)

    assert (fleet.phase, fleet.has()["dev-1"]) == (Phase.PAUSED, "v2")
    assert "no answer from the monitoring" in fleet.rollout.reason

    fleet.ask("resume")
    assert fleet.has()["prod-1"] == "v2"


def test_a_check_may_have_to_hold_for_longer_than_a_cluster_may_take():
    long = {"stages": [DEV | {"checks": [CHECK | {"for": "1h"}]}, PROD], "deadline": "1m"}
    fleet = rolled_out("dev-1", "prod-1", strategy=long)
    fleet.commit("v2")
    fleet.healthy("dev-1")

    for _ in range(61):
        fleet.measure("dev", ok=True)
        assert fleet.phase is Phase.PROGRESSING
        fleet.wait(60)

    assert fleet.has()["prod-1"] == "v2"


def test_checks_that_held_before_a_regression_have_to_hold_again():
    fleet = rolled_out("dev-1", "prod-1", strategy=checking())
    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.measure("dev", ok=True)
    fleet.wait(100)

    fleet.failing("dev-1")
    fleet.healthy("dev-1")
    fleet.measure("dev", ok=True)
    fleet.wait(60)
    fleet.measure("dev", ok=True)

    assert fleet.stage("dev") is StagePhase.CHECKING


def test_a_commit_that_takes_the_change_back_needs_no_gates():
    fleet = rolled_out("dev-1", "prod-1", strategy=approving())
    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.close("dev")

    fleet.commit("v1")

    assert fleet.has() == {"dev-1": "v1", "prod-1": "v1"}
    fleet.healthy("dev-1")
    assert fleet.phase is Phase.COMPLETED


def test_a_bypass_leaves_out_every_gate_but_holds():
    fleet = rolled_out("dev-1", "prod-1", "prod-2", strategy=approving())
    fleet.hold("prod-1")
    fleet.close("prod")
    fleet.commit("v2")
    fleet.healthy("dev-1")

    fleet.ask("bypass", by="root", reason="CVE-2026-1")

    assert fleet.has() == {"dev-1": "v2", "prod-1": "v1", "prod-2": "v2"}
    assert fleet.tells("bypassed") == ["all gates are left out: CVE-2026-1"]


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.7, 1.1])
def test_what_is_due_is_due_at_odd_times_as_well(seconds):
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV | {"soak": "7s"}, PROD], "deadline": "3s"})
    fleet.now += seconds
    fleet.commit("v2")
    fleet.healthy("dev-1")

    fleet.wait(7)
    fleet.progressing("prod-1")
    fleet.wait(3)

    assert fleet.phase is Phase.PAUSED
