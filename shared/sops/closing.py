"""Documents encrypted as `sops --encrypt` does it, for any number of age recipients."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.sealed import SOPS, Path, encrypted, mapped
from shared.sops.ages import Identities, wrapped
from shared.sops.cipher import KEY_BYTES, Cipher, context_of
from shared.sops.errors import NotOpened
from shared.sops.opening import ONLY_ENCRYPTED, opened
from shared.sops.scalars import as_bytes

VERSION = "3.10.2"
"""Of SOPS, whose format this is."""
_RULES = frozenset(
    {
        "encrypted_regex", "unencrypted_regex", "encrypted_suffix", "unencrypted_suffix", "encrypted_comment_regex",
        "unencrypted_comment_regex", "mac_only_encrypted",
    }
)  # fmt: skip
SECRET_FIELDS = "^(data|stringData)$"  # noqa: S105 - their names
"""Encrypts what is secret in a Secret, and leaves the rest for people, hubs and reviews to read."""


def closed(
    document: Mapping[str, Any],
    recipients: Sequence[str],
    now: float,
    *,
    encrypted_regex: str = "",
    mac_only_encrypted: bool = False,
) -> dict[str, Any]:
    """The document encrypted: values below a key that `encrypted_regex` matches, without one all values.

    `now` is in unix seconds. With `mac_only_encrypted` what is not encrypted may be changed without the keys.

    Raises:
        NotOpened: it is encrypted already, there is no recipient, or one is none.
    """
    if SOPS in document:
        raise NotOpened("it is encrypted already: edit it with `sops`, or decrypt it first")
    about: dict[str, Any] = {}
    if encrypted_regex:
        about["encrypted_regex"] = encrypted_regex
    if mac_only_encrypted:
        about["mac_only_encrypted"] = True
    rule = re.compile(encrypted_regex)

    def hidden(path: Path) -> bool:
        return any(isinstance(step, str) and rule.search(step) for step in path)

    return _closed(document, recipients, now, about, hidden)


def closed_anew(
    document: Mapping[str, Any], identities: Identities, recipients: Sequence[str], now: float
) -> dict[str, Any]:
    """A document encrypted with a new data key, for these recipients in place of those it had.

    Whoever could read it before can still read what Git remembers: what was in it should be changed as well.

    What was encrypted stays encrypted, and nothing else becomes so.

    Raises:
        NoKey: it cannot be read with `identities`.
        NotOpened: it was changed, or there is no recipient.
    """
    plain, hidden = opened(document, identities), frozenset(encrypted(document))
    about = {key: value for key, value in document[SOPS].items() if key in _RULES}
    return _closed(plain, recipients, now, about, hidden.__contains__)


def _closed(
    document: Mapping[str, Any],
    recipients: Sequence[str],
    now: float,
    about: dict[str, Any],
    hidden: Callable[[Path], bool],
) -> dict[str, Any]:
    if not recipients:
        raise NotOpened("there is nobody to encrypt it for")
    key = secrets.token_bytes(KEY_BYTES)
    cipher, hasher = Cipher(key), hashlib.sha512()
    only = about.get("mac_only_encrypted") is True
    if only:
        hasher.update(ONLY_ENCRYPTED)

    def one(path: Path, value: Any) -> Any:
        if value is None:
            return None
        hide = hidden(path)
        if hide or not only:
            hasher.update(as_bytes(value))
        return cipher.closed(value, context_of(path)) if hide and value not in ("", b"") else value

    result = mapped(document, one)
    modified = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        **result,
        SOPS: {
            "age": wrapped(key, dict.fromkeys(recipients)),
            "lastmodified": modified,
            "mac": cipher.closed(hasher.hexdigest().upper(), modified),
            **about,
            "version": VERSION,
        },
    }
