"""Release sets: nobody goes ahead, nobody is stuck, and what becomes of one becomes of all."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain import releases
from hub.domain.fleet import build_fleet
from hub.domain.reading import read_documents
from hub.domain.requests import Asked, Verb
from hub.domain.rollout import step
from hub.domain.runs import Phase, Slot, SlotState, StagePhase
from tests.fakes.runs import OLD, run

STAGES = {"canary": ("c-1",), "prod": ("p-1", "p-2")}


def reasons(rollouts, application, stage, unready=None):
    found = releases.waits(rollouts[application].plan, rollouts, unready or {})
    assert {wait.kind for each in found.values() for wait in each} <= {"release"}
    return [wait.reason for wait in (*found.get("*", ()), *found.get(stage, ()))]


def of(*rollouts):
    return {each.application: each for each in rollouts}


def test_a_stage_waits_until_every_member_is_done_with_the_one_before():
    found = of(run("api", STAGES), run("web", STAGES, done=1))

    assert reasons(found, "web", "prod") == ["api is not done with canary"]
    assert reasons(found, "api", "canary") == []
    assert reasons(found, "api", "prod") == []


def test_what_is_about_to_begin_is_held_before_it_does():
    found = of(run("api", STAGES), run("web", STAGES, done=2, commit="c0"))

    waits = releases.waits(run("web", STAGES).plan, found, {})

    assert [wait.reason for wait in waits["prod"]] == ["api is not done with canary"]
    assert "canary" not in waits


def test_who_has_ended_or_lacks_the_stage_holds_nobody():
    ended = run("api", STAGES, done=2)
    other = run("docs", {"all": ("c-1",)})

    assert reasons(of(ended, other, run("web", STAGES, done=1)), "web", "prod") == []


def test_a_member_without_the_first_stage_still_comes_after_it():
    found = of(run("api", STAGES), run("web", {"prod": ("p-1",)}))

    assert reasons(found, "web", "prod") == ["api is not done with canary"]


def test_nobody_starts_before_all_have_been_worked_out():
    unready = {"api": "it is being rendered", "web": "it is being rendered"}

    assert reasons(of(run("web", STAGES)), "web", "canary", unready) == ["api: it is being rendered"]


def test_many_are_counted():
    many = [run(f"a{number}", STAGES) for number in range(9)]

    assert reasons(of(*many), "a0", "prod") == ["a1, a2, a3 and 5 more are not done with canary"]


def test_while_one_is_rolled_back_nobody_goes_on():
    back = run("api", STAGES, done=2, phase=Phase.ROLLING_BACK)

    found = of(back, run("web", STAGES, commit="c2"))

    assert reasons(found, "web", "canary") == ["api is being rolled back"]
    assert reasons(found, "api", "canary") == []


def test_what_is_newer_waits_for_who_queues_it():
    older = run("api", STAGES, queued="c2-api")

    found = of(older, run("web", STAGES, commit="c2", at=200.0))

    assert reasons(found, "web", "canary") == ["api is at something older, which has to end first"]
    assert reasons(found, "api", "prod") == []


NAMES = st.lists(st.sampled_from("abcde"), unique=True, min_size=1, max_size=4)
MEMBER = st.tuples(NAMES, st.integers(0, 3), st.booleans())


@given(st.lists(MEMBER, min_size=1, max_size=4))
def test_somebody_can_always_go_on_whatever_the_orders_are(members):
    sets = {}
    for number, (names, done, queued) in enumerate(members):
        stages = {name: (f"{name}-1",) for name in names}
        sets[f"m{number}"] = run(f"m{number}", stages, min(done, len(names)), queued="newer" if queued else "")
    active = {name for name, each in sets.items() if each.active}

    while active:
        free = [name for name in sorted(active) if not reasons(sets, name, _next(sets[name]))]

        assert free
        sets[free[0]] = _advanced(sets[free[0]])
        active = {each for each, rollout in sets.items() if rollout.active}


@given(st.lists(NAMES, min_size=1, max_size=4), st.sampled_from("abcde"), st.sampled_from("abcde"))
def test_no_two_stages_come_before_each_other(sequences, one, other):
    joint = releases.order(sequences)

    assert not (joint.before(one, other) and joint.before(other, one))
    if len(sequences) == 1 and one in sequences[0] and other in sequences[0]:
        assert joint.before(one, other) is (sequences[0].index(one) < sequences[0].index(other))


def _next(rollout):
    return rollout.plan.stages[rollout.current].name


def _advanced(rollout):
    stages = list(rollout.stages)
    stages[rollout.current] = msgspec.structs.replace(stages[rollout.current], phase=StagePhase.DONE)
    moved = msgspec.structs.replace(rollout, stages=tuple(stages))
    return msgspec.structs.replace(moved, phase=Phase.COMPLETED) if moved.current == len(stages) else moved


# What becomes of one becomes of all.

FAILED = Slot(SlotState.FAILED, released=100.0, seen=101.0, reason="it crashes")


def failed(**more):
    return run("api", STAGES, phase=Phase.PAUSED, reason="1 of 1 clusters failed", slots={"c-1": FAILED}, **more)


def obeyed(rollout, asked, now=300.0):
    after, _ = step(rollout, asked, now)
    return after


def test_when_one_fails_the_others_stop_once_and_go_on_with_it():
    api, web = failed(), run("web", STAGES, done=1)
    asked = releases.follows("shop", of(api, web), 300.0)
    assert [(name, each.verb, each.reason) for name, each in asked.items()] == [
        ("web", Verb.PAUSE, "api has failed: 1 of 1 clusters failed")
    ]

    web = obeyed(web, asked["web"])
    assert (web.phase, web.by) == (Phase.PAUSED, "release set shop")
    assert releases.follows("shop", of(api, web), 301.0) == {}

    api = msgspec.structs.replace(api, phase=Phase.PROGRESSING)
    web = obeyed(web, releases.follows("shop", of(api, web), 302.0)["web"])
    assert web.phase is Phase.PROGRESSING
    assert releases.follows("shop", of(api, web), 303.0) == {}


def test_what_a_person_resumed_is_not_stopped_again_for_the_same_failure_but_for_the_next():
    api, web = failed(), run("web", STAGES, done=1)
    web = obeyed(web, releases.follows("shop", of(api, web), 300.0)["web"])
    web = obeyed(web, Asked("1", Verb.RESUME, "ada", 301.0))

    assert releases.follows("shop", of(api, web), 302.0) == {}
    again = msgspec.structs.replace(api, slots={**api.slots, "c-1": msgspec.structs.replace(FAILED, seen=400.0)})
    assert releases.follows("shop", of(again, web), 402.0)["web"].verb is Verb.PAUSE


@pytest.mark.parametrize("phase", [Phase.ROLLING_BACK, Phase.ROLLED_BACK])
def test_when_one_goes_back_so_do_the_others_whether_they_have_ended_or_not(phase):
    api = run("api", STAGES, phase=phase, by="ada", reason="it leaks", ended=290.0)
    ended, under_way, untouched = run("db", STAGES, done=2), run("web", STAGES, done=1), run("docs", STAGES)
    first = run("new", STAGES, done=1, previous=None)

    asked = releases.follows("shop", of(api, ended, under_way, untouched, first), 300.0)

    assert {name: each.verb for name, each in asked.items()} == {
        "db": Verb.ROLLBACK,
        "web": Verb.ROLLBACK,
        "docs": Verb.ABORT,
        "new": Verb.ABORT,
    }
    assert asked["web"].reason == "api is rolled back: it leaks"
    web = obeyed(under_way, asked["web"])
    assert (web.phase, web.position("c-1")) == (Phase.ROLLING_BACK, OLD)
    assert releases.follows("shop", of(api, web), 301.0) == {}


def test_another_commit_a_newer_start_and_a_released_revision_are_not_concerned():
    back = run("api", STAGES, phase=Phase.ROLLED_BACK, ended=290.0)
    web = run("web", STAGES, done=1)

    assert releases.follows("shop", of(back, run("web", STAGES, done=1, commit="c2")), 300.0) == {}
    assert releases.follows("shop", of(back, run("web", STAGES, done=1, at=295.0)), 300.0) == {}
    assert releases.follows("shop", of(msgspec.structs.replace(back, freed=True), web), 300.0) == {}
    assert releases.follows("shop", of(back, web), 300.0)


@pytest.mark.parametrize("own", [{"back": True}, {"bypass": "ada: on fire"}])
def test_what_goes_without_gates_goes_its_own_way(own):
    assert releases.follows("shop", of(failed(), run("web", STAGES, done=1, **own)), 300.0) == {}


def test_a_pause_by_a_person_and_an_end_without_failure_stop_nobody():
    paused = run("api", STAGES, phase=Phase.PAUSED, by="ada")
    superseded = run("api", STAGES, phase=Phase.SUPERSEDED, ended=150.0)

    for api in (paused, superseded, run("api", STAGES, done=2)):
        assert releases.follows("shop", of(api, run("web", STAGES, done=1)), 300.0) == {}


def test_an_abort_stops_the_others_and_leaves_them_to_a_person():
    api = run("api", STAGES, phase=Phase.ABORTED, by="ada", reason="not today", ended=200.0)
    asked = releases.follows("shop", of(api, run("web", STAGES)), 300.0)["web"]

    assert (asked.verb, asked.reason) == (Verb.PAUSE, "api was aborted: not today")
    web = obeyed(run("web", STAGES), asked)
    assert releases.follows("shop", of(api, web), 301.0) == {}


# As it is written down.


HEAD = "apiVersion: yardarm.dev/v1alpha1\nkind: Application\n"


def application(release_set="shop", stages=("canary", "prod")):
    rollout = ", ".join(f"{{name: {stage}}}" for stage in stages)
    return f"{{releaseSet: {release_set}, rollout: {{stages: [{rollout}]}}}}" if release_set else "{}"


def fleet_of(before=None, **specs):
    texts = {name: f"{HEAD}metadata: {{name: {name}}}\nspec: {spec}\n" for name, spec in specs.items()}
    return build_fleet(
        [each for name, text in texts.items() for each in read_documents(text, file=f"{name}.yaml")], before
    )


def said(fleet):
    return [str(problem) for problem in fleet.problems if problem.severity == "warning" and "release" in str(problem)]


def test_members_of_one_strategy_are_fine_and_known():
    fleet = fleet_of(api=application(), web=application(), docs=application(""))

    assert releases.members(fleet.applications) == {"shop": ("api", "web")}
    assert said(fleet) == []


def test_stages_that_another_member_lacks_or_has_elsewhere_are_a_warning():
    (lacking,) = said(fleet_of(api=application(), web=application(stages=("dev", "canary", "prod"))))
    assert lacking == (
        "api.yaml:4: spec.releaseSet: warning: release set 'shop': web has a stage 'dev', and api has none"
        " (stages wait for each other by name: let all members have the same strategy)"
    )
    (crossed,) = said(fleet_of(api=application(), web=application(stages=("prod", "canary"))))
    assert "its members have the stages canary and prod in different orders" in crossed


def test_a_set_of_one_is_probably_a_slip():
    assert said(fleet_of(api=application(), web=application(), docs=application("shp"))) == [
        "docs.yaml:4: spec.releaseSet: warning: nothing else is in release set 'shp' (did you mean 'shop'?)"
    ]


def test_what_is_said_of_a_set_follows_its_members():
    before = fleet_of(api=application(), web=application())
    after = fleet_of(before, api=application(), web=application(""))

    assert said(before) == []
    assert "nothing else is in release set 'shop'" in said(after)[0]
