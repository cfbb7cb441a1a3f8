"""Release sets: applications that move together, stage by stage as one. Pure.

Members are matched by the names of their stages. Where strategies differ, their stages together form one order: a stage
comes before another if it does in any strategy, or by way of others. Stages whose places contradict each other do not
wait for each other, so that a set can always go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hub.domain.documents import Application
from hub.domain.plans import fresh
from hub.domain.requests import Asked, Verb, objection, restores
from hub.domain.runs import Around, Phase, Plan, Rollout, SlotState, Wait

EVERY = "*"
"""Every stage, as `Around.waits` has it."""
SHOWN = 3
"""Members that a reason names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Order:
    """The joint order of stages; `after` holds, for each name, all that come after it in any strategy."""

    after: Mapping[str, frozenset[str]]

    def before(self, first: str, second: str) -> bool:
        """Whether one stage has to be done before the other starts; never both ways."""
        return self._reaches(first, second) and not self._reaches(second, first)

    def contradictions(self) -> frozenset[str]:
        """The stages that come before themselves: strategies have them in different orders."""
        return frozenset(name for name in self.after if self._reaches(name, name))

    def _reaches(self, first: str, second: str) -> bool:
        return second in self.after.get(first, frozenset())


def order(sequences: Iterable[Sequence[str]]) -> Order:
    """The joint order of the stages of several strategies."""
    following: dict[str, set[str]] = {}
    for names in dict.fromkeys(tuple(each) for each in sequences):
        for number, name in enumerate(names):
            following.setdefault(name, set()).update(names[number + 1 : number + 2])
    return Order({name: frozenset(_reachable(name, following)) for name in following})


def order_of(rollouts: Mapping[str, Rollout]) -> Order:
    """The joint order of the stages of those members that wait for each other now."""
    return order([stage.name for stage in each.plan.stages] for each in _binding(rollouts).values())


def members(applications: Mapping[str, Application]) -> dict[str, tuple[str, ...]]:
    """The release sets of a fleet by name, each with its applications, sorted."""
    found: dict[str, list[str]] = {}
    for name, application in applications.items():
        if application.spec.release_set:
            found.setdefault(application.spec.release_set, []).append(name)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def behind(rollouts: Mapping[str, Rollout]) -> frozenset[str]:
    """The members that wait until others have ended what they are at, because something newer is queued there.

    They hold nobody up.
    """
    active = {name: each for name, each in rollouts.items() if each.active}
    if not any(each.queued for each in active.values()):
        return frozenset()
    return frozenset(name for name, each in active.items() if not each.queued)


def with_own(plan: Plan, rollouts: Mapping[str, Rollout]) -> dict[str, Rollout]:
    """The rollouts with that of the plan among them: as it is, or as it will begin."""
    known = rollouts.get(plan.application)
    own = known if known is not None and known.id == plan.id else fresh(plan, Around())
    return {**rollouts, plan.application: own}


def waits(plan: Plan, rollouts: Mapping[str, Rollout], unready: Mapping[str, str]) -> dict[str, tuple[Wait, ...]]:
    """What the stages of a member wait for because of the others (kind `release`), by stage, for `Around.waits`.

    A stage starts when every member with an active rollout is done with all stages before it, and not before all
    members have been worked out. While a member is rolled back, the others start nothing.

    Args:
        plan: of the member, under way or about to begin.
        rollouts: the newest rollout of each member that has one, ended or not.
        unready: members that have not been worked out for the newest commit, each with why.
    """
    name = plan.application
    everybody = with_own(plan, rollouts)
    own, binding = everybody[name], _binding(everybody)
    others = {other: each for other, each in sorted(everybody.items()) if other != name}
    general = [Wait("release", f"{other}: {why}") for other, why in sorted(unready.items()) if other != name]
    rolling = [other for other, each in others.items() if each.phase is Phase.ROLLING_BACK]
    general += _told(rolling, "being rolled back")
    if name in behind(everybody):
        queueing = [other for other, each in others.items() if each.active and each.queued]
        general += _told(queueing, "at something older, which has to end first")
    found = {EVERY: tuple(general)}
    joint = order_of(everybody)
    for stage in own.plan.stages[own.current :] if name in binding else ():
        held: dict[str, list[str]] = {}
        for other in binding.keys() - {name}:
            left = (each.name for each in binding[other].plan.stages[binding[other].current :])
            first = next((each for each in left if joint.before(each, stage.name)), None)
            if first is not None:
                held.setdefault(first, []).append(other)
        found[stage.name] = tuple(wait for each in sorted(held) for wait in _told(held[each], f"not done with {each}"))
    return {stage: each for stage, each in found.items() if each}


def follows(release_set: str, rollouts: Mapping[str, Rollout], now: float) -> dict[str, Asked]:
    """What to ask of members, by application, because of what became of others that moved for the same commit.

    Where one was stopped by a failure or by an abort, the others are paused; they go on when it does. Where one is
    rolled back, so are the others; those that had not given anything to any cluster are aborted. A rollout that
    takes a change back, or that a person has had go without gates, goes its own way. Asking again is harmless: what a
    person has decided since is not undone.
    """
    found = {}
    for name, rollout in rollouts.items():
        if rollout.bypass or rollout.plan.back:
            continue
        causes = [each for _, each in sorted(rollouts.items()) if each is not rollout and _concerns(each, rollout)]
        back = next((each for each in causes if each.phase in _BACK), None)
        asked = None
        if back is not None:
            asked = _back(release_set, rollout, back, now)
        elif causes and rollout.phase is Phase.PROGRESSING:
            asked = _asked(Verb.PAUSE, release_set, causes[0], now)
        elif not causes and rollout.phase is Phase.PAUSED and follows_set(rollout):
            paused = next((each for each in reversed(rollout.asked) if each.endswith(f".{Verb.PAUSE}")), rollout.id)
            reason = "the others go on"
            asked = Asked(f"{paused}.{Verb.RESUME}", Verb.RESUME, _BY + release_set, now, reason)
        if asked is not None and asked.id not in rollout.asked and not objection(rollout, asked):
            found[name] = asked
    return found


def follows_set(rollout: Rollout) -> bool:
    """Whether it is where it is because of another member, not by a person or by its own failures."""
    return rollout.by.startswith(_BY)


_BY = "release set "
_BACK = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK})
_MOVED = frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.COMPLETED, Phase.FAILED})


def _reachable(start: str, following: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    left = [start]
    while left:
        for name in following[left.pop()] - seen:
            seen.add(name)
            left.append(name)
    return seen


def _binding(rollouts: Mapping[str, Rollout]) -> dict[str, Rollout]:
    """The members that wait for each other stage by stage."""
    late = behind(rollouts)
    return {name: each for name, each in rollouts.items() if each.active and name not in late}


def _told(names: Sequence[str], what: str) -> list[Wait]:
    """One wait that names some of these members; none if there are none."""
    shown, more = sorted(names)[:SHOWN], len(names) - SHOWN
    if not shown:
        return []
    who = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    return [Wait("release", f"{who} {'is' if len(shown) == 1 else 'are'} {what}")]


def _concerns(cause: Rollout, rollout: Rollout) -> bool:
    """Whether a rollout has come to a stop that another one of its set has to follow."""
    if cause.plan.commit.sha != rollout.plan.commit.sha or cause.freed or follows_set(cause):
        return False
    if cause.ended is not None and rollout.plan.at > cause.ended:
        return False  # begun since, by somebody who knew
    return cause.phase in _BACK or cause.phase is Phase.ABORTED or (cause.phase is Phase.PAUSED and not cause.by)


def _back(release_set: str, rollout: Rollout, cause: Rollout, now: float) -> Asked | None:
    if rollout.phase not in _MOVED:
        return None
    if restores(rollout, {}):
        return _asked(Verb.ROLLBACK, release_set, cause, now)
    return _asked(Verb.ABORT, release_set, cause, now) if rollout.active else None


def _asked(verb: Verb, release_set: str, cause: Rollout, now: float) -> Asked:
    words = {Phase.PAUSED: "has failed", Phase.ABORTED: "was aborted"}.get(cause.phase, "is rolled back")
    reason = f"{cause.application} {words}" + (f": {cause.reason}" if cause.reason else "")
    return Asked(f"{cause.id}.{_episode(cause)}.{verb}", verb, _BY + release_set, now, reason)


def _episode(cause: Rollout) -> str:
    """Tells one stop of a rollout from its next: where it was, and since when what failed had been under way."""
    if cause.phase is not Phase.PAUSED:
        return "back" if cause.phase in _BACK else cause.phase.lower()
    run = cause.stages[cause.current]
    seen = [slot.seen for slot in cause.slots.values() if slot.state is SlotState.FAILED and slot.seen is not None]
    return f"{cause.current}-{run.allowed}-{max([*seen, run.healthy or 0.0]):.3f}"
