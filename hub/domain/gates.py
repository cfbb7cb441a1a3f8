"""What a stage of a rollout waits for: before it starts, with each cluster, and before it is done. Pure.

Nothing but holds binds a change that takes back what the last completed rollout gave, or one for which a person has
had the gates left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec

from hub.domain import approvals
from hub.domain.approvals import Approved
from hub.domain.checks import fulfilled, lasted
from hub.domain.runs import Pinned, Rollout, StageRun, Wait
from hub.domain.staging import Approve
from hub.domain.status import span

PATIENCE = 30.0
"""Seconds for which a check must fail at least before it fails its stage; longer where it has to hold for longer."""


def ungated(rollout: Rollout) -> bool:
    """Whether only holds count."""
    return rollout.plan.back or bool(rollout.bypass)


def before_start(rollout: Rollout, number: int, now: float) -> tuple[Wait, ...]:
    """What has to be given before the first cluster of a stage gets the revision; empty when all is."""
    stage = rollout.plan.stages[number]
    if ungated(rollout) or not stage.clusters:
        return ()
    around = rollout.around.waits
    found = [*around.get("*", ()), *around.get(stage.name, ())]
    if stage.spec is not None and stage.spec.approve is not None:
        approved = _approved(rollout, stage.spec.approve, stage.name, now)
        if approved.missing:
            found.append(Wait("approval", approved.missing))
    return tuple(found)


def of_cluster(rollout: Rollout, cluster: str, pinned: Pinned) -> Wait | None:
    """Why a cluster must not be given the revision now."""
    around = rollout.around
    for hold in around.holds:
        if hold.covers(cluster, pinned.environments):
            return Wait("hold", f"held by {hold.by}" + (f": {hold.reason}" if hold.reason else ""), hold.at)
    if not ungated(rollout):
        for environment in pinned.environments:
            closed = around.closed.get(environment)
            if closed is not None:
                return Wait("window", closed.reason, until=closed.until)
    return None


def start_of(rollout: Rollout, number: int, cluster: str) -> float:
    """The earliest time at which a cluster is given the revision: within the stage's jitter, always the same.

    Without jitter any time is, also one before the stage started: the clock may have been put back since.
    """
    stage, started = rollout.plan.stages[number], rollout.stages[number].started
    jitter = stage.spec.jitter if stage.spec is not None else 0.0
    if not jitter or started is None or ungated(rollout):
        return 0.0
    return started + jitter * zlib.crc32(f"{rollout.id}/{cluster}".encode()) / 2**32


def soaked_at(rollout: Rollout, number: int) -> float | None:
    """Until when a stage, healthy as a whole, has to stay so; None where it does not have to."""
    stage, run = rollout.plan.stages[number], rollout.stages[number]
    if ungated(rollout) or stage.spec is None or run.healthy is None:
        return None
    return run.healthy + stage.spec.soak


def unmet(rollout: Rollout, number: int) -> tuple[Wait, ...]:
    """The checks of a stage that have not held for their time yet."""
    stage, run = rollout.plan.stages[number], rollout.stages[number]
    if ungated(rollout) or run.waived or stage.spec is None:
        return ()
    found = []
    for check, standing in zip(stage.spec.checks, run.checks, strict=True):
        if not fulfilled(check, standing):
            last = standing.last
            said = (last.detail or last.value) if last is not None else "it has not been measured yet"
            until = standing.since + check.for_ if standing.since is not None else None
            found.append(Wait("check", f"{check.title}: {said}", standing.since or 0.0, until))
    return tuple(found)


def broken(rollout: Rollout, number: int) -> str:
    """Why the checks of a stage have failed, empty while they may still hold.

    A check fails its stage when it has failed, without interruption, for as long as it would have to hold. A Job that
    has failed will not do better.
    """
    stage, run = rollout.plan.stages[number], rollout.stages[number]
    if ungated(rollout) or run.waived or stage.spec is None:
        return ""
    for check, standing in zip(stage.spec.checks, run.checks, strict=True):
        if standing.failed_since is not None and standing.last is not None:
            patience = max(check.for_, PATIENCE)
            if check.kind == "job":
                return f"check {check.title} has failed: {standing.last.detail}"
            if lasted(standing) >= patience:
                return f"check {check.title} has failed for {span(patience)}: {standing.last.detail}"
    return ""


def unmeasured(rollout: Rollout, number: int, now: float) -> str:
    """Why nobody can say whether the checks of a stage hold; empty while they may still come to an end.

    A check has its own time and as long again as a cluster may take. After that it is one that holds, or fails.
    """
    stage, run = rollout.plan.stages[number], rollout.stages[number]
    if ungated(rollout) or run.waived or stage.spec is None or run.soaked is None:
        return ""
    for check, standing in zip(stage.spec.checks, run.checks, strict=True):
        said = standing.since is not None or standing.failed_since is not None
        if not said and now >= run.soaked + check.for_ + rollout.plan.strategy.deadline:
            last = standing.last
            reason = last.detail if last is not None else "it has not been measured"
            return f"check {check.title} does not come to an end: {reason}"
    return ""


def times(rollout: Rollout, number: int, now: float) -> Iterator[float | None]:
    """When time alone may change what a stage waits for."""
    stage, run = rollout.plan.stages[number], rollout.stages[number]
    yield from (closed.until for closed in rollout.around.closed.values())
    yield from (wait.until for wait in run.waits)
    if stage.spec is None:
        return
    if stage.spec.approve is not None and run.started is None:
        yield _approved(rollout, stage.spec.approve, stage.name, now).expires
    for check in stage.spec.checks:
        if run.soaked is not None:
            yield run.soaked + check.for_ + rollout.plan.strategy.deadline


def _approved(rollout: Rollout, approve: Approve, stage: str, now: float) -> Approved:
    given = [each for each in rollout.approvals if each.stage == stage]
    return approvals.verdict(approve, given, rollout.plan.commit.written_by, now)


def since_first(waits: tuple[Wait, ...], run: StageRun, now: float) -> tuple[Wait, ...]:
    """The waits, each since it was first seen; or its kind, as what is said of it changes with every approval."""
    kinds = {wait.kind: wait.since for wait in run.waits}
    known = {(wait.kind, wait.reason): wait.since for wait in run.waits}
    return tuple(
        wait
        if wait.since
        else msgspec.structs.replace(wait, since=known.get((wait.kind, wait.reason)) or kinds.get(wait.kind) or now)
        for wait in waits
    )
