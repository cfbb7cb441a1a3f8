"""Sets: many applications from one document, and what becomes of them when something cannot be evaluated."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.fleet import build_fleet, cluster_document, touched, with_clusters
from hub.domain.items import MOST, lookups_of
from hub.domain.listing import listing, listings_in
from hub.domain.placement import place
from hub.domain.reading import read_documents
from shared.model import Problem
from tests.fakes.memorytree import MemoryTree

HEAD = "apiVersion: yardarm.dev/v1alpha1\n"

CLUSTERS = f"""\
{HEAD}kind: Cluster
metadata: {{name: dev-1, labels: {{env: dev, topology.kubernetes.io/zone: a}}}}
spec: {{variables: {{domain: dev.example.com}}}}
---
{HEAD}kind: Cluster
metadata: {{name: prod-1, labels: {{env: prod}}}}
---
{HEAD}kind: Environment
metadata: {{name: prod}}
spec: {{order: 2, where: [{{labels: {{env: prod}}}}], variables: {{domain: example.com, tier: gold}}}}
---
{HEAD}kind: Environment
metadata: {{name: dev}}
spec: {{order: 1, where: [{{labels: {{env: dev}}}}]}}
"""


def a_set(for_each, template, name="teams"):
    return f"""\
{HEAD}kind: ApplicationSet
metadata: {{name: {name}}}
spec:
  forEach: {json.dumps(for_each)}
  template:
{template}"""


BY_NAME = """\
    metadata: {name: "app-${item.name}", labels: {team: "${item.team:-none}"}}
    spec: {source: {path: "apps/${item.name}"}}
"""

BY_FILE = """\
    metadata: {name: "${item.name}"}
    spec:
      source: {path: "${item.directory}"}
      overrides:
        - replicas:
            - name: web
              count: ${item.count}
"""
FILES = [{"files": {"path": "apps/*/app.yaml"}}]


def model(*texts, files=None, before=None, listings=None):
    parsed = [each for n, text in enumerate(texts) for each in read_documents(text, file=f"fleet-{n}.yaml")]
    if listings is None:
        listings = listings_in(MemoryTree(files or {}), lookups_of(parsed))
    return build_fleet(parsed, before, listings=listings)


def problems(fleet, severity="error"):
    return [str(problem) for problem in fleet.problems if problem.severity == severity]


def test_a_list_makes_an_application_for_each_item():
    fleet = model(a_set([{"list": [{"name": "a", "team": "x"}, {"name": "b"}]}], BY_NAME))

    assert list(fleet.applications) == ["app-a", "app-b"]
    assert fleet.applications["app-a"].metadata.labels == {"team": "x"}
    assert fleet.applications["app-b"].metadata.labels == {"team": "none"}
    assert fleet.applications["app-b"].spec.source.path == "apps/b"
    assert str(fleet.place("Application", "app-a", "spec.source")) == "fleet-0.yaml:8: spec.template.spec.source"
    assert fleet.problems == ()


def test_clusters_give_their_labels_variables_and_environment_and_go_to_themselves():
    template = """\
    metadata: {name: "agent-${item.cluster}", labels: {in: "${item.environment}"}}
    spec:
      source: {path: agent}
      overrides:
        - variables: {zone: "${item.labels.topology.kubernetes.io/zone:-none}", at: "${item.variables.domain}"}
"""
    fleet = model(CLUSTERS, a_set([{"clusters": {}}], template))

    assert list(fleet.applications) == ["agent-dev-1", "agent-prod-1"]
    assert {n: a.spec.overrides[0].variables for n, a in fleet.applications.items()} == {
        "agent-dev-1": {"zone": "a", "at": "dev.example.com"},
        "agent-prod-1": {"zone": "none", "at": "example.com"},
    }
    assert fleet.applications["agent-prod-1"].metadata.labels == {"in": "prod"}
    for name in fleet.applications:
        assert [*place(fleet.applications[name], fleet, {}).selected] == [name.removeprefix("agent-")]


def test_clusters_come_and_go_with_the_fleet():
    text = a_set([{"clusters": {"where": [{"labels": {"env": "dev"}}]}}], BY_NAME.replace("item.name", "item.cluster"))
    fleet = model(CLUSTERS, text)
    more = with_clusters(fleet, [cluster_document("dev-2", {"env": "dev"}), cluster_document("x", {"env": "x"})])

    assert list(fleet.applications) == ["app-dev-1"]
    assert list(more.applications) == ["app-dev-1", "app-dev-2"]
    assert more.applications["app-dev-1"] is fleet.applications["app-dev-1"]
    assert with_clusters(more, []).applications == fleet.applications


def test_directories_and_files_of_the_repository():
    files = {
        "apps/web/app.yaml": "count: 3",
        "apps/api/app.yaml": "{count: 2, name: backend}",
        "apps/old/app.yaml": "count: 1",
        "apps/README.md": "",
    }
    only = {"path": "apps/*", "exclude": ["apps/old"]}
    by_directory = (
        "    metadata: {name: '${item.segments.0}-${item.name}'}\n    spec: {source: {path: '${item.path}'}}\n"
    )
    fleet = model(
        a_set([{"directories": only}], by_directory, "dirs"),
        a_set([{"files": {**only, "path": "apps/*/app.yaml"}}], BY_FILE, "files"),
        files=files,
    )

    assert {name: each.spec.source.path for name, each in fleet.applications.items()} == {
        "apps-api": "apps/api",
        "apps-web": "apps/web",
        "backend": "apps/api",
        "web": "apps/web",
    }
    assert fleet.applications["backend"].spec.overrides[0].replicas[0].count == 2
    assert fleet.problems == ()


def test_several_generators_are_multiplied():
    template = """\
    metadata: {name: "${item.name}-${item.cluster}"}
    spec: {source: {path: "${item.path}"}}
"""
    fleet = model(
        CLUSTERS,
        a_set([{"directories": {"path": "apps/*"}}, {"clusters": {}}], template),
        files={"apps/a/x.yaml": "", "apps/b/x.yaml": ""},
    )

    assert list(fleet.applications) == ["a-dev-1", "a-prod-1", "b-dev-1", "b-prod-1"]
    assert [*place(fleet.applications["b-dev-1"], fleet, {}).selected] == ["dev-1"]


def test_plain_variables_of_a_template_stay_for_the_render():
    template = """\
    metadata: {name: "${item.name}"}
    spec: {overrides: [{variables: {host: "${item.name}.${domain}", raw: "$${item.name}"}}]}
"""
    fleet = model(CLUSTERS, a_set([{"list": [{"name": "a"}]}], template))

    assert fleet.applications["a"].spec.overrides[0].variables == {"host": "a.${domain}", "raw": "${item.name}"}


def test_what_cannot_be_listed_is_never_nothing():
    """A repository that is away takes no application with it: they stay, nothing new comes, and a finding says why."""
    text = a_set([{"directories": {"path": "apps/*", "repo": "https://git.example.com/a.git"}}], BY_NAME)
    (lookup,) = lookups_of(read_documents(text, file="f.yaml"))
    here = MemoryTree({"apps/a/x.yaml": "", "apps/b/x.yaml": ""})
    before = model(text, listings={lookup: listing(here, lookup)})
    away = model(text, before=before, listings={lookup: Problem("error", "host not found")})
    back = model(text, before=away, listings={lookup: listing(MemoryTree({"apps/b/x.yaml": ""}), lookup)})

    assert list(away.applications) == list(before.applications) == ["app-a", "app-b"]
    assert away.blocked == {"app-a", "app-b"}
    assert "'teams' cannot be evaluated, and what it has made stays: host not found" in problems(away)[0]
    assert list(back.applications) == ["app-b"]
    assert back.blocked == frozenset()
    assert back.problems == ()


def test_a_hub_that_has_just_started_takes_nothing_for_gone_that_a_set_may_have():
    text = a_set([{"directories": {"path": "apps/*", "repo": "https://git.example.com/a.git"}}], BY_NAME)
    fleet = model(text, listings={})

    assert fleet.applications == {}
    assert fleet.may_be_made("app-a")
    assert not fleet.may_be_made("other")


def test_a_file_that_cannot_be_read_keeps_what_was_made_of_it():
    text = a_set(FILES, BY_FILE)
    before = model(text, files={"apps/a/app.yaml": "count: 1", "apps/b/app.yaml": "count: 1"})
    broken = {"apps/a/app.yaml": "count: [", "apps/b/app.yaml": "count: 2"}
    fleet = model(text, files=broken, before=before)

    assert fleet.applications["a"] is before.applications["a"]
    assert fleet.applications["b"].spec.overrides[0].replicas[0].count == 2
    assert fleet.blocked == {"a"}
    assert problems(fleet)[0].startswith("apps/a/app.yaml:2: ")
    assert model(text, files=broken).may_be_made("a")  # started anew: it is known to be missing


def test_an_item_that_makes_no_valid_application_keeps_what_it_made():
    text = a_set(FILES, BY_FILE)
    before = model(text, files={"apps/a/app.yaml": "count: 1", "apps/b/app.yaml": "count: 1"})
    fleet = model(text, files={"apps/a/app.yaml": "count: many", "apps/b/app.yaml": "count: 2"}, before=before)

    assert fleet.applications["a"] is before.applications["a"]
    assert fleet.blocked == {"a"}
    (problem,) = problems(fleet)
    assert "fleet-0.yaml:" in problem
    assert "spec.template.spec.overrides[0].replicas[0].count" in problem
    assert "'many'" in problem or '"many"' in problem
    assert "name: a" in problem


def test_a_value_that_an_item_has_not_says_what_was_meant():
    fleet = model(a_set([{"list": [{"name": "a", "team": "x"}]}], BY_NAME.replace("item.team:-none", "item.taem")))

    (problem,) = problems(fleet)
    assert "no value ${item.taem}, for item {name: a, team: x}" in problem
    assert "did you mean ${item.team}?" in str([p.hint for p in fleet.problems])
    assert fleet.may_be_made("app-a")


def test_a_document_of_its_own_counts_before_one_that_a_set_makes():
    own = f"{HEAD}kind: Application\nmetadata: {{name: app-a}}\nspec: {{namespace: own}}\n"
    text = a_set([{"list": [{"name": "a"}, {"name": "b"}]}], BY_NAME)
    fleet = model(text, own)
    without = model(text, before=fleet)

    assert fleet.applications["app-a"].spec.namespace == "own"
    assert "makes application 'app-a': there is a document at fleet-1.yaml:1, which counts" in problems(fleet)[0]
    assert without.applications["app-a"].spec.namespace != "own"
    assert touched(without, fleet) == {"app-a"}


def test_two_items_of_one_name_are_told_and_the_first_counts():
    fleet = model(a_set([{"list": [{"name": "a", "team": "x"}, {"name": "a", "team": "y"}]}], BY_NAME))

    assert fleet.applications["app-a"].metadata.labels == {"team": "x"}
    assert "both make application 'app-a', the first counts" in problems(fleet)[0]


def test_a_product_that_is_too_large_is_refused_and_what_was_made_stays():
    small, text = [{"list": [{"name": "a"}]}], BY_NAME
    before = model(a_set(small, text))
    many = [{"list": [{"name": f"n{i}"} for i in range(200)]}, {"list": [{"x": i} for i in range(200)]}]
    fleet = model(a_set(many, text), before=before)

    assert list(fleet.applications) == ["app-a"]
    assert f"comes to 40,000 items, it may have {MOST:,}" in problems(fleet)[0]


def test_a_set_that_is_gone_takes_its_applications_with_it_and_a_broken_one_does_not():
    text = a_set([{"list": [{"name": "a"}]}], BY_NAME)
    before = model(CLUSTERS, text)

    assert model(CLUSTERS, before=before).applications == {}
    assert list(model(CLUSTERS, text.replace("forEach", "forEech"), before=before).applications) == ["app-a"]


def test_a_set_cannot_ask_for_facts():
    fleet = model(CLUSTERS, a_set([{"clusters": {"where": [{"facts": {"kubernetes": ">=1.30"}}]}}], BY_NAME))

    assert "a set cannot ask for facts" in problems(fleet)[0]


def test_no_match_is_a_warning():
    fleet = model(a_set([{"directories": {"path": "aps/*"}}], BY_NAME), files={"apps/a/x.yaml": ""})

    assert problems(fleet) == []
    assert "no directory is meant by 'aps/*': no applications" in problems(fleet, "warning")[0]


def test_references_of_made_applications_are_checked():
    template = BY_NAME.replace("spec: {", 'spec: {dependsOn: ["app-${item.after}"], ')
    items = [{"name": "a", "after": "b"}, {"name": "b", "after": "c"}]
    fleet = model(a_set([{"list": items}], template))

    assert fleet.blocked == {"app-b"}
    assert "there is no application 'app-c'" in problems(fleet)[0]
    mended = model(a_set([{"list": [*items, {"name": "c", "after": "a"}]}], template), before=fleet)
    assert mended.blocked == {"app-a", "app-b", "app-c"}
    assert "dependsOn goes in a circle" in problems(mended)[0]


def test_one_file_of_many_that_changes_makes_one_application_anew():
    text = a_set(FILES, BY_FILE)
    files = {f"apps/a{i}/app.yaml": "count: 1" for i in range(300)}
    tree = MemoryTree(files)
    (lookup,) = lookups_of(read_documents(text, file="fleet-0.yaml"))
    first = listing(tree, lookup)
    before = model(text, listings={lookup: first})
    read = []
    after_tree = MemoryTree({**files, "apps/a7/app.yaml": "count: 2"})
    after_tree.read, plain = lambda path: read.append(path) or plain(path), after_tree.read
    after = listing(after_tree, lookup, first)
    fleet = model(text, before=before, listings={lookup: after})

    assert read == ["apps/a7/app.yaml"]
    assert touched(fleet, before) == {"a7"}
    assert listing(tree, lookup, first) is first
    assert all(fleet.applications[name] is each for name, each in before.applications.items() if name != "a7")


NAMES = st.sampled_from(["a", "b", "c", "d"])
STATES = st.dictionaries(NAMES, st.sampled_from(["count: 1", "count: 2", "count: no", "count: [", "- 1"]), max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.none() | STATES, min_size=1, max_size=5))
def test_only_a_file_that_is_gone_takes_its_application_with_it(history):
    """Whatever happens to a repository, None being that it is away: no application is lost but with its file."""
    text = a_set(FILES, BY_FILE)
    (lookup,) = lookups_of(read_documents(text, file="fleet-0.yaml"))
    fleet, have, seen = None, set(), None
    for state in history:
        if state is None:
            found = Problem("error", "away")
        else:
            seen = found = listing(MemoryTree({f"apps/{n}/app.yaml": data for n, data in state.items()}), lookup, seen)
        fleet = model(text, before=fleet, listings={lookup: found})
        there = set(fleet.applications)
        assert have <= there if state is None else have & set(state) <= there
        if state is not None:
            assert there <= set(state)
            good = {name for name, data in state.items() if data in ("count: 1", "count: 2")}
            assert good <= there
            assert fleet.blocked == there - good
            for name in good:
                assert fleet.applications[name].spec.overrides[0].replicas[0].count == int(state[name][-1])
            assert all(fleet.may_be_made(name) for name in set(state) - there)
        else:
            assert fleet.blocked == there
        assert fleet.blocked <= there
        assert bool(problems(fleet)) is (state is None or there - fleet.blocked != set(state))
        have = there


@pytest.mark.parametrize("path", [".", "../apps/*", "/apps/*"])
def test_a_pattern_stays_inside_the_repository(path):
    fleet = model(a_set([{"directories": {"path": path}}], BY_NAME))

    assert len(problems(fleet)) == 1
