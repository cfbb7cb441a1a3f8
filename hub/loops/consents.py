"""Carries out what people have confirmed: on the leading hub, from the hub's own store, whichever hub was asked.

For a unit the assignment is issued again with the token in it; then the assignment itself remembers. For removals that
this hub holds back, whoever holds them asks `allows`. A word that fits nothing any more is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from hub.domain.records import Consent
from hub.publisher import Publisher
from hub.store import Store
from shared.bus import Refused
from shared.errors import Unavailable
from shared.messages import encode
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

PREFIX = "consent"
KEPT_FOR = 7 * 86400
"""Seconds after which a word that nothing came of is forgotten."""


class Consents:
    """What was confirmed. Give it what the store tells; `run` acts on it."""

    def __init__(self, store: Store, publisher: Publisher, again: Callable[[str], None], clock: Clock) -> None:
        """`again` has an application, or (with an empty name) the fleet, looked at anew."""
        self._store = store
        self._publisher = publisher
        self._again = again
        self._clock = clock
        self._granted: dict[str, Consent] = {}
        self._work: Mailbox[str, Consent] = Mailbox()
        self._spent: Mailbox[str, str] = Mailbox()

    async def load(self) -> None:
        """What was confirmed before this hub began to lead."""
        async for key, data, _ in self._store.items(PREFIX):
            self.heard(key, data)

    def heard(self, key: str, data: bytes) -> None:
        """A record of the store; others than consents are passed over."""
        if not key.startswith(f"{PREFIX}."):
            return
        consent = read(data)
        if consent is None:
            log.warning("a stored confirmation cannot be read", extra={"key": key})
            return
        self._granted[consent.token] = consent
        self._work.put(consent.token, consent)

    def allows(self, kind: str, application: str, token: str) -> bool:
        """Whether these removals were confirmed. Any other word about the same thing is out of date: forgotten."""
        for other in list(self._granted.values()):
            if (other.kind, other.application) == (kind, application) and other.token != token:
                self._forget(other.token)
        return token in self._granted

    async def run(self) -> None:
        """Works until cancelled."""
        backoff = Backoff(0.5, 30)
        while True:
            token, consent = await self._work.get()
            try:
                await self._carry_out(consent)
            except (Unavailable, Refused) as error:
                self._work.put_back(token, consent)
                log.warning("a confirmation has to wait", extra={"token": token, "error": str(error)})
                await self._clock.sleep(backoff.next())
            else:
                backoff.reset()

    async def sweep(self) -> None:
        """Removes what is over from the store, until cancelled."""
        backoff = Backoff(0.5, 30)
        while True:
            token, _ = await self._spent.get()
            try:
                await self._store.delete(f"{PREFIX}.{token}")
            except (Unavailable, Refused) as error:
                self._spent.put_back(token, token)
                log.info("a confirmation is not forgotten yet", extra={"token": token, "error": str(error)})
                await self._clock.sleep(backoff.next())
            else:
                backoff.reset()

    async def _carry_out(self, consent: Consent) -> None:
        if consent.unit is None:
            self._again("" if consent.kind == "applications" else consent.application)
            return
        given = self._publisher.given(consent.unit)
        if given is not None and given.generation == consent.generation and given.digest == consent.digest:
            await self._publisher.confirm(consent.unit, consent.generation, consent.token)
        self._forget(consent.token)

    def _forget(self, token: str) -> None:
        self._granted.pop(token, None)
        self._spent.put(token, token)


def written(consent: Consent) -> tuple[str, bytes]:
    """(key, value) for the store."""
    return f"{PREFIX}.{consent.token}", encode(consent)


def read(data: bytes) -> Consent | None:
    """A stored consent, None when it cannot be read."""
    try:
        return msgspec.json.decode(data, type=Consent)
    except msgspec.DecodeError:
        return None
