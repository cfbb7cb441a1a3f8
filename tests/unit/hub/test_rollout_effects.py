"""What a request would do, said before it is done: it is what the state machine then does."""

from __future__ import annotations

import pytest

from hub.domain import earlier, effects, telling
from hub.domain.requests import Asked, Verb
from hub.domain.rollout import step
from hub.domain.runs import Hold, Phase, SlotState
from tests.fakes.fleetview import START
from tests.fakes.rollingout import Rolling

A, B, C = "3f2a91c" + "a" * 33, "3f2b000" + "b" * 33, "c" * 40


def asked(rolling: Rolling, verb: Verb, **other) -> Asked:
    return Asked("1", verb, other.pop("by", "ann"), rolling.now, **other)


def said(rolling: Rolling, verb: Verb, **other) -> str:
    return effects.effect(rolling.newest, asked(rolling, verb, **other))


@pytest.fixture
def rolling():
    rolling = Rolling()
    rolling.complete(A)
    rolling.commit(B)
    return rolling


def test_an_abort_counts_who_keeps_what(rolling):
    assert said(rolling, Verb.ABORT) == (
        "ends the rollout: 2 clusters that were given 3f2b000 keep it, 3 clusters keep what they had, "
        "and 3f2b000 does not start again by itself"
    )


def test_a_rollback_counts_those_that_the_machine_sends_back(rolling):
    rolling.healthy("dev-1")
    text = said(rolling, Verb.ROLLBACK)
    after, _ = step(rolling.newest, asked(rolling, Verb.ROLLBACK), rolling.now)

    back = [name for name, slot in after.slots.items() if slot.state is SlotState.RESTORING]
    assert text == f"rolls back {len(back)} clusters to 3f2a91c; 3f2b000 is held until Git moves on"


def test_a_first_rollout_has_nothing_to_go_back_to_and_says_so():
    rolling = Rolling({"stages": []})
    rolling.commit(A)

    assert "5 clusters (dev-1, dev-2, prod-1, prod-2, prod-3) had nothing before" in said(rolling, Verb.ROLLBACK)


def test_an_approval_says_what_is_missing_still():
    rolling = Rolling({"stages": [{"name": "prod", "approve": {"by": ["sre"], "count": 2}}]})
    rolling.commit(A)
    first = said(rolling, Verb.APPROVE, by="sue", roles=("sre",))
    rolling.ask(Verb.APPROVE, "sue", roles=("sre",))
    second = said(rolling, Verb.APPROVE, by="tom", roles=("sre",))

    assert first == "approves stage prod; it waits for 1 more of sre still"
    assert second == "approves stage prod: all approvals are given"


def test_resuming_says_what_is_put_up_with(rolling):
    rolling.failing("dev-1")
    assert rolling.newest.phase is Phase.PAUSED
    assert said(rolling, Verb.RESUME) == "goes on with stage dev, although 1 cluster failed"
    assert said(rolling, Verb.BYPASS).endswith(", once it is resumed; only holds count")
    assert effects.failed(rolling.newest) == ("dev-1",)


def test_many_clusters_are_counted_and_the_first_named():
    assert effects.many(f"c{number}" for number in range(9)) == "9 clusters (c0, c1, c2, c3, c4 and 4 more)"
    assert effects.many(["c0"]) == "1 cluster (c0)"


def test_holds_say_where():
    assert effects.held("web", Hold("ann", START, cluster="dev-1")).startswith("nothing new goes to web on dev-1")
    assert effects.released("web", [Hold("ann", START, "exams")]).startswith(
        "lets go of web anywhere (held by ann: exams)"
    )


def test_only_what_was_completed_can_be_gone_back_to(rolling):
    history = [rolling.newest, rolling.complete(C)]

    assert [each.plan.commit.sha for each in earlier.completed(history)] == [C]
    assert earlier.matching(history, B[:7]) == [], "it was superseded"
    assert earlier.matching(history, "c" * 12) == [history[1]]


def test_a_whole_revision_is_never_ambiguous():
    rolling = Rolling()
    first, second = rolling.complete(A), rolling.complete(B)

    assert earlier.matching([second, first], "3f2") == [second, first]
    assert earlier.matching([second, first], first.plan.revision) == [first]


def test_clusters_that_were_not_there_then_go_to_what_was_proven_last():
    rolling = Rolling({"stages": []})
    first = rolling.complete(A)
    rolling.clusters = {**rolling.clusters, "prod-9": "prod"}
    rolling.complete(B)
    rolling.commit(C)

    to = earlier.targets(rolling.newest, first)

    assert {name: where.digest for name, where in to.items()} == {
        **dict.fromkeys(first.plan.clusters, A * 2),
        "prod-9": B * 2,
    }


def test_a_refusal_is_one_event_a_minute_and_an_accepted_request_one_each(rolling):
    request = asked(rolling, Verb.RESUME)
    first = telling.refused(rolling.newest, request, "it is not paused")
    again = telling.refused(rolling.newest, request, "it is not paused")
    rolling.now += telling.ONCE
    later = telling.refused(rolling.newest, asked(rolling, Verb.RESUME), "it is not paused")
    done = telling.asked(rolling.newest, asked(rolling, Verb.PAUSE, reason="lunch"), "pauses web")

    assert first.id == again.id != later.id
    assert (first.actor, first.application, first.commit) == ("ann", "web", B)
    assert done.message == "pause asked for: pauses web (lunch)"
    assert all(each.id.startswith(telling.prefix(rolling.newest.id)) for each in (first, later, done))
