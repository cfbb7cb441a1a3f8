"""What is published, and what is not."""

from hypothesis import given
from hypothesis import strategies as st

from hub.domain import publishing
from hub.domain.publishing import Body, Claims, Given, Order
from shared.bundle import Bundle
from shared.messages import DeletionPolicy, Policy
from shared.model import ObjectRef, UnitKey


def ref(name: str, kind: str = "ConfigMap") -> ObjectRef:
    return ObjectRef("v1", kind, "shop", name)


def body(text: str, *names: str) -> Body:
    refs = tuple(map(ref, names))
    return Body(digest=text * 64, policy=Policy(), objects=len(refs), refs=refs)


def unit(cluster: str, application: str = "web") -> UnitKey:
    return UnitKey(cluster, "shop", application)


def told(body: Body, generation: int = 1, *, removed: bool = False) -> Given:
    return Given(generation, body.digest, "c", "r", removed, Policy())


A, B = body("a", "x"), body("b", "x", "y")


def test_an_unchanged_unit_gets_no_message():
    assert publishing.orders("web", {unit("c1"): told(A)}, {unit("c1"): A}) == []


def test_only_the_units_whose_bundle_changed_get_one():
    orders = publishing.orders("web", {unit("c1"): told(A), unit("c2"): told(A)}, {unit("c1"): A, unit("c2"): B})

    assert orders == [Order(unit("c2"), B)]


def test_a_unit_that_is_not_wanted_any_more_is_told_once():
    left = {unit("c1"): told(A), unit("c1", "other"): told(A)}

    assert publishing.orders("web", left, {}) == [Order(unit("c1"), None)]
    assert publishing.orders("web", {unit("c1"): told(A, removed=True)}, {}) == []


def test_a_unit_that_comes_back_is_given_its_bundle_again():
    assert publishing.orders("web", {unit("c1"): told(A, removed=True)}, {unit("c1"): A}) == [Order(unit("c1"), A)]


clusters = st.sampled_from([f"c{n}" for n in range(6)])
bodies = st.sampled_from([A, B, body("c")])


@given(st.dictionaries(clusters, bodies), st.dictionaries(clusters, bodies))
def test_after_publishing_there_is_nothing_left_to_publish(before, after):
    given_now = {unit(c): told(b) for c, b in before.items()}
    wanted = {unit(c): b for c, b in after.items()}

    for order in publishing.orders("web", given_now, wanted):
        previous = given_now.get(order.unit)
        message = publishing.assignment(order, previous, commit="c", revision="r", traceparent="", now=5.0)
        assert message.generation > (previous.generation if previous else 0)
        given_now[order.unit] = Given.of(message)

    assert publishing.orders("web", given_now, wanted) == []
    assert {u for u, g in given_now.items() if not g.removed} == set(wanted)


def test_generations_grow_even_when_the_clock_jumps_back_or_the_unit_was_forgotten():
    assert publishing.next_generation(0, 10.0) == 10_000
    assert publishing.next_generation(20_000, 10.0) == 20_001


def test_a_removal_keeps_the_policy_that_says_whether_to_delete_or_orphan():
    orphan = Policy(deletion=DeletionPolicy(on_delete="orphan"))
    before = Given(1, "d", "c", "r", removed=False, policy=orphan)

    message = publishing.assignment(Order(unit("c1"), None), before, commit="c", revision="r", traceparent="", now=1.0)

    assert message.removed
    assert message.policy.deletion.on_delete == "orphan"
    assert message.digest == Bundle(orphan, ()).digest


def test_the_root_lists_every_unit_and_is_equal_for_equal_units():
    units = {unit("c1", "b"): told(A, 3), unit("c1", "a"): told(B, 2)}

    root = publishing.root("c1", units)

    assert [(e.application, e.generation) for e in root.units] == [("a", 2), ("b", 3)]
    assert root == publishing.root("c1", dict(reversed(units.items())))


def test_equal_effects_are_one_revision_whatever_the_commit():
    one, two = unit("c1"), unit("c2")
    assert publishing.effect({one: "a", two: "b"}) == publishing.effect({two: "b", one: "a"})
    assert publishing.effect({one: "a"}) != publishing.effect({one: "b"})
    assert publishing.effect({one: "a"}) != publishing.effect({one: "a", two: "a"})


def test_who_holds_an_object_first_keeps_it():
    claims = Claims()
    claims.hold("web", {"c1": A, "c2": A})

    disputed = claims.disputed("api", {"c1": B, "c3": B})

    assert [(c.cluster, c.ref, c.holder) for c in disputed] == [("c1", ref("x"), "web")]


def test_the_same_object_on_other_clusters_is_no_dispute():
    claims = Claims()
    claims.hold("web", {"c1": A})

    assert claims.disputed("api", {"c2": A}) == []
    assert claims.disputed("web", {"c1": B}) == []


def test_what_is_let_go_can_be_taken():
    claims = Claims()
    claims.hold("web", {"c1": B})
    claims.hold("web", {"c1": body("d", "y")})

    assert claims.disputed("api", {"c1": A}) == []
    claims.release("web")
    assert claims.disputed("api", {"c1": B}) == []
