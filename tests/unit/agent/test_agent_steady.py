"""The agent's clock: it never goes back, whatever the one on the wall does."""

from hypothesis import given
from hypothesis import strategies as st

from agent.steady import TOLERANCE, SteadyClock
from shared.tasks import Clock


class Wall(Clock):
    def __init__(self, at=1000.0):
        self.at, self.passed = at, 0.0

    def now(self):
        return self.at

    def monotonic(self):
        return self.passed

    def step(self, passed, jump):
        self.passed += passed
        self.at += passed + jump


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-4000, 4000))))
def test_it_never_goes_back_and_never_slower_than_time(steps):
    wall = Wall()
    clock = SteadyClock(wall)
    last = clock.now()
    for passed, jump in steps:
        wall.step(passed, jump)
        now = clock.now()

        assert now >= last + passed - 1e-6
        assert now >= wall.now()
        last = now


def test_without_jumps_it_is_the_clock_on_the_wall():
    wall = Wall()
    clock = SteadyClock(wall)
    clock.not_before(wall.now() + TOLERANCE - 1)
    wall.step(5, 0)

    assert clock.now() == 1005


def test_what_another_run_has_said_counts():
    clock = SteadyClock(Wall())
    clock.not_before(5000)

    assert clock.now() > 5000
