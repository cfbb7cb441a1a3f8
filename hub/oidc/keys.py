"""The keys of a login provider, and what they have signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet

from hub.domain.idtokens import ALGORITHMS
from shared.errors import InvalidMessage

MOST = 100
"""Keys of a provider that are looked at."""
TOKEN_LIMIT = 64 * 1024


def key_set(told: Mapping[str, Any]) -> KeySet:
    """The public keys for signatures of a JWKS document; keys of kinds that are not known are passed over."""
    listed = told.get("keys")
    keys = []
    for each in listed[:MOST] if isinstance(listed, list) else []:
        if not isinstance(each, dict) or each.get("kty") == "oct" or each.get("use", "sig") != "sig":
            continue
        try:
            keys.append(JWKRegistry.import_key(each))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return KeySet(keys)


def verified(token: str, keys: KeySet) -> dict[str, Any]:
    """The claims of a token that one of these keys has signed.

    Raises:
        KeyError: it names a key that is not among them, or names none and none fits.
        InvalidMessage: it is no token, or not signed as it says.
    """
    if len(token) > TOKEN_LIMIT:
        raise InvalidMessage("the token is too long for one")
    try:
        kid = _header(token).get("kid")
        candidates = [each for each in keys.keys if kid is None or each.kid == kid]
    except JoseError as error:
        raise InvalidMessage("this is not a token of the login provider") from error
    for key in candidates:
        try:
            return dict(jwt.decode(token, key, algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError, TypeError) as error:
            if kid is not None:
                raise InvalidMessage("the token is not signed by the login provider") from error
    raise KeyError(kid)


def _header(token: str) -> Mapping[str, Any]:
    from joserfc.jws import extract_compact

    try:
        return extract_compact(token.encode()).headers()
    except ValueError as error:
        raise InvalidMessage("this is not a token of the login provider") from error
