"""Carries out what people have confirmed: on the leading hub, from the hub's own store, whichever hub was asked.

For a unit the assignment is issued again with the token in it; then the assignment itself remembers. For removals that
this hub holds back, whoever holds them asks `allows`. A word that fits nothing any more is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import msgspec

from hub.domain.records import Consent
from hub.publisher import Publisher
from hub.store import Conflict, Store
from shared.bus import Refused
from shared.errors import Unavailable
from shared.messages import Event, Severity, encode
from shared.tasks import Backoff, Clock, Mailbox, together

log = logging.getLogger(__name__)

PREFIX = "consent"
KEPT_FOR = 7 * 86400
"""Seconds after which a word that nothing came of is forgotten."""
TOGETHER = 64
"""Words on their way to the store at one time."""


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
        self._spent: Mailbox[str, None] = Mailbox()

    async def load(self) -> None:
        """What was confirmed before this hub began to lead."""
        async for key, data, _ in self._store.items(PREFIX):
            self.heard(key, data)

    def heard(self, key: str, data: bytes) -> None:
        """A record of the store; others than consents are passed over."""
        if not key.startswith(f"{PREFIX}."):
            return
        consent = _read(data)
        if consent is None:
            log.warning("a stored confirmation cannot be read", extra={"key": key})
            return
        self._granted[key] = consent
        self._work.put(key, consent)

    def allows(self, kind: str, application: str, token: str) -> bool:
        """Whether these removals were confirmed. Any other word about the same thing is out of date: forgotten."""
        about = {key: one for key, one in self._granted.items() if (one.kind, one.application) == (kind, application)}
        for key, other in about.items():
            if other.token != token:
                self._forget(key)
        return any(one.token == token for one in about.values())

    async def run(self) -> None:
        """Works until cancelled. What is confirmed for many clusters at once is written together."""
        backoff = Backoff(0.5, 30)
        while True:
            work = await self._work.drain()
            async with asyncio.TaskGroup() as group:
                attempts = [group.create_task(self._attempt(key, consent)) for key, consent in work.items()]
            waiting = [attempt.result() for attempt in attempts if attempt.result()]
            if not waiting:
                backoff.reset()
                continue
            log.warning("confirmations have to wait", extra={"count": len(waiting), "error": waiting[0]})
            await self._clock.sleep(backoff.next())

    async def _attempt(self, key: str, consent: Consent) -> str:
        """Returns why it has to be tried again, nothing when it is done."""
        try:
            await self._carry_out(key, consent)
        except (Unavailable, Refused) as error:
            self._work.put_back(key, consent)
            return str(error)
        return ""

    async def sweep(self) -> None:
        """Removes what is over from the store, until cancelled."""
        backoff = Backoff(0.5, 30)
        while True:
            key, _ = await self._spent.get()
            try:
                await self._store.delete(key)
            except (Unavailable, Refused, Conflict) as error:
                self._spent.put_back(key, None)
                log.info("a confirmation is not forgotten yet", extra={"key": key, "error": str(error)})
                await self._clock.sleep(backoff.next())
            else:
                backoff.reset()

    async def _carry_out(self, key: str, consent: Consent) -> None:
        if consent.unit is None:
            self._again("" if consent.kind == "applications" else consent.application)
            return
        given = self._publisher.given(consent.unit)
        if given is not None and given.generation == consent.generation and given.digest == consent.digest:
            await self._publisher.confirm(consent.unit, consent.generation, consent.token)
        self._forget(key)

    def _forget(self, key: str) -> None:
        self._granted.pop(key, None)
        self._spent.put(key, None)


async def record(store: Store, consents: Iterable[Consent]) -> None:
    """Stores them, for whichever hub leads. May raise `Unavailable`; again is harmless."""

    async def one(consent: Consent) -> None:
        await store.put(_key(consent), encode(consent), ttl=KEPT_FOR)

    await together(map(one, consents), TOGETHER)


def event(consent: Consent) -> Event:
    """The entry in the history."""
    what = "removals" if consent.unit is None else "deletions"
    unit = consent.unit
    return Event(
        id=f"{_key(consent)}-{consent.token}-{consent.at:.3f}",
        at=consent.at,
        type="confirmed",
        severity=Severity.WARNING,
        message=f"{what} confirmed" + (f": {consent.reason}" if consent.reason else ""),
        cluster=unit.cluster if unit is not None else "",
        namespace=unit.namespace if unit is not None else "",
        application=consent.application,
        actor=consent.actor,
    )


def _key(consent: Consent) -> str:
    if consent.unit is None:
        return f"{PREFIX}.{consent.kind}.{consent.token}"
    return f"{PREFIX}.objects.{consent.unit.cluster}.{consent.unit.namespace}.{consent.unit.application}"


def _read(data: bytes) -> Consent | None:
    try:
        return msgspec.json.decode(data, type=Consent)
    except msgspec.DecodeError:
        return None
