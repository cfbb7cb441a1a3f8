"""Placement: who is chosen, why, and that nobody moves without need."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.documents import API_VERSION, Application
from hub.domain.fleet import build_fleet, cluster_document
from hub.domain.placement import explain, place
from hub.domain.reading import parse_document
from hub.domain.yamldoc import Document


def document(kind, name, spec, labels=None):
    value = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
    return parse_document(Document(f"{name}.yaml", 1, value))


def fleet_of(clusters, *others):
    """`clusters` maps names to labels, or to (labels, spec)."""
    parts = {name: given if isinstance(given, tuple) else (given, {}) for name, given in clusters.items()}
    return build_fleet([*(document("Cluster", name, spec, labels) for name, (labels, spec) in parts.items()), *others])


def application(placement=None, name="web", **spec):
    return document("Application", name, {"placement": placement or {}, **spec}).resource


REGIONS = {f"{region}-{number}": {"region": region} for region in ("eu", "us", "ap") for number in range(4)}


def chosen(placement, fleet, facts=None, previous=()):
    return set(place(application(placement), fleet, facts or {}, previous).selected)


def test_an_empty_placement_is_every_cluster():
    fleet = fleet_of(REGIONS)

    assert chosen({}, fleet) == set(REGIONS)


def test_each_cluster_is_either_selected_or_rejected_with_reasons():
    fleet = fleet_of({"a": {"env": "prod"}, "b": {"env": "dev"}})

    result = place(application({"where": [{"labels": {"env": "prod"}}]}), fleet, {})

    assert result.selected == {"a": ("env=prod",)}
    assert result.rejected == {"b": ("label env is 'dev', wanted 'prod'",)}


def test_taints_keep_newcomers_away_or_move_everyone():
    fleet = fleet_of(
        {
            "draining": ({}, {"taints": [{"key": "drain", "effect": "NoNew"}]}),
            "broken": ({}, {"taints": [{"key": "broken", "effect": "NoRun"}]}),
            "fine": {},
        }
    )

    assert chosen({}, fleet) == {"fine"}
    assert chosen({}, fleet, previous={"draining", "broken"}) == {"fine", "draining"}
    assert chosen({"tolerate": ["drain", "broken"]}, fleet) == {"fine", "draining", "broken"}
    result = place(application(), fleet, {})
    assert result.rejected["draining"] == ("taint drain (NoNew) is not tolerated",)


def test_a_paused_cluster_keeps_what_it_has_and_gets_nothing_new():
    fleet = fleet_of({"a": ({}, {"paused": True})})

    assert chosen({}, fleet) == set()
    assert chosen({"exclude": ["a"]}, fleet, previous={"a"}) == {"a"}
    assert place(application(), fleet, {}, {"a"}).frozen == {"a"}


def test_an_application_with_an_error_stays_where_it_is():
    broken = document("Application", "web", {"dependsOn": ["nobody"]})
    fleet = fleet_of({"a": {}, "b": {}}, broken)

    result = place(broken.resource, fleet, {}, {"b"})

    assert set(result.selected) == result.frozen == {"b"}


def test_facts_not_known_yet_remove_nothing():
    fleet = fleet_of({"a": {}, "b": {}, "c": {}})
    placement = {"where": [{"facts": {"kubernetes": ">=1.29"}}]}

    assert chosen(placement, fleet, previous={"a"}) == {"a"}
    assert chosen(placement, fleet, {"a": {"kubernetes": "1.28"}, "b": {"kubernetes": "1.30"}}, {"a"}) == {"b"}


def test_a_project_limits_its_applications():
    project = document("Project", "shop", {"clusters": {"where": [{"labels": {"region": "eu"}}]}})
    fleet = fleet_of(REGIONS, project)

    result = place(application(project="shop"), fleet, {})

    assert set(result.selected) == {"eu-0", "eu-1", "eu-2", "eu-3"}
    assert result.rejected["us-0"] == ("project shop: label region is 'us', wanted 'eu'",)


def test_pick_takes_as_many_as_asked_spread_evenly():
    fleet = fleet_of(REGIONS)

    picked = chosen({"pick": {"count": 6, "spread": "region"}}, fleet)

    assert Counter(name[:2] for name in picked) == {"eu": 2, "us": 2, "ap": 2}


def test_pick_does_not_load_the_same_clusters_with_every_application():
    fleet = fleet_of(REGIONS)
    names = [f"app-{number}" for number in range(60)]

    picked = Counter(
        name for each in names for name in place(application({"pick": {"count": 1}}, each), fleet, {}).selected
    )

    assert len(picked) > 8


def test_pick_replaces_only_what_is_gone():
    fleet = fleet_of(REGIONS)
    placement = {"pick": {"count": 3, "spread": "region"}}
    before = chosen(placement, fleet)
    gone = min(before)

    after = chosen(
        placement, fleet_of({name: labels for name, labels in REGIONS.items() if name != gone}), previous=before
    )

    assert before - {gone} < after
    assert {name[:2] for name in after} == {"eu", "us", "ap"}


def test_explain_says_the_verdict_and_why():
    web = document("Application", "web", {"placement": {"where": [{"labels": {"region": "eu"}}], "pick": {"count": 1}}})
    fleet = fleet_of(REGIONS, web)
    picked = next(iter(place(web.resource, fleet, {}).selected))
    other = next(name for name in REGIONS if name.startswith("eu") and name != picked)

    assert explain(web.resource, picked, fleet, {})[:3] == (
        f"{picked} is selected for web",
        "region=eu",
        "picked: 1 wanted",
    )
    assert explain(web.resource, other, fleet, {})[2] == "not picked: 1 of 1 wanted are elsewhere"
    assert explain(web.resource, "us-0", fleet, {}, {"us-0"})[:3] == (
        "us-0 is not selected for web",
        "label region is 'us', wanted 'eu'",
        "it has the application now, and will be asked to let it go",
    )
    assert explain(web.resource, "moon", fleet, {}) == ("there is no cluster 'moon' in the fleet",)


NAMES = [f"c{number}" for number in range(9)]
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "taints": st.lists(
            st.fixed_dictionaries({"key": st.sampled_from("xy"), "effect": st.sampled_from(["NoNew", "NoRun"])}),
            max_size=1,
        ),
    },
)
CLUSTERS = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(st.dictionaries(st.sampled_from(["env", "region"]), st.sampled_from("abc")), SPECS),
)
PLACEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "clusters": st.lists(st.sampled_from(NAMES)),
        "where": st.lists(
            st.fixed_dictionaries({"labels": st.dictionaries(st.just("env"), st.sampled_from("abc"))}), max_size=2
        ),
        "exclude": st.lists(st.sampled_from(NAMES), max_size=3),
        "tolerate": st.lists(st.sampled_from("xy"), max_size=1),
    },
)
PICKS = st.fixed_dictionaries({"count": st.integers(0, 10)}, optional={"spread": st.just("region")})
PREVIOUS = st.sets(st.sampled_from(NAMES))


@given(CLUSTERS, PLACEMENTS, st.none() | PICKS, PREVIOUS, st.randoms())
def test_the_order_of_documents_decides_nothing(clusters, placement, pick, previous, random):
    placement = {**placement, "pick": pick}
    shuffled = list(clusters.items())
    random.shuffle(shuffled)

    one = place(application(placement), fleet_of(clusters), {}, previous)
    other = place(application(placement), fleet_of(dict(shuffled)), {}, sorted(previous))

    assert one == other
    assert set(one.selected) | set(one.rejected) == set(clusters)
    assert not set(one.selected) & set(one.rejected)


@given(CLUSTERS, PLACEMENTS, st.none() | PICKS, PREVIOUS)
def test_placing_again_changes_nothing(clusters, placement, pick, previous):
    placement, fleet = {**placement, "pick": pick}, fleet_of(clusters)
    first = chosen(placement, fleet, previous=previous)

    assert chosen(placement, fleet, previous=first) == first


@given(CLUSTERS, PLACEMENTS, PICKS, PREVIOUS)
def test_pick_takes_what_it_can_and_keeps_who_is_there(clusters, placement, pick, previous):
    fleet = fleet_of(clusters)
    matching = chosen(placement, fleet, previous=previous)

    picked = chosen({**placement, "pick": pick}, fleet, previous=previous)

    assert picked <= matching
    assert len(picked) == min(pick["count"], len(matching))
    there = matching & previous
    assert there <= picked or picked <= there


@given(CLUSTERS, PLACEMENTS, PICKS)
def test_a_fresh_spread_is_even_as_far_as_clusters_go(clusters, placement, pick):
    fleet = fleet_of(clusters)
    pick = {**pick, "spread": "region"}
    region = {name: clusters[name][0].get("region", "") for name in clusters}
    available = Counter(region[name] for name in chosen(placement, fleet))

    taken = Counter(region[name] for name in chosen({**placement, "pick": pick}, fleet))

    for one in available:
        for other in available:
            assert taken[one] <= taken[other] + 1 or taken[other] == available[other]


@given(CLUSTERS, PLACEMENTS, st.none() | PICKS, PREVIOUS, st.sampled_from(NAMES))
def test_excluding_a_cluster_removes_it_and_nobody_else(clusters, placement, pick, previous, name):
    fleet, placement = fleet_of(clusters), {**placement, "pick": pick}
    before = chosen(placement, fleet, previous=previous)
    excluded = {**placement, "exclude": [*placement.get("exclude", []), name]}

    after = chosen(excluded, fleet, previous=before)

    assert name not in after
    assert before - {name} <= after


@pytest.mark.parametrize("count", [0, 5, 12, 50])
def test_a_cluster_that_joins_moves_nobody(count):
    placement = {"pick": {"count": count, "spread": "region"}}
    before = chosen(placement, fleet_of(REGIONS))

    after = chosen(placement, fleet_of({**REGIONS, "sa-0": {"region": "sa"}}), previous=before)

    assert before <= after
    assert after - before <= {"sa-0"}


def test_registered_clusters_are_placed_like_others():
    fleet = build_fleet([], registered=[cluster_document("joined", {"env": "prod"})])

    assert isinstance(application(), Application)
    assert chosen({"where": [{"labels": {"env": "prod"}}]}, fleet) == {"joined"}
