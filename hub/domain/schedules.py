"""When an environment takes changes: the parts of a document that say so, and the moments they mean. Pure.

Times are those of the clock in a time zone, and that clock jumps. A time that it skips counts as the first moment after
the gap. A time that it shows twice counts the first time, as it does for cron; but a line that runs all the time (its
minute or its hour begins with `*`) starts in both.
"""

from __future__ import annotations

import difflib
import functools
import heapq
import re
import zoneinfo
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from hub.domain.fields import Duration, Mistake, Model, written_duration

_ANY_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - a day on a calendar
"""Lines are tried from here on: whether one ever fires does not depend on when one asks."""

_LONGEST_REPEAT = timedelta(hours=3)
"""More than any clock is ever put back."""

_DAY = re.compile(r"2\d{3}-\d\d-\d\d")
_MOMENT = re.compile(rf"{_DAY.pattern}([T ]\d\d:\d\d(:\d\d)?)?")
_LINE = re.compile(r"(\S+\s+){4}\S+")


def _cron(line: str) -> str:
    fields = line.split()
    if not _LINE.fullmatch(line.strip()):
        hint = "write minute, hour, day, month and weekday, like 0 22 * * 1-4"
        raise Mistake(f"{line!r} is not a cron line: it has {len(fields)} fields and not five", hint)
    wrong = _trouble(line)
    minute, hour, day, month, weekday = fields
    if wrong and not _trouble(f"{minute} {hour} {day} * *") and not _trouble(f"* * * {month} {weekday}"):
        hint = "is there such a day in that month? Days and weekdays both have to fit if one begins with `*`"
        raise Mistake(f"the cron line {line!r} never fires", hint)
    if wrong:
        hint = "fields are minute 0-59, hour 0-23, day 1-31, month 1-12 and weekday 0-7, like 0 22 * * 1-4"
        raise Mistake(f"{line!r} is not a cron line: {wrong}", hint)
    return line


def _trouble(line: str) -> str:
    """What is wrong with a cron line, in a few words; empty if it ever fires."""
    try:
        next(CronSim(line, _ANY_DAY))
    except CronSimError as error:
        return str(error).lower()
    except StopIteration:
        return "never fires"
    return ""


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _zone(name: str) -> str:
    if name == "UTC" or name in _zones():
        return name
    folded = {each.casefold(): each for each in _zones()}
    places = {each.rpartition("/")[2].casefold(): each for each in _zones()}
    known = folded | places
    close = difflib.get_close_matches(name.replace(" ", "_").casefold(), known, 1, 0.7)
    hint = f"did you mean {known[close[0]]!r}?" if close else "write it like Europe/Madrid; without one it is UTC"
    raise Mistake(f"there is no time zone {name!r}", hint)


TimeZone = Annotated[str, AfterValidator(_zone)]
"""A name of the IANA time zone database."""


def _moment(text: str) -> str:
    hint = "write a day like 2026-12-20, or a day and a time of its time zone like 2026-12-20T18:00"
    if not _MOMENT.fullmatch(text):
        raise Mistake(f"{text!r} is neither a day nor a time", hint)
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise Mistake(f"{text!r} is no day of the calendar, or no time of the clock: {error}", hint) from None
    return text


Moment = Annotated[str, AfterValidator(_moment), WithJsonSchema({"type": "string", "pattern": f"^{_MOMENT.pattern}$"})]
"""A day, or a day and a time, by the clock of a time zone that is given elsewhere."""


class Window(Model):
    """When an environment takes changes: from each time of the cron line `allow`, for so long by the stopwatch."""

    allow: Annotated[
        str, AfterValidator(_cron), WithJsonSchema({"type": "string", "pattern": f"^\\s*{_LINE.pattern}\\s*$"})
    ]
    for_: Annotated[Duration, Field(alias="for")]
    timezone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _lasts(self) -> Window:
        if self.for_ <= 0:
            raise Mistake("a window of no length is never open", "say how long: `for: 4h`")
        return self

    def __str__(self) -> str:
        return f"{self.allow} for {written_duration(self.for_)} {self.timezone}"


class Freeze(Model):
    """When an environment takes no changes, whatever its windows say.

    A day in `to` is the last one of the freeze; a time in it is when the freeze is over.
    """

    from_: Annotated[Moment, Field(alias="from")]
    to: Moment
    timezone: TimeZone = "UTC"
    reason: str = ""

    @model_validator(mode="after")
    def _not_empty(self) -> Freeze:
        if self.end <= self.begin:
            raise Mistake(f"the freeze is empty: it begins {self.from_} and ends {self.to}", "is `to` after `from`?")
        return self

    @property
    def begin(self) -> float:
        """Its first moment, in unix seconds."""
        return _instants(datetime.fromisoformat(self.from_), zoneinfo.ZoneInfo(self.timezone))[0]

    @property
    def end(self) -> float:
        """The first moment after it, in unix seconds."""
        zone, to = zoneinfo.ZoneInfo(self.timezone), datetime.fromisoformat(self.to)
        if _DAY.fullmatch(self.to):
            return _instants(to + timedelta(days=1), zone)[0]
        return _instants(to, zone)[1]

    def __str__(self) -> str:
        said = f"{self.from_} to {self.to} {self.timezone}"
        return f"{said}: {self.reason}" if self.reason else said


def starts(window: Window, after: float) -> Iterator[float]:
    """The moments after `after` at which a window opens, in order and without end; unix seconds."""
    zone = zoneinfo.ZoneInfo(window.timezone)
    begin = datetime.fromtimestamp(after, zone).replace(tzinfo=None) - _LONGEST_REPEAT
    first = (_instants(local, zone)[0] for local in CronSim(window.allow, begin))
    last = (_instants(local, zone)[1] for local in CronSim(window.allow, begin))
    minute, hour = window.allow.split()[:2]
    running = minute.startswith("*") or hour.startswith("*")
    seen = after
    for moment in heapq.merge(first, last) if running else first:
        if moment > seen:
            seen = moment
            yield moment


def _instants(local: datetime, zone: zoneinfo.ZoneInfo) -> tuple[float, float]:
    """The first and the last moment at which the clock of a zone shows a time, in unix seconds."""
    first, last = local.replace(tzinfo=zone), local.replace(tzinfo=zone, fold=1)
    if last.timestamp() < first.timestamp():  # skipped (PEP 495): the first minute that is not
        local = local.replace(second=0)
        while (last := local.replace(tzinfo=zone, fold=1)).timestamp() < local.replace(tzinfo=zone).timestamp():
            local += timedelta(minutes=1)
        return last.timestamp(), last.timestamp()
    return first.timestamp(), last.timestamp()
