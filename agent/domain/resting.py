"""Which objects of a new bundle need not be looked at: nothing is new about them in Git, and nothing on the cluster.

A unit at rest hears of every change to its objects. What is in the next bundle just as it was in the last, and of which
nothing was heard since it was found to be as it should be, still is. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from agent.domain import hints
from agent.domain.desired import Desired, Key
from shared.model import Health, HealthStatus

Judged = Callable[[Key], HealthStatus | None]
"""The health of an object as it was judged since its last change; None when it was not."""


def rested(
    desired: Mapping[Key, Desired], applied: Mapping[Key, str], doubtful: Collection[Key], judged: Judged
) -> dict[Key, Desired]:
    """The objects of a unit at rest that are as they should be, and up, so that others need not wait for them.

    `doubtful` are those that something is to be found out about, or that are left alone for a reason.
    """
    return {
        key: each
        for key, each in desired.items()
        if key not in doubtful
        and applied.get(key) == each.digest
        and (health := judged(key)) is not None
        and health.health in (Health.HEALTHY, Health.SUSPENDED)
    }


def calm(
    rested: Mapping[Key, Desired], desired: Mapping[Key, Desired], applied: Mapping[Key, str], heard: Collection[Key]
) -> frozenset[Key]:
    """Those of `rested` that the new bundle holds unchanged and of which nothing was `heard` since.

    None at all when objects name others that they come after: what that leads to depends on the whole bundle.
    """
    if not rested or any(hints.depends_on(each.manifest) for each in desired.values()):
        return frozenset()
    return frozenset(
        key
        for key, each in rested.items()
        if desired.get(key) is each and applied.get(key) == each.digest and key not in heard
    )
