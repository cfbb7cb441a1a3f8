"""Patterns over paths in a repository: `*` and `?` stay inside one name, `**` crosses directories. Pure.

As in a shell, wild cards do not match names that begin with a dot: hidden things are meant only where a pattern spells
them out.
"""

from __future__ import annotations

import re
from functools import lru_cache

ANY_DEPTH = "**"
"""A step of a pattern that stands for any number of directories, also for none."""

_BELOW = r"(?!\.)[^/]+(?:/(?!\.)[^/]+)*"
_CHARACTERS = {"*": "[^/]*", "?": "[^/]"}


@lru_cache(maxsize=4096)
def loose(pattern: str) -> re.Pattern[str]:
    """Matches whole paths as an exclusion does.

    A pattern without a slash is for a name at any depth, and one that names a directory stands for all below it.
    """
    text = pattern.removeprefix("./").strip("/")
    anchored = "/" in pattern.removeprefix("./").rstrip("/")
    prefix = "" if anchored else f"(?:{_BELOW}/)?"
    return re.compile(rf"{prefix}{_body(text)}(?:/{_BELOW})?\Z", re.DOTALL)


@lru_cache(maxsize=4096)
def exact(pattern: str) -> re.Pattern[str]:
    """Matches whole paths from the root, and nothing below what the pattern names."""
    return re.compile(rf"{_body(pattern)}\Z", re.DOTALL)


@lru_cache(maxsize=4096)
def step(pattern: str) -> re.Pattern[str]:
    """Matches names by one step of a pattern that is not `**`."""
    return re.compile(rf"{_step(pattern)}\Z", re.DOTALL)


def is_wild(name: str) -> bool:
    """Whether a step of a pattern means other names than its own."""
    return "*" in name or "?" in name


def is_hidden(name: str) -> bool:
    """Whether no wild card means this name."""
    return name.startswith(".")


def _body(text: str) -> str:
    body = "/".join(map(_step, text.split("/")))
    # `**/` may stand for no directory at all.
    return body.replace(f"{_BELOW}/", f"(?:{_BELOW}/)?")


def _step(text: str) -> str:
    if text == ANY_DEPTH:
        return _BELOW
    guard = r"(?!\.)" if text[:1] in ("*", "?") else ""
    return guard + "".join(_CHARACTERS.get(char) or re.escape(char) for char in text)
