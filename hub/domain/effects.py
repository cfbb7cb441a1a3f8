"""What a request would do to a rollout, in words: said before anybody agrees to it. Pure.

Each sentence begins with a verb in the present ("rolls back 14 clusters to 3f2a91c"). It is for requests to which
`hub.domain.requests.objection` has nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hub.domain import approvals
from hub.domain.approvals import Approval
from hub.domain.progress import counts
from hub.domain.requests import Asked, Verb, awaited, restores
from hub.domain.runs import Hold, Phase, Rollout, SlotState, StagePhase
from hub.domain.staging import Approve

NAMED = 5
"""Clusters that are named; of more, the first and how many there are."""
SHORT = 7
"""Characters of a revision or commit."""


def effect(rollout: Rollout, asked: Asked) -> str:
    """What carrying out a request would do."""
    return _SAID[asked.verb](rollout, asked)


def held(application: str, hold: Hold) -> str:
    """What a hold would do."""
    return f"nothing new goes to {scope(application, hold.cluster, hold.environment)} until it is released"


def released(application: str, holds: Iterable[Hold]) -> str:
    """What letting go of holds would do."""
    each = [f"{scope(application, one.cluster, one.environment)} (held by {one.by}: {one.reason})" for one in holds]
    return f"lets go of {', '.join(each)}: what waits there goes on"


def scope(application: str, cluster: str, environment: str) -> str:
    """What a hold is about."""
    where = [f"on {cluster}"] if cluster else []
    where += [f"in {environment}"] if environment else []
    return " ".join((application, *where)) if where else f"{application} anywhere"


def revision(name: str) -> str:
    """A revision, short."""
    return name[:SHORT] or "nothing"


def many(names: Iterable[str]) -> str:
    """Clusters, counted, and named as long as they are few: `2 clusters (a, b)`."""
    all_of_them = list(names)
    shown = ", ".join(all_of_them[:NAMED])
    more = f" and {len(all_of_them) - NAMED} more" if len(all_of_them) > NAMED else ""
    return f"{_clusters(len(all_of_them))} ({shown}{more})" if all_of_them else _clusters(0)


def _clusters(number: int) -> str:
    return f"{number} cluster" if number == 1 else f"{number} clusters"


def _pause(rollout: Rollout, _: Asked) -> str:
    now = counts(rollout)
    going = f"; the {now.in_flight} in flight go on" if now.in_flight else ""
    waiting = _clusters(now.pending)
    return (
        f"pauses {rollout.application}: {waiting} that wait for {revision(rollout.plan.revision)} do not get it{going}"
    )


def _resume(rollout: Rollout, _: Asked) -> str:
    number = rollout.current
    if number == len(rollout.stages):
        return f"goes on with {rollout.application}"
    run, name = rollout.stages[number], rollout.plan.stages[number].name
    failed = counts(rollout, number).failed
    although = ""
    if run.phase is StagePhase.FAILED:
        although = f", although {_clusters(failed)} failed" if failed else ", although its checks do not hold"
    return f"goes on with stage {name}{although}"


def _approve(rollout: Rollout, asked: Asked) -> str:
    stage = asked.stage or awaited(rollout)
    spec = next(each.spec for each in rollout.plan.stages if each.name == stage)
    approve = spec.approve if spec is not None else None
    if approve is None:
        return f"approves stage {stage}"
    missing = _missing(rollout, asked, stage, approve)
    return f"approves stage {stage}" + (f"; it waits for {missing} still" if missing else ": all approvals are given")


def _missing(rollout: Rollout, asked: Asked, stage: str, approve: Approve) -> str:
    given = [each for each in rollout.approvals if each.stage == stage]
    added = Approval(stage, asked.by, asked.roles, asked.at, asked.reason, asked.emails)
    return approvals.verdict(approve, [*given, added], rollout.plan.commit.written_by, asked.at).missing


def _retry(_: Rollout, asked: Asked) -> str:
    return f"has {many(asked.clusters)} try again"


def _skip(_: Rollout, asked: Asked) -> str:
    return f"leaves out {many(asked.clusters)}: nobody waits for them, and they keep what they have"


def _abort(rollout: Rollout, _: Asked) -> str:
    given = sum(slot.released is not None for slot in rollout.slots.values())
    name = revision(rollout.plan.revision)
    left = len(rollout.slots) - given
    keep = f"{_clusters(given)} that were given {name} keep it, " if given else ""
    return f"ends the rollout: {keep}{_clusters(left)} keep what they had, and {name} does not start again by itself"


def _rollback(rollout: Rollout, asked: Asked) -> str:
    names = restores(rollout, asked.to)
    to = revision(asked.revision or rollout.plan.from_) if asked.revision or rollout.plan.from_ else "what they had"
    kept = [
        name
        for name, slot in rollout.slots.items()
        if name not in names and slot.released is not None and rollout.plan.clusters[name].restore is None
    ]
    but = f"; {many(kept)} had nothing before, and keep what they have" if kept else ""
    held_back = f"; {revision(rollout.plan.revision)} is held until Git moves on"
    return f"rolls back {_clusters(len(names))} to {to}{but}{held_back}"


def _bypass(rollout: Rollout, _: Asked) -> str:
    what = f"gives {revision(rollout.plan.revision)} to {_clusters(counts(rollout).pending)}, stage by stage"
    when = ", once it is resumed" if rollout.phase is Phase.PAUSED else ""
    return f"{what}, without approvals, windows, limits, soak and checks{when}; only holds count"


def _release(rollout: Rollout, _: Asked) -> str:
    return f"lets {revision(rollout.plan.revision)} start again"


_SAID: dict[Verb, Callable[[Rollout, Asked], str]] = {
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.APPROVE: _approve,
    Verb.RETRY: _retry,
    Verb.SKIP: _skip,
    Verb.ABORT: _abort,
    Verb.ROLLBACK: _rollback,
    Verb.BYPASS: _bypass,
    Verb.RELEASE: _release,
}


def failed(rollout: Rollout) -> tuple[str, ...]:
    """The clusters that failed, in the order of their stages."""
    return tuple(name for name, slot in rollout.slots.items() if slot.state is SlotState.FAILED)
