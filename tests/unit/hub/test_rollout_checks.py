"""Checks of a rollout: when they are measured or run, and what they make of a stage."""

from __future__ import annotations

import pytest

from hub.domain.requests import Verb
from hub.domain.runs import Phase, StagePhase
from hub.domain.verifying import wanted
from tests.fakes.rollingout import Rolling

A, B = "a" * 40, "b" * 40


def rolling(*checks, **more):
    """A rollout of A whose stage `dev` has these checks, healthy on its two clusters."""
    stages = [{"name": "dev", "environments": ["dev"], "checks": list(checks)}, {"name": "prod"}]
    made = Rolling({"stages": stages, **more})
    made.commit(A)
    return made


HTTP = {"http": "http://web/ready", "for": "60s"}
JOB = {"job": "checks/smoke.yaml"}


def phase_of(made):
    return made.newest.stages[0].phase


def asked(made):
    return {each.check.kind: each for each in wanted([made.newest])}


def test_checks_are_wanted_while_their_stage_is_healthy_and_not_done():
    made = rolling(HTTP, JOB)
    assert asked(made) == {}

    made.healthy("dev-1")
    assert asked(made) == {}

    made.healthy("dev-2")
    http = asked(made)["http"]
    assert http.key == (made.newest.id, "dev", 0)
    subject = http.subject
    assert (subject.clusters, subject.namespace, subject.stage) == (("dev-1", "dev-2"), "web", "dev")
    assert (subject.application, subject.commit) == ("web", A)

    made.measured("dev", 1, ok=True)
    for _ in range(5):
        made.measured("dev", 0, ok=True)
        made.after(15)
    assert phase_of(made) is StagePhase.DONE
    assert asked(made) == {}


def test_a_job_runs_once_and_anew_when_the_stage_has_to_be_proven_again():
    made = rolling(HTTP, JOB)
    made.healthy("dev-1", "dev-2")
    first = asked(made)["job"]
    assert (first.run.number, first.run.path, first.namespace) == (2, "checks/smoke.yaml", "web")
    assert first.healthy == ("dev-1", "dev-2")

    made.after(10)
    made.ask(Verb.PAUSE, reason="lunch")
    assert asked(made)["job"].run == first.run

    made.ask(Verb.RESUME)
    made.failing("dev-1")
    made.ask(Verb.RETRY)
    assert asked(made) == {}
    made.after(10)
    made.healthy("dev-1")
    assert asked(made)["job"].run != first.run


def test_nothing_is_asked_about_what_goes_back():
    made = rolling(HTTP, JOB)
    made.healthy("dev-1", "dev-2")
    for _ in range(10):
        made.measured("dev", 0, ok=True)
        made.measured("dev", 1, ok=True)
        made.after(15)
    made.healthy("prod-1", "prod-2", "prod-3")
    assert made.newest.phase is Phase.COMPLETED

    made.commit(B)
    made.healthy("dev-1", "dev-2")
    assert set(asked(made)) == {"http", "job"}
    made.ask(Verb.ROLLBACK, reason="bad")
    assert made.newest.phase is Phase.ROLLING_BACK
    assert asked(made) == {}


def test_time_alone_proves_nothing():
    made = rolling(HTTP)
    made.healthy("dev-1", "dev-2")
    made.measured("dev", 0, ok=True)
    made.after(300)

    assert phase_of(made) is StagePhase.CHECKING
    made.measured("dev", 0, ok=True)
    assert phase_of(made) is StagePhase.CHECKING


@pytest.mark.parametrize("between", [False, None])
def test_a_check_has_to_hold_without_interruption(between):
    made = rolling(HTTP)
    made.healthy("dev-1", "dev-2")
    for ok in (True, True, between, True, True, True, True):
        made.measured("dev", 0, ok=ok)
        assert phase_of(made) is StagePhase.CHECKING
        made.after(15)
    made.measured("dev", 0, ok=True)
    assert phase_of(made) is StagePhase.DONE


def test_a_check_that_is_bad_for_as_long_as_it_has_to_hold_fails_its_stage():
    made = rolling(HTTP, onFailure="pause")
    made.healthy("dev-1", "dev-2")
    for _ in range(4):
        made.measured("dev", 0, ok=False, detail="answers 503, not 200")
        assert made.newest.phase is Phase.PROGRESSING
        made.after(15)
    made.measured("dev", 0, ok=False, detail="answers 503, not 200")

    assert made.newest.phase is Phase.PAUSED
    assert "answers 503" in made.newest.reason
    assert set(asked(made)) == {"http"}


def test_a_server_that_is_away_fails_nothing_until_a_person_has_to_look():
    made = rolling(HTTP, onFailure="rollback", deadline="120s")
    made.healthy("dev-1", "dev-2")
    made.measured("dev", 0, ok=False)
    for _ in range(8):
        made.after(15)
        made.measured("dev", 0, ok=None, detail="p did not answer within 10 s")
        assert made.newest.phase is Phase.PROGRESSING
    made.after(90)

    assert made.newest.phase is Phase.PAUSED
    assert "did not answer" in made.newest.reason


def test_a_job_that_failed_fails_its_stage_at_once():
    made = rolling(JOB, onFailure="pause")
    made.healthy("dev-1", "dev-2")
    made.measured("dev", 0, ok=None)
    assert made.newest.phase is Phase.PROGRESSING
    made.after(1)
    made.measured("dev", 0, ok=False, detail="dev-1: BackoffLimitExceeded")
    assert made.newest.phase is Phase.PAUSED
    assert "BackoffLimitExceeded" in made.newest.reason
