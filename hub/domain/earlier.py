"""An earlier revision to go back to, found by how people name it: a revision or a commit, or how one begins. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hub.domain.runs import Phase, Rollout, Target


def completed(history: Iterable[Rollout]) -> list[Rollout]:
    """The completed rollouts, in the order given (newest first), of each revision the first."""
    found: dict[str, Rollout] = {}
    for rollout in history:
        if rollout.phase is Phase.COMPLETED:
            found.setdefault(rollout.plan.revision, rollout)
    return list(found.values())


def matching(history: Iterable[Rollout], name: str) -> list[Rollout]:
    """The completed rollouts whose revision or commit begins with `name`; only one where it is the whole revision."""
    known = completed(history)
    exact = [each for each in known if each.plan.revision == name]
    return exact or [
        each for each in known if each.plan.revision.startswith(name) or each.plan.commit.sha.startswith(name)
    ]


def targets(rollout: Rollout, back_to: Rollout) -> dict[str, Target]:
    """What each cluster would get, to be where it was when `back_to` was completed.

    Clusters that had no part in that, and take part in what is taken back, go to what the last completed rollout gave.
    """
    clusters = rollout.plan.clusters
    proven = {name: where for name in rollout.slots if (where := clusters[name].restore) is not None}
    return proven | back_to.positions()


def _names(rollout: Rollout) -> tuple[str, str]:
    return rollout.plan.revision, rollout.plan.commit.sha
