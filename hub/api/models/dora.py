"""Shapes of delivery figures."""

from __future__ import annotations

from hub.api.models.common import Shape, Time


class Spread(Shape):
    """Durations in seconds: of how many, the middle one, and the one that nine of ten do not exceed; null: none."""

    samples: int
    median: float | None
    p90: float | None


class Figures(Shape):
    """The four figures; null where there is nothing to work them out from. `failureRate` is of deployments, 0 to 1."""

    deployments: int
    per_day: float | None
    lead_time: Spread
    failures: int
    failure_rate: float | None
    recovery: Spread


class Week(Shape):
    """The figures of seven days; the first one may be shorter."""

    start: Time
    end: Time
    figures: Figures


class Row(Shape):
    """An application in an environment; with an empty one, on all its clusters. Rollouts are known from `since` on."""

    application: str
    environment: str
    since: Time
    figures: Figures


class Delivery(Shape):
    """Delivery figures, together and in parts.

    They are worked out from `rollouts` rollouts: the last twenty of each application. From `completeSince` on these are
    all that there were; a figure that reaches back further is of what is known.
    """

    start: Time
    end: Time
    complete_since: Time
    rollouts: int
    figures: Figures
    weeks: list[Week]
    rows: list[Row]
