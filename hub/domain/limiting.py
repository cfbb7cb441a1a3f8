"""How often something may be done: so many at once, and then as many a second. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from shared.model import Value


class Rate(Value, frozen=True):
    """`burst` at once, `per_second` after that."""

    per_second: float
    burst: float


class Limits(Value, frozen=True):
    """What an API lets through. `body` is bytes, `patience` seconds for a whole body.

    `failures` are what one address may show of tokens and logins that are none.
    """

    caller: Rate = Rate(200, 2000)
    address: Rate = Rate(400, 4000)
    failures: Rate = Rate(0.5, 30)
    body: int = 1024 * 1024
    patience: float = 15.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Level:
    """How much of a burst was left, and when."""

    left: float
    at: float


def take(level: Level | None, rate: Rate, now: float) -> tuple[Level, float]:
    """Takes one; returns what is left, and the seconds to wait if there was none to take (0: there was)."""
    left = rate.burst if level is None else level.left + max(0.0, now - level.at) * rate.per_second
    left = min(rate.burst, left)
    if left >= 1:
        return Level(left - 1, now), 0.0
    return Level(left, now), (1 - left) / rate.per_second


def full(level: Level, rate: Rate, now: float) -> bool:
    """Whether nothing is left to be remembered."""
    return level.left + (now - level.at) * rate.per_second >= rate.burst
