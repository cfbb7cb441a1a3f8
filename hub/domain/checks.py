"""Checks over time. Pure."""

from __future__ import annotations

from shared.model import Value


class Measurement(Value, frozen=True, omit_defaults=True):
    """One measurement. `ok` None: it could not be measured."""

    ok: bool | None
    value: str = ""
    detail: str = ""
    at: float = 0.0


class Standing(Value, frozen=True, omit_defaults=True):
    """Since when a check has held without interruption."""

    since: float | None = None
    failed_since: float | None = None
    last: Measurement | None = None


def held(previous: Standing, measurement: Measurement, now: float) -> Standing:
    """The standing after one more measurement."""
    since = (previous.since if previous.since is not None else now) if measurement.ok else None
    failed = None
    if measurement.ok is False:
        failed = previous.failed_since if previous.failed_since is not None else now
    return Standing(since, failed, measurement)
