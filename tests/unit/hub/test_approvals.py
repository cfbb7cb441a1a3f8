"""Approvals of a stage: who counts, for how long, and what is still missing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.approvals import Approval, objection, verdict
from hub.domain.principals import Principal
from hub.domain.records import Commit, Signature
from hub.domain.staging import Approve

AUTHOR = "Ann Example <ann@example.com>"
PEOPLE = [
    Principal("ann", ("sre",), ("ann@example.com", "ann@home.example")),
    Principal("bo", ("sre", "operator"), ("bo@example.com",)),
    Principal("cy", ("operator",)),
    Principal("di", ("admin",)),
    Principal("ed", ("viewer", "web")),
]
ANN, BO, CY, DI, ED = PEOPLE


def approve(**fields) -> Approve:
    return Approve.model_validate({"by": ("sre",)} | fields)


def word(principal: Principal, at: float = 0.0) -> Approval:
    return Approval("prod", principal.name, principal.roles, at, "fine", principal.emails)


@pytest.mark.parametrize(
    ("by", "who"),
    [
        ("sre", {"ann", "bo", "di"}),
        ("user:ed", {"ed", "di"}),
        ("operator", {"bo", "cy", "di"}),
        ("viewer", {"ann", "bo", "cy", "di", "ed"}),
        ("admin", {"di"}),
        ("nobody", {"di"}),
    ],
)
def test_a_role_a_person_and_an_admin_count(by, who):
    assert {each.name for each in PEOPLE if not objection(approve(by=(by,)), each, (), ())} == who


def test_nobody_counts_twice():
    found = verdict(approve(count=2), [word(BO, 1), word(BO, 2)], (AUTHOR,), 3)

    assert [each.at for each in found.given] == [2]
    assert not found.enough
    assert found.missing == "1 more of sre"


@pytest.mark.parametrize(
    "author", [AUTHOR, "ANN@example.com", "ann@home.example", "<ann@example.com>", "Ann", "x <ann>"]
)
def test_the_author_does_not_count_where_the_strategy_says_so(author):
    strict = approve(notAuthor=True)

    assert verdict(approve(), [word(ANN)], (author,), 1).enough
    assert not verdict(strict, [word(ANN)], (author,), 1).enough
    assert (
        objection(strict, ANN, (author,), ()) == "ann wrote the commit, and whoever did may not approve it (notAuthor)"
    )
    assert verdict(strict, [word(BO)], (author,), 1).enough


@pytest.mark.parametrize("author", ["", " ", "<>", "Anna", "Ann Example", "joann@example.com"])
def test_somebody_else_is_not_taken_for_the_author(author):
    assert verdict(approve(notAuthor=True), [word(ANN)], (author,), 1).enough


def test_neither_does_who_signed_it_whoever_it_says_it_is_from():
    claimed = Commit("c" * 40, "raise replicas", "Bo", signed=Signature("ann@example.com", "SHA256:x", "ssh"))
    honest = Commit("c" * 40, "raise replicas", "Ann Example", email="ann@example.com")

    for commit in (claimed, honest):
        assert not verdict(approve(notAuthor=True), [word(ANN)], commit.written_by, 1).enough


def test_an_approval_ends_and_can_be_given_anew():
    asked = approve(expires="1h", count=2)
    words = [word(BO, 0), word(ANN, 600), word(DI, 1200)]

    enough = verdict(asked, words, (), 1200)
    assert (enough.enough, enough.expires) == (True, 600 + 3600)
    assert verdict(asked, words, (), 3599).enough
    short = verdict(asked, words, (), 4200)
    assert (short.missing, [each.by for each in short.given], short.expires) == ("1 more of sre", ["di"], 4800)
    assert verdict(asked, [*words, word(BO, 4200)], (), 4200).enough
    assert not objection(asked, BO, (), short.given)


def test_an_objection_says_why():
    asked = approve(by=("sre", "user:ed"))

    assert objection(asked, CY, (), ()) == "this is for sre or user:ed to approve; cy has operator"
    assert objection(asked, BO, (), (word(BO),)) == "bo has approved it already"


@pytest.mark.parametrize("by", [[], ["S R"], ["user:"], ["user:-x"], [""]])
def test_approvers_that_can_be_nobody_are_refused(by):
    with pytest.raises(ValueError, match="validation error"):
        Approve.model_validate_json(f'{{"by": {by}}}'.replace("'", '"'))


words = st.builds(word, st.sampled_from(PEOPLE), st.integers(0, 100).map(float))
asked = st.builds(
    lambda by, count, expires, own: approve(by=tuple(by), count=count, expires=f"{expires}s", notAuthor=own),
    st.lists(st.sampled_from(["sre", "operator", "user:ed", "admin", "web"]), min_size=1, max_size=3),
    st.integers(1, 4),
    st.sampled_from([0, 20]),
    st.booleans(),
)
whose = st.sampled_from([(), (AUTHOR,), (AUTHOR, "bo@example.com"), ("Cy",)])


@settings(max_examples=200)
@given(asked, st.lists(words, max_size=8), whose, st.integers(0, 120).map(float), st.sampled_from(PEOPLE))
def test_one_more_counts_exactly_when_nothing_is_said_against_it(asked, words, authors, now, principal):
    before = verdict(asked, words, authors, now)
    after = verdict(asked, [*words, word(principal, now)], authors, now)

    said = objection(asked, principal, authors, before.given)

    assert (len(after.given) == len(before.given) + 1) is (said == "")
    assert after.enough or not before.enough


@settings(max_examples=200)
@given(asked, st.lists(words, max_size=8), whose, st.integers(0, 120).map(float), st.randoms())
def test_order_is_nothing_and_the_verdict_holds_until_it_expires(asked, words, authors, now, chance):
    found = verdict(asked, words, authors, now)
    chance.shuffle(words)

    assert verdict(asked, words, authors, now) == found
    assert len({each.by for each in found.given}) == len(found.given)
    assert found.enough is (len(found.given) >= asked.count)
    if found.expires is not None:
        assert found.expires > now
        last = verdict(asked, words, authors, found.expires - 0.5)
        assert last.enough is found.enough
        then = verdict(asked, words, authors, found.expires)
        assert not then.enough
        assert len(then.given) < len(found.given)
