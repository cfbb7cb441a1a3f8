"""NATS JWTs: claims of version 2, signed with an nkey. Pure.

The form is that of nats-io/jwt; `jti` is a digest over the claims, as there.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson

from shared.nkeys import NKey

Claims = dict[str, Any]

_HEADER = b'{"typ":"JWT","alg":"ed25519-nkey"}'


def sign(issuer: NKey, subject: str, name: str, nats: Claims, *, at: float, expires: float | None = None) -> str:
    """The JWT of `subject`, a public key. `at` and `expires` are unix seconds; None: it never ends."""
    claims: Claims = {
        "iat": int(at),
        "iss": issuer.public,
        "name": name,
        "nats": nats | {"version": 2},
        "sub": subject,
    }
    if expires is not None:
        claims["exp"] = int(expires)
    digest = hashlib.sha256(orjson.dumps(claims, option=orjson.OPT_SORT_KEYS)).digest()
    claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
    signed = f"{_base64url(_HEADER)}.{_base64url(orjson.dumps(claims))}"
    return f"{signed}.{_base64url(issuer.sign(signed.encode()))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
