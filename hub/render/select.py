"""Which files of a directory are manifests: by name alone, so that others need not even be read. Pure.

Patterns are relative to the application's path: `*` and `?` stay inside one name, `**` crosses directories, a pattern
without a slash is for a name at any depth, and one that names a directory stands for all below it. As in a shell, wild
cards do not match names that begin with a dot, so hidden files are manifests only where a pattern spells them out.
"""

from __future__ import annotations

import re
from functools import lru_cache

from hub.render.job import Selection

SUFFIXES = (".yaml", ".yml", ".json", ".jsonnet")
KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
CHART = "Chart.yaml"


def is_marker(path: str) -> bool:
    """Whether the file says that its directory is not plain YAML but a kustomization or a chart."""
    name = path.rpartition("/")[2]
    return name in KUSTOMIZATIONS or name == CHART


def is_selected(path: str, selection: Selection) -> bool:
    """Whether the file at `path` is to be read."""
    if not selection.recurse and "/" in path:
        return False
    if any(_pattern(pattern).match(path) for pattern in selection.exclude):
        return False
    if is_marker(path):
        return not _hidden(path)
    if not path.endswith(SUFFIXES):
        return False
    if selection.include:
        return any(_pattern(pattern).match(path) for pattern in selection.include)
    return not _hidden(path)


def _hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    text = pattern.removeprefix("./").strip("/")
    anchored = "/" in pattern.removeprefix("./").rstrip("/")
    body = "/".join(_segment(segment) for segment in text.split("/"))
    # `**/` may stand for no directory at all.
    body = body.replace(_ANY_DEPTH + "/", f"(?:{_ANY_DEPTH}/)?")
    prefix = "" if anchored else f"(?:{_ANY_DEPTH}/)?"
    return re.compile(rf"{prefix}{body}(?:/{_ANY_DEPTH})?\Z", re.DOTALL)


_ANY_DEPTH = r"(?!\.)[^/]+(?:/(?!\.)[^/]+)*"
_CHARACTERS = {"*": "[^/]*", "?": "[^/]"}


def _segment(segment: str) -> str:
    if segment == "**":
        return _ANY_DEPTH
    guard = r"(?!\.)" if segment[:1] in ("*", "?") else ""
    return guard + "".join(_CHARACTERS.get(char) or re.escape(char) for char in segment)
