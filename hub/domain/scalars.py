"""What an unquoted YAML scalar means to Kubernetes: go-yaml v2's rules, then JSON's numbers."""

from __future__ import annotations

import math
import re
from typing import Any

_BOOLEANS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"), False),
}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"[-+]?(?:0[bB][01]+|0o[0-7]+|0[xX][0-9a-fA-F]+|[0-9]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS = frozenset("yYnNoOtTfF~")
_DIGITS = frozenset(".+-0123456789")
_BASES = {"0b": 2, "0x": 16, "0o": 8}
_MANY_DIGITS = 400  # beyond the range of a double, and not worth the time to convert
_WHOLE = 1e21  # Go writes larger floats with an exponent


class Unquoted(str):
    """A string that is one `${…}` written without quotes: its variable may give it another type than string."""

    __slots__ = ()


def resolve(text: str) -> Any:
    """The JSON value of an unquoted scalar.

    Raises:
        ValueError: infinity or not-a-number, which JSON does not have.
    """
    if text in _NULLS:
        return None
    first = text[0]
    if first in _DIGITS:
        return _number(text)
    return _BOOLEANS.get(text, text) if first in _WORDS else text


def map_key(value: Any) -> str:
    """A map key as JSON has it: `yes:` is "true", `1:` is "1".

    Raises:
        ValueError: the key is null, a map or a list.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    what = "null" if value is None else "a map or a list"
    raise ValueError(f"a map key must be a plain value, not {what}")


def _number(text: str) -> Any:
    digits = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.fullmatch(digits):
        return _integer(digits, text)
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        if math.isinf(number):
            return text
        return int(number) if number.is_integer() and abs(number) < _WHOLE else number
    if _NOT_JSON.fullmatch(text):
        raise ValueError(f"{text} is a number that JSON does not have: put it in quotes")
    return text


def _integer(digits: str, text: str) -> Any:
    unsigned = digits.lstrip("+-")
    if len(unsigned) > _MANY_DIGITS:
        return text
    base = _BASES.get(unsigned[:2].lower())
    if base is not None:
        number = int(unsigned[2:], base)
    elif len(unsigned) > 1 and unsigned[0] == "0" and not unsigned.strip("01234567"):
        number = int(unsigned, 8)
    else:
        number = int(unsigned)
    if digits[0] == "-":
        number = -number
    if -(1 << 63) <= number < 1 << 63:  # Kubernetes' integers; what is larger becomes a float
        return number
    inexact = float(number) if number.bit_length() <= 1024 else math.inf
    return text if math.isinf(inexact) else inexact
