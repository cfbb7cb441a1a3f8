"""One of several hubs leads: a lease that expires, and a fence that outlives mistakes about it.

The lease (a key with a time to live) says who may start to lead. What makes it safe is the epoch: each new leader
writes `desired._hub.epoch`, and every batch it sends expects that very message to be the last of its subject. A hub
that was suspended, or whose clock runs wrong, may still believe that it leads; nothing it writes is taken.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable

from hub.store import ABSENT, Conflict, Store
from hub.streams import DESIRED, Fence, Fenced
from shared import subjects
from shared.bus import Bus, Refused
from shared.errors import Unavailable, YardarmError
from shared.tasks import Clock

log = logging.getLogger(__name__)

LEASE = "lease"
TTL = 10
"""Seconds of silence after which another hub takes over."""
SELF_STOP = 0.8
"""Part of the TTL after which a leader that could not renew stops by itself, before anybody else can start."""

OnLead = Callable[[Fence], Awaitable[None]]


class _LeaseLost(YardarmError):
    """Not renewed in time, or taken."""


class Leader:
    """Takes part in the election until cancelled."""

    def __init__(self, bus: Bus, name: str, *, ttl: int = TTL, clock: Clock | None = None) -> None:
        """`name` is shown to people, and must differ from hub to hub (host name and process id)."""
        self._bus = bus
        self._store = Store(bus)
        self._name = name
        self._value = f"{name} {secrets.token_hex(4)}".encode()
        self._ttl = ttl
        self._clock = clock or Clock()
        self.leading = False
        """Whether this hub leads now, as far as it knows."""

    async def run(self, on_lead: OnLead) -> None:
        """Runs `on_lead` while this hub leads, and cancels it when it no longer does; again and again.

        Ends when `on_lead` returns. Its errors come through as they are, except `Fenced` (another hub leads) and
        `Unavailable` (so does this one not, for now). The lease is given back on the way out, so that another hub
        need not wait for its end.
        """
        while not await self._try(on_lead):
            await self._clock.sleep(self._ttl / 4)

    async def holder(self) -> str:
        """The name of the hub that leads, empty when none does."""
        found = await self._store.get(LEASE)
        return found[0].decode().rpartition(" ")[0] if found is not None else ""

    async def _try(self, on_lead: OnLead) -> bool:
        """One attempt, and the time in office that may follow; True when `on_lead` has returned by itself."""
        lease = _Lease(self._store, self._value, self._ttl, self._clock)
        try:
            epoch = await self._last_epoch()
            await lease.acquire()
        except Conflict:
            return False
        except Unavailable as error:
            log.info("cannot ask who leads", extra={"error": str(error)})
            return False
        try:
            fence = await self._write_epoch(epoch)
            self.leading = True
            log.info("this hub leads", extra={"hub": self._name, "epoch": fence.epoch})
            await self._lead(lease, fence, on_lead)
        except (_LeaseLost, Fenced, Unavailable) as error:
            log.warning("this hub no longer leads", extra={"hub": self._name, "reason": str(error)})
            return False
        finally:
            self.leading = False
            await lease.give_back()
        return True

    async def _lead(self, lease: _Lease, fence: Fence, on_lead: OnLead) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(lease.keep())

                async def work() -> None:
                    await on_lead(fence)
                    keeper.cancel()

                group.create_task(work())
        except BaseExceptionGroup as errors:
            if len(errors.exceptions) > 1:
                raise
            raise errors.exceptions[0] from None

    async def _last_epoch(self) -> int:
        """Read before the lease is taken: who is held up in between must not depose the hub that came after it."""
        message = await self._bus.get_last(f"$JS.API.DIRECT.GET.{DESIRED.name}.{subjects.EPOCH}")
        return int(message.headers["Nats-Sequence"]) if message is not None else 0

    async def _write_epoch(self, last: int) -> Fence:
        try:
            headers = {"Nats-Expected-Last-Subject-Sequence": str(last)}
            return Fence(await self._bus.publish_stored(subjects.EPOCH, self._name.encode(), headers=headers))
        except Refused as refused:
            if refused.code == Refused.WRONG_SEQUENCE:
                raise Fenced("another hub was faster") from refused
            raise


class _Lease:
    """A lease that is held. `renewed` is when the last good renewal was sent: its life is counted from there."""

    def __init__(self, store: Store, value: bytes, ttl: int, clock: Clock) -> None:
        self._store = store
        self._value = value
        self._ttl = ttl
        self._clock = clock
        self._revision = ABSENT
        self._renewed = 0.0

    async def acquire(self) -> None:
        """Takes it when nobody has it; raises Conflict when somebody does."""
        sent = self._clock.monotonic()
        self._revision = await self._store.put(LEASE, self._value, ABSENT, ttl=self._ttl)
        self._renewed = sent

    async def keep(self) -> None:
        """Renews until cancelled.

        Raises:
            _LeaseLost: another hub has it, or could have it soon.
        """
        while True:
            await self._clock.sleep(self._ttl / 3)
            while not await self._renewal():
                await self._clock.sleep(self._ttl / 20)

    async def give_back(self) -> None:
        """Best effort: it expires anyway."""
        try:
            async with asyncio.timeout(1):
                await self._store.delete(LEASE, self._revision)
        except (YardarmError, TimeoutError) as error:
            log.debug("the lease was not given back", extra={"error": str(error)})

    async def _renewal(self) -> bool:
        sent = self._clock.monotonic()
        left = self._renewed + SELF_STOP * self._ttl - sent
        if left <= 0:
            raise _LeaseLost(f"the lease could not be renewed for {sent - self._renewed:.1f} s")
        try:
            async with asyncio.timeout(left):
                self._revision = await self._put()
        except (Unavailable, TimeoutError):
            return False
        self._renewed = sent
        return True

    async def _put(self) -> int:
        try:
            return await self._store.put(LEASE, self._value, self._revision, ttl=self._ttl)
        except Conflict:
            found = await self._store.get(LEASE)
            if found is None or found[0] != self._value:
                raise _LeaseLost("another hub has taken the lease, or it has expired") from None
            # An earlier renewal was stored, and its acknowledgement lost.
            return await self._store.put(LEASE, self._value, found[1], ttl=self._ttl)
