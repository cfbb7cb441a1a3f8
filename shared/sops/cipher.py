"""One value of a SOPS document in AES-256-GCM: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

What is authenticated along with it is its path (`data:password:`), so that no value can be put in another's place.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.sealed import Path
from shared.sops.errors import NotOpened
from shared.sops.scalars import as_bytes, from_bytes, type_of

KEY_BYTES = 32
_NONCE = 32
_TAG = 16
_TEXT = re.compile(
    r"ENC\[AES256_GCM,data:(?P<data>[^,\]]*),iv:(?P<iv>[^,\]]+),tag:(?P<tag>[^,\]]+),type:(?P<type>[a-z]+)\]"
)


class Cipher:
    """Opens and closes values with one data key of 32 bytes.

    Raises:
        NotOpened: the key is not one.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise NotOpened(f"its data key has {len(key)} bytes, not {KEY_BYTES}")
        self._gcm = AESGCM(key)

    def opened(self, text: str, context: str) -> Any:
        """The value of a ciphertext.

        Raises:
            NotOpened: it is none, or was made with another key or for another place.
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise NotOpened("it is no ciphertext of SOPS")
        try:
            data, iv, tag = (base64.b64decode(found[part], validate=True) for part in ("data", "iv", "tag"))
            plain = self._gcm.decrypt(iv, data + tag, context.encode())
        except (binascii.Error, InvalidTag, ValueError):
            raise NotOpened("it was changed, or moved here from somewhere else") from None
        return from_bytes(plain, found["type"])

    def closed(self, value: Any, context: str) -> str:
        """The ciphertext of a value, another one each time."""
        iv = secrets.token_bytes(_NONCE)
        sealed = self._gcm.encrypt(iv, as_bytes(value), context.encode())
        data, nonce, tag = (base64.b64encode(part).decode() for part in (sealed[:-_TAG], iv, sealed[-_TAG:]))
        return f"ENC[AES256_GCM,data:{data},iv:{nonce},tag:{tag},type:{type_of(value)}]"


def context_of(path: Path) -> str:
    """The place of a value as it is authenticated; the number of a list's item is no part of it."""
    return "".join(f"{step}:" for step in path if isinstance(step, str))
