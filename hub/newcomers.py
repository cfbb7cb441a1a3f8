"""What a cluster has first that joins the fleet during a rollout: what the last completed one gave the others.

How an application stood then is remembered in memory only. A hub that has just begun to lead does not know it, and
newcomers wait for their stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hub.bundles import Basis, Bundles, Evaluation
from hub.domain.placement import place
from hub.domain.publishing import Body
from hub.domain.runs import Phase, Rollout, Target


class Newcomers:
    """Remembers what was evaluated for the newest rollout of every application and the last completed one."""

    def __init__(self, bundles: Bundles, history: Callable[[str], Sequence[Rollout]]) -> None:
        """`history` are the rollouts of an application, the newest first."""
        self._bundles = bundles
        self._history = history
        self._bases: dict[str, dict[str, Basis]] = {}

    async def bases(self, evaluation: Evaluation, targets: Mapping[str, Target]) -> dict[str, tuple[Target, Body]]:
        """What newcomers among the clusters of an evaluation have first.

        Nothing for those that get what everybody has anyway, that the application did not select then, or for which
        it cannot be rendered as it was.

        Raises:
            Unavailable: trying again may help.
        """
        history = self._history(evaluation.name)
        joined = _joined(history, targets)
        if not joined or _settled(history[0], targets):
            return {}
        known = self._bases.get(evaluation.name, {})
        proven = next((known[each.id] for each in _proven(history) if each.id in known), None)
        if proven is None:
            return {}
        then = proven.at(evaluation.fleet, evaluation.facts)
        selected = place(then.application, then.fleet, then.facts, set()).selected
        outcome = await self._bundles.make(then, tuple(sorted(joined.intersection(selected))), remember=False)
        namespace = then.application.spec.namespace
        return {name: (Target(namespace, body.digest), body) for name, body in outcome.bodies.items()}

    def proposed(self, evaluation: Evaluation, targets: Mapping[str, Target], newest: Rollout | None) -> None:
        """An evaluation was proposed; `newest` is its rollout, or the one that it changes nothing of."""
        if newest is None:
            return
        wanted = {newest.id, *(each.id for each in _proven(self._history(evaluation.name)))}
        known = {each: old for each, old in self._bases.get(evaluation.name, {}).items() if each in wanted}
        if _same(newest, targets):
            known[newest.id] = evaluation.basis
        self._bases[evaluation.name] = known

    def known(self, rollout: Rollout) -> Basis | None:
        """What was evaluated for a rollout last, at its commit or at one that changes nothing of it."""
        return self._bases.get(rollout.application, {}).get(rollout.id)

    def forget(self, name: str) -> None:
        """The application is gone."""
        self._bases.pop(name, None)


def _joined(history: Sequence[Rollout], targets: Mapping[str, Target]) -> set[str]:
    """Who was not in the fleet when the newest rollout was planned."""
    if not history:
        return set()
    plan = history[0].plan
    return {name for name, where in targets.items() if where.digest} - plan.clusters.keys() - set(plan.others)


def _settled(newest: Rollout, targets: Mapping[str, Target]) -> bool:
    """Whether everybody is to have what the newest rollout has brought."""
    return newest.phase is Phase.COMPLETED and _same(newest, targets)


def _same(rollout: Rollout, targets: Mapping[str, Target]) -> bool:
    clusters = rollout.plan.clusters
    return all(where == clusters[name].target for name, where in targets.items() if name in clusters)


def _proven(history: Sequence[Rollout]) -> list[Rollout]:
    """The completed rollout that gave what clusters go back to now.

    It is the newest one as a rule, and an earlier one when a person went back to that.
    """
    if not history:
        return []
    completed = [each for each in history if each.phase is Phase.COMPLETED]
    if history[0].phase is Phase.COMPLETED:
        return completed[:1]
    restores = {name: pinned.restore for name, pinned in history[0].plan.clusters.items() if pinned.restore is not None}
    return [each for each in completed if _same(each, restores)][:1]
