"""Selectors: what they mean, and that they say why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.selectors import (
    Candidate,
    Selector,
    fact_holds,
    matches,
    parse_comparisons,
    parse_requirement,
    selecting,
)

EU = Candidate(
    "prod-eu-1", {"env": "prod", "region": "eu", "gpu": "a100"}, ("prod",), {"kubernetes": "v1.29.4-gke.100"}
)


def selector(**parts):
    return Selector.model_validate(parts, strict=False)


def verdict(candidate=EU, **parts):
    return matches(selector(**parts), candidate)


def test_an_empty_selector_means_every_cluster():
    assert verdict().selected


def test_keys_given_together_all_hold():
    assert verdict(environments=["prod"], clusters=["prod-eu-1"], where=[{"labels": {"region": "eu"}}]).selected
    assert not verdict(environments=["prod"], clusters=["other"]).selected
    assert not verdict(environments=["dev"], clusters=["prod-eu-1"]).selected


def test_exclude_wins():
    assert verdict(clusters=["prod-eu-1"], exclude=["prod-eu-1"]).reasons == ("excluded by name",)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("gpu in (a100,h200)", True), ("gpu in ( h200 )", False), ("gpu notin (h200)", True), ("gpu notin (a100)", False),
        ("none notin (x)", True), ("none in (x)", False), ("gpu", True), ("none", False), ("!gpu", False), ("!none", True),
        ("env=prod", True), ("env==prod", True), ("env = dev", False), ("env!=dev", True), ("env!=prod", False),
        ("none!=x", True), ("x.y/z=a", False), ("in in (a)", False), ("!x.y/in", True),
    ],
)  # fmt: skip
def test_match_expressions_mean_what_they_mean_in_kubernetes(expression, holds):
    assert verdict(where=[{"match": [expression]}]).selected is holds


@pytest.mark.parametrize(
    "text", ["", "a inn (b)", "a in b", "a in (b", "a=b,c=d", "a,b", "a=b=c", "=a", "a in (,)", "a b"]
)
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(ValueError, match="not a label expression"):
        parse_requirement(text)


@pytest.mark.parametrize(
    ("have", "wanted", "holds"),
    [
        ("v1.29.4-gke.100", ">=1.29", True), ("v1.29.4+k3s1", ">=1.30", False), ("1.9", "<1.10", True),
        ("1.29.4", "1.29", True), ("1.29.4", "=1.28", False), ("1.29.4", "!=1.29", False), ("1.30", ">=1.29 <1.31", True),
        ("1.31", ">=1.29, <1.31", False), (3, ">=3", True), (3, "> 3", False), (True, "true", True), ("arm64", "arm64", True),
        ("arm64", "!=arm64", False), ("arm64", ">=1", False), (["a/B", "c/D"], "c/D", True), (["a/B"], "c/D", False),
    ],
)  # fmt: skip
def test_facts_compare_as_versions_numbers_and_words(have, wanted, holds):
    assert fact_holds(have, wanted) is holds


@pytest.mark.parametrize("text", ["", ">=", ">= <2", "a >=", "<>1"])
def test_what_is_no_comparison_is_refused(text):
    with pytest.raises(ValueError, match="not a comparison"):
        parse_comparisons(text)


def test_a_missing_fact_leaves_the_verdict_open_only_when_nothing_else_speaks_against():
    fresh = Candidate("c", {"env": "prod"})
    where = [{"labels": {"env": "prod"}, "facts": {"kubernetes": ">=1.29"}}]

    assert verdict(fresh, where=where).undecided
    assert not verdict(fresh, where=where).selected
    assert not verdict(fresh, where=where, exclude=["c"]).undecided
    assert not verdict(Candidate("c", {"env": "dev"}), where=where).undecided


def test_reasons_say_what_was_found_and_what_was_wanted():
    assert verdict(where=[{"labels": {"env": "dev"}}]).reasons == ("label env is 'prod', wanted 'dev'",)
    assert verdict(where=[{"match": ["zone in (a,b)"]}]).reasons == ("label zone is not set, wanted 'a' or 'b'",)
    assert verdict(environments=["dev"]).reasons == ("not in environment dev (it is in prod)",)
    assert verdict(where=[{"labels": {"a": "b"}}, {"facts": {"kubernetes": ">=2"}}]).reasons == (
        "term 1: label a is not set, wanted 'b'",
        "term 2: fact kubernetes is 'v1.29.4-gke.100', wanted >=2",
    )
    assert verdict(environments=["prod"], where=[{"labels": {"region": "eu"}}]).reasons == (
        "in environment prod",
        "region=eu",
    )


WORDS = st.sampled_from(["a", "b", "c"])
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(WORDS, WORDS, max_size=2),
        "match": st.lists(st.builds("{} {} ({})".format, WORDS, st.sampled_from(["in", "notin"]), WORDS), max_size=2),
    },
)
SELECTORS = st.fixed_dictionaries(
    {},
    optional={
        "environments": st.lists(WORDS, max_size=2),
        "clusters": st.lists(WORDS, max_size=2),
        "where": st.lists(TERMS, max_size=3),
        "exclude": st.lists(WORDS, max_size=2),
    },
)
CANDIDATES = st.builds(Candidate, WORDS, st.dictionaries(WORDS, WORDS), st.lists(WORDS, unique=True).map(tuple))


@given(SELECTORS, CANDIDATES)
def test_a_verdict_always_has_a_reason(parts, candidate):
    assert verdict(candidate, **parts).reasons


@given(SELECTORS, CANDIDATES, TERMS)
def test_another_term_never_selects_less_and_another_exclusion_never_more(parts, candidate, term):
    before = verdict(candidate, **parts).selected
    wider = {**parts, "where": [*parts.get("where", []), term]} if parts.get("where") else parts
    narrower = {**parts, "exclude": [*parts.get("exclude", []), candidate.name]}

    assert verdict(candidate, **wider).selected >= before
    assert not verdict(candidate, **narrower).selected


@given(SELECTORS, st.lists(CANDIDATES, max_size=4))
def test_one_after_the_other_is_selected_as_each_by_itself(parts, candidates):
    meant = selector(**parts)

    assert list(map(selecting(meant), candidates)) == [matches(meant, each).selected for each in candidates]
