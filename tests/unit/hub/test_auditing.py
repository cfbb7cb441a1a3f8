"""Entries of the audit trail as values: what is kept of what strangers say, and what a filter finds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain import auditing
from hub.domain.auditing import LONGEST, Entry, Result, Via, Wanted
from hub.domain.folding import ALL_ALONE, ALONE, KINDS, WINDOW, Folding
from shared.errors import InvalidMessage
from shared.messages import decode, encode

START = 1_700_000_000.0


def entry(number: int = 0, **other) -> Entry:
    fields = {
        "id": str(number),
        "at": START,
        "action": "request.refused",
        "result": Result.REFUSED,
        "source": "10.0.0.1",
    }
    return Entry(**(fields | other))


@given(st.text(), st.text(max_size=3000))
def test_whatever_somebody_says_is_kept_in_one_printable_line(target, reason):
    kept = auditing.fit(entry(target=target, reason=reason, actor=target, roles=(reason,)))

    for text in (kept.target, kept.reason, kept.actor, *kept.roles):
        assert len(text) <= LONGEST
        assert text.isprintable()
    assert decode(encode(kept), Entry) == kept


def test_text_that_could_forge_a_line_or_turn_it_round_cannot():
    kept = auditing.fit(entry(target="web\nlogin ok \x1b[2K\u202eba\ud800"))

    assert kept.target == "web login ok  [2K ba "


@pytest.mark.parametrize("action", ["", "Rollout.approve", "rollout.approve.now", "rollout.>", "a b", "rollout.", "*"])
def test_an_action_is_a_noun_and_a_verb(action):
    with pytest.raises(InvalidMessage):
        auditing.subject(entry(action=action))


def test_entries_are_kept_by_what_they_are_about():
    assert auditing.subject(entry(action="rollout.approve")) == "audit.rollout"
    assert auditing.subject(entry(action="login")) == "audit.login"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), True),
        (Wanted(action="rollout"), True),
        (Wanted(action="rollout.approve"), True),
        (Wanted(action="roll"), False),
        (Wanted(actor="ann", target="web", result=Result.OK, via=Via.CLI, source="::1"), True),
        (Wanted(actor="an"), False),
        (Wanted(result=Result.REFUSED), False),
        (Wanted(since=START), True),
        (Wanted(since=START + 1), False),
        (Wanted(until=START), False),
        (Wanted(until=START + 1), True),
    ],
)
def test_a_filter_finds_what_it_says(wanted, found):
    one = entry(action="rollout.approve", actor="ann", target="web", result=Result.OK, via=Via.CLI, source="::1")

    assert wanted.accepts(one) is found


def test_as_a_cloudevent_an_entry_keeps_everything():
    stored = msgspec.to_builtins(entry(7, action="hold.set", target="web")) | {"target": "web"}

    event = auditing.cloudevent(stored, "https://hub.example.com")

    assert event["specversion"] == "1.0"
    assert (event["id"], event["source"], event["subject"]) == ("7", "https://hub.example.com", "web")
    assert (event["type"], event["time"]) == ("dev.yardarm.audit.hold.set", "2023-11-14T22:13:20.000Z")
    assert event["data"] == stored


OCCURRED = st.tuples(
    st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
    st.sampled_from(["", "ann"]),
    st.sampled_from([Result.REFUSED, Result.REFUSED, Result.OK]),
    st.floats(0, 20),
)


@given(st.lists(OCCURRED, max_size=120))
def test_folding_counts_everything_and_never_folds_what_was_done(occurred):
    folding, kept, at = Folding(), [], START
    for number, (source, actor, result, later) in enumerate(occurred):
        at += later
        kept += folding.take(entry(number, source=source, actor=actor, result=result, at=at))
    kept += folding.end()

    assert sum(each.count for each in kept) == len(occurred)
    assert all(each.count == 1 for each in kept if each.result is Result.OK)
    assert len({each.id for each in kept}) == len(kept)


def test_the_first_refusals_are_kept_one_by_one_and_the_others_at_the_end_of_the_minute():
    folding = Folding()

    first = [folding.take(entry(number, at=START + number * 0.1)) for number in range(100)]
    assert [len(each) for each in first] == [1] * ALONE + [0] * (100 - ALONE)
    assert folding.due(START + WINDOW - 1) == ()
    (rest,) = folding.due(START + WINDOW)

    assert (rest.count, rest.id, rest.source) == (100 - ALONE, "99", "10.0.0.1")
    assert len(folding.take(entry(200, at=START + WINDOW + 1))) == 1


def test_many_addresses_do_not_make_many_entries():
    folding = Folding()

    alone = sum(len(folding.take(entry(number, source=f"2001:db8::{number:x}"))) for number in range(5000))
    rest = folding.end()

    assert alone == ALL_ALONE
    assert len(rest) == KINDS + 1
    assert alone + sum(each.count for each in rest) == 5000
