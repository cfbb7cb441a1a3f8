"""Which checks of which rollouts have to be measured now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hub.domain.checking import Check
from hub.domain.gates import ungated
from hub.domain.jobchecks import JobRun
from hub.domain.placeholders import Subject
from hub.domain.runs import Phase, Rollout, SlotState


@dataclass(frozen=True, slots=True)
class Wanted:
    """A check of a stage that is healthy as a whole `since` then.

    `number` counts from 0, `healthy` are the clusters it is about.
    """

    rollout: Rollout
    stage: str
    number: int
    check: Check
    since: float
    healthy: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, int]:
        """Names it among all checks of all rollouts."""
        return self.rollout.id, self.stage, self.number

    @property
    def namespace(self) -> str:
        """Where the application is."""
        return next((self.rollout.plan.clusters[name].target.namespace for name in self.healthy), "default")

    @property
    def subject(self) -> Subject:
        """What it is about, for its placeholders."""
        plan = self.rollout.plan
        return Subject(plan.application, self.namespace, self.stage, self.healthy, plan.revision, plan.commit.sha)

    @property
    def run(self) -> JobRun:
        """The run of its Job: another one when the stage has to be proven again, after a regression or a retry."""
        run = f"{self.rollout.id} {self.since}"
        return JobRun(self.rollout.application, self.stage, self.number + 1, self.check.job or "", run)


def wanted(rollouts: Iterable[Rollout]) -> Iterator[Wanted]:
    """The checks of the stages that are healthy as a whole and not done.

    Also while the rollout is paused: what stopped for a check that failed goes on when it holds.
    """
    for rollout in rollouts:
        if not any(stage.spec is not None and stage.spec.checks for stage in rollout.plan.stages):
            continue
        number = rollout.current
        if rollout.phase not in (Phase.PROGRESSING, Phase.PAUSED) or number >= len(rollout.stages) or ungated(rollout):
            continue
        run, stage = rollout.stages[number], rollout.plan.stages[number]
        if run.healthy is None or run.waived or stage.spec is None:
            continue
        healthy = tuple(name for name in stage.clusters if _has_it(rollout, name))
        for index, check in enumerate(stage.spec.checks):
            yield Wanted(rollout, stage.name, index, check, run.healthy, healthy)


def _has_it(rollout: Rollout, cluster: str) -> bool:
    leaves = not rollout.plan.clusters[cluster].target.digest
    return rollout.slots[cluster].state is SlotState.HEALTHY and not leaves
