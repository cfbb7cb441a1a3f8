"""What somebody with limited grants is shown adds up: counters, lists and pages tell of the same units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.principals import EVERY, Grant
from hub.domain.status import STATES
from hub.view import UnitFilter, View, read
from hub.view.visible import Visible
from shared.messages import Phase
from tests.fakes.fleetview import FakeClock, application, assignment, fleet, heartbeat, report

PROJECTS = {"web": "shop", "api": "shop", "bank": "money"}
CLUSTERS = {"d1": "dev", "d2": "dev", "p1": "prod", "none-1": ""}
GRANTS = st.lists(
    st.builds(
        Grant, st.just("viewer"), st.sampled_from([("shop",), ("money",), ("shop", "money"), (EVERY,)]),
        st.sampled_from([("dev",), ("prod",), ("dev", "prod"), (EVERY,)]),
    ),
    max_size=3,
)  # fmt: skip


def filled() -> View:
    view = View(FakeClock())
    view.fleet_changed(fleet(CLUSTERS))
    for name, project in PROJECTS.items():
        view.application_changed(application(name, tuple(CLUSTERS), project=project))
    for cluster in CLUSTERS:
        view.beat(heartbeat(cluster))
        for name in (*PROJECTS, "forgotten"):
            view.assigned([assignment(cluster, name)])
            failed = {"phase": Phase.FAILED, "reason": f"{name} on {cluster}"} if cluster != "d2" else {}
            view.reported(report(cluster, name, **failed))
    return view


VIEW = filled()


def counted(items):
    return {"total": len(items)} | {state: sum(each["state"] == state for each in items) for state in map(str, STATES)}


@given(GRANTS)
def test_counters_are_those_of_the_units_that_are_listed(grants):
    seen = Visible(VIEW, grants)
    units = read.units(VIEW, UnitFilter(), 100, seen=seen)[0]

    assert read.summary(VIEW, seen)["units"] == counted(units)
    assert sum(reason["units"] for reason in read.summary(VIEW, seen)["reasons"]) <= len(units)
    for kind, items in (
        ("cluster", read.clusters(VIEW, 100, seen=seen)[0]),
        ("application", read.applications(VIEW, 100, seen=seen)[0]),
        ("environment", read.environments(VIEW, seen)),
    ):
        for item in items:
            assert item["units"] == counted([unit for unit in units if unit[kind] == item["name"]]), kind


@given(GRANTS)
def test_units_are_seen_by_whom_a_grant_reaches_and_by_nobody_else(grants):
    found = {
        (each["cluster"], each["application"])
        for each in read.units(VIEW, UnitFilter(), 100, seen=Visible(VIEW, grants))[0]
    }

    for cluster, environment in CLUSTERS.items():
        for name in (*PROJECTS, "forgotten"):
            project = PROJECTS.get(name)
            reached = any(
                (EVERY in grant.projects or project in grant.projects)
                and (EVERY in grant.environments or (environment and environment in grant.environments))
                for grant in grants
            )
            assert ((cluster, name) in found) == bool(reached)


@pytest.mark.parametrize("grants", [(Grant("viewer"),), (Grant("viewer", ("x", EVERY)), Grant("viewer", ("shop",)))])
def test_who_sees_everything_is_answered_from_the_fleets_own_counters(grants):
    seen = Visible(VIEW, grants)

    assert seen.everything
    assert seen.tag == ""
    assert seen.tally() is VIEW.tally()


def test_a_unit_that_moves_between_environments_is_counted_where_it_is():
    view, dev = filled(), (Grant("viewer", ("shop",), ("dev",)),)
    view.fleet_changed(fleet({**CLUSTERS, "d2": "prod"}))

    assert read.summary(view, Visible(view, dev))["units"]["total"] == 2
    view.application_changed(application("api", tuple(CLUSTERS), project="money"))
    assert read.summary(view, Visible(view, dev))["units"]["total"] == 1
