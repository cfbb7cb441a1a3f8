r"""Helm values: merging, and the syntax of `--set`.

The rules are those of Helm's strvals: `a.b=1,c[0].d=x`, lists in braces, `\` before a character that is meant as
itself, `null` to remove. Argo CD's `helm.parameters` and Flux's `valuesFrom.targetPath` are written in it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

MAX_INDEX = 65_536
MAX_DEPTH = 30
_INT64 = 2**63


def merged(base: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merge, everything else is replaced; neither argument is changed."""
    result = dict(base)
    for key, value in above.items():
        have = result.get(key)
        result[key] = merged(have, value) if isinstance(have, dict) and isinstance(value, dict) else value
    return result


def without(values: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """What of `values` still counts when `above` is merged over it."""
    result = {}
    for key, value in values.items():
        if key not in above:
            result[key] = value
        elif isinstance(value, dict) and isinstance(above[key], dict):
            inner = without(value, above[key])
            if inner:
                result[key] = inner
    return result


def set_into(values: Mapping[str, Any], expression: str, *, strings: bool = False) -> dict[str, Any]:
    """`values` after `--set expression` (with `strings`: `--set-string`); the argument is not changed.

    Raises:
        ValueError: the expression cannot be read.
    """
    result = copy.deepcopy(dict(values))
    _Parser(expression, strings).run(result)
    return result


def literal_into(values: Mapping[str, Any], path: str, text: str) -> dict[str, Any]:
    """`values` with the text at a `--set` path, taken literally.

    Raises:
        ValueError: the path cannot be read.
    """
    mark = object()
    result = copy.deepcopy(dict(values))
    parser = _Parser(f"{path}=", strings=True)
    parser.literal = mark
    parser.run(result)
    return {key: _replaced(value, mark, text) for key, value in result.items()}


def _replaced(value: Any, mark: object, text: str) -> Any:
    if value is mark:
        return text
    if isinstance(value, dict):
        return {key: _replaced(inner, mark, text) for key, inner in value.items()}
    return [_replaced(inner, mark, text) for inner in value] if isinstance(value, list) else value


class _Parser:
    """One expression, from left to right."""

    def __init__(self, text: str, strings: bool) -> None:  # noqa: FBT001
        self.text = text
        self.at = 0
        self.literal: object | None = None
        self._strings = strings

    def run(self, into: dict[str, Any]) -> None:
        while self.at < len(self.text):
            self._key(into, 0)

    def _key(self, into: dict[str, Any], depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels: {self.text!r}")
        key, stop = self._until("=[,.")
        if not key and stop != "=":
            raise ValueError(f"a name is missing in {self.text!r}")
        if stop == "=":
            if not key:
                raise ValueError(f"a name is missing in {self.text!r}")
            into[key] = self._value()
        elif stop == ".":
            inner = into.get(key)
            inner = inner if isinstance(inner, dict) else {}
            into[key] = inner
            self._key(inner, depth + 1)
        elif stop == "[":
            have = into.get(key)
            into[key] = self._item(have if isinstance(have, list) else [], depth)
        else:
            raise ValueError(f"{key!r} has no value in {self.text!r}")

    def _item(self, items: list[Any], depth: int) -> list[Any]:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels: {self.text!r}")
        number, stop = self._until("]")
        if stop != "]" or not number.isascii() or not number.isdigit():
            raise ValueError(f"{number!r} is not the number of an item in {self.text!r}")
        index = int(number)
        if index > MAX_INDEX:
            raise ValueError(f"item {index} is beyond the {MAX_INDEX} that Helm allows")
        rest, stop = self._until("=[.,")
        if rest:
            raise ValueError(f"{rest!r} after ] in {self.text!r}")
        items.extend([None] * (index + 1 - len(items)))
        have = items[index]
        if stop == "=":
            items[index] = self._value()
        elif stop == "[":
            items[index] = self._item(have if isinstance(have, list) else [], depth + 1)
        elif stop == ".":
            inner = have if isinstance(have, dict) else {}
            items[index] = inner
            self._key(inner, depth + 1)
        else:
            raise ValueError(f"item {index} has no value in {self.text!r}")
        return items

    def _value(self) -> Any:
        if self.literal is not None:
            return self.literal
        if self.text[self.at : self.at + 1] != "{":
            return self._typed(self._until(",")[0])
        self.at += 1
        items: list[Any] = []
        while True:
            item, stop = self._until(",}")
            if stop == "}":
                if item or items:
                    items.append(self._typed(item))
                break
            if not stop:
                raise ValueError(f"the list is not closed in {self.text!r}")
            items.append(self._typed(item))
        if self.text[self.at : self.at + 1] == ",":
            self.at += 1
        return items

    def _until(self, stops: str) -> tuple[str, str]:
        """The text up to one of the characters, and which it was; empty at the end."""
        found = []
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == "\\" and self.at < len(self.text):
                found.append(self.text[self.at])
                self.at += 1
            elif char in stops:
                return "".join(found), char
            else:
                found.append(char)
        return "".join(found), ""

    def _typed(self, text: str) -> Any:
        if self._strings:
            return text
        folded = text.lower()
        if folded in ("true", "false"):
            return folded == "true"
        if folded == "null":
            return None
        if text == "0":
            return 0
        digits = text[1:] if text[:1] in ("-", "+") else text
        if digits.isascii() and digits.isdigit() and not text.startswith("0") and -_INT64 <= int(text) < _INT64:
            return int(text)
        return text
