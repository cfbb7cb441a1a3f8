"""Semantic versions of tags, and ranges over them: `>=1.2 <2`, `^1.4`, `~1.4.2`, `1.x`, `1.2 - 1.5`, `a || b`. Pure.

A leading `v` is allowed. Versions before release match only a range that names one itself (`>=2.0.0-0`), as in npm,
Helm and Flux.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from shared.errors import DocumentError

_VERSION = re.compile(r"[vV]?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_TERM = re.compile(
    r"(?P<op>[<>]=?|!=|=|\^|~>?)?\s*[vV]?(?P<major>\d{1,9}|[xX*])(?:\.(?P<minor>\d{1,9}|[xX*]))?(?:\.(?P<patch>\d{1,9}|[xX*]))?"
    r"(?:-(?P<pre>[0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")

Version = tuple[int, int, int, tuple[tuple[int, int, str], ...]]
"""major, minor, patch, and the identifiers before release; a release sorts after everything before it."""

_RELEASE: tuple[tuple[int, int, str], ...] = ((2, 0, ""),)
_LOWEST: tuple[tuple[int, int, str], ...] = ((-1, 0, ""),)


def is_range(text: str) -> bool:
    """Whether `text` asks for a range rather than naming one branch, tag or commit."""
    text = text.strip()
    if not any(mark in text for mark in "<>=^~* |") and not re.fullmatch(r"[vV]?\d+(\.\d+)?\.[xX]", text):
        return False
    try:
        _alternatives(text)
    except DocumentError:
        return False
    return True


def parse(text: str) -> Version | None:
    """A version, or None when `text` is not one. Missing parts are zero."""
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        return None
    major, minor, patch, before = found.groups()
    return int(major), int(minor or 0), int(patch or 0), _identifiers(before)


def best(wanted: str, tags: Iterable[str]) -> str | None:
    """The tag with the highest version in the range, None when there is none.

    Raises:
        DocumentError: `wanted` is not a range.
    """
    alternatives = _alternatives(wanted)
    found = [(version, tag) for tag in tags if (version := parse(tag)) is not None]
    matching = [(version, tag) for version, tag in found if any(_holds(terms, version) for terms in alternatives)]
    return max(matching)[1] if matching else None


def _identifiers(text: str | None) -> tuple[tuple[int, int, str], ...]:
    if not text:
        return _RELEASE
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split("."))


_Bound = tuple[str, Version]


def _alternatives(text: str) -> list[list[_Bound]]:
    return [_terms(part, text) for part in text.split("||")]


def _terms(part: str, whole: str) -> list[_Bound]:
    part = _HYPHEN.sub(r">=\1 <=\2", part.strip()).replace(",", " ")
    bounds: list[_Bound] = []
    at = 0
    while at < len(part):
        if part[at].isspace():
            at += 1
            continue
        found = _TERM.match(part, at)
        if found is None or (
            found.end() < len(part) and not part[found.end()].isspace() and part[found.end()] not in "<>=!^~"
        ):
            raise DocumentError(f"{whole!r} is not a version range", hint="for example '>=1.2 <2', '^1.4' or '1.x'")
        bounds.extend(_bounds(found))
        at = found.end()
    if not bounds:
        raise DocumentError(f"{whole!r} is not a version range")
    return bounds


def _bounds(term: re.Match[str]) -> list[_Bound]:
    operator = term["op"] or "="
    numbers = [int(term[name]) for name in ("major", "minor", "patch") if (term[name] or "x") not in "xX*"]
    if len(numbers) < 3 and (term["minor"] or "") and numbers and (term["minor"] in "xX*"):
        numbers = numbers[:1]
    low = _lowest(numbers, term["pre"])
    if operator in (">=", "<"):
        return [(operator, low)]
    if operator in (">", "<="):
        above = low if len(numbers) == 3 else _next(numbers)
        return [(operator, low)] if len(numbers) == 3 else [(">=" if operator == ">" else "<", above)]
    if operator == "!=":
        return [("!=", low)]
    if operator == "=" and len(numbers) == 3:
        return [("=", low)]
    if not numbers:
        return [(">=", (0, 0, 0, _LOWEST if term["pre"] else _RELEASE))]
    return [(">=", low), ("<", _next(_held(operator, numbers)))]


def _held(operator: str, numbers: list[int]) -> list[int]:
    """The leading numbers that a caret, tilde or partial version keeps."""
    if operator == "^":
        kept = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
        return numbers[: kept + 1]
    if operator.startswith("~"):
        return numbers[:2]
    return numbers


def _lowest(numbers: list[int], before: str | None) -> Version:
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch, _identifiers(before)


def _next(numbers: list[int]) -> Version:
    """The first version after all that begin with `numbers`, its own pre-releases included."""
    if not numbers:
        return (10**9, 0, 0, _RELEASE)
    major, minor, patch = (*numbers[:-1], numbers[-1] + 1, 0, 0, 0)[:3]
    return major, minor, patch, _LOWEST


def _holds(bounds: list[_Bound], version: Version) -> bool:
    before_release = version[3] != _RELEASE
    named = any(bound[:3] == version[:3] and bound[3] not in (_RELEASE, _LOWEST) for _, bound in bounds)
    zeroed = any(bound[3] == ((0, 0, ""),) for _, bound in bounds)
    if before_release and not named and not zeroed:
        return False
    return all(_compare(operator, version, bound) for operator, bound in bounds)


def _compare(operator: str, version: Version, bound: Version) -> bool:
    match operator:
        case ">=":
            return version >= bound
        case ">":
            return version > bound
        case "<":
            return version < bound
        case "<=":
            return version <= bound
        case "!=":
            return version != bound
        case _:
            return version == bound
