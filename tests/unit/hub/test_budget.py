"""How much may be taken away at once: over the fleet, and over an application's clusters; and who takes whose place."""

from hypothesis import given
from hypothesis import strategies as st

from hub.domain import budget, succession
from hub.domain.publishing import Body, Given
from hub.domain.records import SourceInfo
from hub.domain.succession import Stay
from shared.messages import Policy
from shared.model import UnitKey

NAMES = st.sets(st.text("abcdefgh", min_size=1, max_size=3), max_size=12)


@given(NAMES, NAMES)
def test_one_application_always_goes_and_more_than_half_never_does(leaving, staying):
    staying -= leaving
    held = budget.applications(leaving, staying, 1.0)

    assert (held is not None) == (len(leaving) >= 2 and 2 * len(leaving) > len(leaving) + len(staying))
    if held is not None:
        assert held.items == tuple(sorted(leaving))


@given(NAMES, st.integers(0, 20), st.integers(0, 100))
def test_clusters_wait_beyond_the_budget_only(leaving, more, percent):
    had = len(leaving) + more
    held = budget.clusters("web", leaving, had, f"{percent}%", 1.0)

    if held is not None:
        assert len(leaving) >= 2
        assert 100 * len(leaving) > percent * had
    elif len(leaving) >= 2:
        assert 100 * len(leaving) <= percent * had + 1e-6


def test_a_budget_of_all_lifts_it_and_a_number_counts_clusters():
    assert budget.clusters("web", {"a", "b", "c"}, 3, "100%", 1.0) is None
    assert budget.clusters("web", {"a", "b", "c"}, 10, "3", 1.0) is None
    assert budget.clusters("web", {"a", "b", "c", "d"}, 10, "3", 1.0) is not None


@given(NAMES, NAMES)
def test_a_token_stands_for_exactly_one_list(one, other):
    assert (budget.token("clusters", "web", one) == budget.token("clusters", "web", other)) == (one == other)
    assert budget.token("clusters", "web", one) != budget.token("clusters", "api", one)
    assert budget.token("clusters", "web", one) != budget.token("moves", "web", one)


def test_what_waits_has_waited_since_it_was_first_seen():
    first = budget.applications({"a", "b"}, set(), 1.0)
    later = budget.applications({"a", "b"}, set(), 9.0)
    other = budget.applications({"a", "c"}, set(), 9.0)

    assert budget.since_first(later, [first]) == first
    assert budget.since_first(other, [first]) == other


SOURCE = SourceInfo("fleet", "", "apps/web")


def test_a_rename_is_one_that_went_and_one_that_came_from_the_same_source():
    assert succession.renames({"web": SOURCE}, {"store": SOURCE, "api": SourceInfo("fleet", "", "apps/api")}) == {
        "web": "store"
    }
    assert succession.renames({"web": SOURCE}, {"a": SOURCE, "b": SOURCE}) == {}
    assert succession.renames({"web": SOURCE, "api": SOURCE}, {"a": SOURCE}) == {}


OLD, NEW = UnitKey("c1", "web", "web"), UnitKey("c1", "shop", "web")
BODY = Body("d", Policy(timeout=60.0), 1)


def told(digest="d", *, removed=False):
    return Given(1, digest, "", "", removed, Policy())


def test_the_old_unit_goes_once_the_new_one_stands_with_what_it_should_have():
    def stay(given, ready, waited):
        return succession.stay(NEW, BODY, given, lambda _unit, _digest: ready, waited)

    assert stay(None, True, None) is Stay.WAIT
    assert stay(told("older"), True, 1.0) is Stay.WAIT
    assert stay(told(removed=True), True, 1.0) is Stay.WAIT
    assert stay(told(), True, 1.0) is Stay.GO
    assert stay(told(), False, 59.0) is Stay.WAIT
    assert stay(told(), False, 61.0) is Stay.OVERDUE


def test_predecessors_are_those_on_the_same_cluster_that_are_still_there():
    elsewhere, gone = UnitKey("c2", "web", "web"), UnitKey("c1", "older", "web")
    mine = {OLD: told(), NEW: told(), elsewhere: told(), gone: told(removed=True)}
    renamed = {UnitKey("c1", "site", "site"): told()}

    assert succession.predecessors(NEW, mine, renamed) == ("site/site", "web/web")
