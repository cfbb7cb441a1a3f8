"""Previews: API versions that clusters give up are told of what the change is about, and of those clusters."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.deprecations import finding
from hub.domain.preview.compare import compare
from hub.domain.preview.markdown import markdown
from hub.domain.preview.model import OutdatedOn, Preview, Side
from hub.domain.preview.outdated import versions
from hub.domain.preview.states import About, Failed, Made, State, Unseen
from hub.domain.preview.unified import unified
from shared.bundle import canonical_line
from shared.manifests import ref_of
from shared.messages import Policy, to_json
from shared.model import Place, Problem

OLD, NEW = "policy/v1beta1", "policy/v1"  # deprecated since 1.21, gone since 1.25


def budget(api_version=OLD, name="web", least=1):
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": api_version, "kind": "PodDisruptionBudget", "metadata": metadata, "spec": {"min": least}}


def made(*manifests):
    refs = [(ref_of(each, "shop"), canonical_line(each)) for each in manifests]
    places = {ref.key: Place(f"apps/{ref.name}.yaml", 1) for ref, _ in refs}
    return Made({ref.key: (ref, line) for ref, line in refs}, (), places)


def state(**clusters):
    keys = {"web": {name: repr(result) for name, result in clusters.items()}}
    results = {repr(result): result for result in clusters.values()}
    return State(Side("x"), keys, results, {"web": About(Policy())}, dict.fromkeys(clusters, "prod"))


def everywhere(result, clusters="abc"):
    return state(**dict.fromkeys(clusters, result))


def test_what_a_change_brings_is_told_for_each_cluster_by_what_it_runs():
    runs = {"a": (1, 20), "b": (1, 24), "c": (1, 25), "d": (1, 32)}

    found = compare(everywhere(made(), "abcde"), everywhere(made(budget()), "abcde"), runs)

    (outdated,) = found.outdated
    assert (outdated.application, outdated.object.name, outdated.place) == ("web", "web", Place("apps/web.yaml", 1))
    assert (outdated.deprecated, outdated.removed, outdated.instead) == ("1.21", "1.25", NEW)
    assert outdated.where == (
        OutdatedOn("removed", ("c", "d"), ("1.25", "1.32")),
        OutdatedOn("deprecated", ("b",), ("1.24",)),
        OutdatedOn("unknown", ("e",)),
    )
    assert found.errors


def test_what_was_there_and_stays_is_counted_and_what_is_altered_is_told():
    runs = dict.fromkeys("abc", (1, 23))
    before = made(budget(), budget(name="old"), budget(name="older"))
    after = made(budget(least=2), budget(name="old"), budget(name="older"))

    found = compare(everywhere(before), everywhere(after), runs)

    assert [each.object.name for each in found.outdated] == ["web"]
    assert found.outdated_before == 2
    assert not found.errors
    assert "2 objects beside what changes are in such API versions already" in unified(found)


def test_an_object_that_changes_on_some_clusters_is_told_of_those():
    after = state(a=made(budget(least=2)), b=made(budget()), c=made(budget(), budget(NEW, "other")))

    found = compare(everywhere(made(budget())), after, dict.fromkeys("abc", (1, 30)))

    assert [each.clusters for each in found.outdated[0].where] == [("a",)]
    assert found.outdated_before == 0


@pytest.mark.parametrize(
    ("before", "after", "runs"),
    [
        (made(budget()), made(budget(NEW)), (1, 30)),  # mended
        (made(budget()), made(), (1, 30)),
        (made(), made(budget()), (1, 20)),  # not deprecated yet
        (made(), made(budget(NEW)), None),
        (made(budget()), Failed((Problem("error", "wrong"),)), (1, 30)),
        (made(budget()), made(budget()), (1, 30)),  # nothing is looked at
    ],
)
def test_nothing_is_told_of_what_no_cluster_gives_up(before, after, runs):
    found = compare(everywhere(before), everywhere(after), dict.fromkeys("abc", runs) if runs else None)

    assert (found.outdated, found.outdated_before) == ((), 0)


@pytest.mark.parametrize("before", [Failed((Problem("error", "wrong"),)), Unseen("it is elsewhere")])
def test_of_what_nobody_could_see_before_everything_counts_as_brought(before):
    found = compare(everywhere(before), everywhere(made(budget())), {})

    assert [each.where for each in found.outdated] == [(OutdatedOn("unknown", ("a", "b", "c")),)]
    assert not found.errors


def test_every_form_names_object_versions_clusters_and_what_to_write():
    runs = {f"c{number:02}": (1, number) for number in range(21, 38)}
    found = compare(everywhere(made(), runs), everywhere(made(budget()), runs), runs)

    line = (
        "web: apps/web.yaml:1: policy/PodDisruptionBudget shop/web is policy/v1beta1, deprecated since Kubernetes 1.21 "
        "and gone since 1.25 (write policy/v1): not served by 13 clusters at 1.25 to 1.37: c25, c26, c27, c28, c29, "
        "c30, c31, c32, c33, c34 and 3 more; deprecated on 4 clusters at 1.21 to 1.24: c21, c22, c23, c24"
    )
    assert f"# outdated {line}\n" in unified(found)
    assert f"#### API versions that Kubernetes gives up\n- {line}\n" in markdown(found)
    assert msgspec.convert(json.loads(json.dumps(to_json(found))), Preview) == found
    one = compare(everywhere(made(), "a"), everywhere(made(budget()), "a"), {"a": (1, 25)})
    assert unified(one).count("not served by a at 1.25\n") == 1


def test_versions_are_what_agents_report_as_far_as_they_can_be_read():
    facts = {"a": {"kubernetes": "v1.29.4-gke.1"}, "b": {"kubernetes": "?"}, "c": {}}

    assert versions(facts) == {"a": (1, 29)}


RESULTS = st.lists(
    st.builds(budget, st.sampled_from([OLD, NEW]), st.sampled_from(["x", "y"]), st.sampled_from([1, 2])),
    max_size=2,
    unique_by=lambda each: each["metadata"]["name"],
).map(lambda each: made(*each))
STATES = st.dictionaries(st.sampled_from("abcd"), RESULTS, max_size=4).map(lambda each: state(**each))
RUNS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([(1, 20), (1, 22), (1, 25), (1, 31)]))


@given(STATES, STATES, RUNS)
def test_what_is_told_is_what_validate_finds_in_each_cluster_s_changes(before, after, runs):
    told = [
        (cluster, each.object.name, on.standing)
        for each in compare(before, after, runs).outdated
        for on in each.where
        for cluster in on.clusters
    ]

    expected = []
    for cluster, key in after.units["web"].items():
        had = before.units["web"].get(cluster)
        old = before.results[had].objects if had is not None else {}
        for name, (ref, line) in after.results[key].objects.items():
            problem = finding(ref, runs.get(cluster))
            if problem is not None and old.get(name, (None, None))[1] != line:
                expected.append(
                    (cluster, ref.name, "unknown" if cluster not in runs else
                     "removed" if problem.severity == "error" else "deprecated")
                )  # fmt: skip
    assert sorted(told) == sorted(expected)
