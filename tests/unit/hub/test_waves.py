"""Waves: who comes when, and that nobody comes twice or never."""

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.selectors import Candidate
from hub.domain.staging import Strategy
from hub.domain.waves import ALL, REST, waves

FLEET = [
    Candidate("dev-1", {"region": "eu"}, ("dev",)),
    *(Candidate(f"prod-eu-{number}", {"region": "eu"}, ("prod",)) for number in range(4)),
    *(Candidate(f"prod-us-{number}", {"region": "us"}, ("prod",)) for number in range(4)),
]


def strategy(*stages):
    return Strategy.model_validate({"stages": list(stages)}, strict=False)


def shown(found):
    return [(wave.name, wave.clusters) for wave in found]


def test_without_a_strategy_all_come_at_once():
    (wave,) = waves(None, "web", FLEET)

    assert (wave.name, len(wave.clusters), wave.at_once) == (ALL, 9, 9)


def test_a_cluster_comes_with_the_first_stage_that_takes_it_and_the_rest_comes_last():
    found = waves(
        strategy(
            {"name": "dev", "environments": ["dev"]},
            {"name": "eu", "where": [{"labels": {"region": "eu"}}]},
        ),
        "web",
        FLEET,
    )

    assert shown(found) == [
        ("dev", ("dev-1",)),
        ("eu", ("prod-eu-0", "prod-eu-1", "prod-eu-2", "prod-eu-3")),
        (REST, ("prod-us-0", "prod-us-1", "prod-us-2", "prod-us-3")),
    ]


def test_pick_takes_some_evenly_and_leaves_the_others_to_later_stages():
    canary, prod = waves(
        strategy(
            {"name": "canary", "environments": ["prod"], "pick": {"count": 2, "spread": "region"}},
            {"name": "prod", "environments": ["prod"], "maxConcurrent": "50%", "maxFailures": "34%"},
        ),
        "web",
        FLEET[1:],
    )

    assert {name.rpartition("-")[0] for name in canary.clusters} == {"prod-eu", "prod-us"}
    assert len(prod.clusters) == 6
    assert (prod.at_once, prod.max_failures) == (3, 2)
    assert [len(turn) for turn in prod.turns] == [3, 3]


def test_at_least_one_comes_at_a_time_and_an_empty_stage_is_shown():
    none, one = waves(
        strategy({"name": "none", "clusters": ["gone"]}, {"name": "one", "maxConcurrent": "1%"}), "web", FLEET
    )

    assert (none.clusters, none.turns) == ((), ())
    assert one.at_once == 1


def test_who_has_not_reported_the_facts_asked_for_comes_later():
    new, rest = waves(
        strategy({"name": "new", "where": [{"facts": {"kubernetes": ">=1.30"}}]}),
        "web",
        [Candidate("a", facts={"kubernetes": "v1.31.0"}), Candidate("b")],
    )

    assert (new.clusters, rest.clusters) == (("a",), ("b",))


STAGES = st.fixed_dictionaries(
    {},
    optional={
        "environments": st.just(["prod"]) | st.just(["dev"]),
        "where": st.just([{"labels": {"region": "eu"}}]),
        "pick": st.fixed_dictionaries({"count": st.integers(0, 4)}, optional={"spread": st.just("region")}),
        "maxConcurrent": st.integers(0, 5) | st.sampled_from(["0%", "30%", "100%"]),
    },
)


@given(st.lists(STAGES, max_size=4), st.permutations(FLEET))
def test_every_cluster_is_in_exactly_one_wave_whatever_the_order(stages, fleet):
    made = strategy(*({"name": f"s{number}", **stage} for number, stage in enumerate(stages)))

    found = waves(made, "web", fleet)

    everyone = [name for wave in found for name in wave.clusters]
    assert sorted(everyone) == sorted(candidate.name for candidate in FLEET)
    assert found == waves(made, "web", FLEET)
    for wave in found:
        assert [name for turn in wave.turns for name in turn] == list(wave.clusters)
        assert all(0 < len(turn) <= wave.at_once for turn in wave.turns)
