"""Deciding what a rollout does next, at 1,000 clusters: one step for each kind of event, and when it is due next.

Pure computation in this process, on a rollout that is half-way: its last stage of 900 clusters is under way, fifty at
a time. The floor is copying the states of the clusters, without which no step can leave its input as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from hub.domain.checks import Measurement
from hub.domain.requests import Asked, Verb
from hub.domain.rollout import due, step
from hub.domain.runs import Around, Closed, Rollout, Sight, Verdict
from hub.domain.steps import Event, Measured, Observed, Proposed, Surrounded, Tick
from tests.bench.figures import Figure, percentile
from tests.fakes.rolling import Fleet, rolled_out

ROUNDS = 300
LIMIT = 1.0
STRATEGY = {
    "stages": [
        {"name": "dev", "environments": ["dev"]},
        {"name": "stage", "environments": ["stage"]},
        {
            "name": "prod",
            "environments": ["prod"],
            "maxConcurrent": 50,
            "jitter": "60m",
            "checks": [{"http": "http://example.com/health", "for": "5m"}],
        },
    ]
}


async def measure() -> list[Figure]:
    names = [*(f"dev-{number}" for number in range(20)), *(f"stage-{number}" for number in range(80))]
    names += [f"prod-{number}" for number in range(900)]
    fleet = rolled_out(*names, strategy=STRATEGY)
    fleet.commit("v2")
    fleet.settle()
    half_way = _half_way(fleet)
    flying = next(name for name, slot in half_way.slots.items() if slot.state == "Assigned")
    asked = Asked("one", Verb.PAUSE, "ann", fleet.now)
    closed = Surrounded(Around(closed={"prod": Closed("nights only")}))
    events: dict[str, Event] = {
        "a report that one cluster is healthy": Observed({flying: Sight(half_way.position(flying), Verdict.HEALTHY)}),
        "a look at all clusters": Observed({each: Sight(half_way.position(each), Verdict.HEALTHY) for each in names}),
        "a tick": Tick(),
        "a window that closes": closed,
        "a measurement of a check": Measured("prod", 0, Measurement(ok=True, value="1", detail="", at=fleet.now)),
        "a request of a person": asked,
        "a request to roll back": msgspec.structs.replace(asked, verb=Verb.ROLLBACK),
        "the same commit again": Proposed(fleet.plan(), fleet.around),
        "a newer commit": _newer(fleet),
    }
    floor = _times(lambda: dict(half_way.slots))
    figures = []
    for name, event in events.items():
        times = _times(lambda event=event: step(half_way, event, fleet.now))
        figures += _figures(f"1,000 clusters: {name}", times, floor)
    return figures + _figures("1,000 clusters: when it is due next", _times(lambda: due(half_way, fleet.now)), floor)


def _half_way(fleet: Fleet) -> Rollout:
    """The third stage has given half of its clusters the revision; fifty of them are on their way."""
    for _ in range(9):
        fleet.wait(200)
        fleet.healthy(*(name for name, state in fleet.states().items() if state == "Assigned"))
    fleet.wait(200)
    return fleet.rollout


def _newer(fleet: Fleet) -> Proposed:
    for each in fleet.clusters.values():
        each.wanted = "v3"
    fleet.revision = "v3"
    return Proposed(fleet.plan(), fleet.around)


def _times(call: Callable[[], object]) -> list[float]:
    """Milliseconds of processor time of each call."""
    found = []
    for _ in range(ROUNDS):
        begin = time.thread_time_ns()
        call()
        found.append((time.thread_time_ns() - begin) / 1e6)
    return found


def _figures(name: str, times: list[float], floor: list[float]) -> list[Figure]:
    return [
        Figure(f"{name}, p50", percentile(times, 0.5), "ms", percentile(floor, 0.5), limit=LIMIT),
        Figure(f"{name}, p99", percentile(times, 0.99), "ms", percentile(floor, 0.99)),
    ]
