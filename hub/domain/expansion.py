"""`${name}` and what shells let follow the name: reading it in a text, and what it comes to.

    ${x}           the value                          ${x:-d} ${x:=d} ${x-d} ${x=d}   the value, or d when it is empty
    ${x^} ${x^^}   first letter, all letters upper    ${x#p} ${x##p}   without the shortest, longest p at the start
    ${x,} ${x,,}   lower                              ${x%p} ${x%%p}   … at the end
    ${x:2} ${x:2:3}   from the third character on, three characters    ${#x}   the length
    ${x/p/r} ${x//p/r} ${x/#p/r} ${x/%p/r}   p replaced once, everywhere, at the start, at the end

These are the forms that Flux knows (its envsubst), so that what was written for it means the same here. `$${x}` stands
for the text `${x}`. A default may hold references of its own. What else stands in braces is no reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${…}`. `text` is all of it, as written; `escaped` says that it is meant as text.

    `operator` is empty for the plain value, else one of the forms above without name and argument.
    """

    text: str
    name: str
    operator: str = ""
    argument: str = ""
    escaped: bool = False

    @property
    def has_default(self) -> bool:
        """Whether it says what to take in place of an empty value."""
        return self.operator in DEFAULTS


DEFAULTS = frozenset({":-", ":=", "-", "="})
MAX_NESTED = 20
"""References within defaults of references."""

_OPEN = re.compile(r"\$?\$\{")
_BODY = re.compile(
    r"(?P<length>#)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"(?:(?P<operator>:-|:=|:(?= ?-?\d)|-|=|\^\^|\^|,,|,|##|#|%%|%|//|/#|/%|/)(?P<argument>.*))?",
    re.DOTALL,
)
_SLICE = re.compile(r" ?(-?\d+)(?::(-?\d+))?")


def references(text: str) -> Iterator[str | Reference]:
    """A text cut into plain text and references, in order; together they are the text."""
    start = at = 0
    while (match := _OPEN.search(text, at)) is not None:
        end = _closing(text, match.end())
        found = _reference(text[match.start() : end], len(match[0])) if end else None
        if found is None:
            at = match.end()
            continue
        if start < match.start():
            yield text[start : match.start()]
        yield found
        start = at = end
    if start < len(text):
        yield text[start:]


def _closing(text: str, at: int) -> int:
    """The position after the brace that closes; 0 when none does."""
    depth = 1
    while at < len(text):
        if text[at] == "}":
            depth -= 1
            if not depth:
                return at + 1
        elif text.startswith("${", at):
            depth += 1
            at += 1
        at += 1
    return 0


def _reference(text: str, opening: int) -> Reference | None:
    match = _BODY.fullmatch(text[opening:-1])
    if match is None:
        return None
    operator, argument = match["operator"] or "", match["argument"] or ""
    if match["length"]:
        operator = "length"
    if (match["length"] and (match["operator"] or argument)) or (operator in ("^", "^^", ",", ",,") and argument):
        return None
    if operator == ":" and not _SLICE.fullmatch(argument):
        return None
    return Reference(text, match["name"], operator, argument, escaped=opening == len("$${"))


Expand = Callable[[str], str]
"""Puts in the references that stand in an argument."""


_CASES: Mapping[str, Expand] = {
    "^": lambda value: value[:1].upper() + value[1:],
    "^^": str.upper,
    ",": lambda value: value[:1].lower() + value[1:],
    ",,": str.lower,
}


def value_of(reference: Reference, value: str, expand: Expand) -> str:
    """What a reference comes to, given the variable's value."""
    operator, argument = reference.operator, reference.argument
    if operator in DEFAULTS:
        return value or expand(argument)
    if operator in _CASES:
        return _CASES[operator](value)
    match operator:
        case "":
            return value
        case "length":
            return str(len(value))
        case ":":
            return _slice(value, argument)
        case "#" | "##" | "%" | "%%":
            return _stripped(value, expand(argument), operator)
        case _:
            return _replaced(value, argument, operator, expand)


def _slice(value: str, argument: str) -> str:
    match = _SLICE.fullmatch(argument)
    if match is None:
        return value
    start = int(match[1])
    start = max(0, start + len(value)) if start < 0 else min(start, len(value))
    if match[2] is None:
        return value[start:]
    length = int(match[2])
    end = len(value) + length if length < 0 else start + length
    return value[start : max(start, end)]


def _stripped(value: str, pattern: str, operator: str) -> str:
    """The pattern knows `*`, `?` and `[…]`, and `*` crosses slashes."""
    regex = re.compile(_regex(pattern), re.DOTALL)
    lengths: range | list[int] = range(len(value) + 1)
    if len(operator) == 2:  # the longest
        lengths = list(reversed(lengths))
    for length in lengths:
        part = value[:length] if operator[0] == "#" else value[len(value) - length :]
        if regex.fullmatch(part):
            return value[length:] if operator[0] == "#" else value[: len(value) - length]
    return value


def _regex(pattern: str) -> str:
    made, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        closing = pattern.find("]", at + 2) if char == "[" else -1
        if char == "*":
            made.append(".*")
        elif char == "?":
            made.append(".")
        elif closing > 0:
            inner = pattern[at + 1 : closing].replace("\\", "\\\\")
            made.append(f"[{'^' + inner[1:] if inner.startswith('!') else inner}]")
            at = closing
        else:
            made.append(re.escape(char))
        at += 1
    return "".join(made)


def _replaced(value: str, argument: str, operator: str, expand: Expand) -> str:
    pattern, replacement = (expand(part) for part in _halves(argument))
    if operator == "/#":
        return f"{replacement}{value[len(pattern) :]}" if value.startswith(pattern) else value
    if operator == "/%":
        return f"{value[: len(value) - len(pattern)]}{replacement}" if value.endswith(pattern) else value
    if not pattern:
        return value
    return value.replace(pattern, replacement, 1 if operator == "/" else -1)


def _halves(argument: str) -> tuple[str, str]:
    """Pattern and replacement: the first slash that no backslash stands before is between them."""
    parts = re.split(r"(?<!\\)/", argument, maxsplit=1)
    pattern, replacement = (*parts, "")[:2]
    return pattern.replace("\\/", "/"), replacement.replace("\\/", "/")
