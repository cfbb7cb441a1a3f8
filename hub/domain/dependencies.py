"""What stages of a rollout wait for because of other applications: infrastructure first, the hub before spokes. Pure.

A name in `dependsOn` is about each cluster by itself. There the agent holds back the new revision until the other
application is healthy with what is assigned to it; what it cannot know is that something newer is still to come. So a
stage waits while a cluster of it is to get a newer revision of the other application and does not have it. Where the
rollout has stages, it waits until the other is healthy with it, too: what fails there is not for this one to fail of.
Without stages there is nothing to stop, and each cluster goes on by itself.

An entry with a selector is about certain clusters, wherever the application itself goes: all of its stages wait until
the other one is healthy there with what its newest rollout is to bring.

Either way a revision that was rejected keeps those waiting that depend on it, as a dependency that is not ready does
elsewhere: they were written to go with it. As in stages, a cluster that was skipped holds nobody up, nor does one of
which nothing is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from hub.domain.documents import ApplicationSpec
from hub.domain.releases import EVERY, SHOWN, behind, order_of, with_own
from hub.domain.runs import REJECTED, Phase, Plan, PlannedStage, Rollout, SlotState, Wait
from hub.domain.selectors import Candidate, matches
from shared.model import Value

Stands = Callable[[str, str], bool]
"""Whether an application is healthy on a cluster with exactly what its newest rollout is to bring there, as far as the
agent has said."""


class Need(Value, frozen=True):
    """Another application that has to be healthy first: on these clusters, or, with None, wherever both are."""

    application: str
    clusters: frozenset[str] | None = None


def needs(spec: ApplicationSpec, fleet: Iterable[Candidate]) -> tuple[Need, ...]:
    """What an application depends on, its selectors worked out."""
    clusters = list(fleet) if spec.elsewhere else []
    elsewhere = (
        Need(each.application, frozenset(one.name for one in clusters if matches(each, one).selected))
        for each in spec.elsewhere
    )
    return (*(Need(name) for name in spec.beside), *elsewhere)


def waits(
    plan: Plan,
    needed: Iterable[Need],
    newest: Mapping[str, Rollout],
    unready: Mapping[str, str],
    stands: Stands,
    together: Iterable[str] = (),
) -> dict[str, tuple[Wait, ...]]:
    """What the stages of a rollout wait for (kind `dependency`), by name, for `Around.waits`.

    Args:
        plan: of the rollout, under way or about to begin.
        needed: what the application depends on.
        newest: the newest rollout of each application that has one, ended or not.
        unready: applications that have not been worked out for the newest commit, each with why.
        stands: who is healthy where.
        together: the other members of its release set. They go through stages at the same time, so nothing is waited
            for that a member gets in a later stage only: it would wait in turn.
    """
    mates = with_own(plan, {name: newest[name] for name in {*together, plan.application} & newest.keys()})
    own, later = mates[plan.application], _Later(mates)
    found: dict[str, list[Wait]] = {}
    to_start = [
        stage for stage, run in zip(plan.stages, mates[plan.application].stages, strict=True) if not run.started
    ]
    for need in needed:
        other = newest.get(need.application)
        if need.application in unready:
            found.setdefault(EVERY, []).append(_wait(f"{need.application}: {unready[need.application]}"))
        elif other is None and need.clusters is not None:
            found.setdefault(EVERY, []).append(_wait(f"{need.application} has not been rolled out yet"))
        elif other is not None and need.application not in later.behind:
            there = _there(need.clusters, other, stands) if need.clusters is not None else None
            for stage in to_start:
                lacking = there if there is not None else _beside(own.plan, stage, other)
                mine = {name: why for name, why in lacking.items() if not later.than(stage.name, other, name)}
                found.setdefault(stage.name, []).extend(_told(need.application, mine))
    return {stage: tuple(each) for stage, each in found.items() if each}


class _Later:
    """What members of a release set get after a stage of it."""

    def __init__(self, mates: Mapping[str, Rollout]) -> None:
        self.behind = behind(mates)
        self._mates = mates
        self._order = order_of(mates)

    def than(self, stage: str, other: Rollout, cluster: str) -> bool:
        """Whether the other one is a member that comes to the cluster in a stage that is neither this nor before."""
        if other.application not in self._mates or not other.active:
            return False
        theirs = next((each.name for each in other.plan.stages if cluster in each.clusters), stage)
        return theirs != stage and not self._order.before(theirs, stage)


def _beside(plan: Plan, stage: PlannedStage, other: Rollout) -> dict[str, str]:
    """What is missing on clusters of a stage that both are on."""
    staged = bool(plan.strategy.stages)
    found = {}
    for name in stage.clusters:
        slot = other.slots.get(name)
        if slot is None or not plan.clusters[name].target.digest or not other.plan.clusters[name].target.digest:
            continue  # nothing of the other changes there, or one of them leaves
        if slot.state in (SlotState.SKIPPED, SlotState.OFFLINE):
            continue
        if other.position(name) != other.plan.clusters[name].target:
            found[name] = _why_not(other)
        elif staged and other.active and slot.state in (SlotState.ASSIGNED, SlotState.FAILED):
            found[name] = "is not healthy with its new revision"
    return found


def _there(named: frozenset[str], other: Rollout, stands: Stands) -> dict[str, str]:
    """What is missing on the clusters that are named."""
    clusters = other.plan.clusters
    present = sorted(name for name in named & clusters.keys() if clusters[name].target.digest)
    if not present:
        return {"": "is on none of the clusters that dependsOn selects"}
    found: dict[str, str] = {}
    silent: dict[str, str] = {}
    good = False
    for name in present:
        slot = other.slots.get(name)
        state = slot.state if slot is not None else None
        if other.position(name) == clusters[name].target and stands(other.application, name):
            good = True
        elif state is SlotState.OFFLINE:
            silent[name] = "cannot be told to be healthy, as nothing is heard of the agent"
        elif state is not SlotState.SKIPPED:
            given = other.position(name) == clusters[name].target
            found[name] = "is not healthy with its newest revision" if given else _why_not(other)
    return found if good else found | silent


def _why_not(other: Rollout) -> str:
    if other.phase in REJECTED:
        return f"was {'rolled back' if other.phase is Phase.ROLLED_BACK else 'aborted'}"
    if other.phase is Phase.ROLLING_BACK:
        return "is being rolled back"
    return "has not got its new revision" + (" (paused)" if other.phase is Phase.PAUSED else "")


def _told(application: str, lacking: Mapping[str, str]) -> list[Wait]:
    """One wait for each thing that is missing, with the first of the clusters."""
    found = []
    for why in dict.fromkeys(lacking.values()):
        names = [name for name, each in lacking.items() if each == why and name]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        where = f" on {', '.join(names[:SHOWN])}{more}" if names else ""
        found.append(_wait(f"{application} {why}{where}"))
    return found


def _wait(reason: str) -> Wait:
    return Wait("dependency", reason)
