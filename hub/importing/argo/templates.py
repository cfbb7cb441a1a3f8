"""The templates of ApplicationSets: plain references become `${item.…}`, anything that computes is refused.

Both dialects are read: `{{path.basename}}` and, with `goTemplate: true`, `{{ .path.basename }}` and
`{{ index .metadata.labels "team" }}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from hub.importing.names import ITEM

_PLACEHOLDER = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w/-]+|\[\d+\])*")
_FIELD = re.compile(r"\.(?P<path>[A-Za-z_][\w-]*(?:\.[\w-]+)*)")
_INDEX = re.compile(r"index\s+\.(?P<path>[\w.-]+)\s+(?:\"(?P<key>[^\"]+)\"|(?P<number>\d+))")
_SUBSCRIPT = re.compile(r"\[(\d+)\]")

Rename = Callable[[str], str]
"""From a generator's parameter (`path.basename`) to what stands for it; empty when nothing does."""


class Untranslatable(ValueError):
    """A template that does more than name a parameter."""


def parameter(expression: str, *, go: bool) -> str:
    """The parameter an expression names, steps separated by dots (`path.segments.0`).

    Raises:
        Untranslatable: it is more than a name.
    """
    if go:
        indexed = _INDEX.fullmatch(expression)
        if indexed:
            return f"{indexed['path']}.{indexed['key'] or indexed['number']}"
        field = _FIELD.fullmatch(expression)
        if field:
            return field["path"]
    elif _PLAIN.fullmatch(expression):
        return _SUBSCRIPT.sub(r".\1", expression)
    raise Untranslatable(f"{{{{{expression}}}}} computes something: only plain references are carried over")


def converted(value: Any, rename: Rename, *, go: bool) -> Any:
    """A part of a template with every reference renamed; the argument is not changed.

    Raises:
        Untranslatable: an expression is more than a name, or names what nothing stands for.
    """
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda match: _renamed(match[1], rename, go=go), value)
    if isinstance(value, dict):
        return {converted(key, rename, go=go): converted(inner, rename, go=go) for key, inner in value.items()}
    if isinstance(value, list):
        return [converted(inner, rename, go=go) for inner in value]
    return value


def _renamed(expression: str, rename: Rename, *, go: bool) -> str:
    name = parameter(expression, go=go)
    made = rename(name)
    if not made:
        raise Untranslatable(f"{{{{{expression}}}}}: nothing here says what {name} would be")
    return made


def item(name: str) -> str:
    """The reference to a value of an item."""
    return f"{ITEM}{name}}}"


def used(value: Any) -> set[str]:
    """The names of all item values that a converted template refers to."""
    if isinstance(value, str):
        return set(re.findall(r"\$\{item\.([^}]+)\}", value))
    if isinstance(value, Mapping):
        return {name for key, inner in value.items() for name in used(key) | used(inner)}
    if isinstance(value, list | tuple):
        return {name for inner in value for name in used(inner)}
    return set()


def without(text: str, name: str) -> str:
    """A name without an item value and the dash beside it; empty when nothing else is in it."""
    reference = re.escape(item(name))
    return re.sub(rf"^{reference}[-._]?|[-._]{reference}|{reference}", "", text).strip("-._")
