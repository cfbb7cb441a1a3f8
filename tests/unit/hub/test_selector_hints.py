"""Selectors written as other tools write them: the finding shows the same as it is written here, and that is right."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.domain.reading import FleetDocument, read_documents

HEAD = "apiVersion: yardarm.dev/v1alpha1\nkind: Application\nmetadata: {name: web}\nspec:\n  source: {path: apps/web}\n"
FIRST = "where: [{labels: {env: prod}}]"


def found(text: str):
    (document,) = read_documents(HEAD + f"  {text}\n", file="web.yaml")
    return () if isinstance(document, FleetDocument) else document.problems


def hint(text: str) -> str:
    problems = found(text)
    assert len(problems) == 1, problems
    return problems[0].hint


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("where: {labels: {env: prod}}", f"write {FIRST}"),
        ("where: {env: prod}", f"write {FIRST}"),
        ("where: {matchLabels: {env: prod}}", f"write {FIRST}"),
        ("where: env=prod", "write where: [{match: [env=prod]}]"),
        ("where: prod", f"write {FIRST}"),
        ("where: [env=prod]", "write {match: [env=prod]}"),
        ("where: [null]", "write {labels: {env: prod}}"),
        ("where: [{env: prod}]", "write labels: {env: prod}"),
        ("where: [{matchLabels: {env: prod}}]", "write labels: {env: prod}"),
        ("where: [{labels: env=prod}]", "write match: [env=prod]"),
        ("where: [{labels: {env: [dev, prod]}}]", "write match: ['env in (dev,prod)']"),
        ("where: [{match: {env: prod}}]", "write labels: {env: prod}"),
        ("where: [{match: 'env in (a,b)'}]", "write match: ['env in (a,b)']"),
        ("where: [{match: [{key: gpu, operator: DoesNotExist}]}]", "write '!gpu'"),
        (
            "where: [{matchExpressions: [{key: env, operator: NotIn, values: [a, b]}]}]",
            "write match: ['env notin (a,b)']",
        ),
        ("matchLabels: {env: prod}", f"write {FIRST}"),
        ("labels: {env: prod}", f"write {FIRST}"),
        ("clusterSelector: {matchLabels: {env: prod}}", f"write {FIRST}"),
        ("clusters: {env: prod}", f"write {FIRST}"),
        ("facts: {kubernetes: '>=1.30'}", "write where: [{facts: {kubernetes: '>=1.30'}}]"),
        ("environment: prod", "write environments: [prod]"),
        ("cluster: [a, b]", "write clusters: [a, b]"),
        ("clusters: dev-1", "write [dev-1]"),
        ("clusters: 'a, b'", "write ['a, b']"),
    ],
)
def test_the_same_is_shown_as_it_is_written_here(written, said):
    assert hint(f"placement: {{{written}}}") == said
    assert hint(f"overrides: [{{when: {{{written}}}}}]") == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("placement: [prod]", f"write {{environments: [prod]}}, or {{{FIRST}}}"),
        ("placement: [{labels: {env: prod}}]", f"write {FIRST}"),
        ("clusters: [dev-1]", "write placement: {clusters: [dev-1]}"),
        ("where: {labels: {env: prod}}", f"write placement: {{{FIRST}}}"),
        ("matchLabels: {env: prod}", f"write placement: {{{FIRST}}}"),
        ("environment: prod", "write placement: {environments: [prod]}"),
    ],
)
def test_what_belongs_into_the_placement_says_so(written, said):
    assert hint(written) == said


def test_what_cannot_be_guessed_gets_an_example_or_what_is_known():
    assert FIRST in hint("targets: [{clusterSelector: {matchLabels: {env: prod}}}]")
    assert hint("placement: {env: prod}").endswith(f"onLeave; if it is a label of clusters, write {FIRST}")
    assert hint("placement: {exlcude: [a]}") == "did you mean 'exclude'?"
    for every in ("'*'", "['*']", "['prod-*']"):
        assert hint(f"placement: {{clusters: {every}}}").startswith("names are written out")
    assert hint(f"placement: {{where: {{env: {'x' * 300}}}}}") == f"write it like {FIRST}"


def test_an_environment_and_a_project_are_told_alike():
    head = "apiVersion: yardarm.dev/v1alpha1\nmetadata: {name: prod}\n"
    for kind, spec in (
        ("Environment", "{matchLabels: {env: prod}}"),
        ("Environment", "{where: {env: prod}}"),
        ("Project", "{clusters: {labels: {env: prod}}}"),
    ):
        (document,) = read_documents(f"{head}kind: {kind}\nspec: {spec}\n", file="x.yaml")
        assert [each.hint for each in document.problems] == [f"write {FIRST}"]


WORDS = st.sampled_from(["prod", "env=prod", "a in (b,c)", "!a", "*", "", "y", "1e3", "In", "no such thing", "{", "#x"])
FIELDS = st.sampled_from([
    "where", "labels", "match", "facts", "matchLabels", "matchExpressions", "selector", "environments", "environment",
    "clusters", "cluster", "env", "key", "operator", "values",
])  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(WORDS, st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=3)),
    max_leaves=6,
)


@given(st.sampled_from(["placement", "where", "clusters", "selector"]), ANYTHING)
@example("placement", {"where": {"env": ["*"]}})
def test_what_a_hint_says_to_write_is_right(field, value):
    for problem in found(f"{field}: {json.dumps(value)}"):
        if problem.hint.startswith("write where: "):
            assert found(f"placement: {{{problem.hint.removeprefix('write ')}}}") == (), problem
        if problem.hint.startswith("write placement: "):
            assert found(problem.hint.removeprefix("write ")) == (), problem
