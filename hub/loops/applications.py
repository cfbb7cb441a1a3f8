"""From an application at a commit to what its clusters should have: place, render, settle claims, propose a rollout.

One lane per application: the newest evaluation wins and cancels an older one, and a render that hangs holds up nobody
else. What cannot be worked out leaves the clusters concerned as they are: an error is never an empty result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from hub.bundles import Basis, Bundles, Evaluation, Outcome
from hub.carrier import Aim, Carrier
from hub.domain import budget, publishing
from hub.domain.placement import place
from hub.domain.plans import undisturbed
from hub.domain.publishing import Body, Claim, Claims, TooLong
from hub.domain.records import ApplicationInfo, Pending, Revision
from hub.domain.runs import Rollout, Target
from hub.metrics import Metrics
from hub.moves import Moves
from hub.newcomers import Newcomers
from hub.proposing import Proposing, Rolling
from hub.publisher import Cause, Publisher
from hub.rationing import Rations
from hub.streams import Fenced
from hub.turns import Turns
from shared.errors import Unavailable, YardarmError
from shared.model import ObjectRef, Place, Problem
from shared.tasks import Backoff, Clock, Lanes

log = logging.getLogger(__name__)

MOVES_INTERVAL = 0.5
"""Seconds between looks at whether a unit that another one waits for stands."""
INTRODUCTIONS = 30.0
"""Seconds that new applications wait, after a restart, for those that were there before to claim their objects."""
HISTORY = 20
"""Revisions remembered per application."""


class Shelf(Protocol):
    """Where application records are kept over restarts, and shown."""

    def application_changed(self, info: ApplicationInfo) -> None:
        """Show and keep it."""

    def application_removed(self, name: str) -> None:
        """It is gone, and nothing of it is left on any cluster."""


Allows = Callable[[str, str, str], bool]
"""Whether removals of (kind, application) may go ahead: a person has confirmed the token. Others are forgotten."""


class Applications:
    """All applications of the fleet. `put` and `remove` say what should be; `run` brings it about."""

    def __init__(  # noqa: PLR0913, PLR0917 - called once, by the composition root
        self,
        publisher: Publisher,
        carrier: Carrier,
        rollouts: Rolling,
        shelf: Shelf,
        moves: Moves,
        allows: Allows,
        again: Callable[[str], None],
        turns: Turns,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """`again` has an application evaluated anew."""
        self._publisher = publisher
        self._carrier = carrier
        self._rollouts = rollouts
        self._moves = moves
        self._allows = allows
        self._again = again
        self._shelf = shelf
        self._clock = clock
        self._claims = Claims()
        self._rations = Rations(publisher, self._claims)
        self._turns = turns
        self._bundles = Bundles(publisher.store, turns, metrics, clock)
        self._newcomers = Newcomers(self._bundles, rollouts.history)
        self._proposing = Proposing(publisher, carrier, rollouts, self._newcomers, self._published, clock)
        self._lanes: Lanes[str, Evaluation | None] = Lanes(self._work)
        self._causes: dict[str, Cause] = {}
        self._disputing: dict[str, tuple[Evaluation, frozenset[str]]] = {}
        self._unheard: set[str] = set()
        self._introduced = asyncio.Event()
        self._introduced.set()
        self.infos: dict[str, ApplicationInfo] = {}

    def restore(self, infos: Mapping[str, ApplicationInfo]) -> None:
        """What an earlier process knew: revisions go on from there, and who had an object keeps it."""
        self.infos.update(infos)
        self._unheard = self._publisher.live()
        if self._unheard:
            self._introduced.clear()

    def put(self, evaluation: Evaluation) -> None:
        """The application should be brought to this; takes the place of what was asked before."""
        self._disputing.pop(evaluation.name, None)
        self._causes.pop(evaluation.name, None)
        self._moves.renamed(evaluation.renamed, evaluation.name)
        self._lanes.put(evaluation.name, evaluation)

    def remove(self, name: str, cause: Cause) -> None:
        """The application's document is gone from Git: its clusters are told to let it go."""
        self._causes[name] = cause
        self._disputing.pop(name, None)
        self._lanes.put(name, None)

    def left(self, name: str) -> None:
        """A unit of the application has left its cluster: with the last one an application that is gone is over."""
        if name in self._causes and name not in self.infos and not self._publisher.of_application(name):
            self._shelf.application_removed(name)

    def remove_again(self, name: str) -> bool:
        """Goes on with an application that was to be removed; False when it was not."""
        if name not in self._causes:
            return False
        self._lanes.put(name, None)
        return True

    def present(self) -> set[str]:
        """The applications that some cluster has, or had and was told to let go."""
        return self._publisher.applications()

    def live(self) -> set[str]:
        """The applications that some cluster has and was not told to let go."""
        return self._publisher.live()

    def heirs(self) -> dict[str, str]:
        """Application → the one that takes its place on some cluster."""
        return self._publisher.heirs() | self._moves.heirs

    def too_long(self) -> tuple[TooLong, ...]:
        """The clusters that have more units than their lists can name."""
        return self._publisher.too_long()

    def basis_of(self, rollout: Rollout) -> Basis | None:
        """What was evaluated for a rollout, as far as this hub knows."""
        return self._newcomers.known(rollout)

    def packs(self) -> set[str]:
        """The digests of packs that may be assigned without being stored again."""
        return self._bundles.packs()

    @property
    def pending(self) -> int:
        """Applications that are being worked on."""
        return len(self._lanes)

    def busy(self, name: str) -> bool:
        """Whether it is being worked on."""
        return name in self._lanes

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._lanes.run())
            group.create_task(self._look_after_moves())

    async def _look_after_moves(self) -> None:
        """What waited for another unit goes on when that one stands, or has had its time."""
        while True:
            await self._clock.sleep(MOVES_INTERVAL)
            for name in self._moves.over():
                self._again(name)

    async def _work(self, name: str, evaluation: Evaluation | None) -> None:
        backoff = Backoff(1, 60)
        while True:
            try:
                if evaluation is None:
                    await self._take_away(name)
                else:
                    await self._bring(evaluation)
            except Unavailable as error:
                log.warning("an application has to wait", extra={"application": name, "error": str(error)})
                await self._clock.sleep(backoff.next(error.retry_after))
            except Fenced:
                raise
            except Exception as error:
                log.exception("an application cannot be brought about", extra={"application": name})
                self._give_up(evaluation, error)
                return
            else:
                return
            finally:
                self._heard_of(name)

    def _heard_of(self, name: str) -> None:
        self._unheard.discard(name)
        if not self._unheard:
            self._introduced.set()

    async def _after_those_who_were_here(self) -> None:
        """After a restart nobody has claimed anything yet: who is new waits until the others have, for a while."""
        try:
            async with asyncio.timeout(INTRODUCTIONS):
                await self._introduced.wait()
        except TimeoutError:
            log.warning("some applications are still being worked out", extra={"applications": sorted(self._unheard)})
            self._introduced.set()

    def _give_up(self, evaluation: Evaluation | None, error: Exception) -> None:
        """Everything stays as it is, and says so."""
        if evaluation is None:
            return
        units = self._publisher.of_application(evaluation.name)
        have = tuple(sorted(unit.cluster for unit, given in units.items() if not given.removed))
        what = (
            str(error) if isinstance(error, YardarmError) else f"the hub's own error, {type(error).__name__}: {error}"
        )
        problem = Problem("error", f"{what}; everything stays as it is", application=evaluation.name)
        self._show(evaluation, have, (problem,))

    async def _take_away(self, name: str) -> None:
        await self._rollouts.forget(name)
        self._carrier.forget(name)
        orders = publishing.orders(name, self._publisher.of_application(name), {})
        moving = self._moves.of_renamed(name, orders)
        allowed = self._allows("moves", name, moving.token(name))
        orders = [order for order in orders if order.unit not in moving.staying(allowed)]
        await self._publisher.publish(orders, self._causes[name])
        staying = moving.staying(allowed)
        self._hold(name, self._held(name, {unit.cluster for unit in staying}))
        self._bundles.forget(name)
        self._proposing.forget(name)
        info = self.infos.get(name)
        if info is not None and staying:
            clusters = tuple(sorted(unit.cluster for unit in staying))
            pending = moving.pending(name, allowed, info.pending, self._clock.now())
            problems = moving.problems(name, allowed, None)
            info = msgspec.structs.replace(info, clusters=clusters, problems=problems, pending=pending)
            self.infos[name] = info
            self._shelf.application_changed(info)
            return
        self.infos.pop(name, None)
        self._moves.done(name)
        if info is not None and self._publisher.of_application(name):
            self._shelf.application_changed(msgspec.structs.replace(info, clusters=(), problems=(), pending=()))
        else:
            self._shelf.application_removed(name)

    async def _bring(self, evaluation: Evaluation) -> None:
        """Gives the clusters what they should have.

        Frozen ones keep what they have: those that are paused, those no longer in the fleet (only a person removes a
        cluster), and those for which something could not be worked out.
        """
        await self._turns.turn()
        name, application = evaluation.name, evaluation.application
        mine = self._publisher.of_application(name)
        have = {unit.cluster for unit, given in mine.items() if not given.removed}
        if name in evaluation.fleet.blocked or evaluation.problems:
            self._show(evaluation, clusters=tuple(sorted(have)), problems=evaluation.problems, pending=None)
            return
        placement = place(application, evaluation.fleet, evaluation.facts, have)
        outcome = await self._bundles.make(
            evaluation, tuple(c for c in placement.selected if c not in placement.frozen)
        )
        if not have:
            await self._after_those_who_were_here()
        await self._turns.turn()
        self._settle(evaluation, outcome)
        times = evaluation.times
        if outcome.rendered:
            times = msgspec.structs.replace(times, rendered=self._clock.now())
        wanted = {cluster: Target(application.spec.namespace, body.digest) for cluster, body in outcome.bodies.items()}
        going_on = undisturbed(self._rollouts.newest(name), wanted, outcome.kept)
        frozen = (outcome.kept - going_on.keys()) | placement.frozen | (have - evaluation.fleet.clusters.keys())
        pending = self._over_budget(evaluation, have - wanted.keys() - going_on.keys() - frozen, len(have))
        frozen |= {cluster for held in pending for cluster in held.items}
        bodies = {body.digest: body for body in (*self._claims.held(name).values(), *outcome.bodies.values())}
        # Held before it is published: another application that asks meanwhile must not get the same object.
        self._hold(name, outcome.bodies | self._held(name, frozen | going_on.keys()))
        self._carrier.aim(name, Aim(evaluation.basis, bodies, frozenset(frozen), evaluation.renamed))
        current = self._current(name)
        revision = await self._proposing.propose(evaluation, wanted, going_on, frozen, bodies, current, times)
        await self._turns.turn()
        place_of = evaluation.fleet.place("Application", name, "spec.placement")
        outcome.problems += [_waiting(each, place_of, name) for each in pending]
        rollout = self._rollouts.newest(name)
        carried = self._carrier.wanted(rollout)[0] if rollout is not None else {}
        moving = self._moves.of(name, self._publisher.of_application(name), carried)
        allowed = self._allows("moves", name, moving.token(name))
        outcome.problems += moving.problems(name, allowed, evaluation.fleet.place("Application", name))
        known = self._pending(name)
        pending += moving.pending(name, allowed, known, self._clock.now())
        clusters = tuple(
            sorted({*placement.selected, *(c for held in pending if held.kind == "clusters" for c in held.items)})
        )
        self._show(evaluation, clusters, tuple(outcome.problems), revision, pending)
        if evaluation.renamed:
            self.remove_again(evaluation.renamed)  # only now it is known which clusters wait for this one

    def _published(self, name: str, revision: str, count: int) -> None:
        """So many more units were given something of a revision that is shown already."""
        info = self.infos.get(name)
        if info is not None and info.history and info.history[0].revision == revision:
            current = msgspec.structs.replace(info.history[0], published=info.history[0].published + count)
            self.infos[name] = msgspec.structs.replace(info, history=(current, *info.history[1:]))
            self._shelf.application_changed(self.infos[name])

    def _over_budget(self, evaluation: Evaluation, leaving: set[str], had: int) -> tuple[Pending, ...]:
        """Clusters that would be left, too many at once for nobody to have said so."""
        name, allowed = evaluation.name, str(evaluation.application.spec.sync.deletion.budget)
        pending = budget.clusters(name, leaving, had, allowed, self._clock.now())
        if self._allows("clusters", name, pending.token if pending is not None else "") or pending is None:
            return ()
        return (budget.since_first(pending, self._pending(name)),)

    def _current(self, name: str) -> Revision | None:
        info = self.infos.get(name)
        return info.history[0] if info is not None and info.history else None

    def _pending(self, name: str) -> tuple[Pending, ...]:
        info = self.infos.get(name)
        return info.pending if info is not None else ()

    def _settle(self, evaluation: Evaluation, outcome: Outcome) -> None:
        """An object that another application has on a cluster stays with it; this one keeps what it had there.

        So it does where its project has no room for more.
        """
        succeeds = {evaluation.renamed} - {""}
        disputed = self._claims.disputed(evaluation.name, outcome.bodies, succeeds)
        if disputed:
            self._disputing[evaluation.name] = (evaluation, frozenset(claim.holder for claim in disputed))
        for claim in disputed:
            outcome.kept.add(claim.cluster)
            del outcome.bodies[claim.cluster]
        for (ref, holder), clusters in _grouped(disputed).items():
            outcome.problems.append(
                Problem(
                    "error",
                    f"{ref} already belongs to application {holder} on {_some(clusters)}",
                    evaluation.fleet.place("Application", evaluation.name),
                    "remove the object from one of the two",
                    evaluation.name,
                )
            )
        self._ration(evaluation, outcome)

    def _ration(self, evaluation: Evaluation, outcome: Outcome) -> None:
        """What its project has no room for does not come; it is tried again when something of the project changes."""
        refused = self._rations.refused(evaluation, outcome.bodies)
        if refused.clusters:
            known = self._disputing.get(evaluation.name, (evaluation, frozenset()))[1]
            self._disputing[evaluation.name] = (evaluation, known | refused.others)
        for cluster in refused.clusters:
            outcome.kept.add(cluster)
            del outcome.bodies[cluster]
        outcome.problems += refused.problems

    def _hold(self, name: str, bodies: Mapping[str, Body]) -> None:
        """Records what an application has; those that were refused something of it are tried again if that changes."""
        before = dict(self._claims.held(name))
        if bodies:
            self._claims.hold(name, bodies)
        else:
            self._claims.release(name)
        if bodies == before:
            return
        for evaluation, holders in list(self._disputing.values()):
            if name in holders:
                self.put(evaluation)

    def _held(self, name: str, clusters: set[str]) -> dict[str, Body]:
        """What a cluster that stays as it is still holds, as far as it was worked out by this process."""
        return {cluster: body for cluster, body in self._claims.held(name).items() if cluster in clusters}

    def _show(
        self,
        evaluation: Evaluation,
        clusters: tuple[str, ...],
        problems: tuple[Problem, ...],
        revision: Revision | None = None,
        pending: tuple[Pending, ...] | None = (),
    ) -> None:
        """`pending` None: what was pending is still."""
        metadata, spec = evaluation.application.metadata, evaluation.application.spec
        before = self.infos.get(evaluation.name)
        history = before.history if before is not None else ()
        if revision is not None:
            history = (revision, *(past for past in history if past.revision != revision.revision))[:HISTORY]
        own = tuple(p for p in evaluation.fleet.problems if p.application == evaluation.name)
        info = ApplicationInfo(
            name=evaluation.name,
            namespace=spec.namespace,
            project=spec.project,
            labels=metadata.labels,
            source=evaluation.source,
            clusters=clusters,
            problems=(*own, *problems),
            commit=evaluation.commit,
            history=history,
            timeout=spec.sync.timeout,
            pending=self._pending(evaluation.name) if pending is None else pending,
        )
        if info != before:
            self.infos[evaluation.name] = info
            self._shelf.application_changed(info)


def _waiting(pending: Pending, where: Place | None, application: str) -> Problem:
    hint = f"`yardarm confirm {application}` lets them go; sync.deletion.budget: 100% does so always"
    return Problem("warning", f"{pending.reason}: that waits to be confirmed", where, hint, application)


def _grouped(claims: Iterable[Claim]) -> dict[tuple[ObjectRef, str], list[str]]:
    groups: dict[tuple[ObjectRef, str], list[str]] = {}
    for claim in claims:
        groups.setdefault((claim.ref, claim.holder), []).append(claim.cluster)
    return groups


def _some(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more clusters"
