"""How far a rollout is and what is left: as people are told."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain import progress
from hub.domain.requests import Verb
from hub.domain.runs import Around, Closed, Hold, Phase, Rollout
from hub.view import View
from hub.view import progress as shown
from hub.view.history import EventFilter
from hub.view.index import BadCursor
from hub.view.rollouts import KEPT, RolloutFilter
from shared.messages import Event, Severity
from tests.fakes.fleetview import START, FakeClock, application
from tests.fakes.rollingout import Rolling

A, B, C = "a" * 40, "b" * 40, "c" * 40
QUICK = {"stages": [{"name": "dev", "environments": ["dev"]}], "onFailure": "pause"}


def view_of(rolling: Rolling, *rollouts: Rollout) -> View:
    view = View(FakeClock(rolling.now))
    for rollout in rollouts or (rolling.newest,):
        view.rollouts.put(rollout)
    return view


def item(rolling: Rolling) -> dict:
    return shown.rollout_item(view_of(rolling), rolling.newest)


def test_the_clusters_of_a_stage_are_counted_where_they_are():
    rolling = Rolling()
    rolling.commit(A)
    rolling.healthy("dev-1")

    dev, prod = item(rolling)["stages"]

    assert (dev["name"], dev["phase"], prod["phase"]) == ("dev", "Progressing", "Pending")
    assert (dev["clusters"]["done"], dev["clusters"]["inFlight"], dev["clusters"]["total"]) == (1, 1, 2)
    assert prod["clusters"]["pending"] == 3
    assert item(rolling)["clusters"]["total"] == 5


def test_a_stage_says_what_it_waits_for_and_since_when():
    rolling = Rolling()
    rolling.commit(A)
    rolling.healthy("dev-1", "dev-2")
    soaking = item(rolling)
    rolling.after(60)
    waiting = item(rolling)

    assert soaking["stage"] == "dev"
    assert [(each["kind"], each["until"]) for each in soaking["stages"][0]["waitsFor"]] == [("soak", START + 60)]
    assert waiting["stage"] == "prod"
    assert waiting["stages"][0]["waitsFor"] == []
    assert [(each["kind"], each["since"]) for each in waiting["stages"][1]["waitsFor"]] == [("approval", START + 60)]
    assert "sre" in waiting["stages"][1]["waitsFor"][0]["reason"]


def test_what_stands_or_goes_back_waits_for_nothing():
    rolling = Rolling()
    rolling.complete(A)
    rolling.commit(B)
    rolling.healthy("dev-1", "dev-2")
    rolling.after(60)

    rolling.ask(Verb.PAUSE, reason="lunch")
    paused = item(rolling)
    rolling.ask(Verb.ROLLBACK, reason="bad")
    back = item(rolling)

    assert (paused["phase"], paused["by"], paused["reason"]) == ("Paused", "ann", "lunch")
    assert [stage["waitsFor"] for stage in (*paused["stages"], *back["stages"])] == [[], [], [], []]
    assert (back["phase"], back["clusters"]["inFlight"]) == ("RollingBack", 2)


def test_durations_tell_where_a_stage_spent_its_time():
    rolling = Rolling()
    rolling.commit(A)
    rolling.after(20)
    rolling.healthy("dev-1", "dev-2")
    rolling.after(60)
    rolling.after(300)
    rolling.ask(Verb.APPROVE, "sue", roles=("sre",))
    rolling.after(30)

    past = shown.past_item(view_of(rolling), rolling.newest)

    dev, prod = (stage["durations"] for stage in past["stages"])
    assert dev == {"waited": 0, "rolled": 20, "soaked": 60, "checked": 0}
    assert prod == {"waited": 300, "rolled": 30, "soaked": None, "checked": None}
    assert past["seconds"] == 410


def test_nobody_can_say_how_long_an_approval_takes():
    rolling = Rolling()
    rolling.commit(A)
    rolling.after(20)
    rolling.healthy("dev-1")

    assert item(rolling)["estimate"] is None


def test_the_rest_is_estimated_from_what_clusters_took():
    rolling = Rolling()
    rolling.commit(A)
    before = item(rolling)["estimate"]
    rolling.ask(Verb.APPROVE, "sue", roles=("sre",))
    rolling.after(20)
    rolling.healthy("dev-1", "dev-2")

    # 60 s of soak, then three clusters, two at a time, 20 s each.
    assert before is None
    assert item(rolling)["estimate"] == {"endsAt": rolling.now + 60 + 2 * 20, "perCluster": 20}

    rolling.after(60)
    rolling.after(5)
    assert item(rolling)["estimate"]["endsAt"] == rolling.now + 15 + 20


def test_a_rollout_that_has_only_begun_is_estimated_from_the_last_completed_one():
    rolling = Rolling(QUICK)
    first = rolling.complete(A)
    rolling.commit(B)
    view = view_of(rolling, first, rolling.newest)

    assert first.phase is Phase.COMPLETED
    # dev, then everybody else at once.
    assert shown.rollout_item(view, rolling.newest)["estimate"] == {"endsAt": rolling.now + 20, "perCluster": 10}


def test_a_window_that_opens_by_itself_is_waited_for_and_a_hold_is_not():
    rolling = Rolling(QUICK)
    rolling.commit(A)
    rolling.after(10)
    rolling.healthy("dev-1")
    rolling.around(Around(closed={"prod": Closed("outside the window", rolling.now + 500)}))
    windowed = item(rolling)["estimate"]
    rolling.around(Around(holds=(Hold("ann", rolling.now, "exam week", environment="prod"),)))
    held = item(rolling)["estimate"]

    assert windowed == {"endsAt": rolling.now + 500 + 10, "perCluster": 10}
    assert held is None


def test_going_back_is_estimated_too():
    rolling = Rolling(QUICK)
    first = rolling.complete(A)
    rolling.commit(B)
    rolling.after(10)
    rolling.healthy("dev-1", "dev-2")
    rolling.ask(Verb.ROLLBACK, reason="bad")
    rolling.after(4)
    view = view_of(rolling, first, rolling.newest)

    assert shown.rollout_item(view, rolling.newest)["estimate"] == {"endsAt": rolling.now + 6, "perCluster": 10}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(Rolling().clusters)), st.sampled_from(["well", "bad", "gone", "wait"])))
)
def test_whatever_happens_everybody_is_counted_once_and_the_end_is_never_in_the_past(doings):
    rolling = Rolling(QUICK)
    rolling.commit(A)
    for name, what in doings:
        match what:
            case "well":
                rolling.healthy(name)
            case "bad":
                rolling.failing(name)
            case "gone":
                rolling.silent(name)
            case "wait":
                rolling.after(45)
        told = item(rolling)
        counts = [told["clusters"], *(stage["clusters"] for stage in told["stages"])]
        assert all(sum(each.values()) == 2 * each["total"] for each in counts)
        assert sum(each["total"] for each in counts[1:]) == counts[0]["total"] == 5
        assert told["estimate"] is None or told["estimate"]["endsAt"] >= rolling.now
        left = progress.left(rolling.newest, 10.0, rolling.now)
        assert left is None or rolling.newest.phase in (Phase.PROGRESSING, Phase.ROLLING_BACK)


def test_the_detail_groups_clusters_by_state_and_reason():
    rolling = Rolling({"stages": [], "onFailure": "pause"})
    rolling.commit(A)
    rolling.healthy("dev-1")
    rolling.failing("prod-1", "prod-3", reason="no such tag")

    detail = shown.rollout_detail(view_of(rolling), rolling.newest)

    assert detail["phase"] == "Paused"
    states = {each["state"]: each for each in detail["states"]}
    assert [(each, states[each]["count"]) for each in states] == [("Assigned", 2), ("Healthy", 1), ("Failed", 2)]
    assert states["Failed"]["reasons"] == [{"reason": "no such tag", "count": 2, "clusters": ["prod-1", "prod-3"]}]


def test_the_detail_says_who_has_to_approve_and_who_has():
    rolling = Rolling({"stages": [{"name": "prod", "approve": {"by": ["sre"], "count": 2}}]})
    rolling.commit(A)
    rolling.ask(Verb.APPROVE, "sue", roles=("sre",), reason="looks good")

    (stage,) = shown.rollout_detail(view_of(rolling), rolling.newest)["stages"]

    assert (stage["approval"]["by"], stage["approval"]["needed"]) == (["sre"], 2)
    assert stage["approval"]["given"] == ["sue"]
    assert "1 more of sre" in stage["approval"]["missing"]
    assert item(rolling)["approvals"] == [{"stage": "prod", "by": "sue", "at": START, "comment": "looks good"}]


def test_the_detail_has_the_events_of_this_rollout_and_no_other():
    rolling = Rolling()
    rolling.commit(A)
    view = view_of(rolling)
    for identity, name in ((f"{rolling.newest.id}-started", "web"), ("web-other-started", "web"), ("x", "api")):
        view.event(Event(identity, START + 1, "rollout.started", Severity.INFO, "it begins", application=name))

    events = shown.rollout_detail(view, rolling.newest)["events"]

    assert [each["id"] for each in events] == [f"{rolling.newest.id}-started"]
    assert len(list(view.events.newest(EventFilter(type="rollout")))) == 3


def test_clusters_are_paged_in_the_order_in_which_they_come():
    rolling = Rolling()
    rolling.commit(A)
    rolling.healthy("dev-2")

    first, cursor = shown.clusters(rolling.newest, 3)
    rest, end = shown.clusters(rolling.newest, 3, cursor)
    well, _ = shown.clusters(rolling.newest, 10, state="Healthy")
    prod, _ = shown.clusters(rolling.newest, 10, stage="prod")

    assert [each["cluster"] for each in (*first, *rest)] == list(rolling.clusters)
    assert end is None
    assert [each["cluster"] for each in well] == ["dev-2"]
    assert [each["cluster"] for each in prod] == ["prod-1", "prod-2", "prod-3"]
    with pytest.raises(BadCursor):
        shown.clusters(rolling.newest, 3, "W10")


def test_the_view_keeps_the_last_rollouts_of_an_application_and_tells_of_each_change():
    rolling = Rolling()
    view = View(FakeClock())
    ids = []
    for number in range(KEPT + 3):
        rolling.now += 1
        ids.append(rolling.commit(f"{number:02}" * 20).id)
        view.rollouts.put(rolling.newest)
    before = view.feed.number
    view.rollouts.put(rolling.newest)

    assert view.feed.number == before, "the same again is no change"
    assert [each.id for each in view.rollouts.of("web")] == ids[: -KEPT - 1 : -1]
    assert view.rollouts.newest("web") is rolling.newest
    assert view.rollouts.get(ids[0]) is None
    assert (view.feed.since(before - 1) or [])[0].key == ("web", ids[-1])

    view.rollouts.forget(ids[-1])
    assert view.rollouts.newest("web").id == ids[-2]
    assert (view.feed.since(before) or [])[0].key == ("web", ids[-1])


@given(st.permutations(range(6)), st.integers(1, 6))
def test_pages_hold_every_rollout_once_whatever_the_order_they_came_in(order, size):
    made = []
    for number in range(6):
        rolling = Rolling(QUICK)
        rolling.now += number // 2
        made.append(rolling.commit(f"{number:02}" * 20))
    view = View(FakeClock())
    for number in order:
        view.rollouts.put(made[number])

    seen, cursor = [], None
    while True:
        found, cursor = shown.rollouts(view, RolloutFilter(), size, cursor)
        seen += [each["id"] for each in found]
        if cursor is None:
            break

    assert sorted(seen) == sorted(each.id for each in made)
    assert [view.rollouts.get(each).plan.at for each in seen] == sorted((each.plan.at for each in made), reverse=True)


def test_lists_are_filtered():
    rolling = Rolling()
    done = rolling.complete(A)
    rolling.commit(B)
    view = view_of(rolling, done, rolling.newest)

    def found(**wanted):
        return [each.id for each in view.rollouts.select(RolloutFilter(**wanted))]

    assert found() == [rolling.newest.id, done.id]
    assert found(active=True) == found(phase=Phase.PROGRESSING) == [rolling.newest.id]
    assert found(active=False) == [done.id]
    assert found(environment="prod", application="web") == [rolling.newest.id, done.id]
    assert found(environment="stage") == found(application="api") == []


def test_holds_are_shown_with_the_application_and_its_rollout():
    rolling = Rolling()
    rolling.commit(A)
    view = view_of(rolling)
    view.application_changed(application("web"))
    number = view.feed.number
    view.rollouts.held("web", [Hold("ann", START, "exam week")])

    assert shown.rollout_item(view, rolling.newest)["holds"][0]["reason"] == "exam week"
    assert {each.kind for each in view.feed.since(number) or []} == {"application", "rollout"}
    view.rollouts.held("web", [])
    assert view.rollouts.holds("web") == ()


def test_what_all_followers_are_shown_is_made_once_and_again_when_something_changes():
    rolling = Rolling()
    rolling.commit(A)
    view = view_of(rolling)
    first = shown.rollout_item(view, rolling.newest)

    assert shown.rollout_item(view, rolling.newest) is first
    view.rollouts.held("web", [Hold("ann", START, "exam week")])
    assert shown.rollout_item(view, rolling.newest)["holds"] != first["holds"]
    view.rollouts.put(rolling.healthy("dev-1"))
    changed = shown.rollout_item(view, rolling.newest)
    assert changed["clusters"]["done"] == 1
    view.clock.at += 2
    assert shown.rollout_item(view, rolling.newest) is not changed, "time moves the estimate"
