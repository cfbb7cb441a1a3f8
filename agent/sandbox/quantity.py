"""Kubernetes quantities: `1000m`, `1.5Gi`, `1e3`; parsed exactly and written back in canonical form."""

from __future__ import annotations

import functools
import math
import re
from fractions import Fraction

_FORM = re.compile(r"^([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d+)|([numkMGTPE]?|[KMGTPE]i))$")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Fraction:
    """The exact value.

    Raises:
        ValueError: it is no quantity.
    """
    return _parts(text)[0]


def _parts(text: str) -> tuple[Fraction, str]:
    match = _FORM.match(text)
    if match is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    sign, digits, exponent, suffix = match.groups()
    value = Fraction(digits if not digits.endswith(".") else digits[:-1])
    if exponent:
        value, form = value * Fraction(10) ** int(exponent[1:]), "exponent"
    elif suffix in _BINARY:
        value, form = value * 1024 ** _BINARY[suffix], "binary"
    else:
        value, form = value * Fraction(10) ** _DECIMAL[suffix or ""], "decimal"
    return (-value if sign == "-" else value), form


@functools.lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """How the API server writes a quantity: no fraction, the largest suffix that needs none.

    Raises:
        ValueError: it is no quantity.
    """
    value, form = _parts(text)
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    value = abs(value)
    if form == "binary" and value >= 1024:
        whole, power = math.ceil(value), 0
        while whole % 1024 == 0 and power < 6:
            whole, power = whole // 1024, power + 1
        return f"{sign}{whole}{next((s for s, p in _BINARY.items() if p == power), '')}"
    whole, power = math.ceil(value * 10**9), -9
    limit = 18 if form != "exponent" else 300
    while whole % 1000 == 0 and power < limit:
        whole, power = whole // 1000, power + 3
    if form == "exponent":
        return f"{sign}{whole}" + (f"e{power}" if power else "")
    return f"{sign}{whole}{next(s for s, p in _DECIMAL.items() if p == power)}"
