"""Keys of age (https://age-encryption.org): whose a data key is, and whom it is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyrage

from shared.sops.errors import NoKey, NotOpened

_SECRET = "AGE-SECRET-KEY-"  # noqa: S105 - how each secret key begins
_LONGEST = 64 * 1024
"""Characters of an encrypted data key; usual ones have 400."""


class Identities:
    """Secret keys. Nothing shows them."""

    def __init__(self, identities: Sequence[Any]) -> None:
        self._identities = list(identities)

    @classmethod
    def read(cls, text: str) -> Identities:
        """Those of a key file: one to a line, among comments.

        Raises:
            NotOpened: it holds none, or one of a kind that is not supported. The message does not hold it.
        """
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            if not (line := line.strip()) or line.startswith("#"):
                continue
            try:
                if not line.startswith(_SECRET + "1"):
                    raise ValueError(line)
                found.append(pyrage.x25519.Identity.from_str(line))
            except (ValueError, pyrage.IdentityError):
                raise NotOpened(
                    f"line {number} of the age key file is no secret key of age ({_SECRET}1…), "
                    "as `age-keygen` writes it; other kinds are not supported"
                ) from None
        if not found:
            raise NotOpened(f"the age key file holds no secret key ({_SECRET}1…): `age-keygen` makes one")
        return cls(found)

    @classmethod
    def new(cls) -> tuple[Identities, str]:
        """A new one, and the text of its key file."""
        identity = pyrage.x25519.Identity.generate()
        return cls([identity]), f"# public key: {identity.to_public()}\n{identity}\n"

    @property
    def recipients(self) -> tuple[str, ...]:
        """Whom to encrypt for, so that these can read it."""
        return tuple(str(each.to_public()) for each in self._identities)

    def unwrapped(self, wrapped: str) -> bytes:
        """A data key that was encrypted for one of these.

        Raises:
            NoKey: it was not, or it was damaged.
        """
        if len(wrapped) > _LONGEST:
            raise NoKey("its data key is far too long")
        try:
            key: bytes = pyrage.decrypt(wrapped.encode(), self._identities)
        except pyrage.DecryptError:
            raise NoKey("no key at hand opens it") from None
        return key


def valid_recipient(text: str) -> bool:
    """Whether it is a public key of age that this can encrypt for."""
    try:
        pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        return False
    return True


def wrapped(key: bytes, recipients: Iterable[str]) -> list[dict[str, str]]:
    """A data key encrypted for each recipient, as SOPS lists it.

    Raises:
        NotOpened: one is no public key of age.
    """
    found = []
    for text in recipients:
        try:
            recipient = pyrage.x25519.Recipient.from_str(text)
        except pyrage.RecipientError:
            raise NotOpened(f"{text!r} is no public key of age (age1…)") from None
        found.append({"recipient": text, "enc": pyrage.encrypt(key, [recipient], armored=True).decode()})
    return found
