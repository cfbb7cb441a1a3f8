"""What the hub wants, as it comes in: noticed, or asked for; verified; unpacked; newest wins per unit.

Nothing is taken on trust: subject, signature, generation and digest are checked, and what does not pass is logged,
reported and dropped while everything that runs stays as it is. Notices are core NATS and may be lost, so the list of
units is compared on every connection, on every notice of a new list, and every few minutes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Protocol

import msgspec

from agent.settings import AgentSettings
from shared import subjects
from shared.bundle import Bundle, listed, open_bundle, unpack
from shared.bus import Bus, Message
from shared.errors import InvalidMessage, Unavailable
from shared.messages import Assignment, PackRef, Root
from shared.model import UnitKey
from shared.signing import Trust
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

FETCHERS = 4
"""Units fetched at the same time: a restart of the fleet must not become a stampede."""
LISTED = 2.0
"""Seconds, jittered, from a list of units to the look at it: what it lists was announced just before and is most
likely on its way, and checking a list's signature costs as much as checking an assignment's."""
STALE_RETRIES = 5
"""A replica of the stream may lag behind the list for a moment."""


class Delivery(msgspec.Struct, frozen=True):
    """An assignment that may be acted upon. Times are unix seconds; `signed` is the message as it came."""

    assignment: Assignment
    bundle: Bundle
    signed: bytes
    received: float
    fetched: float


class _Arrived(msgspec.Struct, frozen=True):
    assignment: Assignment
    signed: bytes
    at: float
    attempt: int = 0


class Receiver(Protocol):
    """Who is told. All three return at once."""

    def deliver(self, delivery: Delivery) -> None:
        """A verified assignment with its bundle, newer than any before for its unit."""
        ...

    def reject(self, subject: str, error: InvalidMessage) -> None:
        """A message was dropped."""
        ...

    def report_all(self) -> None:
        """The hub wants all reports again."""
        ...


class Inbox:
    """Start `run` in a TaskGroup."""

    def __init__(self, bus: Bus, settings: AgentSettings, trust: Trust, clock: Clock, receiver: Receiver) -> None:
        self._bus = bus
        self._cluster = settings.cluster
        self._resync = settings.resync
        self._trust = trust
        self._clock = clock
        self._receiver = receiver
        self._newest: dict[UnitKey, int] = {}
        self._delivered: dict[UnitKey, int] = {}
        self._listed: Message | None = None
        self._roots: tuple[Root, ...] = ()
        self._arrived: Mailbox[UnitKey, _Arrived] = Mailbox()
        self._compare = asyncio.Event()
        self._ask = True

    def known(self, unit: UnitKey, generation: int) -> None:
        """Tells of a unit that was restored from disk: only newer assignments are taken."""
        self._newest[unit] = self._delivered[unit] = generation

    async def run(self) -> None:
        """Receives for ever."""
        self._bus.on_connected(self._ask_again)
        await self._bus.subscribe(subjects.notify_all(self._cluster), self._noticed)
        async with asyncio.TaskGroup() as group:
            for _ in range(FETCHERS):
                group.create_task(self._fetch())
            group.create_task(self._catch_up())
            group.create_task(self._tick())

    def _ask_again(self) -> None:
        self._ask = True
        self._compare.set()

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(self._resync * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            self._ask_again()

    async def _noticed(self, message: Message) -> None:
        try:
            self._open(message)
        except InvalidMessage as error:
            self._rejected(message.subject, error)

    def _open(self, message: Message) -> None:
        """Takes in a message of any kind.

        Raises:
            InvalidMessage: it is not for us, not from our hub, or cannot be read.
        """
        about = subjects.parse_desired(message.subject)
        if subjects.cluster_of(message.subject) != self._cluster:
            raise InvalidMessage(f"a message for cluster {subjects.cluster_of(message.subject)}")
        if isinstance(about, UnitKey):
            self._take(about, message)
        elif about == "_root":
            self._listed = message
            self._compare.set()
        elif about == "_report":
            self._receiver.report_all()

    def _take(self, unit: UnitKey, message: Message) -> None:
        assignment = self._trust.open(message.data, Assignment)
        if assignment.unit != unit:
            raise InvalidMessage(f"it came on the subject of {unit} but is for {assignment.unit}")
        if assignment.generation <= self._newest.get(unit, 0):
            return
        self._newest[unit] = assignment.generation
        self._arrived.put(unit, _Arrived(assignment, message.data, self._clock.now()))

    def _read_root(self, message: Message) -> Root:
        root = self._trust.open(message.data, Root)
        if root.cluster != self._cluster:
            raise InvalidMessage(f"the list of units is for cluster {root.cluster}")
        return msgspec.structs.replace(root, units=listed(root), packed=b"")

    def _rejected(self, subject: str, error: InvalidMessage) -> None:
        log.warning("a message was rejected", extra={"subject": subject, "error": str(error)})
        self._receiver.reject(subject, error)

    async def _catch_up(self) -> None:
        backoff = Backoff(0.2, 30)
        while True:
            await self._compare.wait()
            if not self._ask:
                await self._clock.sleep(LISTED * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
            await self._bus.wait_connected()
            self._compare.clear()
            try:
                await self._compare_with_hub()
                backoff.reset()
            except Unavailable as error:
                log.info("cannot ask the hub for desired state", extra={"error": str(error)})
                await self._clock.sleep(backoff.next())
                self._compare.set()
            except InvalidMessage as error:
                self._rejected(subjects.desired_root(self._cluster), error)

    async def _compare_with_hub(self) -> None:
        found = None
        if self._ask:
            found = await self._bus.get_last(subjects.get_root(self._cluster))
            self._ask = False
        told, self._listed = self._listed, None
        # A newer list may have been told while this one was on its way. Both are read: an old one does no harm, since
        # it only says what to ask for, and what is asked for has its own generation.
        roots = [self._read_root(message) for message in (found, told) if message is not None]
        self._roots = tuple(roots) or self._roots
        behind: dict[UnitKey, int] = {}
        for entry in (entry for root in self._roots for entry in root.units):
            unit = UnitKey(self._cluster, entry.namespace, entry.application)
            if entry.generation > self._newest.get(unit, 0):
                behind[unit] = max(entry.generation, behind.get(unit, 0))
        gate = asyncio.Semaphore(FETCHERS)
        async with asyncio.TaskGroup() as group:
            for unit, generation in behind.items():
                group.create_task(self._get(unit, generation, gate))

    async def _get(self, unit: UnitKey, generation: int, gate: asyncio.Semaphore) -> None:
        """Asks for one assignment. Trouble with one must not end the others: it is asked for again later."""
        async with gate:
            for attempt in range(STALE_RETRIES):
                try:
                    message = await self._bus.get_last(subjects.get_desired(unit))
                    if message is not None:
                        self._open(message)
                except Unavailable as error:
                    log.info("cannot get an assignment", extra={"unit": str(unit), "error": str(error)})
                except InvalidMessage as error:
                    self._rejected(subjects.desired(unit), error)
                    return
                if self._newest.get(unit, 0) >= generation:
                    return
                await self._clock.sleep(0.1 * 2**attempt)
            log.warning("an assignment that the hub lists is not there", extra={"unit": str(unit)})

    async def _fetch(self) -> None:
        async with asyncio.TaskGroup() as later:
            while True:
                unit, arrived = await self._arrived.get()
                try:
                    delivery = await self._unpack(arrived)
                except Unavailable as error:
                    log.info("cannot fetch a bundle", extra={"unit": str(unit), "error": str(error)})
                    later.create_task(self._again(unit, arrived))
                except InvalidMessage as error:
                    # The hub may put it right under the same generation.
                    if self._is_newest(arrived):
                        self._newest[unit] = self._delivered.get(unit, 0)
                    self._rejected(subjects.desired(unit), error)
                else:
                    if self._is_newest(arrived):
                        self._delivered[unit] = arrived.assignment.generation
                        self._receiver.deliver(delivery)

    async def _again(self, unit: UnitKey, arrived: _Arrived) -> None:
        await self._clock.sleep(random.uniform(0.5, 1) * min(30, 2**arrived.attempt))  # noqa: S311 - jitter
        await self._bus.wait_connected()
        if self._is_newest(arrived):
            self._arrived.put(unit, msgspec.structs.replace(arrived, attempt=arrived.attempt + 1))

    def _is_newest(self, arrived: _Arrived) -> bool:
        return self._newest.get(arrived.assignment.unit) == arrived.assignment.generation

    async def _unpack(self, arrived: _Arrived) -> Delivery:
        """Raises Unavailable when a piece cannot be had for now, InvalidMessage when it is not what was promised."""
        raw = {ref.digest: await self._pack(ref) for ref in arrived.assignment.packs}
        bundle = open_bundle(arrived.assignment, lambda ref: raw[ref.digest])
        return Delivery(arrived.assignment, bundle, arrived.signed, arrived.at, self._clock.now())

    async def _pack(self, ref: PackRef) -> bytes:
        names = [ref.digest] if ref.chunks == 1 else [f"{ref.digest}-{n}" for n in range(ref.chunks)]
        chunks = []
        for name in names:
            message = await self._bus.get_last(subjects.get_blob(subjects.TENANT, name))
            if message is None:
                # Blobs are stored before the assignment that names them, but a replica may lag behind.
                raise Unavailable(f"blob {name[:12]} is not there (yet)")
            chunks.append(message.data)
        return unpack(ref, b"".join(chunks))
