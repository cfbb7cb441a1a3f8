"""The read model: any order and any number of messages give the same fleet; pages, deadlines, events."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain.rollup import Rollup
from hub.domain.status import State
from hub.view import UnitFilter, View, read
from hub.view.history import EventFilter, EventLog, Feed
from hub.view.index import BadCursor
from hub.view.trace import trace
from shared.messages import Phase, Policy, states_digest
from shared.model import Health
from tests.fakes.fleetview import (
    START,
    FakeClock,
    application,
    assignment,
    drift,
    event,
    fleet,
    heartbeat,
    report,
    sample,
)

CLUSTERS = {"dev-1": "dev", "prod-1": "prod"}

clusters = st.sampled_from(sorted(CLUSTERS))
names = st.sampled_from(["web", "api"])
generations = st.integers(1, 3)
times = st.integers(0, 40).map(lambda seconds: START + seconds)
messages = st.one_of(
    st.builds(lambda c, a, g: assignment(c, a, g, removed=g == 3, at=START + g), clusters, names, generations),
    st.builds(
        lambda c, a, g, at, phase, health, drifted: report(
            c, a, g, at=at, since=at, phase=phase, health=health, drift=(drift(application=a),) if drifted else ()
        ),
        clusters, names, generations, times, st.sampled_from(Phase), st.sampled_from(Health), st.booleans(),
    ),
    st.builds(heartbeat, clusters, times),
    st.builds(lambda n, at: event(f"e{n}-{at}", at, cluster="dev-1"), st.integers(0, 3), times),
)  # fmt: skip


def feed(view, message):
    match type(message).__name__:
        case "Assignment":
            view.assigned([message])
        case "Report":
            view.reported(message)
        case "Heartbeat":
            view.beat(message)
        case "Event":
            view.event(message)


def picture(view):
    """Everything that is shown, but for how the connection came about and the events the view made itself."""
    made = {"unit.failed", "unit.blocked", "unit.drifted", "unit.ready", "cluster.lost", "cluster.back"}
    return (
        read.units(view, UnitFilter(), 1000),
        read.drift(view, UnitFilter(), 1000),
        [one for one in view.events.newest(EventFilter()) if one.type not in made],
        {scope: view.rollup.tally(scope).by_state() for scope in view.rollup.scopes()},
    )


def without_ties(given_messages):
    """Two different reports (or heartbeats) of one unit at one time: which is newer is not defined.

    Nor does an agent say anything more of a generation once it has said that it is removed.
    """
    last = {}
    for message in given_messages:
        if getattr(message, "phase", None) == Phase.REMOVED:
            unit = (message.unit, message.generation)
            last[unit] = min(message.at, last.get(unit, message.at))
    given_messages = [
        message
        for message in given_messages
        if not hasattr(message, "phase") or message.at <= last.get((message.unit, message.generation), message.at)
    ]
    seen = {}
    for message in given_messages:
        key = (type(message).__name__, getattr(message, "cluster", ""), getattr(message, "application", ""),
               getattr(message, "generation", 0), message.at)  # fmt: skip
        seen.setdefault(key, message)
    return list(seen.values())


@settings(max_examples=200)
@given(st.lists(messages, max_size=25), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(given_messages, shuffle: random.Random):
    given_messages = without_ties(given_messages)
    one, other = View(FakeClock(START + 45)), View(FakeClock(START + 45))
    for view in (one, other):
        view.fleet_changed(fleet(CLUSTERS))
    for message in given_messages:
        feed(one, message)
    again = given_messages + shuffle.sample(given_messages, len(given_messages) // 2)
    shuffle.shuffle(again)
    for message in again:
        feed(other, message)
    for view in (one, other):
        view.tick()

    assert picture(one)[0] == picture(other)[0]
    assert picture(one)[1:] == picture(other)[1:]
    version = one.version
    for message in given_messages:
        feed(one, message)
    assert one.version == version


@settings(max_examples=100)
@given(st.lists(st.tuples(messages, st.integers(0, 20), st.booleans()), max_size=40))
def test_counters_and_lists_equal_a_recount_at_every_moment(steps):
    clock = FakeClock()
    view = View(clock)
    view.fleet_changed(fleet(CLUSTERS))
    for message, passed, swap in steps:
        feed(view, message)
        clock.at += passed
        view.tick()
        if swap:
            view.fleet_changed(fleet({"dev-1": "prod", "prod-1": ""} if view.fleet == fleet(CLUSTERS) else CLUSTERS))

        recount = Rollup()
        for record in view.index.units.values():
            assert record.environment == view.clusters[record.key[0]].environment
            recount.add(record.scopes(), record.shown)
        assert {s: view.rollup.tally(s).by_state() for s in view.rollup.scopes()} == {
            s: recount.tally(s).by_state() for s in recount.scopes()
        }
        everything = list(view.index.select(UnitFilter()))
        assert [record.key for record in everything] == sorted(view.index.units)
        for state in State:
            wanted = UnitFilter(states=frozenset({state}))
            assert list(view.index.select(wanted)) == [record for record in everything if wanted.accepts(record)]
        drifted = UnitFilter(drifted=True)
        assert list(view.index.select(drifted)) == [record for record in everything if drifted.accepts(record)]


filters = st.builds(
    UnitFilter,
    cluster=st.sampled_from(["", "c1", "c7"]), application=st.sampled_from(["", "a1", "a4"]),
    environment=st.sampled_from(["", "e0", "e1"]), states=st.sets(st.sampled_from([State.WAITING, State.READY])).map(frozenset),
)  # fmt: skip


@pytest.fixture(scope="module")
def many():
    view = View(FakeClock())
    names = [f"c{n}" for n in range(20)]
    view.fleet_changed(fleet({name: f"e{n % 3}" for n, name in enumerate(names)}))
    for name in names:
        view.beat(heartbeat(name))
        for number in range(10):
            view.assigned([assignment(name, f"a{number}")])
            if number % 4:
                view.reported(report(name, f"a{number}"))
    return view


@given(filters, st.integers(1, 30))
def test_pages_together_are_the_filtered_list(many, wanted, limit):
    whole = [record.key for _, record in sorted(many.index.units.items()) if wanted.accepts(record)]
    found = []
    cursor = None
    while True:
        items, cursor = read.units(many, wanted, limit, cursor)
        found += [(item["cluster"], item["namespace"], item["application"]) for item in items]
        if cursor is None:
            break

    assert found == whole


def test_a_cursor_survives_the_unit_it_stands_on(many):
    _, cursor = read.units(many, UnitFilter(cluster="c1"), 3)
    last = ("c1", "a2", "a2")
    many.assigned([assignment("c1", "a2", 2, removed=True)])
    many.reported(report("c1", "a2", 2, phase=Phase.REMOVED))

    items, _ = read.units(many, UnitFilter(cluster="c1"), 3, cursor)

    assert last not in many.index.units
    assert [item["application"] for item in items] == ["a3", "a4", "a5"]


@pytest.mark.parametrize("cursor", ["x", "é", "W10", "WzEsMiwzXQ", "bnVsbA", "e30"])
def test_a_made_up_cursor_is_refused(many, cursor):
    with pytest.raises(BadCursor):
        read.units(many, UnitFilter(), 5, cursor)


def waiting_view(timeout=300.0):
    clock = FakeClock()
    made = []
    view = View(clock, made.append)
    view.fleet_changed(fleet({"dev-1": "dev"}))
    view.beat(heartbeat(at=START))
    view.assigned([assignment(policy=Policy(timeout=timeout))])
    return view, clock, made


def state(view):
    return view.index.units[("dev-1", "web", "web")].shown.state


def test_three_missed_heartbeats_make_a_cluster_and_its_units_stale_and_one_brings_them_back():
    view, clock, made = waiting_view()
    view.reported(report())
    assert state(view) is State.READY

    clock.at = START + 29.9
    view.tick()
    assert state(view) is State.READY

    clock.at = START + 30
    view.tick()
    assert state(view) is State.STALE
    assert read.cluster(view, "dev-1")["stale"]
    assert read.summary(view)["clusters"]["stale"] == 1
    assert made[-1].type == "cluster.lost"

    clock.at = START + 100
    view.beat(heartbeat(at=START + 100))
    assert state(view) is State.READY
    assert [one.type for one in made] == ["unit.ready", "cluster.lost", "cluster.back"]


def test_a_restarted_hub_does_not_take_an_old_heartbeat_for_a_sign_of_life():
    view = View(FakeClock(START + 1000))
    view.assigned([assignment(), assignment("dev-2")])
    for cluster, heard in (("dev-1", START + 900), ("dev-2", START + 990)):
        view.reported(report(cluster))
        view.beat(heartbeat(cluster, at=heard))

    assert state(view) is State.STALE
    assert view.index.units[("dev-2", "web", "web")].shown.state is State.READY


def test_when_everything_falls_silent_at_once_time_passes_in_pieces():
    view = sample()
    view.clock.at += 60
    pieces = 1
    while view.tick(most=1):
        pieces += 1

    assert pieces > 3
    assert read.summary(view)["clusters"] == {"total": 6, "stale": 5, "waiting": 1}
    assert view.tally().by_state()["Ready"] == 0


def test_heartbeats_keep_a_cluster_for_ever():
    view, clock, made = waiting_view()
    view.reported(report())
    for beat in range(1, 100):
        clock.at = START + beat * 10
        view.beat(heartbeat(at=clock.at))
        view.tick()

    assert state(view) is State.READY
    assert [one.type for one in made] == ["unit.ready"]
    assert len(view._due) <= 2


def test_a_unit_that_does_not_get_healthy_in_time_fails_and_is_told_once():
    view, clock, made = waiting_view(timeout=20)
    clock.at = START + 20
    view.beat(heartbeat(at=START + 20))
    view.tick()
    view.tick()

    assert state(view) is State.FAILED
    assert [one.type for one in made] == ["unit.failed"]
    assert made[0].message == "not healthy within 20s: the agent has not reported on it yet"


def test_what_began_before_this_process_is_not_told_again():
    clock = FakeClock(START + 1000)
    made = []
    view = View(clock, made.append)
    view.assigned([assignment(), assignment("dev-2", "api")])
    for cluster, name in (("dev-1", "web"), ("dev-2", "api")):
        view.beat(heartbeat(cluster, at=START + 995))
        view.reported(report(cluster, name, health=Health.DEGRADED))

    assert made == []
    view.reported(report(at=START + 1001, since=START + 1001))
    assert [one.type for one in made] == ["unit.ready"]


def test_the_same_event_has_the_same_id_in_every_hub():
    def run():
        view, clock, made = waiting_view()
        clock.at += 1
        view.reported(report(phase=Phase.FAILED, reason="no"))
        return [one.id for one in made]

    assert run() == run() != []


def test_a_late_message_does_not_bring_a_removed_unit_back():
    view, _, _ = waiting_view()
    view.reported(report())
    view.assigned([assignment(generation=2, removed=True)])
    assert state(view) is State.WAITING
    view.reported(report(generation=2, phase=Phase.REMOVED, at=START + 5))
    assert ("dev-1", "web", "web") not in view.index.units

    view.reported(report())
    view.assigned([assignment(), assignment(generation=2, removed=True)])
    assert ("dev-1", "web", "web") not in view.index.units
    assert view.tally().total == 0

    view.assigned([assignment(generation=3)])
    assert state(view) is State.WAITING


def test_a_heartbeat_whose_digest_differs_twice_asks_for_reports():
    view, _, _ = waiting_view()
    view.reported(report())
    ours = view.clusters["dev-1"].states()

    assert not view.beat(heartbeat(at=START + 10, states=ours))
    assert not view.beat(heartbeat(at=START + 20, states="other"))
    assert view.beat(heartbeat(at=START + 30, states="other"))
    assert not view.beat(heartbeat(at=START + 40, states="other"))
    assert view.beat(heartbeat(at=START + 50, states="other"))
    assert not view.beat(heartbeat(at=START + 60, states=ours))


def test_the_digest_is_the_one_agents_make():
    view, _, _ = waiting_view()
    reports = [report(), report(application="api", at=START + 7)]
    for one in reports:
        view.reported(one)

    assert view.clusters["dev-1"].states() == states_digest(reports)


def test_a_cluster_that_moves_takes_its_units_along():
    view = sample()
    view.fleet_changed(fleet({"dev-1": "prod", "dev-2": "dev"}))

    assert view.tally("environment", "prod").total == 3
    assert view.tally("environment", "dev").total == 3
    assert view.tally("environment", "stage").total == 0
    assert view.tally().total == 18
    assert read.cluster(view, "prod-1")["origin"] == "unknown"


def test_a_wrong_clock_is_a_problem_of_the_cluster_not_of_its_state():
    view, clock, _ = waiting_view()
    clock.at = START + 100
    view.beat(heartbeat(at=START - 500), heard=START + 100)

    found = read.cluster(view, "dev-1")
    assert found["connection"] == "connected"
    assert "clock differs from the hub's by 600 s" in found["problems"][0]


def test_trace_remembers_the_revision_before():
    view, _, _ = waiting_view()
    view.application_changed(application())
    view.reported(report())
    view.assigned([assignment(generation=2, at=START + 60)])
    info = view.applications["web"]
    newer = msgspec.structs.replace(info.history[0], revision="rev-2")
    view.application_changed(msgspec.structs.replace(info, history=(newer, *info.history)))

    assert trace(view, "web")["clusters"][0]["state"] == "Waiting"
    before = trace(view, "web", "rev-1")["clusters"][0]
    assert (before["state"], before["healthy"], before["seconds"]) == ("Superseded", START + 2, 3.0)
    assert trace(view, "web", "nope") is None
    assert trace(view, "nope") is None


def test_the_event_log_is_bounded_ordered_and_knows_repeats():
    log = EventLog(100)
    for number in range(500):
        log.add(event(f"e{number}", START + (number * 7) % 500))
    assert not log.add(log.get("e357"))
    assert not log.add(event("ancient", START - 1))

    found = [one.at for one in log.newest(EventFilter())]

    assert found == sorted(found, reverse=True)
    assert 100 <= len(found) <= 110
    assert found[0] == START + 499


def test_events_of_a_wrong_clock_do_not_stay_on_top():
    view = View(FakeClock())
    view.event(event("future", START + 1e9))

    assert next(view.events.newest(EventFilter())).at == START


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 10))
def test_the_feed_gives_each_change_once_or_says_that_it_cannot(changes, limit):
    changed = Feed(limit)
    for thing in changes:
        changed.note("unit", str(thing))

    for number in range(-1, len(changes) + 2):
        found = changed.since(number)
        if number > len(changes) or number < max(0, len(changes) - limit):
            assert found is None or not changes
            continue
        assert {delta.key[0] for delta in found} == {str(thing) for thing in changes[max(number, 0) :]}
        assert len({delta.key for delta in found}) == len(found)
        assert [delta.number for delta in found] == sorted(delta.number for delta in found)


async def test_a_waiter_is_woken_by_the_next_change():
    changed = Feed()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(changed.beyond(0))
        group.create_task(changed.beyond(0))
        await asyncio.sleep(0)
        changed.note("fleet")
