"""What a check measured, whether that is good, and since when it has been. Pure.

A measurement is good, bad, or none at all: a server that is away, a query without data and a NaN say nothing of the
application. Silence is never green, so that such a measurement ends the time for which a check has held; and it is
never red either, so that a monitoring system that is down fails no rollout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from hub.domain.checking import Check
from shared.model import Value

_QUOTED = 300
"""Characters of somebody else's text that are shown."""
_MISSED = 3
_PATIENT = 60.0
"""Intervals, and at the least seconds, without a measurement after which nobody can say what was in between."""


class Measurement(Value, frozen=True, omit_defaults=True):
    """One look. `ok` None: it could not be measured, `detail` says why. `at` is in unix seconds.

    `value` is what was measured, fit for a table; with several series, that of the one nearest to its limit or
    furthest beyond it.
    """

    ok: bool | None
    value: str
    detail: str
    at: float


class Standing(Value, frozen=True, omit_defaults=True):
    """How a check has fared. Times are those of measurements, in unix seconds.

    `since` is the first of the unbroken line of good ones that `last` ends, `failed_since` the first of the line of bad
    ones; None where `last` is of another kind.
    """

    since: float | None = None
    failed_since: float | None = None
    last: Measurement | None = None


def held(previous: Standing, measurement: Measurement, now: float, gap: float = math.inf) -> Standing:
    """The standing with one more measurement; a repeated or late one changes nothing.

    Where the last one is from the future the clock was put back, and the holding begins anew.

    Args:
        previous: before it.
        measurement: newer than the last, or it is left out.
        now: no measurement is from later than this, whatever the clock that took it says.
        gap: seconds between two measurements beyond which the time in between does not count: `patience`.
    """
    if previous.last is not None and previous.last.at > now:
        previous = Standing()
    at, last = min(measurement.at, now), previous.last
    if last is not None and at <= last.at:
        return previous
    measurement = msgspec.structs.replace(measurement, at=at)
    if measurement.ok is None:
        return Standing(last=measurement)
    near = last is not None and at - last.at <= gap
    begun = previous.since if measurement.ok else previous.failed_since
    first = begun if near and begun is not None else at
    return Standing(since=first, last=measurement) if measurement.ok else Standing(failed_since=first, last=measurement)


def patience(check: Check) -> float:
    """Seconds that may pass between two measurements of a check before what they say is no unbroken line."""
    return max(_MISSED * check.interval, _PATIENT)


def lasted(standing: Standing) -> float:
    """Seconds from the first to the last of an unbroken line of equal measurements: since then nobody has looked."""
    first = standing.since if standing.since is not None else standing.failed_since
    return standing.last.at - first if standing.last is not None and first is not None else 0.0


def fulfilled(check: Check, standing: Standing) -> bool:
    """Whether a check has held for its time."""
    return standing.since is not None and lasted(standing) >= check.for_


def judge_http(check: Check, status: int, body: bytes, at: float) -> Measurement:
    """What an answer to an HTTP check means. `body` matters where the check says what it contains."""
    if status != check.expected:
        return Measurement(ok=False, value=str(status), detail=f"answers {status}, not {check.expected}", at=at)
    if check.contains and check.contains not in body.decode(errors="replace"):
        # The answer itself is not shown: it may hold what is not for everybody who may see a rollout.
        return Measurement(ok=False, value=str(status), detail=f"the answer does not contain {check.contains!r}", at=at)
    return Measurement(ok=True, value=str(status), detail="", at=at)


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815 - Prometheus' own name
    result: Any


class _Answer(msgspec.Struct, rename="camel"):
    """The envelope of Prometheus' HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

    status: str
    data: _Data | None = None
    error_type: str = ""
    error: str = ""
    warnings: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Series:
    """A number, and the labels of what it is about; none for a scalar."""

    value: float
    labels: str = ""


class _Unusable(Exception):
    """The answer holds no numbers."""


def judge_prometheus(check: Check, status: int, body: bytes, at: float) -> Measurement:
    """What an answer to an instant query means: every series must be within the limits, and there must be one."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Measurement(ok=None, value="", detail=_no_prometheus(status), at=at)
    try:
        series = list(_series(answer))
    except _Unusable as error:
        return Measurement(ok=None, value="", detail=str(error), at=at)
    measurement = _judge_series(check, series, at)
    if measurement.ok and answer.warnings:
        # A part of the data may be missing, and with it the part that is bad.
        detail = f"not certain, as Prometheus warns: {_quoted('; '.join(answer.warnings))}"
        return msgspec.structs.replace(measurement, ok=None, detail=detail)
    return measurement


def _no_prometheus(status: int) -> str:
    if status in (401, 403):
        return f"answers {status}: an operator sets credentials for its host in checks.access"
    hint = "" if status >= 500 else ": is this the address of Prometheus, without /api/v1?"
    return f"answers {status}, and not as Prometheus does{hint}"


def _series(answer: _Answer) -> Iterator[_Series]:
    """The numbers of an answer.

    Raises:
        _Unusable: it holds something else.
    """
    if answer.status != "success" or answer.data is None:
        raise _Unusable(f"Prometheus refuses the query: {_quoted(f'{answer.error_type}: {answer.error}')}")
    kind, result = answer.data.resultType, answer.data.result
    try:
        if kind == "scalar":
            yield _Series(_number(result))
        elif kind == "vector":
            yield from (_Series(_number(each["value"]), _labels(each["metric"])) for each in result)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise _Unusable("some of what the query gives is no number: histograms need a function around them") from None
    if kind not in ("scalar", "vector"):
        raise _Unusable(f"the query gives a {kind}: write one that gives numbers of one moment, such as rate(…[5m])")


def _number(sample: Any) -> float:
    """A sample is [unix seconds, "the number as text"]."""
    _, text = sample
    return float(text)


def _labels(metric: dict[str, str]) -> str:
    shown = ", ".join(f'{name}="{value}"' for name, value in sorted(metric.items()) if name != "__name__")
    return f"{metric.get('__name__', '')}{{{_quoted(shown)}}}"


def _judge_series(check: Check, series: list[_Series], at: float) -> Measurement:
    if not series:
        return Measurement(ok=None, value="", detail="no data: the query matches no series", at=at)
    numbers = [each for each in series if not math.isnan(each.value)]
    if not numbers:
        return Measurement(ok=None, value="NaN", detail="not a number: has there been any traffic?", at=at)
    worst = min(numbers, key=lambda each: _margin(check, each.value))
    value = f"{worst.value:.6g}"
    bad = sum(not _within(check, each.value) for each in numbers)
    if bad:
        about = f" at {worst.labels}" if worst.labels else ""
        of = f" ({bad} of {len(series)} series)" if len(series) > 1 else ""
        return Measurement(ok=False, value=value, detail=f"{value}{about} is not {limits(check)}{of}", at=at)
    if len(numbers) < len(series):
        strange = next(each for each in series if math.isnan(each.value))
        return Measurement(ok=None, value=value, detail=f"not a number at {strange.labels}", at=at)
    return Measurement(ok=True, value=value, detail="", at=at)


def limits(check: Check) -> str:
    """`below 0.01`, `above 3` or both, in words."""
    parts = (("above", check.above), ("below", check.below))
    return " and ".join(f"{word} {limit:g}" for word, limit in parts if limit is not None)


def _within(check: Check, value: float) -> bool:
    return (check.below is None or value < check.below) and (check.above is None or value > check.above)


def _margin(check: Check, value: float) -> float:
    """How far a number is within the limits; negative beyond them."""
    below = math.inf if check.below is None else check.below - value
    above = math.inf if check.above is None else value - check.above
    return min(below, above)


def _quoted(text: str) -> str:
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"
