"""NATS key pairs: Ed25519 keys in the server's text form (base32 with a prefix byte and a CRC-16).

The format is that of nats-io/nkeys. Only what hub and agents need: users, accounts, operators.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Literal

from nacl import bindings, exceptions

from shared.errors import InvalidMessage, InvalidSignature

Kind = Literal["operator", "account", "user"]

_PREFIX: dict[Kind, int] = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
_SEED = 18 << 3


class NKey:
    """A private key: signs, and tells its public name."""

    def __init__(self, kind: Kind, seed: bytes) -> None:
        self.kind = kind
        self._raw = seed
        self._public, self._secret = bindings.crypto_sign_seed_keypair(seed)

    @classmethod
    def generate(cls, kind: Kind) -> NKey:
        """A new random key."""
        return cls(kind, bindings.randombytes(bindings.crypto_sign_SEEDBYTES))

    @classmethod
    def parse(cls, text: str) -> NKey:
        """Reads the seed form (`SU…`, `SA…`, `SO…`).

        Raises:
            InvalidMessage: it is not a seed.
        """
        try:
            data = base64.b32decode(text + "=" * (-len(text) % 8))
        except ValueError as error:
            raise InvalidMessage("not a NATS seed: no base32") from error
        if len(data) != 36 or data[-2:] != _checksum(data[:-2]) or data[0] & 0xF8 != _SEED:
            raise InvalidMessage("not a NATS seed: wrong length, prefix or checksum")
        prefix = (data[0] & 7) << 5 | data[1] >> 3
        for kind, value in _PREFIX.items():
            if value == prefix:
                return cls(kind, data[2:-2])
        raise InvalidMessage("a NATS seed of a kind that is not used here")

    @property
    def public(self) -> str:
        """The public name (`U…`, `A…`, `O…`)."""
        data = bytes([_PREFIX[self.kind]]) + self._public
        return _base32(data + _checksum(data))

    @property
    def seed(self) -> str:
        """The private text form. A secret."""
        prefix = _PREFIX[self.kind]
        data = bytes([_SEED | prefix >> 5, (prefix & 31) << 3]) + self._raw
        return _base32(data + _checksum(data))

    def sign(self, message: bytes) -> bytes:
        """A detached signature of 64 bytes."""
        return bindings.crypto_sign(message, self._secret)[: bindings.crypto_sign_BYTES]


def parse_public(text: str, kind: Kind) -> bytes:
    """The 32 bytes of a public name (`U…`, `A…`, `O…`).

    Raises:
        InvalidMessage: it is not the public name of such a key.
    """
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError as error:
        raise InvalidMessage(f"not the public name of a NATS {kind} key: no base32") from error
    if len(data) != 35 or data[-2:] != _checksum(data[:-2]) or data[0] != _PREFIX[kind]:
        raise InvalidMessage(f"not the public name of a NATS {kind} key: wrong length, prefix or checksum")
    return data[1:-2]


def verify(public: str, kind: Kind, message: bytes, signature: bytes) -> None:
    """Checks a detached signature by the key of a public name.

    Raises:
        InvalidMessage: it is not the public name of such a key.
        InvalidSignature: the signature is not by that key, or not over that message.
    """
    raw = parse_public(public, kind)
    try:
        bindings.crypto_sign_open(signature + message, raw)
    except (exceptions.BadSignatureError, exceptions.ValueError) as error:
        raise InvalidSignature(f"not signed by {public[:8]}…") from error


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def _checksum(data: bytes) -> bytes:
    return struct.pack("<H", binascii.crc_hqx(data, 0))
