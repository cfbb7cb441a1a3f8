"""Whether an environment takes changes now, until when that stays so, and what to tell people. Pure.

A freeze beats every window. Without windows an environment is open whenever it is not frozen.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from hub.domain.documents import EnvironmentSpec
from hub.domain.schedules import Freeze, Window, starts
from shared.model import Value

_MOST = 200
"""Times a window opens that are looked at to see how long it stays so: half a year of days, or three hours of minutes.
It takes a few milliseconds."""

_SOON = 300 * 86_400
"""Seconds. A moment that is further away is told with its year."""


class Opening(Value, frozen=True):
    """Whether changes may begin, and why not.

    `changes` is the unix time at which that becomes different, None: never. Where windows follow each other for very
    long without a gap, it is a time up to which it stays open, and at which to ask again. `reason` is for people, and
    empty while it is open.
    """

    open: bool
    changes: float | None
    reason: str = ""


def opening(spec: EnvironmentSpec, now: float, name: str = "") -> Opening:
    """What holds at `now`, in unix seconds. `name` is the environment's, for the reason."""
    is_open, changes = _at(spec, now)
    if is_open:
        return Opening(True, changes)
    while changes is not None:  # each round passes a freeze, or comes to a window
        is_open, later = _at(spec, changes)
        if is_open:
            break
        changes = later
    return Opening(False, changes, _reason(spec, now, changes, name))


def conditions(spec: EnvironmentSpec, now: float, name: str) -> tuple[str, ...]:
    """What a change of this environment waits for, in words: its windows, and freezes that are not over."""
    told = []
    if spec.windows:
        told.append(f"{name} is in a window ({', or '.join(map(str, spec.windows))})")
    told += [f"{name} is not frozen ({each})" for each in spec.freezes if each.end > now]
    found = opening(spec, now)
    if told and not found.open:
        told[-1] += f"; now it is {found.reason}"
    return tuple(told)


def _at(spec: EnvironmentSpec, at: float) -> tuple[bool, float | None]:
    """Whether it is open at a moment, and a later moment up to which nothing changes about that."""
    freeze = _freeze(spec.freezes, at)
    if freeze is not None:
        return False, freeze.end
    is_open, until = _in_window(spec.windows, at)
    if is_open:
        ends = [until, *(each.begin for each in spec.freezes if each.begin > at)]
        until = min((each for each in ends if each is not None), default=None)
    return is_open, until


def _freeze(freezes: Sequence[Freeze], at: float) -> Freeze | None:
    """Of the freezes at a moment the one that ends last."""
    return max((each for each in freezes if each.begin <= at < each.end), key=lambda each: each.end, default=None)


def _in_window(windows: Sequence[Window], at: float) -> tuple[bool, float | None]:
    """Whether a window is open at a moment, and until when it stays so: windows that overlap or meet are one."""
    if not windows:
        return True, None
    end = at
    spans = heapq.merge(*(_spans(each, at) for each in windows))
    for number, (start, stop) in enumerate(spans):
        if start > end:
            return (True, end) if end > at else (False, start)
        end = max(end, stop)
        if number == _MOST:
            break
    return (True, end) if end > at else (False, None)


def _spans(window: Window, at: float) -> Iterator[tuple[float, float]]:
    """When a window opens and closes, from the earliest time that is not over at a moment."""
    for start in starts(window, at - window.for_):
        yield start, start + window.for_


def _reason(spec: EnvironmentSpec, now: float, changes: float | None, name: str) -> str:
    freeze = _freeze(spec.freezes, now)
    if freeze is not None:
        told = f"frozen until {_told(freeze.end, now, freeze.timezone)}"
        return f"{told}: {freeze.reason}" if freeze.reason else told
    where = f"outside the window{'s' if len(spec.windows) > 1 else ''}{f' of {name}' if name else ''}"
    if changes is None:
        return f"{where}, and never in one again"
    (zone, *_) = [each.timezone for each in spec.windows if _in_window((each,), changes)[0]]
    return f"{where}: opens {_told(changes, now, zone)}"


def _told(at: float, now: float, zone: str) -> str:
    """`Mon 30 Nov 22:00 Europe/Madrid`."""
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    year = f" {local.year}" if at - now > _SOON else ""
    return f"{local:%a} {local.day} {local:%b}{year} {local:%H:%M} {zone}"
