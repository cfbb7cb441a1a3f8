"""Which checks of a rollout are to be measured now, and which Jobs to run: those of the stage to be proven. Pure.

Only once a stage is healthy as a whole: what is measured before that is partly about the revision before. While a
rollout stands, checks go on, because one that has stopped for a check that failed goes on when it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hub.domain import gates
from hub.domain.checking import Check
from hub.domain.jobchecks import JobRun
from hub.domain.placeholders import Subject
from hub.domain.runs import Phase, PlannedStage, Rollout, SlotState, StageRun
from shared.model import Value


class CheckKey(Value, frozen=True):
    """One check of one stage of one rollout; `check` is its number, from 0."""

    application: str
    rollout: str
    stage: str
    check: int


@dataclass(frozen=True, slots=True)
class Running:
    """A Job to run on these clusters, in this namespace."""

    job: JobRun
    namespace: str
    clusters: tuple[str, ...]


def to_measure(rollout: Rollout) -> dict[CheckKey, tuple[Check, Subject]]:
    """The checks that somebody has to ask a server about, now and at their intervals."""
    plan, found = rollout.plan, {}
    for stage, _, clusters in _proven(rollout):
        namespace = plan.clusters[clusters[0]].target.namespace
        subject = Subject(plan.application, namespace, stage.name, clusters, plan.revision, plan.commit.sha)
        for number, check in _checks(stage):
            if check.kind != "job":
                found[CheckKey(plan.application, plan.id, stage.name, number)] = (check, subject)
    return found


def to_run(rollout: Rollout) -> dict[CheckKey, Running]:
    """The Jobs that are to run now, or have run and are kept until their stage is done.

    A stage that has to be proven again, after a regression or a retry, is another run.
    """
    plan, found = rollout.plan, {}
    for stage, run, clusters in _proven(rollout):
        namespace = plan.clusters[clusters[0]].target.namespace
        healthy = tuple(name for name in clusters if rollout.slots[name].state is SlotState.HEALTHY)
        for number, check in _checks(stage):
            if check.job is not None:
                job = JobRun(plan.application, stage.name, number + 1, check.job, f"{plan.id} {run.healthy}")
                found[CheckKey(plan.application, plan.id, stage.name, number)] = Running(job, namespace, healthy)
    return found


def _proven(rollout: Rollout) -> Iterator[tuple[PlannedStage, StageRun, tuple[str, ...]]]:
    """The stage that its checks are to prove now, if there is one, with the clusters that have the revision."""
    number = rollout.current
    if rollout.phase not in (Phase.PROGRESSING, Phase.PAUSED) or number == len(rollout.stages):
        return
    stage, run = rollout.plan.stages[number], rollout.stages[number]
    if gates.ungated(rollout) or run.waived or run.healthy is None:
        return
    clusters = tuple(name for name in stage.clusters if _has_it(rollout, name))
    if clusters:
        yield stage, run, clusters


def _has_it(rollout: Rollout, cluster: str) -> bool:
    slot = rollout.slots[cluster]
    leaves = not rollout.plan.clusters[cluster].target.digest
    return slot.released is not None and slot.state is not SlotState.SKIPPED and not leaves


def _checks(stage: PlannedStage) -> Iterator[tuple[int, Check]]:
    yield from enumerate(stage.spec.checks if stage.spec is not None else ())
