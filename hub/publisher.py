"""Gives units their bundles: the only writer of desired state.

Bodies are stored and acknowledged before the assignment that names them; a cluster's root is written after its
assignments. A hub that dies in between leaves a root behind its assignments, which `load` notices and puts right.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hub import streams
from hub.domain import publishing
from hub.domain.jobchecks import is_check
from hub.domain.publishing import Again, Given, Order, TooLong
from hub.roots import Roots
from shared import bundle, subjects
from shared.errors import InvalidMessage, Unavailable, YardarmError
from shared.messages import Assignment, Policy, Root, decode, encode
from shared.model import UnitKey
from shared.tasks import Backoff, Clock

if TYPE_CHECKING:
    from hub.metrics import Metrics
    from hub.streams import Fence
    from hub.turns import Turns
    from shared.bus import Bus
    from shared.signing import SigningKey

log = logging.getLogger(__name__)


STRETCH = 16
"""Assignments that are signed, or taken over, until others get on."""


class Cause(msgspec.Struct, frozen=True):
    """Why units get a new assignment: goes into every one of them."""

    commit: str
    revision: str
    traceparent: str
    rollout: str = ""


@dataclass(frozen=True)
class _Request:
    orders: Sequence[Order | Again]
    cause: Cause
    done: asyncio.Future[list[Assignment]]

    def fail(self, error: YardarmError) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def succeed(self, items: list[Assignment]) -> None:
        if not self.done.done():
            self.done.set_result(items)


class Publisher:
    """Desired state as this hub last wrote or read it, and the way to change it.

    `on_assigned` is called with what was stored, once it is stored.
    """

    def __init__(
        self,
        bus: Bus,
        key: SigningKey,
        turns: Turns,
        metrics: Metrics,
        clock: Clock,
        on_assigned: Callable[[Sequence[Assignment]], None],
    ) -> None:
        self._of_cluster: dict[str, dict[UnitKey, Given]] = {}
        self._of_application: dict[str, dict[UnitKey, Given]] = {}
        self._live: set[str] = set()
        self._stored: set[str] = set()
        self.storing = asyncio.Lock()
        """Held while bodies are stored or removed."""
        self._bus = bus
        self._writer = streams.Writer(bus, clock)
        self._key = key
        self._turns = turns
        self._roots = Roots(self._writer, key, turns, clock)
        self._metrics = metrics
        self._clock = clock
        self._on_assigned = on_assigned
        self._waiting: list[_Request] = []
        self._asked = asyncio.Event()
        self._over: list[UnitKey] = []
        self._early: dict[UnitKey, int] = {}
        """Units whose agents have let go of them before this hub has heard that NATS stored what told them to."""

    @property
    def idle(self) -> bool:
        """Whether everything that was asked for is written, roots included."""
        return not (self._waiting or self._roots.pending or self._over)

    def of_application(self, name: str) -> Mapping[UnitKey, Given]:
        """What the units of an application were told last, those included that were told to let it go."""
        return dict(self._of_application.get(name, {}))

    def applications(self) -> set[str]:
        """The applications that some unit was told of. Checks are none."""
        return {name for name, units in self._of_application.items() if units and not is_check(name)}

    def given(self, unit: UnitKey) -> Given | None:
        """What a unit was told last, None if nothing that still counts."""
        return self._given(unit)

    def live(self) -> set[str]:
        """The applications that some unit has and was not told to let go. Checks are none."""
        return set(self._live)

    def checks(self) -> dict[UnitKey, Given]:
        """What the units of checks by a Job were told last, those included that were told to let it go."""
        return {
            unit: given
            for name, units in self._of_application.items()
            if is_check(name)
            for unit, given in units.items()
        }

    def heirs(self) -> dict[str, str]:
        """Application → the one that takes its place on some cluster."""
        return {
            old.partition("/")[2]: name
            for name, units in self._of_application.items()
            for given in units.values()
            for old in given.succeeds
            if old.partition("/")[2] != name and not given.removed
        }

    def too_long(self) -> tuple[TooLong, ...]:
        """The clusters that have more units than their lists can name."""
        return self._roots.too_long()

    def leaving(self) -> list[tuple[UnitKey, int]]:
        """The units that were told to let everything go, with the generation of that."""
        every = (pair for units in self._of_cluster.values() for pair in units.items())
        return [(unit, given.generation) for unit, given in every if given.removed]

    def distrust(self, unit: UnitKey, generation: int) -> None:
        """What is in the stream for this unit, under that generation, is not ours: whatever it should have is news."""
        given = self._given(unit)
        known = given.generation if given is not None else 0
        policy = given.policy if given is not None else Policy()
        self._know(unit, Given(max(generation, known), "", "", "", removed=False, policy=policy))

    def distrust_root(self, cluster: str) -> None:
        """The list of this cluster's units in the stream is not ours: it is written again."""
        self._roots.distrust(cluster)
        self._asked.set()

    async def load(self, fence: Fence) -> None:
        """Reads what is in the stream and repairs roots that an interrupted hub left behind."""
        found: list[Assignment] = []
        async for subject, data, _ in streams.last_per_subject(self._bus, streams.DESIRED.name, subjects.DESIRED_ALL):
            try:
                key = subjects.parse_desired(subject)
                if isinstance(key, UnitKey):
                    assignment = decode(data, Assignment)
                    self._remember(assignment)
                    found.append(assignment)
                elif key == "_root":
                    self._roots.read(subjects.cluster_of(subject), decode(data, Root))
            except InvalidMessage as error:
                log.error("a stored message cannot be read", extra={"subject": subject, "error": str(error)})
        self._on_assigned(found)
        self._roots.stale(self._of_cluster)
        await self._roots.write(self._of, fence)
        self._roots.due = 0.0

    async def store(self, packs: Iterable[bundle.Pack]) -> None:
        """Stores bundle bodies; those known to be there cost nothing."""
        async with self.storing:
            new = [pack for pack in packs if pack.ref.digest not in self._stored]
            await self._writer.put_blobs([blob for pack in new for blob in pack.blobs()])
            self._stored.update(pack.ref.digest for pack in new)

    def packs(self) -> set[str]:
        """The digests of the packs that some unit was given."""
        return {digest for units in self._of_cluster.values() for given in units.values() for digest in given.packs}

    def not_stored(self, digests: Iterable[str]) -> None:
        """These are about to be removed: whoever needs one again has to store it again."""
        self._stored.difference_update(digests)

    async def publish(self, orders: Sequence[Order], cause: Cause) -> list[Assignment]:
        """Writes the assignments and then the roots of the clusters concerned. Bodies must have been stored.

        What is asked for while a write is under way goes into the next one together, so that a root is written once
        for many applications. `run` does the writing.

        Raises:
            Unavailable: not acknowledged; calling again with the same orders is safe.
            Fenced: another hub leads now.
        """
        return await self._ask(orders, cause) if orders else []

    async def confirm(self, unit: UnitKey, generation: int, token: str) -> bool:
        """Tells a unit that deletions are confirmed: its assignment of this generation, again, with the token.

        False when it was given something else meanwhile. May raise as `publish` does.
        """
        return await self._issue_again(unit, generation, (token,))

    async def repeat(self, unit: UnitKey, generation: int) -> bool:
        """Gives a unit its assignment of this generation once more, under a new one: its agent begins anew.

        False when it was given something else meanwhile. May raise as `publish` does.
        """
        return await self._issue_again(unit, generation, ())

    async def _issue_again(self, unit: UnitKey, generation: int, confirmed: tuple[str, ...]) -> bool:
        data = await streams.last(self._bus, streams.DESIRED.name, subjects.desired(unit))
        stored = decode(data, Assignment) if data is not None else None
        if stored is None or stored.generation != generation:
            return False
        return bool(
            await self._ask([Again(stored, confirmed)], Cause(stored.commit, stored.revision, stored.traceparent))
        )

    async def _ask(self, orders: Sequence[Order | Again], cause: Cause) -> list[Assignment]:
        done: asyncio.Future[list[Assignment]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(orders, cause, done))
        self._asked.set()
        return await done

    async def run(self, fence: Fence) -> None:
        """Writes what is asked for, until cancelled or fenced off by a newer leader."""
        backoff = Backoff(0.5, 10.0)
        while True:
            await self._wait()
            requests, self._waiting = self._waiting, []
            try:
                await self._serve([request for request in requests if not request.done.done()], fence)
                if self._clock.monotonic() >= self._roots.due:
                    await self._roots.write(self._of, fence)
                    await self._sweep()
                backoff.reset()
            except Unavailable as error:
                for request in requests:
                    request.fail(error)
                log.warning("publishing has to wait", extra={"error": str(error)})
                await self._clock.sleep(backoff.next())
                self._asked.set()
            except YardarmError as error:
                for request in requests:
                    request.fail(error)
                raise

    async def _wait(self) -> None:
        """Until something is asked for, or the lists that were put off are due."""
        delay = self._roots.due - self._clock.monotonic() if self._roots.pending or self._over else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._asked.wait()
        self._asked.clear()

    async def _serve(self, requests: Sequence[_Request], fence: Fence) -> None:
        made: list[list[Assignment]] = []
        messages: list[tuple[str, bytes]] = []
        for request in requests:
            items = []
            for number, item in enumerate(self._assignments(request)):
                if number % STRETCH == 0:
                    await self._turns.turn()
                items.append(item)
                messages.append((subjects.desired(item.unit), encode(item)))
            made.append(items)
        if messages:
            start = self._clock.monotonic()
            await self._writer.batch(messages, fence)
            self._metrics.publish_seconds.observe(self._clock.monotonic() - start)
            self._metrics.published_bytes.inc(sum(len(data) for _, data in messages))
        for request, items in zip(requests, made, strict=True):
            for start_at in range(0, len(items), STRETCH):
                await self._turns.turn()
                self._stored_now(items[start_at : start_at + STRETCH])
            request.succeed(items)

    def _stored_now(self, items: Sequence[Assignment]) -> None:
        for item in items:
            self._metrics.published.labels("remove" if item.removed else "assign").inc()
            self._remember(item)
        self._on_assigned(items)

    def forget(self, unit: UnitKey, generation: int) -> None:
        """The agent has removed what this unit had: nothing needs to be said about it any more."""
        given = self._given(unit)
        if given is not None and generation > given.generation:
            self._early[unit] = generation
        if given is None or not given.removed or given.generation != generation:
            return
        del self._of_application[unit.application][unit]
        del self._of_cluster[unit.cluster][unit]
        self._roots.stale((unit.cluster,))
        self._over.append(unit)
        self._asked.set()

    async def _sweep(self) -> None:
        """Takes units that are over out of the streams, once no root lists them."""
        while self._over:
            unit = self._over[-1]
            if self._given(unit) is None:
                await streams.purge(self._bus, streams.DESIRED.name, subjects.desired(unit))
                await streams.purge(self._bus, streams.REPORTS.name, subjects.report(unit))
            self._over.pop()

    def _of(self, cluster: str) -> Mapping[UnitKey, Given]:
        return self._of_cluster.get(cluster, {})

    def _given(self, unit: UnitKey) -> Given | None:
        return self._of_cluster.get(unit.cluster, {}).get(unit)

    def _assignments(self, request: _Request) -> Iterator[Assignment]:
        now, cause = self._clock.now(), request.cause
        for order in request.orders:
            if isinstance(order, Again):
                unsigned = publishing.again(order, self._given(order.assignment.unit), now)
                if unsigned is not None:
                    yield self._key.sign(unsigned)
                continue
            yield self._key.sign(
                publishing.assignment(
                    order,
                    self._given(order.unit),
                    commit=cause.commit,
                    revision=cause.revision,
                    traceparent=cause.traceparent,
                    rollout=cause.rollout,
                    now=now,
                )
            )

    def _remember(self, assignment: Assignment) -> None:
        given = Given.of(assignment)
        self._know(assignment.unit, given)
        self._roots.stale((assignment.cluster,))
        self._stored.update(given.packs)
        if self._early.pop(assignment.unit, 0) == given.generation:
            self.forget(assignment.unit, given.generation)

    def _know(self, unit: UnitKey, given: Given) -> None:
        self._of_application.setdefault(unit.application, {})[unit] = given
        self._of_cluster.setdefault(unit.cluster, {})[unit] = given
        if is_check(unit.application):
            return
        if not given.removed:
            self._live.add(unit.application)
        elif all(each.removed for each in self._of_application[unit.application].values()):
            self._live.discard(unit.application)
