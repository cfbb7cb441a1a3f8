"""Allowed signers as OpenSSH writes them (ssh-keygen(1), ALLOWED SIGNERS): who may sign with which key, for what, when.

Read strictly: a line that cannot be understood is an error with its number, because who may sign is nothing to guess
about. Times without a `Z` are UTC. Lines with `cert-authority` are refused: certificates are not supported.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shared.errors import DocumentError
from shared.model import Place

_TIME = re.compile(r"\d{8}(\d{4}(\d\d)?)?Z?")
_OPTION = re.compile(r'(?P<name>[A-Za-z-]+)(?:="(?P<value>[^"]*)")?(?:,|$)')


@dataclass(frozen=True, slots=True)
class AllowedSigner:
    """A key and who may use it. `namespaces` are patterns, none for any; times are unix seconds, 0 for no limit."""

    principals: str
    key: bytes
    namespaces: tuple[str, ...] = ()
    valid_after: float = 0.0
    valid_before: float = 0.0

    def refusal(self, namespace: str, at: float) -> str:
        """Why a signature made `at` this time does not count, empty when it does."""
        if self.namespaces and not any(fnmatch.fnmatchcase(namespace, pattern) for pattern in self.namespaces):
            return f"the key may sign for {', '.join(self.namespaces)} only"
        if self.valid_after and at < self.valid_after:
            return f"the key counts only after {_shown(self.valid_after)}"
        if self.valid_before and at > self.valid_before:
            return f"the key expired on {_shown(self.valid_before)}"
        return ""


def read_signers(text: str, file: str) -> tuple[AllowedSigner, ...]:
    """All lines of an allowed signers file.

    Raises:
        DocumentError: a line cannot be used; names file and line.
    """
    return tuple(_lines(text, file))


def _lines(text: str, file: str) -> Iterator[AllowedSigner]:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        try:
            yield _signer(stripped)
        except ValueError as error:
            hint = 'as ssh-keygen wants it: ada@example.com namespaces="git" ssh-ed25519 AAAA…'
            raise DocumentError(str(error), Place(file, number), hint) from None


def _signer(line: str) -> AllowedSigner:
    principals, *words = _words(line)
    options = ""
    if words and not _is_key_type(words[0]):
        options, *words = words
    if len(words) < 2:
        raise ValueError("a line is: who, perhaps options, the kind of key, the key")
    kind, key = words[0], _key(words[1])
    if not key[4:].startswith(kind.encode()) or struct.unpack_from(">I", key) != (len(kind),):
        raise ValueError(f"the key is not one of kind {kind}")
    return _limited(AllowedSigner(principals, key), options)


def _is_key_type(word: str) -> bool:
    return word.startswith(("ssh-", "ecdsa-", "sk-")) and "=" not in word


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("the key is not base64") from None
    if len(key) < 16:
        raise ValueError("the key is cut short")
    return key


def _limited(signer: AllowedSigner, options: str) -> AllowedSigner:
    """The signer with what the options of its line say."""
    at = 0
    while at < len(options):
        option = _OPTION.match(options, at)
        if option is None:
            raise ValueError(f"the options {options!r} cannot be read")
        match option["name"].lower(), option["value"]:
            case "cert-authority", _:
                raise ValueError("certificates are not supported: list the keys themselves")
            case "namespaces", str(value):
                signer = replace(signer, namespaces=tuple(value.split(",")))
            case "valid-after", str(value):
                signer = replace(signer, valid_after=_seconds(value))
            case "valid-before", str(value):
                signer = replace(signer, valid_before=_seconds(value))
            case name, _:
                raise ValueError(f"there is no option {name!r}, or it has no value")
        at = option.end()
    return signer


def _seconds(text: str) -> float:
    try:
        if _TIME.fullmatch(text):
            whole = text.rstrip("Z").ljust(14, "0")
            return datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        pass  # a month 13; said below
    raise ValueError(f"{text!r} is not a time: YYYYMMDD, or YYYYMMDDHHMM, or YYYYMMDDHHMMSS, of UTC")


def _words(line: str) -> list[str]:
    """Words between white space; what is in quotes belongs together."""
    found = re.findall(r'(?:[^\s"]|"[^"]*")+', line)
    if not found or line.count('"') % 2:
        raise ValueError("a quotation mark is missing")
    return [found[0].strip('"'), *found[1:]]


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
