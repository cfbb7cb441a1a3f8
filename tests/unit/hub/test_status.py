"""Shown states: a table of the usual cases, and the promise that silence is never green."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.status import RANK, Reach, State, conditions, counts_for, is_gone, judge, patience, said, span, wanted
from shared.messages import Phase, Policy
from shared.model import Health
from tests.fakes.fleetview import START, assignment, drift, report

HEARD = Reach(heard=START)
SILENT = Reach(heard=START, silent=True)
NEVER = Reach()
WANT = wanted(assignment(policy=Policy(timeout=300)))


def have(**other):
    return said(report(**other))


CASES = {
    "applied and healthy": (have(), HEARD, 10, State.READY, ""),
    "nothing said yet": (None, HEARD, 10, State.WAITING, "the agent has not reported on it yet"),
    "never connected": (None, NEVER, 9999, State.WAITING, "no agent has connected for this cluster yet"),
    "older generation": (have(generation=0, commit="b" * 40), HEARD, 10, State.WAITING, "the agent still has bbbbbbbbbb"),
    "older generation, for too long": (
        have(generation=0, commit="b" * 40), HEARD, 301, State.FAILED, "not healthy within 5m: the agent still has bbbbbbbbbb",
    ),
    "other digest": (
        have(digest="e" * 64), HEARD, 10, State.WAITING,
        "the agent reports another bundle for this generation (eeeeeeeeeeee, not dddddddddddd)",
    ),
    "applying": (have(phase=Phase.APPLYING, health=Health.UNKNOWN), HEARD, 10, State.PROGRESSING, "applying"),
    "becoming healthy": (
        have(health=Health.PROGRESSING, reason="1 of 2 ready"), HEARD, 10, State.PROGRESSING, "1 of 2 ready",
    ),
    "degraded": (have(health=Health.DEGRADED, reason="crash loop"), HEARD, 10, State.FAILED, "crash loop"),
    "apply failed": (have(phase=Phase.FAILED, reason="forbidden"), HEARD, 10, State.FAILED, "forbidden"),
    "blocked is never a timeout": (have(phase=Phase.BLOCKED, reason="needs db"), HEARD, 9999, State.BLOCKED, "needs db"),
    "suspended": (have(health=Health.SUSPENDED, reason="paused"), HEARD, 10, State.PAUSED, "paused"),
    "drifted": (have(drift=(drift(),)), HEARD, 10, State.DRIFTED, "apps/Deployment web/web: /spec/replicas"),
    "drift put right": (have(drift=(drift(corrected=START + 6),)), HEARD, 10, State.READY, ""),
    "ready, then silent": (have(), SILENT, 99, State.STALE, "nothing heard from the agent; last known: Ready"),
    "silence is not a timeout": (
        None, SILENT, 9999, State.STALE,
        "nothing heard from the agent; last known: Waiting (the agent has not reported on it yet)",
    ),
    "failed stays failed in silence": (have(phase=Phase.FAILED, reason="no"), SILENT, 99, State.FAILED, "no"),
    "cluster paused": (have(), Reach(START, paused=True), 10, State.PAUSED, "the cluster is paused"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_shown_state(case):
    told, reach, after, state, reason = CASES[case]

    shown = judge(WANT, told, reach, START + after)

    assert (shown.state, shown.reason) == (state, reason)


def test_a_report_says_since_when():
    assert judge(WANT, have(), HEARD, START + 9).since == START + 2
    assert judge(WANT, have(drift=(drift(START + 5),)), HEARD, START + 9).since == START + 5
    assert judge(WANT, have(), SILENT, START + 99).since == START
    assert judge(WANT, None, HEARD, START + 999).since == START + 300


def test_a_unit_that_was_healthy_has_its_whole_timeout_to_recover():
    told = have(health=Health.PROGRESSING, since=START + 1000, at=START + 1000)

    assert judge(WANT, told, HEARD, START + 1299).state is State.PROGRESSING
    assert judge(WANT, told, HEARD, START + 1300).state is State.FAILED


def test_an_agent_whose_clock_is_behind_is_not_failed_early():
    told = have(health=Health.PROGRESSING, since=START + 400, at=START + 400)

    assert judge(WANT, told, Reach(START, skew=600), START + 1010).state is State.PROGRESSING


def test_a_cluster_that_comes_back_gets_the_time_it_missed():
    back = Reach(heard=START + 5000, since=START + 5000)

    assert judge(WANT, None, back, START + 5299).state is State.WAITING
    assert judge(WANT, None, back, START + 5300).state is State.FAILED


def test_a_removed_unit_is_progressing_until_its_agent_confirms():
    want = wanted(assignment(generation=2, removed=True, digest="0" * 64))

    assert judge(want, have(), HEARD, START + 9).state is State.WAITING
    assert judge(want, have(generation=2, digest="0" * 64), HEARD, START + 9).reason == "being removed"
    assert judge(want, None, HEARD, START + 999).reason.startswith("not removed within 5m")
    assert not is_gone(want, have(phase=Phase.REMOVED))
    assert is_gone(want, have(generation=2, phase=Phase.REMOVED))


def test_conditions_stop_where_the_unit_is():
    def statuses(told, reach=HEARD):
        return [one.status for one in conditions(WANT, told, reach)]

    assert statuses(None) == ["True", "False", "False", "False", "False"]
    assert statuses(have(generation=0)) == ["True", "False", "False", "False", "False"]
    assert statuses(have(phase=Phase.APPLYING, timeline=report().timeline.__class__(START))) == [
        "True", "True", "False", "False", "False",
    ]  # fmt: skip
    assert statuses(have(health=Health.PROGRESSING)) == ["True", "True", "True", "False", "False"]
    assert statuses(have(drift=(drift(),))) == ["True", "True", "True", "True", "False"]
    assert statuses(have()) == ["True"] * 5
    assert statuses(have(), SILENT) == ["True", "True", "True", "Unknown", "Unknown"]


wants = st.builds(
    lambda generation, digest, removed: wanted(
        assignment(generation=generation, digest=digest * 64, removed=removed, policy=Policy(timeout=100))
    ),
    st.integers(1, 3), st.sampled_from("de"), st.booleans(),
)  # fmt: skip
haves = st.none() | st.builds(
    lambda generation, digest, phase, health, drifted, since: have(
        generation=generation, digest=digest * 64, phase=phase, health=health, since=START + since, at=START + since,
        drift=(drift(),) if drifted else (),
    ),
    st.integers(1, 3), st.sampled_from("de"), st.sampled_from(Phase), st.sampled_from(Health), st.booleans(),
    st.integers(0, 500),
)  # fmt: skip
reaches = st.builds(
    Reach, st.none() | st.floats(START, START + 500), st.floats(0, START + 500), st.booleans(), st.booleans(),
    st.sampled_from([0.0, 600.0, -600.0]),
)  # fmt: skip
moments = st.floats(START, START + 2000)


@given(wants, haves, reaches, moments)
def test_green_needs_a_healthy_report_for_this_very_bundle_from_an_agent_that_is_heard(want, told, reach, now):
    shown = judge(want, told, reach, now)

    if shown.state is State.READY:
        assert told is not None
        assert counts_for(want, told)
        assert (told.phase, told.health, told.drifted) == (Phase.APPLIED, Health.HEALTHY, 0)
        assert not reach.silent
        assert not want.removed


@given(wants, haves, reaches, moments)
def test_silence_never_makes_a_unit_look_better(want, told, reach, now):
    heard = judge(want, told, msgspec.structs.replace(reach, silent=False), now)
    silent = judge(want, told, msgspec.structs.replace(reach, silent=True), now)

    assert RANK[silent.state] <= RANK[State.STALE]
    assert "Stale" in silent.flags
    assert RANK[silent.state] <= RANK[heard.state] or (heard.state is State.FAILED and "not " in heard.reason)


@given(wants, haves, reaches, moments)
def test_until_its_deadline_a_verdict_stands(want, told, reach, now):
    shown = judge(want, told, reach, now)

    if shown.deadline is None:
        assert judge(want, told, reach, now + 10_000) == shown
    else:
        assert shown.deadline > now
        assert judge(want, told, reach, (now + shown.deadline) / 2) == shown
        assert judge(want, told, reach, shown.deadline).deadline is None


@given(wants, haves, reaches, moments)
def test_conditions_agree_with_the_shown_state(want, told, reach, now):
    shown = judge(want, told, reach, now)
    steps = {one.type: one.status for one in conditions(want, told, reach)}

    assert list(steps) == ["Scheduled", "Delivered", "Applied", "Healthy", "Verified"]
    if shown.state is State.READY and reach.heard is not None:
        assert set(steps.values()) == {"True"}
    if not counts_for(want, told):
        assert steps["Delivered"] == "False"


def test_patience_is_bounded():
    assert patience(10) == 30
    assert patience(0) == 3
    assert patience(1e9) == 180


@pytest.mark.parametrize(("seconds", "text"), [(300, "5m"), (90, "90s"), (7200, "2h"), (0.5, "0.5s"), (60, "1m")])
def test_durations_are_written_as_people_write_them(seconds, text):
    assert span(seconds) == text
