"""The values of SOPS documents as the bytes that are encrypted and signed. Pure; after SOPS' `ToBytes` and `aes`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from shared.sops.errors import NotOpened

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def as_bytes(value: Any) -> bytes:
    """A value as it goes into the MAC and the cipher. Floats are written out, without exponent, as Go's `'f'` does.

    Raises:
        NotOpened: it is no value of a document.
    """
    match value:
        case bool():
            return b"True" if value else b"False"
        case float():
            whole, _, fraction = format(Decimal(repr(value)), "f").partition(".")
            return (f"{whole}.{fraction}" if fraction.strip("0") else whole).encode()
        case int():
            return str(value).encode()
        case str():
            return value.encode()
        case bytes():
            return value
        case _:
            raise NotOpened(f"a {type(value).__name__} is no value that SOPS knows")


def type_of(value: Any) -> str:
    """What SOPS calls the type of a value.

    Raises:
        NotOpened: it is no value of a document.
    """
    match value:
        case bool():
            return "bool"
        case float():
            return "float"
        case int():
            return "int"
        case str() | bytes():
            return "str"
        case _:
            raise NotOpened(f"a {type(value).__name__} is no value that SOPS knows")


def from_bytes(plain: bytes, kind: str) -> Any:
    """The value of a decrypted text; bytes where a text is not UTF-8, as in files that are no text.

    Raises:
        NotOpened: it is no such value. The message does not hold it.
    """
    if kind == "bytes":
        return plain
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        if kind == "str":
            return plain
        raise NotOpened(f"a decrypted value is no {kind}") from None
    if kind in ("str", "time"):
        return text
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    if kind == "bool" and text in _TRUE | _FALSE:
        return text in _TRUE
    raise NotOpened(f"a decrypted value is no {kind}")
