"""`${item.…}` in the template of a set: what an item's values are put in as. Pure.

`${item.name}` names a value of the item, `${item.labels.region}` one in a map of it, `${item.segments.1}` one in a
list, counted from 0; a key with dots in it (`${item.labels.topology.kubernetes.io/zone}`) is found as well. As with
variables, a value of the template that is one reference and nothing else, written without quotes, becomes what the item
has, be it a number or a map; in quotes it is a string. `${item.tier:-basic}` has a default for items without a value,
and `$${item.name}` is the text `${item.name}`. Anything else in `${…}` is a variable of the render, and stays.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.domain.listing import Fields
from hub.domain.scalars import Unquoted, resolve
from hub.domain.yamldoc import child_path

_REFERENCE = re.compile(r"(?P<escape>\$)?\$\{item\.(?P<path>[^{}]*?)(?::-(?P<default>[^{}]*))?\}")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong at a field, given as a path from the top of what is filled in."""

    field: str
    message: str
    hint: str = ""


def fill(value: Any, item: Fields) -> tuple[Any, tuple[Complaint, ...]]:
    """The value with everything of the item put in. Not changed itself; parts without references are shared."""
    filling = _Filling(item)
    return filling.value(value), tuple(filling.complaints)


def is_reference(text: str) -> bool:
    """Whether a text is one reference and nothing else."""
    match = _REFERENCE.fullmatch(text)
    return match is not None and not match["escape"]


def shape_of(text: str) -> re.Pattern[str]:
    """Matches whatever a text can come to."""
    parts, end = [], 0
    for match in _REFERENCE.finditer(text):
        if not match["escape"]:
            parts.append(re.escape(text[end : match.start()]) + ".*")
            end = match.end()
    return re.compile("".join(parts) + re.escape(text[end:]), re.DOTALL)


class _Unknown(LookupError):
    """The item has no such value; the message says what it has."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class _Filling:
    """One pass over a template. It recurses: the reader of YAML limits depth."""

    def __init__(self, item: Fields) -> None:
        self.complaints: list[Complaint] = []
        self._item = item
        self._path: list[str | int] = []

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._string(value) if "${item." in value else value
        if isinstance(value, dict):
            return self._map(value)
        if isinstance(value, list):
            return [self._at(number, inner) for number, inner in enumerate(value)]
        return value

    def _map(self, value: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, inner in value.items():
            new = self._text(key) if "${item." in key else key
            if new in result:
                self._complain(f"two keys are called {new!r} once the item is filled in")
            result[new] = self._at(key, inner)
        return result

    def _at(self, step: str | int, inner: Any) -> Any:
        self._path.append(step)
        filled = self.value(inner)
        self._path.pop()
        return filled

    def _string(self, text: str) -> Any:
        match = _REFERENCE.fullmatch(text) if isinstance(text, Unquoted) else None
        if match is None or match["escape"]:
            return self._text(text)
        default = match["default"]
        value = self._looked_up(match)
        return resolve(default) if default is not None and value in (None, "") else value

    def _text(self, text: str) -> str:
        return _REFERENCE.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        if match["escape"]:
            return match[0][1:]
        value = self._looked_up(match)
        if isinstance(value, dict | list):
            what = "map" if isinstance(value, dict) else "list"
            hint = "a field of its own without quotes can take it whole"
            self._complain(f"${{item.{match['path']}}} is a {what}, and cannot be part of a text", hint)
            return ""
        if value in (None, ""):
            return match["default"] or ""
        return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)

    def _looked_up(self, match: re.Match[str]) -> Any:
        """The value; None when there is none and a default stands in for it, or when that is an error."""
        try:
            return value_at(self._item, match["path"])
        except _Unknown as unknown:
            if match["default"] is None:
                self._complain(str(unknown), unknown.hint)
            return None

    def _complain(self, message: str, hint: str = "") -> None:
        field = ""
        for step in self._path:
            field = child_path(field, step)
        self.complaints.append(Complaint(field, message, hint))


def value_at(item: Fields, path: str) -> Any:
    """What an item has at a path.

    Raises:
        LookupError: nothing is there.
    """
    steps, at = path.split("."), 0
    value: Any = item
    while at < len(steps):
        ends = range(len(steps), at, -1) if isinstance(value, Mapping) else range(at + 1, at, -1)
        for end in ends:
            found, inner = _child(value, ".".join(steps[at:end]))
            if found:
                value, at = inner, end
                break
        else:
            raise _unknown(value, steps, at)
    return value


def _child(value: Any, step: str) -> tuple[bool, Any]:
    if isinstance(value, Mapping) and step in value:
        return True, value[step]
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return True, value[int(step)]
    return False, None


def _unknown(value: Any, steps: list[str], at: int) -> _Unknown:
    written, above = ".".join(["item", *steps]), ".".join(["item", *steps[:at]])
    if isinstance(value, Mapping):
        near = difflib.get_close_matches(steps[at], value, n=1)
        known = ", ".join(list(map(str, value))[:10]) or "nothing"
        hint = f"did you mean ${{{'.'.join([above, near[0], *steps[at + 1 :]])}}}?" if near else f"it has {known}"
    else:
        hint = f"{above} is a list of {len(value)}" if isinstance(value, list) else f"{above} is no map"
    return _Unknown(f"the item has no value ${{{written}}}", hint)
