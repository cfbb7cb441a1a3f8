"""API tokens in the hub's store: made, looked up, revoked; every hub follows what the others write.

A record is `token.<id>`. A revoked token stays as a record for a while, because hubs hear of what is written and not of
what is deleted. When a token was last used is written seldom, and never over somebody else's change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from hub.domain.issued import IssuedToken
from hub.domain.principals import KnownToken
from hub.store import ABSENT, Conflict, Store
from shared.errors import InvalidMessage, Unavailable
from shared.messages import encode
from shared.tasks import Clock

log = logging.getLogger(__name__)

PREFIX = "token"
REMEMBERED = 7 * 86400
"""Seconds for which a revoked token is remembered, longer than a hub reads without asking again."""
SELDOM = 3600.0
"""Seconds between two notes that a token is in use."""
INTERVAL = 60.0


class Tokens:
    """All tokens that were made through the API. `loaded` says that what was stored at the start is known."""

    def __init__(self, store: Callable[[], Store], loaded: Callable[[], bool], clock: Clock) -> None:
        """`store` may raise `Unavailable`."""
        self._store = store
        self._loaded = loaded
        self._clock = clock
        self._by_id: dict[str, IssuedToken] = {}
        self._by_hash: dict[str, IssuedToken] = {}
        self._used: dict[str, float] = {}

    @property
    def loaded(self) -> bool:
        """Whether a token that is not known is none."""
        return self._loaded()

    def find(self, sha256: str) -> KnownToken | None:
        """The token with this hash, which is noted as used."""
        found = self._by_hash.get(sha256)
        if found is None:
            return None
        self._used[found.id] = self._clock.now()
        return found.known

    def all(self) -> list[IssuedToken]:
        """Those that open something, or did until they expired, by name."""
        found = (msgspec.structs.replace(each, used=self._last(each)) for each in self._by_hash.values())
        return sorted(found, key=lambda each: (each.name, each.created_at, each.id))

    def get(self, identity: str) -> IssuedToken | None:
        """One of them."""
        found = self._by_id.get(identity)
        return found if found is not None and found.revoked is None else None

    async def create(self, token: IssuedToken) -> None:
        """Stores a new token. May raise `Unavailable`."""
        await self._store().put(_key(token.id), encode(token), ABSENT)
        self._take(token)

    async def revoke(self, identity: str, by: str) -> bool:
        """Has a token open nothing any more, at once here and as soon as they hear of it on other hubs.

        Returns whether there was one. May raise `Unavailable`; again is harmless.
        """
        while True:
            found = await self._store().get(_key(identity))
            token = _decoded(found[0]) if found is not None else None
            if found is None or token is None or token.revoked is not None:
                return False
            gone = msgspec.structs.replace(token, revoked=self._clock.now(), revoked_by=by)
            try:
                await self._store().put(_key(identity), encode(gone), found[1], ttl=REMEMBERED)
            except Conflict:
                continue
            self._take(gone)
            return True

    def heard(self, key: str, value: bytes) -> None:
        """A record of the store, of this hub or another; others than tokens are passed over.

        Raises:
            InvalidMessage: it cannot be read.
        """
        if key.startswith(f"{PREFIX}."):
            self._take(_decoded(value))

    async def run(self) -> None:
        """Notes which tokens are used, until cancelled."""
        while True:
            await self._clock.sleep(INTERVAL)
            for identity in [each for each, at in self._used.items() if self._worth_noting(each, at)]:
                try:
                    await self._note(identity)
                except Unavailable as error:
                    log.info("the use of tokens is not noted now", extra={"error": str(error)})
                    break

    def _worth_noting(self, identity: str, at: float) -> bool:
        token = self._by_id.get(identity)
        return token is not None and token.revoked is None and at - (token.used or 0.0) >= SELDOM

    async def _note(self, identity: str) -> None:
        found = await self._store().get(_key(identity))
        token = _decoded(found[0]) if found is not None else None
        if found is None or token is None or token.revoked is not None:
            return
        noted = msgspec.structs.replace(token, used=self._used[identity])
        try:
            await self._store().put(_key(identity), encode(noted), found[1])
        except Conflict:
            return  # somebody changed it, which weighs more
        self._take(noted)

    def _take(self, token: IssuedToken) -> None:
        """What was revoked stays so, in whichever order records come."""
        known = self._by_id.get(token.id)
        if known is not None and known.revoked is not None:
            return
        self._by_id[token.id] = token
        if token.revoked is None:
            self._by_hash[token.sha256] = token
        else:
            self._by_hash.pop(token.sha256, None)

    def _last(self, token: IssuedToken) -> float | None:
        times = [each for each in (token.used, self._used.get(token.id)) if each is not None]
        return max(times, default=None)


def _key(identity: str) -> str:
    return f"{PREFIX}.{identity}"


def _decoded(value: bytes) -> IssuedToken:
    try:
        return msgspec.json.decode(value, type=IssuedToken)
    except msgspec.DecodeError as error:
        raise InvalidMessage(f"not a record of a token: {error}") from error
