"""Has the checks of rollouts measured: those over HTTP from here, those by a Job through the agents.

A Job is a unit of its own (`hub.domain.jobchecks`), there as long as its check is wanted, and removed after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from hub.bundles import Evaluation
from hub.checks.measuring import Measuring
from hub.checks.prober import Probe, Prober
from hub.domain.checks import Measurement
from hub.domain.jobchecks import JobRun, check_unit, job_result, joint_result
from hub.domain.publishing import Body, Order
from hub.domain.runs import Rollout
from hub.domain.steps import Measured
from hub.domain.verifying import Wanted, wanted
from hub.jobchecks import job_bundles
from hub.metrics import Metrics
from hub.publisher import Cause, Publisher
from hub.view import View
from hub.view.standing import unit_record
from shared.errors import Unavailable
from shared.model import UnitKey
from shared.tasks import Clock

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between looks at which checks are wanted, and at how their Jobs fare."""

Key = tuple[str, str, int]


class Verifying:
    """On the leading hub. `run` is a task."""

    def __init__(  # noqa: PLR0913, PLR0917 - called once, by the composition root
        self,
        rollouts: Callable[[], Iterable[Rollout]],
        evaluation: Callable[[Rollout], Evaluation | None],
        measuring: Measuring,
        on_measured: Callable[[str, Measured], None],
        publisher: Publisher,
        view: View,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """`rollouts` are those under way; `evaluation` is what was worked out for one, if known."""
        self._rollouts = rollouts
        self._evaluation = evaluation
        self._on_measured = on_measured
        self._publisher = publisher
        self._view = view
        self._metrics = metrics
        self._clock = clock
        self._measuring = measuring
        self._prober: Prober[Key] = Prober(measuring.measure, self._probed, clock)
        self._wanted: dict[Key, Wanted] = {}
        self._bodies: dict[Key, tuple[JobRun, tuple[str, ...], Mapping[str, Body], str]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._prober.run())
                group.create_task(self._look())
        finally:
            await self._measuring.close()

    async def _look(self) -> None:
        while True:
            self._wanted = {each.key: each for each in wanted(self._rollouts())}
            over_http = {key: each for key, each in self._wanted.items() if each.check.kind != "job"}
            self._prober.keep({key: Probe(each.check, each.subject) for key, each in over_http.items()})
            await self._jobs([each for each in self._wanted.values() if each.check.kind == "job"])
            await self._clock.sleep(INTERVAL)

    def _probed(self, key: Key, measurement: Measurement) -> None:
        self._tell(self._wanted.get(key), measurement)

    def _tell(self, about: Wanted | None, measurement: Measurement) -> None:
        if about is not None:
            self._on_measured(about.rollout.application, Measured(about.stage, about.number, measurement))

    async def _jobs(self, checks: list[Wanted]) -> None:
        for each in checks:
            try:
                await self._job(each)
            except Unavailable as error:
                log.warning("a check by a Job has to wait", extra={"check": each.check.title, "error": str(error)})
        self._bodies = {key: made for key, made in self._bodies.items() if key in self._wanted}
        try:
            await self._remove(checks)
        except Unavailable as error:
            log.warning("Jobs of checks are removed later", extra={"error": str(error)})

    async def _job(self, each: Wanted) -> None:
        bodies, trouble = await self._made(each)
        orders, results = [], {}
        for cluster, body in bodies.items():
            unit = check_unit(each.run, cluster, each.namespace)
            given = self._publisher.given(unit)
            if given is None or given.removed or given.digest != body.digest:
                orders.append(Order(unit, body))
            results[cluster] = self._result(unit)
        plan = each.rollout.plan
        await self._publisher.publish(orders, Cause(plan.commit.sha, plan.revision, plan.traceparent, plan.id))
        now = self._clock.now()
        result = Measurement(ok=None, value="", detail=trouble, at=now) if trouble else joint_result(results, now)
        self._tell(each, result)

    async def _made(self, each: Wanted) -> tuple[Mapping[str, Body], str]:
        """The bundles of a check by cluster, and why there are none."""
        known = self._bodies.get(each.key)
        if known is not None and known[:2] == (each.run, each.healthy):
            return known[2:]
        evaluation = self._evaluation(each.rollout)
        if evaluation is None:
            return {}, "its commit is not the one that the hub has worked out"
        outcome = await job_bundles(evaluation, each.run, each.healthy, self._metrics, self._clock)
        trouble = outcome.problems[0].message if outcome.kept and outcome.problems else ""
        self._bodies[each.key] = each.run, each.healthy, outcome.bodies, trouble
        return outcome.bodies, trouble

    def _result(self, unit: UnitKey) -> Measurement:
        record, now = unit_record(self._view, unit), self._clock.now()
        if record is None or record.want is None:
            return Measurement(ok=None, value="waiting", detail="the Job is being assigned", at=now)
        cluster = self._view.clusters.get(unit.cluster)
        return job_result(record.want, record.have, now, silent=cluster is None or cluster.silent)

    async def _remove(self, checks: Iterable[Wanted]) -> None:
        """Jobs go once nobody wants them; not because their bundle is not known yet, as after a start of the hub."""
        kept = {check_unit(each.run, cluster, each.namespace) for each in checks for cluster in each.healthy}
        given = self._publisher.checks()
        over = [unit for unit, each in given.items() if unit not in kept and not each.removed]
        await self._publisher.publish([Order(unit, None) for unit in over], Cause("", "", ""))
