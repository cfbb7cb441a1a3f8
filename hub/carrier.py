"""Brings clusters in line with where a rollout has them: the only way by which an application reaches them.

What it publishes is worked out anew each time from what units were given, so that doing it twice publishes nothing
twice. An old unit that another one takes the place of stays until that one stands; `hub.moves` decides that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from hub.bundles import Basis
from hub.domain import publishing, succession
from hub.domain.publishing import Body, Given, Order
from hub.domain.runs import Phase, Rollout, Target
from hub.kept import KeptBodies
from hub.moves import Moves
from hub.publisher import Cause, Publisher
from shared import telemetry
from shared.model import UnitKey
from shared.tasks import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Aim:
    """What the newest evaluation of an application says beyond its rollout.

    `bodies` are its bundles by digest. `frozen` clusters keep what they have, whatever the rollout says. It takes the
    place of the application `renamed`.
    """

    basis: Basis
    bodies: Mapping[str, Body]
    frozen: frozenset[str]
    renamed: str = ""


class Rate:
    """At most so many assignments a second over the whole fleet; 0 is no limit. A second's worth may come at once."""

    def __init__(self, limit: float, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._left = limit
        self._at = clock.monotonic()

    def grant(self, wanted: int) -> int:
        """How many of them may go now."""
        if not self._limit:
            return wanted
        now = self._clock.monotonic()
        self._left = min(max(self._limit, 1.0), self._left + (now - self._at) * self._limit)
        self._at = now
        granted = min(wanted, int(self._left))
        self._left -= granted
        return granted


class Carrier:
    """See `hub.loops.rollouts.Hands`."""

    def __init__(
        self,
        publisher: Publisher,
        kept: KeptBodies,
        moves: Moves,
        allows: Callable[[str, str, str], bool],
        history: Callable[[str], Iterable[Rollout]],
        rate: Rate,
        clock: Clock,
    ) -> None:
        """`history` are the rollouts of an application, the newest first. `allows`: see `hub.loops.applications`."""
        self._publisher = publisher
        self._kept = kept
        self._moves = moves
        self._allows = allows
        self._history = history
        self._rate = rate
        self._clock = clock
        self._aims: dict[str, Aim] = {}
        self.on_published: Callable[[Rollout, int, float], None] = lambda _rollout, _count, _at: None
        """Hears how many units were given something, and when that began."""

    def aim(self, name: str, aim: Aim) -> None:
        """What counts from now on."""
        self._aims[name] = aim

    def basis(self, name: str) -> Basis | None:
        """Of the newest evaluation of an application; None while it has not been worked out."""
        aim = self._aims.get(name)
        return aim.basis if aim is not None else None

    def forget(self, name: str) -> None:
        """The application is gone."""
        self._aims.pop(name, None)

    def given(self, application: str) -> dict[str, Target]:
        """What each cluster was given last, those left out that were told to let it go."""
        newest: dict[str, tuple[int, Target]] = {}
        for unit, each in self._publisher.of_application(application).items():
            if not each.removed and each.generation >= newest.get(unit.cluster, (0, None))[0]:
                newest[unit.cluster] = each.generation, Target(unit.namespace, each.digest)
        return {cluster: target for cluster, (_, target) in newest.items()}

    def units(self, application: str) -> dict[str, UnitKey]:
        """A unit that was given it, by digest."""
        return {each.digest: unit for unit, each in self._publisher.of_application(application).items()}

    def wanted(self, rollout: Rollout) -> tuple[dict[UnitKey, Body], set[str]]:
        """The units that the rollout has something for, and the clusters that are to stay as they are."""
        aim = self._aims.get(rollout.application)
        wanted: dict[UnitKey, Body] = {}
        staying = set(aim.frozen) if aim is not None else set()
        lost: list[str] = []
        positions = rollout.positions()
        staying |= rollout.plan.clusters.keys() - positions.keys()
        for cluster, where in positions.items():
            if cluster in staying or not where.digest:
                continue
            body = (aim.bodies.get(where.digest) if aim is not None else None) or self._kept.get(where.digest)
            if body is None:
                lost.append(cluster)
            else:
                wanted[UnitKey(cluster, where.namespace, rollout.application)] = body
        staying.update(lost)
        given = self._publisher.of_application(rollout.application)
        staying |= {unit.cluster for unit in given} - rollout.plan.clusters.keys()
        self._complain(rollout, lost, given)
        return wanted, staying

    async def carry(self, rollout: Rollout) -> bool:
        """Brings all clusters in line. False when some have to wait for their turn.

        Raises:
            Unavailable: NATS is away; doing it again is safe.
        """
        name = rollout.application
        mine = self._publisher.of_application(name)
        wanted, staying = self.wanted(rollout)
        self._moves.wanted(name, wanted, staying)
        moving = self._moves.of(name, mine, wanted)
        kept = moving.staying(self._allows("moves", name, moving.token(name)))
        orders = [
            order
            for order in publishing.orders(name, mine, wanted)
            if order.body is not None or (order.unit.cluster not in staying and order.unit not in kept)
        ]
        if not orders:
            return True
        rank = _rank(rollout)
        orders.sort(key=lambda order: (rank.get(order.unit.cluster, len(rank)), order.unit))
        granted = len(orders) if rollout.phase is Phase.ROLLING_BACK else self._rate.grant(len(orders))
        await self._publish(rollout, self._completed(orders[:granted], name, wanted, mine))
        return granted == len(orders)

    async def repeat(self, rollout: Rollout, clusters: Iterable[str]) -> None:
        """Gives clusters once more what they have, under a new generation: their agents begin anew."""
        chosen = set(clusters)
        given = self._publisher.of_application(rollout.application)
        for unit, each in given.items():
            if unit.cluster in chosen and not each.removed:
                await self._publisher.repeat(unit, each.generation)

    async def _publish(self, rollout: Rollout, orders: Iterable[Order]) -> None:
        by_cause: dict[Cause, list[Order]] = {}
        for order in orders:
            by_cause.setdefault(self._cause(rollout, order), []).append(order)
        for cause, some in by_cause.items():
            start = self._clock.now()
            await self._publisher.publish(some, cause)
            attributes = {"yardarm.application": rollout.application, "yardarm.units": len(some)}
            telemetry.record_span("publish", cause.traceparent, start, self._clock.now(), attributes)
            log.info(
                "published",
                extra={
                    "application": rollout.application,
                    "revision": cause.revision,
                    "units": len(some),
                    "trace": telemetry.trace_id(cause.traceparent),
                },
            )
            self.on_published(rollout, len(some), start)

    def _cause(self, rollout: Rollout, order: Order) -> Cause:
        """The revision that what a unit gets is of: this one's, or with what goes back that of an earlier rollout."""
        digest = order.body.digest if order.body is not None else ""
        for each in self._history(rollout.application):
            pinned = each.plan.clusters.get(order.unit.cluster)
            if pinned is not None and pinned.target.digest == digest:
                return Cause(each.plan.commit.sha, each.plan.revision, each.plan.traceparent, rollout.id)
        commit = rollout.plan.from_.partition("-")[0] or rollout.plan.commit.sha
        return Cause(commit, rollout.plan.from_ or rollout.plan.revision, rollout.plan.traceparent, rollout.id)

    def _completed(
        self, orders: Iterable[Order], name: str, wanted: Mapping[UnitKey, Body], mine: Mapping[UnitKey, Given]
    ) -> list[Order]:
        """The orders with what they say of other units: whose place they take, or what becomes of what they leave."""
        aim = self._aims.get(name)
        renamed = aim.renamed if aim is not None else ""
        on_leave = aim.basis.application.spec.placement.on_leave if aim is not None else None
        others = _by_cluster(self._publisher.of_application(renamed)) if renamed else {}
        own, heirs = _by_cluster(mine), {unit.cluster for unit in wanted}
        done = []
        for order in orders:
            unit = order.unit
            if order.body is not None:
                here, theirs = own.get(unit.cluster, {}), others.get(unit.cluster, {})
                succeeds = succession.predecessors(unit, here, theirs) if theirs or here.keys() - {unit} else ()
                done.append(msgspec.structs.replace(order, succeeds=succeeds) if succeeds else order)
            else:
                on_delete = "delete" if unit.cluster in heirs else on_leave
                done.append(msgspec.structs.replace(order, on_delete=on_delete))
        return done

    def _complain(self, rollout: Rollout, lost: list[str], given: Mapping[UnitKey, Given]) -> None:
        """A bundle that is not at hand matters only where the cluster has not got it already."""
        positions = rollout.positions()
        has = {(unit.cluster, each.digest) for unit, each in given.items() if not each.removed}
        missing = [cluster for cluster in lost if (cluster, positions[cluster].digest) not in has]
        if missing:
            extra = {"application": rollout.application, "rollout": rollout.id, "clusters": missing[:5]}
            log.error("clusters cannot be given their bundle: it is not kept", extra=extra)


def _by_cluster(given: Mapping[UnitKey, Given]) -> dict[str, dict[UnitKey, Given]]:
    found: dict[str, dict[UnitKey, Given]] = {}
    for unit, each in given.items():
        found.setdefault(unit.cluster, {})[unit] = each
    return found


def _rank(rollout: Rollout) -> dict[str, int]:
    """The order in which clusters are given something: as their stages follow, on the way back the newest first."""
    stages = rollout.plan.stages
    in_order = reversed(stages) if rollout.phase is Phase.ROLLING_BACK else stages
    return {name: number for number, name in enumerate(name for stage in in_order for name in stage.clusters)}
