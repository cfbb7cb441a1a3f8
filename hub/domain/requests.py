"""What people ask of a rollout, and why it cannot be done now. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

import msgspec

from hub.domain.runs import REJECTED, Phase, Rollout, SlotState, StagePhase, Target
from shared.model import Value


class Verb(enum.StrEnum):
    """What a person can ask of a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    RETRY = "retry"
    SKIP = "skip"
    ABORT = "abort"
    ROLLBACK = "rollback"
    BYPASS = "bypass"
    RELEASE = "release"


class Asked(Value, frozen=True, omit_defaults=True):
    """A person's request. `id` makes a repeated one harmless, `rollout` one that comes when another has begun.

    `rollout` is the id of the one that is meant; left out, whichever is the newest. `stage` is for approvals; left out,
    the stage that waits. `clusters` are those to retry or skip; left out, all that failed. `to` is what each cluster is
    to go back to, and `revision` its name; left out, what the last completed rollout gave.
    """

    id: str
    verb: Verb
    by: str
    at: float
    reason: str = ""
    roles: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    stage: str = ""
    clusters: tuple[str, ...] = ()
    to: dict[str, Target] = msgspec.field(default_factory=dict)
    revision: str = ""
    rollout: str = ""


_MUST_BE: dict[Verb, tuple[frozenset[Phase], str]] = {
    Verb.PAUSE: (frozenset({Phase.PROGRESSING}), "in progress"),
    Verb.RESUME: (frozenset({Phase.PAUSED}), "paused"),
    Verb.ABORT: (frozenset({Phase.PROGRESSING, Phase.PAUSED}), "in progress"),
    Verb.BYPASS: (frozenset({Phase.PROGRESSING, Phase.PAUSED}), "in progress"),
    Verb.APPROVE: (frozenset({Phase.PROGRESSING, Phase.PAUSED}), "in progress"),
    Verb.RETRY: (frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.ROLLING_BACK}), "in progress"),
    Verb.SKIP: (frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.ROLLING_BACK}), "in progress"),
    Verb.ROLLBACK: (frozenset(Phase) - {Phase.SUPERSEDED}, "the newest"),
}


def objection(rollout: Rollout, asked: Asked) -> str:
    """Why a request cannot be carried out now, empty when it can."""
    if asked.rollout not in ("", rollout.id):
        return f"{asked.rollout} was meant, and {rollout.plan.revision} has followed it since: look again"
    phases, words = _MUST_BE.get(asked.verb, (frozenset(Phase), ""))
    if rollout.phase not in phases:
        return f"the rollout is not {words}: it is {rollout.phase}" + (f" ({rollout.reason})" if rollout.reason else "")
    match asked.verb:
        case Verb.PAUSE | Verb.RESUME | Verb.ABORT | Verb.BYPASS:
            return ""
        case Verb.APPROVE:
            return _no_approval(rollout, asked.stage)
        case Verb.RETRY | Verb.SKIP:
            return _no_such_clusters(rollout, asked)
        case Verb.ROLLBACK:
            return _no_way_back(rollout, asked)
        case Verb.RELEASE:
            return "" if rollout.phase in REJECTED and not rollout.freed else "no revision is held by this rollout"


def awaited(rollout: Rollout) -> str:
    """The first stage that asks for an approval and has not started; empty when there is none."""
    for stage, run in zip(rollout.plan.stages, rollout.stages, strict=True):
        if run.phase in _NOT_STARTED and stage.spec is not None and stage.spec.approve is not None:
            return stage.name
    return ""


def chosen(rollout: Rollout, asked: Asked) -> tuple[str, ...]:
    """The clusters that a request to retry or skip is about and that it changes."""
    names = asked.clusters or tuple(name for name, slot in rollout.slots.items() if slot.state is SlotState.FAILED)
    if asked.verb is Verb.RETRY:
        return tuple(name for name in names if rollout.slots[name].state is SlotState.FAILED)
    return tuple(name for name in names if rollout.slots[name].state is not SlotState.SKIPPED)


def restores(rollout: Rollout, to: Mapping[str, Target]) -> dict[str, Target]:
    """What each cluster would go back to, as far as that is something else than it should have now.

    Args:
        rollout: the one to take back.
        to: what they are to have; empty: what the last completed rollout gave to those that take part.
    """
    return dict(_restores(rollout, to))


def _restores(rollout: Rollout, to: Mapping[str, Target]) -> Iterator[tuple[str, Target]]:
    clusters = rollout.plan.clusters
    for name in to or rollout.slots:
        pinned = clusters.get(name)
        if pinned is None:
            continue
        where = to.get(name) if to else pinned.restore
        if where is not None and rollout.position(name, pinned) != where:
            yield name, where


_NOT_STARTED = frozenset({StagePhase.PENDING, StagePhase.WAITING})


def _no_approval(rollout: Rollout, stage: str) -> str:
    asking = [each.name for each in rollout.plan.stages if each.spec is not None and each.spec.approve is not None]
    if stage and stage not in asking:
        return f"stage {stage} asks for no approval" + (f"; {', '.join(asking)} does" if asking else "")
    if not asking:
        return "no stage of this rollout asks for an approval"
    if not stage:
        return "" if awaited(rollout) else "no stage waits for an approval any more"
    number = [each.name for each in rollout.plan.stages].index(stage)
    return "" if rollout.stages[number].phase in _NOT_STARTED else f"stage {stage} has started already"


def _no_such_clusters(rollout: Rollout, asked: Asked) -> str:
    unknown = sorted(set(asked.clusters) - rollout.slots.keys())
    if unknown:
        return f"{', '.join(unknown)}: not among the clusters of this rollout"
    if chosen(rollout, asked):
        return ""
    if not asked.clusters:
        return "no cluster has failed"
    return f"{', '.join(asked.clusters)}: {'skipped already' if asked.verb is Verb.SKIP else 'not failed'}"


def _no_way_back(rollout: Rollout, asked: Asked) -> str:
    if rollout.phase is Phase.ROLLING_BACK:
        return "it is being rolled back already"
    if rollout.phase is Phase.ROLLED_BACK and not asked.to:
        return "it has been rolled back already"
    if next(_restores(rollout, asked.to), None) is None:
        return "no cluster has anything else than what it would go back to"
    return ""
