"""`.helmignore`: which files of a chart's directory are not part of the chart. Pure.

The rules are Helm's, not Git's: the first that matches decides; a pattern without a slash is about the name alone; a
rule with `!` takes everything that it does *not* match; `**` does not exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.errors import DocumentError
from shared.model import Place

NAME = ".helmignore"

_ALWAYS = "templates/.?*"
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    whole: bool
    """About the whole path, not the name alone."""
    directories: bool
    unless: bool

    def matches(self, path: str) -> bool:
        return self.pattern.fullmatch(path if self.whole else path.rpartition("/")[2]) is not None


class Ignored:
    """The rules of one chart."""

    def __init__(self, text: str = "", file: str = NAME) -> None:
        """`file` is what errors call it.

        Raises:
            DocumentError: Helm would not take a line of it.
        """
        self._rules: list[_Rule] = []
        for number, line in enumerate(text.removeprefix(_BOM).splitlines(), 1):
            self._add(line, Place(file, number))
        self._add(_ALWAYS, Place(file))

    def ignores(self, path: str, *, directory: bool) -> bool:
        """Whether a file, or a directory with everything below it, is left out. `path` is below the chart's."""
        for rule in self._rules:
            wrong_kind = rule.directories and not directory
            if rule.unless:
                if wrong_kind or not rule.matches(path):
                    return True
            elif not wrong_kind and rule.matches(path):
                return True
        return False

    def _add(self, line: str, place: Place) -> None:
        text = line.strip()
        if not text or text.startswith("#"):
            return
        if "**" in text:
            raise DocumentError("** is not a pattern of Helm's", place, "write a line for each depth")
        unless, text = text.startswith("!"), text.removeprefix("!")
        directories, text = text.endswith("/"), text.removesuffix("/")
        whole, text = "/" in text, text.removeprefix("/")
        self._rules.append(_Rule(_compiled(text, place), whole, directories, unless))


def _compiled(pattern: str, place: Place) -> re.Pattern[str]:
    """A pattern of Go's filepath.Match: `*` and `?` stop at a slash, `[a-c]` and `[^a]`, backslash quotes."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "[":
            end = pattern.find("]", at + 2)
            if end < 0:
                raise DocumentError(f"the pattern {pattern!r} has a [ without its ]", place)
            body = pattern[at + 1 : end].replace("[", r"\[")
            parts.append(f"(?!/)[{body}]")
            at = end
        elif char == "\\":
            at += 1
            parts.append(re.escape(pattern[at : at + 1]))
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)))
        at += 1
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise DocumentError(f"the pattern {pattern!r} cannot be read: {error}", place) from None
