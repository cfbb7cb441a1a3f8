"""Drift of a unit: corrected at once, ever more slowly in a fight, never when it is only to be reported."""

import pytest

from agent.domain.desired import Desired, digest
from agent.vigil import PATIENCE, QUIET, SHOWN_FOR, SLOWEST, Vigil, described
from shared.messages import Drift, FieldDrift, Policy
from shared.model import ObjectRef
from shared.tasks import Clock

REF = ObjectRef("v1", "ConfigMap", "web", "a")
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "web"}, "data": {"a": "b"}}
EACH = Desired(REF, MANIFEST, digest(MANIFEST))
LIVE = {**MANIFEST, "metadata": {**MANIFEST["metadata"], "resourceVersion": "1"}}


class Moved(Clock):
    def __init__(self):
        self.at = 1000.0

    def now(self):
        return self.at


@pytest.fixture
def clock():
    return Moved()


@pytest.fixture
def vigil(clock):
    return Vigil(None, clock)  # deletions need no request to be confirmed


async def deleted_and_corrected(vigil):
    assert await vigil.examine(EACH, None, Policy())
    return vigil.applied(REF.key, LIVE, EACH.digest)


async def test_the_first_corrections_come_at_once(vigil):
    for attempt in range(1, PATIENCE + 1):
        assert (await deleted_and_corrected(vigil)).attempts == attempt
        assert vigil.held(Policy()) == frozenset()


async def test_a_fight_is_slowed_down_to_a_limit(vigil, clock):
    waits = []
    for _ in range(14):
        await vigil.examine(EACH, None, Policy())
        waits.append(max(0.0, vigil.next_due(Policy()) - clock.at))
        clock.at += waits[-1]
        assert vigil.held(Policy()) == frozenset()
        vigil.applied(REF.key, LIVE, EACH.digest)

    assert waits == sorted(waits)
    assert waits[0] == 0
    assert waits[-1] == SLOWEST


async def test_held_drift_waits_for_its_time(vigil, clock):
    for _ in range(PATIENCE):
        await deleted_and_corrected(vigil)
    await vigil.examine(EACH, None, Policy())

    assert vigil.held(Policy()) == {REF.key}


async def test_what_cannot_be_corrected_is_tried_ever_more_slowly(vigil, clock):
    await vigil.examine(EACH, None, Policy())
    for _ in range(PATIENCE + 2):
        vigil.tried(vigil.standing())

    assert vigil.next_due(Policy()) >= clock.at + 4


async def test_peace_ends_a_fight(vigil, clock):
    for _ in range(PATIENCE):
        await deleted_and_corrected(vigil)
    clock.at += QUIET + 1

    assert (await deleted_and_corrected(vigil)).attempts == 1


async def test_drift_that_is_only_reported_is_held_for_ever(vigil, clock):
    policy = Policy(drift="report")
    await vigil.examine(EACH, None, policy)
    clock.at += 1e6

    assert vigil.held(policy) == {REF.key}
    assert vigil.next_due(policy) is None


async def test_the_same_drift_is_news_once(vigil):
    assert await vigil.examine(EACH, None, Policy())

    assert await vigil.examine(EACH, None, Policy()) is None


async def test_what_somebody_put_right_is_no_drift_any_more(vigil):
    await vigil.examine(EACH, None, Policy())

    await vigil.examine(EACH, LIVE, Policy())

    assert vigil.records() == ()
    assert vigil.next_due(Policy()) is None


async def test_corrected_drift_is_shown_for_a_while(vigil, clock):
    await deleted_and_corrected(vigil)
    assert vigil.records()[0].corrected == clock.at

    clock.at += SHOWN_FOR + 1

    assert vigil.records() == ()


def test_the_history_names_field_values_and_manager():
    field = FieldDrift("/spec/replicas", 3, 5, "kubectl-edit", 1.0)

    text = described(Drift(REF, 1.0, "correct", (field, field)))

    assert text == "ConfigMap web/a: /spec/replicas is 5, should be 3, changed by kubectl-edit (and 1 more fields)"
