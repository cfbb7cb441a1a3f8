"""Carries rollouts on: events to `hub.domain.rollout.step`, the result to the store, and then what has to be done.

One application at a time, never two steps of one at once. What a step comes to is stored before anything of it is
done, and what is done is to bring clusters in line with where the rollout has them: done twice, or by the next hub, it
comes to the same. Reports are taken in together, a few times a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from hub.domain.lasting import bodies_of, may_give, patience
from hub.domain.plans import Proposal, planned
from hub.domain.publishing import Body
from hub.domain.requests import Asked, Verb
from hub.domain.rollout import due, step
from hub.domain.runs import Around, Phase, Plan, Rollout, Sight, Target
from hub.domain.selectors import Candidate
from hub.domain.steps import Again, Command, Ended, Event, Move, Observed, Proposed, Surrounded, Tell, Tick
from hub.kept import KeptBodies
from hub.ledger import Ledger, Reader
from hub.turns import Turns
from hub.view import View
from hub.view.standing import sight
from shared import messages, telemetry
from shared.errors import Unavailable
from shared.model import UnitKey
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

PULSE = 0.1
"""Seconds over which reports are gathered, at least."""
STEPS = 200
"""Steps a second at most that reports alone lead to: the more rollouts are under way, the more reports each step takes
in together. A step at 1,000 clusters, with what is stored and published, takes 2 ms."""
SURROUNDINGS = 1.0
"""Seconds between looks at windows, holds, and whatever else a rollout has to heed."""
TIDYING = 3600.0
"""Seconds between looks for bundles that are kept and not needed any more."""
HISTORY = 20
"""Rollouts remembered per application."""
WORKERS = 64
"""Applications whose rollouts are carried on at once: mostly they wait for NATS."""


class Hands(Protocol):
    """Who publishes."""

    def given(self, application: str) -> dict[str, Target]:
        """What each cluster was given last, those left out that were told to let it go."""

    def units(self, application: str) -> Mapping[str, UnitKey]:
        """A unit that was given it, by digest."""

    async def carry(self, rollout: Rollout) -> bool:
        """Brings all clusters in line with the rollout. False when some have to wait for their turn."""

    async def repeat(self, rollout: Rollout, clusters: Iterable[str]) -> None:
        """Gives clusters once more what they have."""


@dataclass
class _Proposing:
    proposal: Proposal
    candidate: Callable[[str], Candidate]
    known: Mapping[str, Body]
    done: asyncio.Future[Rollout | None]


@dataclass
class _Forgetting:
    done: asyncio.Future[None]


@dataclass
class _Inbox:
    """What has come for one application and was not taken in yet."""

    events: list[Event | _Proposing | _Forgetting] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    carry: bool = False


class Rollouts:
    """On the leading hub: all rollouts of the fleet."""

    def __init__(  # noqa: PLR0913 - called once, by the composition root
        self,
        ledger: Ledger,
        bodies: KeptBodies,
        view: View,
        hands: Hands,
        around: Callable[[Plan], Around | None],
        *,
        follows: Callable[[], Mapping[str, Asked]],
        tell: Callable[[messages.Event], None],
        changed: Callable[[Rollout], None],
        again: Callable[[str], None],
        done: Callable[[str, Asked], None],
        turns: Turns,
        clock: Clock,
    ) -> None:
        """Everything that it does not decide, and whom it tells.

        `around` says what a plan has to heed now, None while that is not known; `follows` what to ask of rollouts
        because of others. `changed` hears of every rollout that is further than it was, `done` of each request that was
        taken in; `again` has an application evaluated anew.
        """
        self._ledger = ledger
        self._bodies = bodies
        self._view = view
        self._hands = hands
        self._around = around
        self._follows = follows
        self._tell = tell
        self._changed = changed
        self._again = again
        self._done = done
        self._turns = turns
        self._clock = clock
        self._history: dict[str, list[Rollout]] = {}
        self._active: dict[str, Rollout] = {}
        self._inboxes: dict[str, _Inbox] = {}
        self._ready: Mailbox[str, None] = Mailbox()
        self._busy: set[str] = set()
        self._due: dict[str, float] = {}
        self._unwritten: dict[str, float] = {}
        self._delays: dict[str, Backoff] = {}

    async def load(self, reader: Reader) -> None:
        """What an earlier hub has stored, as far as `reader` has not read it. Who is under way goes on from there."""
        await self._bodies.load()
        for rollout in await self._ledger.load(reader):
            self._history.setdefault(rollout.application, []).append(rollout)
            self._view.rollouts.put(rollout)
        for name, rollouts in self._history.items():
            self._changed(rollouts[0])
            if rollouts[0].active:
                self._active[name] = rollouts[0]
                inbox = self._inbox(name)
                inbox.carry = True
                inbox.seen.update(rollouts[0].slots)
                self._ready.put(name, None)

    def newest(self, application: str) -> Rollout | None:
        """The last rollout of an application, whether it has ended or not."""
        known = self._history.get(application)
        return known[0] if known else None

    def history(self, application: str) -> tuple[Rollout, ...]:
        """The rollouts of an application, the newest first."""
        return tuple(self._history.get(application, ()))

    def active(self) -> list[Rollout]:
        """The rollouts under way."""
        return list(self._active.values())

    @property
    def idle(self) -> bool:
        """Whether all that has come is taken in, and carried out."""
        return not (self._inboxes or self._busy)

    def needed(self) -> set[str]:
        """The digests of bundles that a rollout may give or give back."""
        found: set[str] = set()
        for known in self._history.values():
            found |= may_give(known[0])
            for past in known:
                if past.phase is Phase.COMPLETED:
                    found.update(pinned.target.digest for pinned in past.plan.clusters.values())
        return found

    async def propose(
        self, proposal: Proposal, candidate: Callable[[str], Candidate], known: Mapping[str, Body]
    ) -> Rollout | None:
        """Takes in what an application amounts to now, and carries out what follows from it.

        Args:
            proposal: what every cluster should have; what they were given is looked up when it is taken in.
            candidate: a cluster as selectors see it.
            known: bundle bodies at hand, by digest.

        Returns:
            The newest rollout then; None where there never was anything to roll out.

        Raises:
            Unavailable: NATS is away; doing it again is safe.
        """
        done: asyncio.Future[Rollout | None] = asyncio.get_running_loop().create_future()
        self._put(proposal.application, _Proposing(proposal, candidate, known, done))
        return await done

    def ask(self, application: str, asked: Asked) -> None:
        """Takes in what a person asks."""
        self._put(application, asked)

    def measured(self, application: str, event: Event) -> None:
        """Takes in what was measured."""
        self._put(application, event)

    def noticed(self, key: tuple[str, str, str]) -> None:
        """A unit was judged anew."""
        cluster, _, application = key
        known = self._history.get(application)
        if known and cluster in known[0].slots:
            self._inbox(application).seen.add(cluster)

    async def forget(self, application: str) -> None:
        """The application is gone, and its rollouts with it.

        Raises:
            Unavailable: NATS is away; doing it again is safe.
        """
        if application in self._history or application in self._inboxes or application in self._busy:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._put(application, _Forgetting(done))
            await done

    async def _forget(self, rollouts: Iterable[Rollout]) -> None:
        for rollout in rollouts:
            self._view.rollouts.forget(rollout.id)
        await self._ledger.forget(rollouts)

    async def run(self) -> None:
        """Until cancelled, or fenced."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tidy())
            group.create_task(self._pulse())
            group.create_task(self._look_around())
            for _ in range(WORKERS):
                group.create_task(self._work())

    def _inbox(self, application: str) -> _Inbox:
        return self._inboxes.setdefault(application, _Inbox())

    def _put(self, application: str, event: Event | _Proposing | _Forgetting) -> None:
        self._inbox(application).events.append(event)
        self._ready.put(application, None)

    async def _pulse(self) -> None:
        """Has taken in what was noticed, and what time alone changes."""
        steps = 0
        while True:
            await self._clock.sleep(max(PULSE, steps / STEPS))
            now, steps = self._clock.now(), 0
            for name, at in list(self._due.items()):
                if at <= now:
                    del self._due[name]
                    self._put(name, Tick())
            for name, inbox in self._inboxes.items():
                if inbox.seen:
                    steps += 1
                    self._ready.put(name, None)
            for name in list(self._unwritten):
                if self._must_write(name):
                    self._ready.put(name, None)

    async def _look_around(self) -> None:
        while True:
            await self._clock.sleep(SURROUNDINGS)
            for rollout in self.active():
                around = self._around(rollout.plan)
                if around is not None and around is not rollout.around and around != rollout.around:
                    self._put(rollout.application, Surrounded(around))
            for name, asked in self._follows().items():
                self._put(name, asked)

    async def _tidy(self) -> None:
        """Bundles that no rollout means any more are forgotten."""
        while True:
            await self._clock.sleep(TIDYING)
            try:
                await self._bodies.prune(self.needed())
            except Unavailable as error:
                log.info("bundles that are not needed are forgotten later", extra={"error": str(error)})

    async def _work(self) -> None:
        while True:
            name, _ = await self._ready.get()
            if name in self._busy:
                continue  # whoever is at it looks again
            self._busy.add(name)
            try:
                more = name in self._inboxes or self._must_write(name)
                while more:
                    done = await self._attempt(name, self._inboxes.pop(name, _Inbox()))
                    # What was only seen waits for the pulse, and what could not be published yet for its time.
                    more = done and name in self._inboxes and bool(self._inboxes[name].events)
            finally:
                self._busy.discard(name)

    async def _attempt(self, name: str, inbox: _Inbox) -> bool:
        """Takes in what has come. When NATS is away all of it waits, and who waits for an answer is told."""
        delay = self._delays.setdefault(name, Backoff(0.2, 10.0))
        try:
            await self._take(name, inbox)
        except Unavailable as error:
            log.warning("a rollout has to wait", extra={"application": name, "error": str(error)})
            for item in inbox.events:
                if isinstance(item, _Proposing | _Forgetting) and not item.done.done():
                    item.done.set_exception(error)
            later = self._inbox(name)
            later.events[:0] = [item for item in inbox.events if not isinstance(item, _Proposing | _Forgetting)]
            later.seen |= inbox.seen
            later.carry = True
            asyncio.get_running_loop().call_later(delay.next(), self._ready.put, name, None)
            return False
        del self._delays[name]
        return True

    async def _take(self, name: str, inbox: _Inbox) -> None:
        await self._turns.turn()
        inbox = await self._let_go(name, inbox)
        now = self._clock.now()
        last = rollout = self.newest(name)
        commands: list[Command] = []
        known: dict[str, Body] = {}
        if rollout is not None and inbox.seen:
            sights = self._sights(rollout.plan, inbox.seen, rollout)
            rollout, more = step(rollout, Observed(sights), now)
            commands.extend(more)
        for item in inbox.events:
            event: Event
            if isinstance(item, _Forgetting):
                continue
            if isinstance(item, _Proposing):
                if item.done.done():
                    continue  # something newer has taken its place
                known.update(item.known)
                event = self._proposed(item, rollout, now)
            else:
                event = item
            rollout, more = step(rollout, event, now)
            commands.extend(more)
        if rollout is not None and (rollout is not last or self._must_write(name)):
            await self._keep(rollout, last, commands, known)
            self._remember(rollout, commands)
        await self._carry_out(name, rollout, commands, inbox)
        for item in inbox.events:
            if isinstance(item, Asked):
                self._done(name, item)
            elif isinstance(item, _Proposing) and not item.done.done():
                item.done.set_result(rollout)
        await self._go_on(name, rollout, last, inbox, now)

    async def _let_go(self, name: str, inbox: _Inbox) -> _Inbox:
        """Forgets an application that was gone in between. What came before that is done with; returns the rest."""
        gone = [
            number
            for number, item in enumerate(inbox.events)
            if isinstance(item, _Forgetting) and not item.done.done()  # else it is back already
        ]
        if not gone:
            return inbox
        await self._forget(self._history.get(name, ()))
        for known in (self._history, self._active, self._due, self._unwritten):
            known.pop(name, None)
        for item in inbox.events[: gone[-1] + 1]:
            if isinstance(item, Asked):
                self._done(name, item)
            elif isinstance(item, _Proposing | _Forgetting) and not item.done.done():
                item.done.set_result(None)
        return _Inbox(inbox.events[gone[-1] + 1 :])

    def _proposed(self, item: _Proposing, last: Rollout | None, now: float) -> Proposed:
        name = item.proposal.application
        proposal = msgspec.structs.replace(item.proposal, given=self._hands.given(name))
        plan = planned(proposal, last, item.candidate, _identity(proposal, now), now)
        taking_part = [cluster for cluster, pinned in plan.clusters.items() if pinned.changes]
        return Proposed(plan, self._around(plan) or Around(), self._sights(plan, taking_part, None))

    def _sights(self, plan: Plan, clusters: Iterable[str], rollout: Rollout | None) -> dict[str, Sight]:
        found = {}
        for cluster in clusters:
            pinned = plan.clusters.get(cluster)
            if pinned is None:
                continue
            expected = (rollout.position(cluster, pinned) if rollout is not None else None) or pinned.target
            unit = UnitKey(cluster, expected.namespace, plan.application)
            found[cluster] = sight(self._view, unit, expected, plan.at)
        return found

    async def _keep(
        self, rollout: Rollout, last: Rollout | None, commands: Collection[Command], known: Mapping[str, Body]
    ) -> None:
        """Stores what has come of it: first the bundles that it may need, then those that ended by it, then itself."""
        if last is None or rollout.plan is not last.plan:
            staged = any(stage.spec is not None for stage in rollout.plan.stages)
            digests = bodies_of(rollout.plan, targets=staged)
            await self._bodies.keep(digests, known, self._hands.units(rollout.application))
        for command in commands:
            if isinstance(command, Ended):
                await self._ledger.save(command.rollout)
        now = self._clock.monotonic()
        at = now + patience(rollout, last, commands)
        at = min(at, self._unwritten.get(rollout.application, at))
        if now < at:
            self._unwritten[rollout.application] = at
            return
        self._unwritten.pop(rollout.application, None)
        await self._ledger.save(rollout)

    def _must_write(self, name: str) -> bool:
        at = self._unwritten.get(name)
        return at is not None and at <= self._clock.monotonic()

    def _remember(self, rollout: Rollout, commands: Iterable[Command]) -> None:
        known = self._history.setdefault(rollout.application, [])
        ended = [command.rollout for command in commands if isinstance(command, Ended)]
        for each in (*ended, rollout):
            places = [number for number, other in enumerate(known) if other.id == each.id]
            if places:
                known[places[0]] = each
            else:
                known.insert(0, each)
            self._view.rollouts.put(each)
            self._changed(each)
        if known[0].active:
            self._active[rollout.application] = known[0]
        else:
            self._active.pop(rollout.application, None)

    async def _carry_out(self, name: str, rollout: Rollout | None, commands: Iterable[Command], inbox: _Inbox) -> None:
        if rollout is None:
            return
        carry = inbox.carry or any(isinstance(item, _Proposing) for item in inbox.events)
        for command in commands:
            match command:
                case Tell():
                    self._tell(_event(rollout, command, self._clock.now()))
                case Again():
                    await self._hands.repeat(rollout, command.clusters)
                case Move():
                    carry = True
                case Ended(ended, told):
                    for each in told:
                        self._tell(_event(ended, each, self._clock.now()))
        if carry and not await self._hands.carry(rollout):
            self._inbox(name).carry = True
            asyncio.get_running_loop().call_later(1.0, self._ready.put, name, None)

    async def _go_on(self, name: str, rollout: Rollout | None, last: Rollout | None, inbox: _Inbox, now: float) -> None:
        """What follows when nothing has to be done just now."""
        if rollout is None:
            return
        at = due(rollout, now)
        if at is not None:
            self._due[name] = at
        else:
            self._due.pop(name, None)
        released = any(isinstance(item, Asked) and item.verb is Verb.RELEASE for item in inbox.events)
        if released or (not rollout.active and rollout.queued and (last is None or last.active)):
            self._again(name)
        known = self._history[name]
        if len(known) > HISTORY and not rollout.active:
            self._history[name], old = known[:HISTORY], known[HISTORY:]
            await self._forget(old)


def _identity(proposal: Proposal, now: float) -> str:
    """Names a rollout: it can be read, and there is no other of the name."""
    return f"{proposal.application}-{proposal.commit.sha[:7]}-{int(now * 1000):x}"


def _event(rollout: Rollout, told: Tell, now: float) -> messages.Event:
    return messages.Event(
        id=f"{rollout.id}-{told.key}",
        at=now,
        type=told.type,
        severity=told.severity,
        message=told.message,
        application=rollout.application,
        actor=told.by,
        commit=rollout.plan.commit.sha,
        trace=telemetry.trace_id(rollout.plan.traceparent),
    )
