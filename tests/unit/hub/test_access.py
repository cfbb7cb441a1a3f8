"""Who may do what, where: the decision, what grants add up to, who may give which token, and how often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.domain import access, issued
from hub.domain.access import ACTIONS, OPEN, allowed, allowed_in, exceeding, within
from hub.domain.issued import IssuedToken, manages, objection
from hub.domain.limiting import Level, Rate, full, take
from hub.domain.principals import EVERY, ROLES, Grant, Principal

NAMES = st.sampled_from(["web", "shop", "dev", "prod", EVERY])
SCOPES = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
GRANTS = st.builds(Grant, st.sampled_from(ROLES), SCOPES, SCOPES)
PRINCIPALS = st.builds(
    Principal, st.just("ann"), st.lists(st.sampled_from([*ROLES, "sre"]), max_size=1).map(tuple), st.just(()),
    st.lists(GRANTS, max_size=3).map(tuple),
)  # fmt: skip
PLACES = st.sampled_from(["web", "shop", "dev", "prod", "", EVERY, None])
ACTION = st.sampled_from(list(ACTIONS.values()))


def test_nobody_may_do_anything_without_a_grant_and_everybody_what_is_open():
    nobody = Principal("ann", ("sre", "emergency"))

    assert not any(allowed(nobody, action).ok for action in ACTIONS.values())
    assert allowed(nobody, OPEN).ok


def test_a_refusal_says_what_is_needed_where_and_what_there_is():
    ann = Principal("ann", ("sre",), grants=(Grant("operator", ("web",), ("dev", "stage")),))

    assert allowed(ann, ACTIONS["rollouts.steer"], "web", "dev").ok
    refused = allowed(ann, ACTIONS["rollouts.steer"], "web", "prod")
    assert refused.why == (
        "this needs the role operator in the project web in the environment prod; "
        "ann has operator in project web and environment dev, stage, sre"
    )


@given(PRINCIPALS, ACTION, PLACES, PLACES)
def test_more_grants_never_take_anything_away(principal, action, project, environment):
    more = Principal(principal.name, principal.roles, grants=(*principal.grants, Grant("viewer", ("web",), ("dev",))))

    assert allowed(principal, action, project, environment).ok <= allowed(more, action, project, environment).ok


@given(PRINCIPALS, ACTION, PLACES, PLACES)
def test_what_is_allowed_everywhere_is_allowed_anywhere(principal, action, project, environment):
    if allowed(principal, action, EVERY, EVERY).ok:
        assert allowed(principal, action, project, environment).ok
    if allowed(principal, action, project, environment).ok:
        assert allowed(principal, action).ok


@given(PRINCIPALS, st.sets(st.sampled_from(["dev", "prod", ""])))
def test_within_a_place_a_principal_has_the_roles_that_reach_all_of_it(principal, environments):
    here = within(principal, "web", environments)

    for role in ROLES[1:]:
        action = access.Action("", role)
        assert here.is_a(role) == allowed_in(principal, action, "web", environments).ok
    assert here.is_a("sre") == ("sre" in principal.roles or here.is_a("admin"))


@given(PRINCIPALS, GRANTS)
def test_a_grant_that_may_be_given_opens_nothing_new(principal, grant):
    if exceeding(principal, [grant]) is not None:
        return
    other = Principal("bo", grants=(grant,))
    for action in ACTIONS.values():
        for project in ("web", "shop", "", EVERY):
            for environment in ("dev", "prod", "", EVERY):
                assert (
                    allowed(other, action, project, environment).ok
                    <= allowed(principal, action, project, environment).ok
                )


def test_tokens_are_made_and_managed_by_whom_their_grants_are_given():
    everything, local = Principal("root", ("admin",)), Principal("wanda", (), (), (Grant("admin", ("web",)),))
    here, everywhere = (Grant("operator", ("web",)),), (Grant("viewer"),)

    assert objection(everything, "anybody", ["board"], everywhere) == ""
    assert objection(local, "wanda.ci", [], here) == ""
    assert "may not do more than who makes it" in objection(local, "wanda.ci", [], everywhere)
    assert "not of the team board" in objection(local, "wanda.ci", ["board"], here)
    assert "begins with `wanda.`" in objection(local, "ci", [], here)
    assert "another name" in objection(everything, "admin", [], here)
    made = [IssuedToken("t1", "ci", "0" * 64, grants, 0.0, "root") for grants in (here, everywhere, ())]
    assert [manages(local, each) for each in made] == [True, False, False]
    assert [manages(everything, each) for each in made] == [True, True, True]
    assert issued.IssuedToken("t1", "ci", "0" * 64, here, 0.0, "root").known.holder.granted == here


@given(st.lists(st.floats(0, 10), max_size=50))
def test_no_more_goes_through_than_the_burst_and_the_rate_allow(pauses):
    rate, level, now, through = Rate(2, 5), None, 0.0, 0
    for pause in pauses:
        now += pause
        level, wait = take(level, rate, now)
        through += not wait
        if wait:
            assert take(level, rate, now + wait + 1e-6)[1] == 0.0
    assert through <= rate.burst + rate.per_second * now + 1e-6


def test_who_has_been_quiet_for_long_is_forgotten_without_loss():
    rate = Rate(2, 5)

    assert not full(Level(3, 0.0), rate, 0.9)
    assert full(Level(3, 0.0), rate, 1.0)
