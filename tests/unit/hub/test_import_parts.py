"""What all importers stand on: which clusters are meant, Helm's --set, names, addresses, and documents as files."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.selectors import Candidate, Selector, matches, parse_requirement
from hub.importing.home import Home, normalized, origins
from hub.importing.names import distinct, token
from hub.importing.notes import Made
from hub.importing.selecting import Target, but_not, selector
from hub.importing.values import literal_into, merged, set_into, without
from hub.importing.words import duration, image
from hub.importing.writing import elsewhere, files_of
from shared.model import Place, is_token
from tests.fakes.memorytree import MemoryTree

KEYS, VALUES = ("env", "site"), ("a", "b", "c")
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
CLUSTERS = st.tuples(st.sampled_from(("one", "two")), LABELS)
REQUIREMENTS = st.one_of(
    st.builds("{}={}".format, st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.builds("{} notin ({},a)".format, st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.sampled_from(KEYS),
    st.builds("!{}".format, st.sampled_from(KEYS)),
)
BY_LABEL = st.builds(Target, st.lists(REQUIREMENTS, max_size=2).map(tuple))
TARGETS = st.one_of(BY_LABEL, st.builds(lambda name: Target(cluster=name), st.sampled_from(("one", "two"))))


def means(target: Target, cluster: tuple[str, dict[str, str]]) -> bool:
    name, labels = cluster
    return (
        target.cluster in ("", name)
        and name not in target.exclude
        and not any(parse_requirement(text).failure(labels) for text in target.requirements)
    )


@given(st.lists(BY_LABEL, min_size=1, max_size=3), st.lists(TARGETS, max_size=3), CLUSTERS)
def test_what_one_means_and_another_does_not(targets, others, cluster):
    left = but_not(targets, others)

    expected = any(means(each, cluster) for each in targets) and not any(means(each, cluster) for each in others)
    assert left is not None
    assert any(means(each, cluster) for each in left) is expected


@given(st.lists(TARGETS, min_size=1, max_size=3), CLUSTERS)
def test_a_selector_means_what_its_targets_mean(targets, cluster):
    made = selector(targets)
    if made is None:
        assert len(targets) > 1
        return

    verdict = matches(Selector.model_validate_json(json.dumps(made)), Candidate(cluster[0], cluster[1], (), {}))
    assert verdict.selected is any(means(each, cluster) for each in targets)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a.b=1,c=x", {"a": {"b": 1}, "c": "x"}),
        ("a[1].b=true", {"a": [None, {"b": True}]}),
        ("a={1,x}", {"a": [1, "x"]}),
        (r"a\.b=c\,d", {"a.b": "c,d"}),
        ("a=null", {"a": None}),
        ("a=0123", {"a": "0123"}),
        ("a=", {"a": ""}),
    ],
)
def test_set(expression, expected):
    assert set_into({}, expression) == expected


@pytest.mark.parametrize("expression", ["a", "a[=1", "a[99999]=1", "a={b", "=1", ".a=1", "a[0]b=1"])
def test_what_helm_cannot_set_either(expression):
    with pytest.raises(ValueError, match=re.escape(repr(expression)) + "|beyond|the number of"):
        set_into({}, expression)


@given(st.text())
def test_a_literal_is_taken_as_it_is(text):
    assert literal_into({"a": {"c": 1}}, "a.b", text) == {"a": {"b": text, "c": 1}}


VALUE_MAPS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(inner, st.integers(0, 3)), max_size=3),
    max_leaves=6,
)


@given(VALUE_MAPS, VALUE_MAPS)
def test_values_without_those_above_come_to_the_same(values, above):
    assert merged(without(values, above), above) == merged(values, above)


@given(st.lists(st.lists(st.text(max_size=70), min_size=1, max_size=3), max_size=6))
def test_names_are_tokens_and_no_two_are_alike(wanted):
    names = distinct(wanted)

    assert len(set(names)) == len(names) == len(wanted)
    assert all(is_token(name) for name in names)


def test_both_of_two_that_want_one_name_take_their_next():
    assert distinct([["web", "a-web"], ["web", "b-web"], ["db"]]) == ["a-web", "b-web", "db"]
    assert token("Some Name_1") == "some-name-1"


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/Team/Repo.git",
        "ssh://git@git.example.com:2222/team/repo",
        "git@git.example.com:team/repo.git",
        "https://user@git.example.com/team/repo/",
    ],
)
def test_addresses_of_one_repository(url):
    assert normalized(url) == ("git.example.com", "team/repo")
    assert Home(("https://git.example.com/team/repo",)).certainly(url)


def test_a_copy_is_taken_for_its_original_when_all_that_is_named_is_there():
    tree = MemoryTree({"apps/web/a.yaml": ""})
    copy = Home(("https://mirror.example.net/copies/repo",), "trunk")
    url = "https://git.example.com/team/repo"

    assert origins(copy, [(url, "apps/web")], tree).source(url, "main") == {}
    assert origins(copy, [(url, "apps/web")], tree).source(url, "v1.2") == {"ref": "v1.2"}
    assert origins(copy, [(url, "apps/web"), (url, "apps/no")], tree).source(url, "main") == {
        "repo": url,
        "ref": "main",
    }
    assert not origins(copy, [(url, "")], tree).here(url)
    same_host = Home(("https://git.example.com/other/repo",))
    assert not origins(same_host, [(url, "apps/web")], tree).here(url)


@pytest.mark.parametrize(
    ("text", "expected"), [("5m0s", "5m"), ("90s", "1m30s"), ("1.5h", "1h30m"), ("x", ""), ("", "")]
)
def test_durations_of_go(text, expected):
    assert duration(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "web=registry.example.com:5000/web:2",
            {"name": "web", "newName": "registry.example.com:5000/web", "newTag": "2"},
        ),
        ("web:2", {"name": "web", "newTag": "2"}),
        ("web@sha256:abc1", {"name": "web", "digest": "sha256:abc1"}),
        ("web", None),
    ],
)
def test_images(text, expected):
    assert image(text) == expected


def made(kind: str, name: str, spec: dict) -> Made:
    value = {"apiVersion": "yardarm.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return Made(value, Place("a.yaml", 3), f"Application argocd/{name}")


def test_documents_are_files_that_read_back_as_the_same():
    documents = [
        made("Cluster", "a", {}),
        made("Cluster", "b", {}),
        made("Application", "web", {"source": {"path": "web"}}),
        made("ApplicationSet", "web", {"forEach": [{"list": []}], "template": {"metadata": {"name": "x"}}}),
    ]
    files = files_of(documents)

    assert list(files) == ["applications/web-applicationset.yaml", "applications/web.yaml", "clusters.yaml"]
    assert files["applications/web.yaml"].startswith("# made of Application argocd/web, a.yaml:3\n")
    read = [value for text in files.values() for value in yaml.safe_load_all(text)]
    assert sorted(map(str, read)) == sorted(str(each.value) for each in documents)


def test_documents_for_another_fleet_repository_name_this_one():
    repo = "https://git.example.com/team/apps"
    application = made(
        "Application", "web", {"source": {"path": "web"}, "sources": [{"repo": "https://x/y", "path": "z"}]}
    )
    many = made(
        "ApplicationSet",
        "all",
        {"forEach": [{"directories": {"path": "apps/*"}}, {"list": [{}]}], "template": {"metadata": {}, "spec": {}}},
    )

    assert elsewhere(application, repo).value["spec"] == {
        "source": {"repo": repo, "path": "web"},
        "sources": [{"repo": "https://x/y", "path": "z"}],
    }
    spec = elsewhere(many, repo).value["spec"]
    assert spec["forEach"] == [{"directories": {"repo": repo, "path": "apps/*"}}, {"list": [{}]}]
    assert spec["template"]["spec"]["source"] == {"repo": repo}
