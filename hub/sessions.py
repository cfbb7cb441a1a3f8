"""Browsers' sessions in the hub's store: who logged in, until when; ended by logging out, on every hub.

A record is `session.<SHA-256 of its id>`: who reads the store cannot take over a session. A session that was ended
stays as a record until it would have ended by itself, because hubs hear of what is written and not of what is deleted.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable

import msgspec

from hub.domain.logins import Person
from hub.store import ABSENT, Store
from shared.errors import InvalidMessage
from shared.messages import encode
from shared.model import Value
from shared.tasks import Clock

PREFIX = "session"
MOST = 100_000
"""Sessions that are held; the oldest make room."""


class Session(Value, frozen=True, omit_defaults=True):
    """Whose it is, and until when (unix seconds). `ended` by logging out."""

    person: Person
    expires: float
    ended: bool = False


class Sessions:
    """All sessions."""

    def __init__(self, store: Callable[[], Store], clock: Clock) -> None:
        """`store` may raise `Unavailable`."""
        self._store = store
        self._clock = clock
        self._known: dict[str, Session] = {}

    async def create(self, person: Person, lasting: float) -> str:
        """Begins a session of so many seconds; returns its id, which only the browser keeps."""
        identity = secrets.token_urlsafe(32)
        session = Session(person, self._clock.now() + lasting)
        await self._store().put(_key(identity), encode(session), ABSENT, ttl=math.ceil(lasting))
        self._take(_key(identity), session)
        return identity

    def find(self, identity: str) -> Person | None:
        """Whose session this is; None when it has ended."""
        session = self._known.get(_key(identity))
        fine = session is not None and not session.ended and self._clock.now() < session.expires
        return session.person if session is not None and fine else None

    async def end(self, identity: str) -> None:
        """Ends a session, at once here and as soon as they hear of it on other hubs."""
        key = _key(identity)
        session = self._known.get(key)
        if session is None or session.ended:
            return
        ended = msgspec.structs.replace(session, ended=True)
        left = math.ceil(session.expires - self._clock.now())
        if left > 0:
            await self._store().put(key, encode(ended), ttl=left)
        self._take(key, ended)

    def heard(self, key: str, value: bytes) -> None:
        """A record of the store; others than sessions are passed over.

        Raises:
            InvalidMessage: it cannot be read.
        """
        if not key.startswith(f"{PREFIX}."):
            return
        try:
            self._take(key, msgspec.json.decode(value, type=Session))
        except msgspec.DecodeError as error:
            raise InvalidMessage(f"not a record of a session: {error}") from error

    def _take(self, key: str, session: Session) -> None:
        known = self._known.pop(key, None)
        if known is not None and known.ended:
            session = known
        now = self._clock.now()
        if len(self._known) >= MOST:
            self._known = {name: each for name, each in self._known.items() if now < each.expires}
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        if now < session.expires:
            self._known[key] = session


def _key(identity: str) -> str:
    return f"{PREFIX}.{hashlib.sha256(identity.encode()).hexdigest()}"
