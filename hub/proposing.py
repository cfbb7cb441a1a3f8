"""From what an application amounts to at a commit to a proposal for its rollouts, and to the revision that is shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import msgspec

from hub.bundles import Evaluation
from hub.carrier import Carrier
from hub.domain import publishing
from hub.domain.plans import Proposal
from hub.domain.publishing import Body
from hub.domain.records import PathTimes, Revision
from hub.domain.runs import Rollout, Target
from hub.domain.selectors import Candidate
from hub.newcomers import Newcomers
from hub.publisher import Publisher
from shared.model import UnitKey
from shared.tasks import Clock


class Rolling(Protocol):
    """Has changes roll out."""

    async def propose(
        self, proposal: Proposal, candidate: Callable[[str], Candidate], known: Mapping[str, Body]
    ) -> Rollout | None:
        """See `hub.loops.rollouts.Rollouts`."""

    def newest(self, application: str) -> Rollout | None:
        """The last rollout of an application."""

    def history(self, application: str) -> tuple[Rollout, ...]:
        """Its rollouts, the newest first."""

    async def forget(self, application: str) -> None:
        """The application is gone."""


class Proposing:
    """Names revisions, and counts what was published of each."""

    def __init__(
        self,
        publisher: Publisher,
        carrier: Carrier,
        rollouts: Rolling,
        newcomers: Newcomers,
        on_published: Callable[[str, str, int], None],
        clock: Clock,
    ) -> None:
        """`on_published` hears of an application and a revision how many more units were given something of it."""
        self._publisher = publisher
        self._carrier = carrier
        self._rollouts = rollouts
        self._newcomers = newcomers
        self._on_published = on_published
        self._clock = clock
        self._counts: dict[str, tuple[str, int, float]] = {}
        """The revision that was published last, to how many units, and since when."""
        carrier.on_published = self._published

    def forget(self, name: str) -> None:
        """The application is gone."""
        self._newcomers.forget(name)
        self._counts.pop(name, None)

    async def propose(
        self,
        evaluation: Evaluation,
        worked_out: Mapping[str, Target],
        going_on: Mapping[str, Target],
        frozen: Collection[str],
        known: Mapping[str, Body],
        current: Revision | None,
        times: PathTimes,
    ) -> Revision | None:
        """Has a change roll out, and returns the revision that is in effect since, or about to be.

        Args:
            evaluation: what was worked out.
            worked_out: what each cluster should have; who is in none of these three is to let the application go.
            going_on: what clusters go on with for which nothing could be worked out.
            frozen: clusters that keep what they have.
            known: bundles at hand, by digest.
            current: the revision that was in effect before.
            times: how the evaluation came about.

        Returns:
            None while no cluster has, or should have, anything of it.

        Raises:
            Unavailable: trying again may help.
        """
        name = evaluation.name
        given = self._carrier.given(name)
        wanted = {**worked_out, **going_on}
        leaving = {cluster: Target(where.namespace) for cluster, where in given.items() if cluster not in frozen}
        effect = self._effect(name, wanted, frozen)
        revision = f"{evaluation.commit.sha[:12]}-{effect[:12]}"
        if current is not None and current.revision.endswith(effect[:12]):
            revision = current.revision
        targets = leaving | wanted
        first = await self._newcomers.bases(evaluation, targets)
        proposal = Proposal(
            application=name,
            revision=revision,
            commit=evaluation.commit,
            strategy=evaluation.fleet.strategy_of(evaluation.application),
            targets=targets,
            given=given,
            fleet=tuple(evaluation.fleet.clusters),
            traceparent=evaluation.traceparent,
            bases={cluster: target for cluster, (target, _) in first.items()},
        )
        at_hand = {**known, **{body.digest: body for _, body in first.values()}}
        before = self._count(name, current.revision) if current is not None else 0
        rollout = await self._rollouts.propose(proposal, lambda cluster: _candidate(evaluation, cluster), at_hand)
        if worked_out:
            self._newcomers.proposed(evaluation, targets, rollout)
        began = rollout is not None and rollout.plan.revision == revision
        if current is not None and (current.revision == revision or not began):
            more = self._count(name, current.revision) - before
            return msgspec.structs.replace(current, published=current.published + more)
        if began:
            counted, _, at = self._counts.get(name, ("", 0, 0.0))
            times = msgspec.structs.replace(times, published=at if counted == revision else self._clock.now())
        elif effect == publishing.effect({}):
            return None
        return Revision(revision, evaluation.commit, evaluation.traceparent, times, self._count(name, revision))

    def _published(self, rollout: Rollout, count: int, at: float) -> None:
        """So many units were given something by a rollout."""
        name, revision = rollout.application, rollout.plan.revision
        known, before, first = self._counts.get(name, ("", 0, 0.0))
        self._counts[name] = (revision, before + count, first) if known == revision else (revision, count, at)
        self._on_published(name, revision, count)

    def _count(self, name: str, revision: str) -> int:
        """How many units were given something of a revision since this hub began to lead."""
        counted, count, _ = self._counts.get(name, ("", 0, 0.0))
        return count if counted == revision else 0

    def _effect(self, name: str, targets: Mapping[str, Target], frozen: Collection[str]) -> str:
        """Names what the application amounts to on the whole fleet."""
        digests = {UnitKey(cluster, where.namespace, name): where.digest for cluster, where in targets.items()}
        mine = self._publisher.of_application(name)
        digests |= {unit: given.digest for unit, given in mine.items() if unit.cluster in frozen and not given.removed}
        return publishing.effect(digests)


def _candidate(evaluation: Evaluation, cluster: str) -> Candidate:
    """A cluster as selectors see it; one that the fleet does not have any more is selected by nothing."""
    if cluster not in evaluation.fleet.clusters:
        return Candidate(cluster, {}, (), {})
    return evaluation.fleet.candidate(cluster, evaluation.facts.get(cluster))
