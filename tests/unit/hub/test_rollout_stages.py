"""A new revision moves over the clusters stage by stage, and no faster than the strategy says."""

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.runs import Phase, StagePhase
from tests.fakes.rolling import BY_STAGE, Fleet, rolled_out

DEV = {"name": "dev", "environments": ["dev"]}
PROD = {"name": "prod", "environments": ["prod"]}
PRODS = tuple(f"prod-{number}" for number in range(1, 6))


def test_the_second_stage_gets_nothing_before_the_first_is_healthy():
    fleet = rolled_out("dev-1", "dev-2", "prod-1")

    fleet.commit("v2")
    fleet.healthy("dev-1")
    assert fleet.has() == {"dev-1": "v2", "dev-2": "v2", "prod-1": "v1"}

    fleet.healthy("dev-2")
    assert fleet.has()["prod-1"] == "v2"
    assert fleet.stage("dev") is StagePhase.DONE

    fleet.healthy("prod-1")
    assert fleet.phase is Phase.COMPLETED


def test_only_as_many_are_on_their_way_at_once_as_may_be():
    fleet = rolled_out(*PRODS, strategy={"stages": [PROD | {"maxConcurrent": 2}]})

    fleet.commit("v2")
    assert [name for _, name, _ in fleet.published] == ["prod-1", "prod-2"]

    fleet.healthy("prod-2")
    assert [name for _, name, _ in fleet.published] == ["prod-1", "prod-2", "prod-3"]

    fleet.healthy("prod-1", "prod-3")
    assert len(fleet.published) == 5


@given(st.integers(1, 5), st.permutations(PRODS), st.booleans())
def test_never_more_at_once_whoever_is_healthy_first(at_once, order, flapping):
    fleet = rolled_out(*PRODS, strategy={"stages": [PROD | {"maxConcurrent": at_once}]})
    fleet.commit("v2")

    for name in [*order, *order, *order, *order, *order]:
        if fleet.has()[name] == "v2":
            fleet.healthy(name)
        if flapping:
            fleet.progressing(name)
        in_flight = [each for each, state in fleet.states().items() if state == "Assigned"]
        assert len(in_flight) <= at_once

    assert fleet.phase is Phase.COMPLETED


def test_the_clusters_of_a_stage_come_in_the_order_of_a_label():
    fleet = rolled_out("prod-b", "prod-a", strategy={"stages": [PROD | {"maxConcurrent": 1, "order": "wave"}]})
    fleet.clusters["prod-b"].labels["wave"] = "2"
    fleet.clusters["prod-a"].labels["wave"] = "10"

    fleet.commit("v2")
    fleet.settle()

    assert [name for _, name, _ in fleet.published] == ["prod-b", "prod-a"]


def test_health_counts_only_of_exactly_the_new_revision():
    fleet = rolled_out("dev-1", "prod-1")
    old = fleet.clusters["dev-1"].given

    fleet.commit("v2")
    fleet.say("Healthy", ["dev-1"], target=old)

    assert fleet.states()["dev-1"] == "Assigned"
    assert fleet.has()["prod-1"] == "v1"


def test_a_stage_without_clusters_holds_up_nobody():
    fleet = rolled_out(
        "dev-1", strategy={"stages": [{"name": "none", "clusters": ["gone"], "approve": {"by": ["sre"]}}, DEV]}
    )

    fleet.commit("v2")

    assert fleet.stage("none") is StagePhase.DONE
    assert fleet.has() == {"dev-1": "v2"}


def test_clusters_that_do_not_change_take_no_part():
    fleet = rolled_out("dev-1", "prod-1", "prod-2")

    fleet.commit("v2", "prod-1")

    assert fleet.states() == {"prod-1": "Assigned"}
    fleet.healthy("prod-1")
    assert fleet.phase is Phase.COMPLETED
    assert fleet.has() == {"dev-1": "v1", "prod-1": "v2", "prod-2": "v1"}


def test_soak_is_counted_from_when_the_whole_stage_is_healthy():
    fleet = rolled_out("dev-1", "dev-2", "prod-1", strategy={"stages": [DEV | {"soak": "10m"}, PROD]})

    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.wait(400)
    fleet.healthy("dev-2")
    fleet.wait(599)
    assert (fleet.stage("dev"), fleet.waits("dev")) == (StagePhase.SOAKING, ["soak"])
    assert fleet.run("dev").waits[0].until == fleet.now + 1

    fleet.wait(1)
    assert fleet.stage("dev") is StagePhase.DONE
    assert fleet.has()["prod-1"] == "v2"


def test_a_regression_restarts_the_soak():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV | {"soak": "10m"}, PROD]})

    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.wait(590)
    fleet.failing("dev-1")
    fleet.wait(2)
    fleet.healthy("dev-1")
    fleet.wait(599)
    assert fleet.has()["prod-1"] == "v1"

    fleet.wait(1)
    assert fleet.has()["prod-1"] == "v2"


def test_a_regression_restarts_the_soak_of_a_rollout_that_is_paused_too():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV | {"soak": "10m"}, PROD]})
    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.wait(300)

    fleet.ask("pause")
    fleet.failing("dev-1")
    fleet.healthy("dev-1")
    fleet.ask("resume")
    fleet.wait(599)
    assert fleet.has()["prod-1"] == "v1"

    fleet.wait(1)
    assert fleet.has()["prod-1"] == "v2"


def test_what_only_scales_for_a_while_does_not_restart_the_soak():
    fleet = rolled_out("dev-1", "prod-1", strategy={"stages": [DEV | {"soak": "10m"}, PROD]})

    fleet.commit("v2")
    fleet.healthy("dev-1")
    fleet.wait(300)
    fleet.progressing("dev-1")
    fleet.wait(300)

    assert fleet.has()["prod-1"] == "v2"


def test_jitter_spreads_the_starts_over_its_time_and_no_further():
    fleet = rolled_out(*PRODS, strategy={"stages": [PROD | {"jitter": "10m"}]})

    fleet.commit("v2")
    began = fleet.now
    fleet.wait(600)

    times = [at for at, _, _ in fleet.published]
    assert len(times) == 5
    assert all(began <= at <= began + 600 for at in times)
    assert len(set(times)) == 5


def test_without_a_strategy_all_get_it_at_once_and_failures_stop_nobody():
    fleet = rolled_out("dev-1", "prod-1", strategy=None)

    fleet.commit("v2")
    assert fleet.has() == {"dev-1": "v2", "prod-1": "v2"}

    fleet.fail("dev-1")
    fleet.healthy("prod-1")
    assert fleet.phase is Phase.FAILED
    assert fleet.has() == {"dev-1": "v2", "prod-1": "v2"}


def test_nothing_is_rolled_out_where_nothing_changes():
    fleet = rolled_out("dev-1", "prod-1")
    last = fleet.rollout

    fleet.commit("a commit elsewhere", digest="v1")

    assert fleet.rollout is last


def test_looking_at_git_again_changes_nothing():
    fleet = rolled_out("dev-1", "prod-1")
    fleet.commit("v2")
    before = fleet.rollout

    fleet.propose()

    assert fleet.rollout is before


def test_a_stage_goes_on_where_the_clock_was_put_back_after_it_started():
    fleet = rolled_out("prod-1", "prod-2", strategy=BY_STAGE)
    fleet.commit("v2")

    fleet.now -= 3600
    fleet.settle()

    assert fleet.phase is Phase.COMPLETED


def test_the_first_revision_goes_in_stages_as_well():
    fleet = Fleet("dev-1", "prod-1", strategy=BY_STAGE)

    fleet.commit("v1")

    assert fleet.has() == {"dev-1": "v1"}
