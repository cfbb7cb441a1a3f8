"""The rollouts of each application, newest first: those under way, and the last ones that have ended.

Fed with what is stored, in any order and any number of times. Bounded for each application, so that one with a commit
every minute costs no more than others.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hub.domain.runs import Hold, Phase, Plan, Rollout

KEPT = 20
"""Rollouts of each application."""

FRESH = 1.0
"""Seconds for which what is shown of a rollout that does not change is good: its estimate moves with time."""

Place = tuple[float, str]
"""(minus when it began, its id): the order of the list, newest first."""


@dataclass(frozen=True, slots=True)
class RolloutFilter:
    """Which rollouts: empty parts match all. `environment` is one of a cluster that takes part."""

    application: str = ""
    environment: str = ""
    phase: Phase | None = None
    active: bool | None = None
    latest: bool = False
    """Only the newest one of each application."""


class Rollouts:
    """What is known of rollouts, and of the holds that people have put on applications."""

    def __init__(self, note: Callable[..., None]) -> None:
        """`note` is told of each change: `rollout` with the application and the id."""
        self._note = note
        self._by_id: dict[str, Rollout] = {}
        self._of: dict[str, list[Place]] = {}
        self._order: list[Place] = []
        self._environments: dict[str, tuple[Plan, frozenset[str], frozenset[str]]] = {}
        self._holds: dict[str, tuple[Hold, ...]] = {}
        self._shown: dict[str, tuple[Rollout, float, dict[str, Any]]] = {}

    def put(self, rollout: Rollout) -> None:
        """Takes over a rollout as it is now; one that is older than all that are kept is passed over."""
        known = self._by_id.get(rollout.id)
        if known is rollout or known == rollout:
            return
        if known is None and not self._add(rollout):
            return
        self._by_id[rollout.id] = rollout
        self._shown.pop(rollout.id, None)
        self._note("rollout", rollout.application, rollout.id)

    def forget(self, identity: str) -> None:
        """A rollout is not stored any more."""
        rollout = self._by_id.get(identity)
        if rollout is not None:
            self._drop(rollout)
            self._note("rollout", rollout.application, identity)

    def held(self, application: str, holds: Iterable[Hold]) -> None:
        """Takes over the holds on an application; none: it is held no more."""
        found = tuple(holds)
        if self._holds.get(application, ()) == found:
            return
        if found:
            self._holds[application] = found
        else:
            del self._holds[application]
        self._note("application", application)
        newest = self.newest(application)
        if newest is not None:
            self._shown.pop(newest.id, None)
            self._note("rollout", application, newest.id)

    def holds(self, application: str) -> tuple[Hold, ...]:
        """The holds on an application."""
        return self._holds.get(application, ())

    def get(self, identity: str) -> Rollout | None:
        """One rollout, if it is still kept."""
        return self._by_id.get(identity)

    def of(self, application: str) -> tuple[Rollout, ...]:
        """The rollouts of an application, newest first."""
        return tuple(self._by_id[identity] for _, identity in self._of.get(application, ()))

    def newest(self, application: str) -> Rollout | None:
        """The one that is under way, or the last one; None when there never was one."""
        places = self._of.get(application)
        return self._by_id[places[0][1]] if places else None

    def before(self, rollout: Rollout) -> Iterator[Rollout]:
        """The rollouts of its application that began earlier, newest first."""
        places = self._of.get(rollout.application, [])
        for _, identity in places[bisect_right(places, _place(rollout)) :]:
            yield self._by_id[identity]

    def latest(self) -> Iterator[Rollout]:
        """The newest rollout of each application."""
        return (self._by_id[places[0][1]] for places in self._of.values())

    def select(self, wanted: RolloutFilter, after: Place | None = None) -> Iterator[Rollout]:
        """Matching rollouts of all applications, newest first, those behind `after`. Take them at once."""
        places = self._of.get(wanted.application, []) if wanted.application else self._order
        for _, identity in places if after is None else places[bisect_right(places, after) :]:
            rollout = self._by_id[identity]
            if self._accepts(wanted, rollout):
                yield rollout

    def environments(self, rollout: Rollout) -> frozenset[str]:
        """The environments of the clusters that take part."""
        return self._places(rollout)[1]

    def homes(self, rollout: Rollout) -> frozenset[str]:
        """The environments that the clusters that take part count for; the empty one is of clusters in none."""
        return self._places(rollout)[2]

    def _places(self, rollout: Rollout) -> tuple[Plan, frozenset[str], frozenset[str]]:
        known = self._environments.get(rollout.id)
        if known is None or known[0] is not rollout.plan:
            pinned = [rollout.plan.clusters[each] for each in rollout.slots]
            every = frozenset(name for each in pinned for name in each.environments)
            known = self._environments[rollout.id] = rollout.plan, every, frozenset(each.environment for each in pinned)
        return known

    def shown(self, rollout: Rollout, now: float, build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `build` makes of a rollout; of one under way it is made once for all who follow. Not to be changed."""
        if not rollout.active:
            return build()
        known = self._shown.get(rollout.id)
        if known is not None and known[0] is rollout and 0 <= now - known[1] < FRESH:
            return known[2]
        item = build()
        self._shown[rollout.id] = rollout, now, item
        return item

    def _accepts(self, wanted: RolloutFilter, rollout: Rollout) -> bool:
        return (
            (wanted.phase is None or rollout.phase is wanted.phase)
            and (wanted.active is None or rollout.active is wanted.active)
            and (not wanted.latest or self._of[rollout.application][0][1] == rollout.id)
            and (not wanted.environment or wanted.environment in self.environments(rollout))
        )

    def _add(self, rollout: Rollout) -> bool:
        """Gives a new rollout its place. False when there is none for it: it is too old."""
        places = self._of.setdefault(rollout.application, [])
        place = _place(rollout)
        if len(places) >= KEPT and place > places[-1]:
            return False
        insort(places, place)
        insort(self._order, place)
        if len(places) > KEPT:
            self._drop(self._by_id[places[-1][1]])
        return True

    def _drop(self, rollout: Rollout) -> None:
        place = _place(rollout)
        places = self._of[rollout.application]
        for listed in (places, self._order):
            del listed[bisect_left(listed, place)]
        if not places:
            del self._of[rollout.application]
        del self._by_id[rollout.id]
        self._environments.pop(rollout.id, None)
        self._shown.pop(rollout.id, None)


def _place(rollout: Rollout) -> Place:
    return -rollout.plan.at, rollout.id
