"""Cookies that only this hub can have made: sealed values with an end, under names that browsers guard.

Over https a name begins with `__Host-`: no other host and no plain connection can set such a cookie.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

import orjson
from fastapi import Request, Response

SESSION = "session"
LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Cookies:
    """Sealed with `key`, which all hubs of a fleet have. `https`: people reach this hub by https."""

    key: bytes
    https: bool

    def __repr__(self) -> str:
        return "Cookies(…)"

    def read(self, request: Request, kind: str, now: float) -> dict[str, str] | None:
        """What a cookie of ours says; None when there is none, or it is not ours, or has ended."""
        given = request.cookies.get(self._name(kind), "")
        body, _, mac = given.partition(".")
        if not body or not hmac.compare_digest(mac.encode(), self._mac(kind, body).encode()):
            return None
        try:
            expires, told = orjson.loads(base64.urlsafe_b64decode(body))
        except (ValueError, binascii.Error):
            return None
        return told if now < expires else None

    def set(self, response: Response, kind: str, told: dict[str, str], now: float, seconds: int) -> None:
        """Gives the browser a cookie that is good for so long, and that no script can read."""
        body = base64.urlsafe_b64encode(orjson.dumps([now + seconds, told])).decode()
        value = f"{body}.{self._mac(kind, body)}"
        response.set_cookie(
            self._name(kind), value, max_age=seconds, path="/", secure=self.https, httponly=True, samesite="lax"
        )

    def drop(self, response: Response, kind: str) -> None:
        """Takes it away."""
        response.delete_cookie(self._name(kind), path="/", secure=self.https, httponly=True, samesite="lax")

    def proof(self, session: str) -> str:
        """What a page has to send along when it changes something: other sites cannot read it."""
        return self._mac("csrf", session)

    def _name(self, kind: str) -> str:
        return f"__Host-yardarm-{kind}" if self.https else f"yardarm-{kind}"

    def _mac(self, purpose: str, text: str) -> str:
        digest = hmac.digest(self.key, f"{purpose}\n{text}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
