"""Semantic versions, and ranges over them: `>=1.2 <2`, `^1.4`, `~1.4.2`, `1.x`, `1.2 - 1.5`, `a || b`. Pure.

The rules are those of Masterminds/semver 3, which Helm and Flux use, oddities included (`~0.0.0` takes everything), so
that a range means here what it means there. Terms between `||` hold together; they are separated by spaces or commas.
A version before release matches only where a term of its alternative names one (`>=2.0.0-0 <3`). A leading `v` is
allowed everywhere.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import DocumentError

Version = tuple[int, int, int, tuple[tuple[int, int, str], ...]]
"""major, minor, patch, and the identifiers before release; a release sorts after everything before it."""

_RELEASE: tuple[tuple[int, int, str], ...] = ((2, 0, ""),)
_LOWEST: tuple[tuple[int, int, str], ...] = ((-1, 0, ""),)

_SUFFIX = r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_NUMBER = r"\d{1,19}"
_PART = rf"{_NUMBER}|[xX*]"
_VERSION = re.compile(rf"[vV]?({_NUMBER})(?:\.({_NUMBER}))?(?:\.({_NUMBER}))?{_SUFFIX}")
_TERM = re.compile(
    r"(?P<op>=>|=<|>=|<=|!=|~>|[<>=~^])?\s*"
    rf"[vV]?(?P<major>{_PART})(?:\.(?P<minor>{_PART}))?(?:\.(?P<patch>{_PART}))?{_SUFFIX}"
)
_BETWEEN = re.compile(r"\s*,\s*|\s+")
_HYPHEN = re.compile(r"([^\s,|]+)\s+-\s+([^\s,|]+)")
_LONGEST = 1000
"""Characters of a range; nobody means more."""


@dataclass(frozen=True, slots=True)
class _Term:
    """One comparison. `numbers` are those given, at most three; missing ones and wildcards end it."""

    operator: str
    numbers: tuple[int, ...]
    before: str

    @property
    def low(self) -> Version:
        """The version it names, missing numbers zero."""
        major, minor, patch = (*self.numbers, 0, 0, 0)[:3]
        return major, minor, patch, _identifiers(self.before)

    def holds(self, version: Version) -> bool:
        """Whether a version is within it; versions before release have been sorted out already."""
        match self.operator:
            case ">=":
                return version >= self.low
            case "<":
                return version < self.low
            case ">":
                return version > self.low if len(self.numbers) in (0, 3) else version >= _after(self.numbers)
            case "<=":
                return version <= self.low if len(self.numbers) == 3 else version < _after(self.numbers or (0, 0))
            case "!=":
                return not self._is(version)
            case "^":
                return self.low <= version < _after(self._kept_by_caret())
            case "=" if len(self.numbers) == 3:
                return version == self.low
            case _:
                return version >= self.low and (self._any() or version < _after(self.numbers[:2]))

    def _is(self, version: Version) -> bool:
        if len(self.numbers) in (0, 3):
            return version == self.low
        same = version[: len(self.numbers)] == self.numbers
        # As it is there: of `!=1.2` the identifiers before release have to be equal too, of `!=1` not.
        return same and (len(self.numbers) == 1 or version[3] == _identifiers(self.before))

    def _any(self) -> bool:
        """A tilde before nothing but zeros, or a wildcard alone, has no upper end."""
        return self.numbers in ((), (0, 0, 0))

    def _kept_by_caret(self) -> tuple[int, ...]:
        """The leading numbers that may not change: up to the first that is not zero."""
        kept = next((at for at, number in enumerate(self.numbers) if number), len(self.numbers) - 1)
        return self.numbers[: kept + 1] or (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Range:
    """A set of versions."""

    text: str
    _alternatives: tuple[tuple[_Term, ...], ...]

    def holds(self, version: Version) -> bool:
        """Whether `version` is in it."""
        before_release = version[3] != _RELEASE
        return any(
            all(term.holds(version) for term in terms)
            for terms in self._alternatives
            if not before_release or any(term.before for term in terms)
        )


@functools.lru_cache(4096)
def parse_range(text: str) -> Range:
    """Read a range.

    Raises:
        DocumentError: it is none.
    """
    if len(text) > _LONGEST:
        raise DocumentError(f"a version range of {len(text)} characters")
    return Range(text, tuple(_terms(part, text) for part in _HYPHEN.sub(r">=\1, <=\2 ", text).split("||")))


def is_range(text: str) -> bool:
    """Whether `text` asks for a range rather than naming one branch, tag or commit."""
    text = text.strip()
    if not any(mark in text for mark in "<>=^~* |") and not re.fullmatch(r"[vV]?\d+(\.\d+)?\.[xX]", text):
        return False
    try:
        parse_range(text)
    except DocumentError:
        return False
    return True


def parse(text: str) -> Version | None:
    """A version, or None when `text` is not one. Missing parts are zero."""
    found = _VERSION.fullmatch(text.strip())
    if found is None or not _is_before_release(found["pre"] or "x"):
        return None
    return int(found[1]), int(found[2] or 0), int(found[3] or 0), _identifiers(found["pre"] or "")


def best(wanted: str, tags: Iterable[str]) -> str | None:
    """The tag with the highest version in the range, None when there is none.

    Raises:
        DocumentError: `wanted` is not a range.
    """
    asked = parse_range(wanted)
    found = [(version, tag) for tag in tags if (version := parse(tag)) is not None and asked.holds(version)]
    return max(found)[1] if found else None


def _terms(part: str, whole: str) -> tuple[_Term, ...]:
    terms: list[_Term] = []
    at = len(part) - len(part.lstrip())
    end = len(part.rstrip())
    while not terms or at < end:
        if terms:
            between = _BETWEEN.match(part, at)
            at = between.end() if between is not None else end
        found = _TERM.match(part, at, end)
        if found is None:
            raise DocumentError(f"{whole!r} is not a version range", hint="for example '>=1.2 <2', '^1.4' or '1.x'")
        terms.append(_term(found))
        at = found.end()
    return tuple(terms)


def _term(found: re.Match[str]) -> _Term:
    operator = {"=>": ">=", "=<": "<=", "~>": "~"}.get(found["op"] or "=", found["op"] or "=")
    numbers: list[int] = []
    for name in ("major", "minor", "patch"):
        if (found[name] or "x") in "xX*":
            break
        numbers.append(int(found[name]))
    return _Term(operator, tuple(numbers), found["pre"] or "")


def _is_before_release(text: str) -> bool:
    return not any(len(part) > 1 and part.isdigit() and part[0] == "0" for part in text.split("."))


def _identifiers(text: str) -> tuple[tuple[int, int, str], ...]:
    if not text:
        return _RELEASE
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split("."))


def _after(numbers: tuple[int, ...]) -> Version:
    """The first version after all that begin with `numbers`, its own pre-releases included."""
    major, minor, patch = (*numbers[:-1], numbers[-1] + 1, 0, 0, 0)[:3]
    return major, minor, patch, _LOWEST
