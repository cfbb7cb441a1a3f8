"""Roll-ups count by difference; after any changes they equal a recount."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.domain.rollup import FLEET, Rollup
from hub.domain.status import STATES, Shown, State

shown = st.builds(
    lambda state, reason, drifted: Shown(state, reason, 0.0, ("Drifted",) if drifted else ()),
    st.sampled_from(STATES), st.sampled_from(["", "slow", "broken"]), st.booleans(),
)  # fmt: skip
changes = st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["dev", "prod", ""]), st.none() | shown), max_size=60)


@given(changes)
def test_counters_equal_a_recount(changed):
    rollup = Rollup()
    units = {}
    for unit, environment, verdict in changed:
        if unit in units:
            rollup.remove(*units.pop(unit))
        if verdict is not None:
            scopes = (FLEET, ("application", f"app-{unit % 3}"), ("environment", environment))
            units[unit] = (scopes, verdict)
            rollup.add(scopes, verdict)

    recount = Rollup()
    for scopes, verdict in units.values():
        recount.add(scopes, verdict)
    assert set(rollup.scopes()) == set(recount.scopes())
    for scope in rollup.scopes():
        assert rollup.tally(scope).by_state() == recount.tally(scope).by_state()
        assert rollup.tally(scope).drifted == recount.tally(scope).drifted
        assert rollup.tally(scope).reasons == recount.tally(scope).reasons
    of_fleet = [verdict.state for _, verdict in units.values()]
    assert rollup.tally(FLEET).by_state() == {"total": len(units)} | {s: of_fleet.count(s) for s in STATES}


def test_the_worst_state_and_the_most_frequent_reasons_come_first():
    rollup = Rollup()
    for state, reason in [(State.STALE, "lost")] * 3 + [
        (State.FAILED, "broken"),
        (State.WAITING, "new"),
        (State.READY, ""),
    ]:
        rollup.add((FLEET,), Shown(state, reason, 0.0))

    tally = rollup.tally(FLEET)

    assert tally.worst() is State.FAILED
    assert tally.top_reasons(2) == [(State.STALE, "lost", 3), (State.FAILED, "broken", 1)]


def test_what_has_no_units_counts_zero():
    assert Rollup().tally(("cluster", "x")).by_state()["total"] == 0
    assert Rollup().tally(("cluster", "x")).worst() is None
