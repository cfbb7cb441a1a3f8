"""A confirmation covers exactly what was shown, and holds while it is being carried out."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agent.consent import Consents
from agent.domain import applyset, consent
from agent.domain.desired import Refused
from agent.domain.plan import Known, plan
from agent.keeper import Keeper
from agent.state import State
from shared.bundle import Bundle
from shared.messages import Assignment, DeletionPolicy, Policy
from shared.model import ObjectRef, UnitKey
from shared.tasks import Clock

UNIT = UnitKey("c1", "web", "web")
SET = applyset.set_id(applyset.parent_ref(UNIT))
NAMES = st.sets(st.text("abcde", min_size=1, max_size=3), max_size=15)


def ref(name, kind="ConfigMap"):
    return ObjectRef("v1", kind, "web", name)


def live(name, kind="ConfigMap"):
    metadata = {"name": name, "namespace": "web", "labels": {applyset.PART_OF: SET}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


def known(names, granted=()):
    return Known(SET, {ref(name).key: live(name) for name in names}, granted=frozenset(granted))


def planned(names, granted=(), budget="50%"):
    policy = Policy(deletion=DeletionPolicy(budget))
    return plan([], known(names, granted), policy, lambda _one, _other: True)


@given(NAMES, NAMES)
def test_a_token_stands_for_exactly_one_list_of_one_unit(one, other):
    left, right = consent.token(UNIT, map(ref, one)), consent.token(UNIT, map(ref, other))
    assert (left == right) == (one == other)
    assert left != consent.token(UnitKey("c2", "web", "web"), map(ref, one))


@given(NAMES, NAMES)
def test_what_was_granted_goes_and_nothing_else(names, granted):
    work = planned(names, {ref(name).key for name in granted})
    going = {each.name for group in work.prune for each in group}

    assert going == names & granted
    assert {each.ref.name for each in work.blocked} == names - granted


@given(st.lists(st.text("abcde", min_size=1, max_size=3), unique=True, min_size=1, max_size=12), st.data())
def test_a_confirmed_list_is_carried_out_to_its_end_whatever_the_order(names, data):
    consents = Consents(Keeper(None, Clock()), Clock())
    first = planned(names)
    token = consent.token(UNIT, [each.ref for each in first.blocked])
    given_to = assignment(confirmed=(token,))
    consents.taken_up(given_to)

    assert consents.weigh(given_to, first.blocked)
    left = set(names)
    while left:
        work = planned(left, consents.granted)
        assert not consents.weigh(given_to, work.blocked)
        assert consents.awaiting is None
        left.discard(data.draw(st.sampled_from(sorted(left))))


def assignment(**more):
    fields = {
        "v": 1, "cluster": "c1", "namespace": "web", "application": "web", "generation": 1, "digest": "d",
        "commit": "", "revision": "", "policy": Policy(), "objects": 0, "at": 0.0,
    }  # fmt: skip
    return Assignment(**(fields | more))


def test_one_more_object_has_to_be_confirmed_anew():
    consents = Consents(Keeper(None, Clock()), Clock())
    token = consent.token(UNIT, [ref("a")])
    given_to = assignment(confirmed=(token,))
    consents.taken_up(given_to)

    assert not consents.weigh(given_to, planned(["a", "b"]).blocked)
    assert consents.awaiting.count == 2


def test_another_bundle_makes_a_word_void():
    consents = Consents(Keeper(None, Clock()), Clock())
    consents.taken_up(assignment())
    consents.restore("d", frozenset({ref("a").key}))
    consents.taken_up(assignment(generation=2))
    assert consents.granted

    consents.taken_up(assignment(generation=3, digest="e"))
    assert not consents.granted


def test_since_is_when_it_was_first_held_back():
    consents = Consents(Keeper(None, Clock()), Clock())
    given_to = assignment()
    consents.taken_up(given_to)
    consents.weigh(given_to, planned(["a"]).blocked)
    first = consents.awaiting
    consents.weigh(given_to, planned(["a"]).blocked)

    assert consents.awaiting == first


def test_what_was_granted_is_remembered_for_its_bundle_only(tmp_path):
    state = State(tmp_path)
    with state.locked():
        state.save(UNIT, b"", Bundle(Policy(), ()))
        state.save_granted(UNIT, "d", {ref("a").key})
        path = state._path(UNIT, "granted")

        assert state._load_granted(path, "d") == {ref("a").key}
        assert state._load_granted(path, "e") == frozenset()
        path.write_bytes(b"rubbish")
        assert state._load_granted(path, "d") == frozenset()


def test_the_reason_names_some_objects_their_number_and_the_way_out():
    blocked = [Refused(ref(f"c{number}"), "over the budget") for number in range(9)]
    found = consent.awaiting(UNIT, blocked, 1.0)
    text = consent.explained(UNIT, found)

    assert "ConfigMap web/c0" in text
    assert "and 6 more" in text
    assert "over the budget" in text
    assert "`yardarm confirm c1/web/web`" in text
    assert "`yardarm confirm web`" in text
    assert msgspec.json.decode(msgspec.json.encode(found))["count"] == 9
