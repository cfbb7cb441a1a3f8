"""What has to be written at once, and which bundles have to be kept."""

from __future__ import annotations

import msgspec

from hub.domain.lasting import LAZY, SELDOM, bodies_of, may_give, patience
from hub.domain.runs import SlotState
from hub.domain.steps import Tell
from shared.messages import Severity
from tests.fakes.rollingout import Rolling

OLD, NEW = "a" * 80, "b" * 80


def test_what_another_hub_could_not_find_out_is_written_at_once():
    rolling = Rolling()
    first = rolling.commit("a" * 40)
    later = msgspec.structs.replace(first, reason="because")

    assert patience(first, None, ()) == 0
    assert patience(later, first, ()) == 0
    assert patience(first, first, (Tell("x", "rollout.started", Severity.INFO, "goes"),)) == 0


def test_what_reports_say_again_may_wait():
    rolling = Rolling()
    before = rolling.commit("a" * 40)
    slots = before.slots
    healthy = msgspec.structs.replace(slots["dev-1"], state=SlotState.HEALTHY)
    seen = msgspec.structs.replace(slots["dev-1"], seen=rolling.now)

    assert patience(msgspec.structs.replace(before, slots={**slots, "dev-1": healthy}), before, ()) == LAZY
    assert patience(msgspec.structs.replace(before, slots={**slots, "dev-1": seen}), before, ()) == SELDOM


def test_bundles_are_kept_as_long_as_clusters_may_have_to_go_back_to_them():
    rolling = Rolling()
    rolling.complete("a" * 40)
    under_way = rolling.commit("b" * 40)

    assert bodies_of(under_way.plan, targets=False) == {OLD}
    assert bodies_of(under_way.plan, targets=True) == may_give(under_way) == {OLD, NEW}
