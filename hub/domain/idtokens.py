"""Whether the claims of a login provider's token, whose signature is good, are meant for this hub and now. Pure.

The checks are those of OpenID Connect Core 1.0, section 3.1.3.7.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from typing import Any

from shared.errors import InvalidMessage
from shared.model import Value

LEEWAY = 60.0
"""Seconds by which the provider's clock may be ahead or behind."""

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Of signatures: all with a private key that only the provider has; `none` and shared secrets are not among them."""


class Expected(Value, frozen=True):
    """What a token has to say. One of the `audiences` has to be among its own; `nonce` empty: none was asked for."""

    issuer: str
    audiences: Collection[str]
    nonce: str = ""


def check(claims: Mapping[str, Any], expected: Expected, now: float) -> float:
    """Returns when the token ends (unix seconds).

    Raises:
        InvalidMessage: it is another's, for another, not yet or no longer good, or the answer to another request.
    """
    if claims.get("iss") != expected.issuer:
        raise InvalidMessage("the token is not of the login provider of this hub")
    audiences = claims.get("aud")
    listed = [audiences] if isinstance(audiences, str) else audiences if isinstance(audiences, list) else []
    if not set(expected.audiences) & {each for each in listed if isinstance(each, str)}:
        raise InvalidMessage("the token is meant for another program than this hub (`aud`)")
    party = claims.get("azp")
    if (party is not None or len(listed) > 1) and party not in expected.audiences:
        raise InvalidMessage("the token was given to another program (`azp`)")
    ends, issued, begins = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if ends is None or issued is None:
        raise InvalidMessage("the token does not say from when to when it is good (`exp`, `iat`)")
    if now >= ends + LEEWAY:
        raise InvalidMessage("the token has expired: log in again (`yardarm login`)")
    if max(issued, begins or 0.0) > now + LEEWAY:
        raise InvalidMessage("the token is not good yet: look at the clocks of the provider and of this hub")
    if expected.nonce and not hmac.compare_digest(str(claims.get("nonce", "")).encode(), expected.nonce.encode()):
        raise InvalidMessage("the token answers another login than this one (`nonce`)")
    return ends


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise InvalidMessage(f"`{name}` of the token is no time")
    return float(value)
