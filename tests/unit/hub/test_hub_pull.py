"""What consumers write into reply subjects."""

import pytest

from hub.pull import Delivery
from shared.bus import Message


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.EVENTS.hub.1.120.7.1795427402390682246.4",
        "$JS.ACK._.ACCHASH.EVENTS.hub.1.120.7.1795427402390682246.4",
        "$JS.ACK.edge.ACCHASH.EVENTS.hub.1.120.7.1795427402390682246.4.random",
    ],
)
def test_sequence_number_and_rest_are_read_from_both_forms(reply):
    assert Delivery.of(Message("events.c1.x", b"", {}, reply)) == Delivery(sequence=120, number=7, waiting=4)
