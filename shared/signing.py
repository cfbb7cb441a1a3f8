"""Signatures on what the hub tells agents: Ed25519 over the message as sorted JSON without its signature.

The signed bytes are rebuilt from what was received, not from the decoded message, so that fields which a newer hub
adds are covered too. PyNaCl is used because it costs the agent 0.8 MB resident, where `cryptography` costs 8.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, TypeVar

import msgspec
import orjson
from nacl import bindings, exceptions

from shared.asking import Question
from shared.errors import InvalidMessage, InvalidSignature
from shared.messages import Assignment, Root, decode, encode

Signed = TypeVar("Signed", Assignment, Root, Question)


class PublicKey(msgspec.Struct, frozen=True):
    """A key whose signatures are believed. `id` is what messages name it by."""

    raw: bytes

    @property
    def id(self) -> str:
        """Twelve hex characters of its SHA-256: a name, not a proof."""
        return hashlib.sha256(self.raw).hexdigest()[:12]

    def __str__(self) -> str:
        return base64.b64encode(self.raw).decode()

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Reads the base64 form.

        Raises:
            InvalidMessage: it is not a key of 32 bytes.
        """
        try:
            raw = base64.b64decode(text.strip(), validate=True)
        except binascii.Error as error:
            raise InvalidMessage(f"not a public key: {error}") from error
        if len(raw) != bindings.crypto_sign_PUBLICKEYBYTES:
            raise InvalidMessage(f"a public key has {bindings.crypto_sign_PUBLICKEYBYTES} bytes, this has {len(raw)}")
        return cls(raw)


class SigningKey:
    """The hub's private key, made from a seed of 32 random bytes."""

    def __init__(self, seed: bytes) -> None:
        raw, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.public = PublicKey(raw)

    def sign(self, message: Signed) -> Signed:
        """The same message, with `key` and `signature` set."""
        unsigned = msgspec.structs.replace(message, key=self.public.id, signature=b"")
        signed = bindings.crypto_sign(_signed_bytes(orjson.loads(encode(unsigned))), self._secret)
        return msgspec.structs.replace(unsigned, signature=signed[: bindings.crypto_sign_BYTES])


class Trust:
    """The keys an agent was given when it joined: usually one, two while the hub changes its key."""

    def __init__(self, keys: tuple[PublicKey, ...]) -> None:
        self._keys = {key.id: key for key in keys}

    def open(self, data: bytes, kind: type[Signed]) -> Signed:
        """The message in `data`, when it is the hub's own word.

        Raises:
            InvalidSignature: no signature, an unknown key, or a signature that does not fit.
            InvalidMessage: it cannot be read.
        """
        message = decode(data, kind)
        key = self._keys.get(message.key)
        if key is None:
            trusted = ", ".join(self._keys) or "(none)"
            raise InvalidSignature(f"signed with key {message.key or '(none)'}, trusted here: {trusted}")
        try:
            signed = _signed_bytes(orjson.loads(data))
        except (ValueError, TypeError) as error:
            raise InvalidMessage(f"not a {kind.__name__}: {error}") from error
        try:
            bindings.crypto_sign_open(message.signature + signed, key.raw)
        except (exceptions.BadSignatureError, exceptions.ValueError) as error:
            raise InvalidSignature(f"the signature by key {key.id} does not fit the content") from error
        return message


def _signed_bytes(fields: dict[str, Any]) -> bytes:
    return orjson.dumps({k: v for k, v in fields.items() if k != "signature"}, option=orjson.OPT_SORT_KEYS)
