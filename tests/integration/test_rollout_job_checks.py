"""Checks by Jobs of a rollout, from the stage that is healthy to the removal of its Jobs; over a real NATS."""

from __future__ import annotations

import asyncio

import pytest

from hub import streams
from hub.bundles import Evaluation
from hub.checks.measuring import Measuring
from hub.cli.supplies import Offline
from hub.cli.worktree import Worktree
from hub.domain.documents import API_VERSION
from hub.domain.egress import Egress
from hub.domain.fleet import build_fleet
from hub.domain.reading import parse_document
from hub.domain.records import Commit, PathTimes, SourceInfo
from hub.domain.runs import Phase as Rolled
from hub.domain.runs import StagePhase
from hub.domain.yamldoc import Document
from hub.metrics import Metrics
from hub.publisher import Publisher
from hub.sources.web import HostAccess, Web
from hub.streams import Fence
from hub.turns import Turns
from hub.verifying import Verifying
from hub.view import View
from shared import subjects
from shared.messages import Phase, Report
from shared.model import Health
from shared.tasks import Clock
from tests.fakes.livehub import until
from tests.fakes.natshub import hub_nats
from tests.fakes.rollingout import CLUSTERS, Rolling

A = "a" * 40
JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: smoke}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: smoke}]}}}
"""
STAGED = {"stages": [{"name": "dev", "environments": ["dev"], "checks": [{"job": "smoke.yaml"}]}], "onFailure": "pause"}


class Hasty(Clock):
    """Sleeps a hundred times shorter than it is asked to."""

    async def sleep(self, seconds):
        await asyncio.sleep(seconds / 100)


def document(kind, name, spec):
    value = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    return parse_document(Document("f.yaml", 1, value))


class Case:
    """A rollout whose stage `dev` has a Job to run, and the hub's part of running it."""

    def __init__(self, publisher, view, metrics, folder):
        self.publisher, self.view, self.metrics = publisher, view, metrics
        self.rolling = Rolling(STAGED)
        self.rolling.commit(A)
        self.rolling.healthy("dev-1", "dev-2")
        (folder / "smoke.yaml").write_text(JOB)
        fleet = build_fleet(
            [
                *(document("Cluster", name, {}) for name in CLUSTERS),
                document("Application", "web", {"namespace": "web"}),
            ]
        )
        offline = Offline()
        self.evaluated = Evaluation(
            application=fleet.applications["web"], fleet=fleet, facts={}, source=SourceInfo("."), commit=Commit(A),
            supplies=offline.supplies(Worktree(folder)), render=offline.render, traceparent="", times=PathTimes(),
        )  # fmt: skip
        self.evaluation = self.evaluated
        self.told = []

    def verifying(self):
        """The part of a hub that has just begun to lead."""
        clock = Hasty()
        return Verifying(
            lambda: [self.rolling.newest] if self.rolling.newest.active else [],
            lambda _: self.evaluation,
            Measuring(Web(Egress(), lambda _: HostAccess()), clock),
            self._measured,
            self.publisher,
            self.view,
            self.metrics,
            clock,
        )

    def _measured(self, application, event):
        self.rolling.now += 1
        self.told.append(event.measurement)
        self.rolling.measured(event.stage, event.check, event.measurement.ok, event.measurement.detail)

    @property
    def jobs(self):
        """The units of checks that were not told to go, by cluster."""
        return {unit.cluster: unit for unit, given in self.publisher.checks().items() if not given.removed}

    def ends(self, cluster, health, reason=""):
        """What the agent says of the Job."""
        unit = self.jobs[cluster]
        given = self.publisher.given(unit)
        self.view.reported(
            Report(
                1,
                unit.cluster,
                unit.namespace,
                unit.application,
                given.generation,
                given.digest,
                given.commit,
                given.revision,
                Phase.APPLIED,
                health,
                Clock().now(),
                reason,
            )
        )


@pytest.fixture
async def case(tmp_path):
    async with hub_nats(tmp_path / "hub") as nats, nats.hub() as bus, asyncio.TaskGroup() as group:
        await streams.ensure(bus)
        fence = Fence(await bus.publish_stored(subjects.EPOCH, b"me"))
        clock = Clock()
        view = View(clock)
        metrics = Metrics(view, "0")
        publisher = Publisher(bus, nats.identity.signing_key, Turns(clock), metrics, clock, view.assigned)
        writing = group.create_task(publisher.run(fence))
        (tmp_path / "repo").mkdir()
        yield Case(publisher, view, metrics, tmp_path / "repo")
        writing.cancel()


async def test_jobs_run_to_their_end_over_a_restart_of_the_hub_and_are_removed(case):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(case.verifying().run())
        await until(lambda: set(case.jobs) == {"dev-1", "dev-2"})
        given = case.publisher.checks()
        case.ends("dev-1", Health.HEALTHY)
        await until(lambda: any(each.value == "1 of 2" for each in case.told))
        running.cancel()

    case.evaluation = None
    case.told.clear()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(case.verifying().run())
        await until(lambda: len(case.told) > 2)
        assert case.publisher.checks() == given
        assert not any(each.ok for each in case.told)

        case.evaluation = case.evaluated
        case.ends("dev-2", Health.HEALTHY)
        await until(lambda: case.rolling.newest.stages[0].phase is StagePhase.DONE)
        await until(lambda: not case.jobs)
        running.cancel()
    assert {given.removed for given in case.publisher.checks().values()} == {True}


async def test_a_job_that_failed_stops_the_rollout_and_says_where_and_why(case):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(case.verifying().run())
        await until(lambda: set(case.jobs) == {"dev-1", "dev-2"})
        case.ends("dev-2", Health.DEGRADED, "BackoffLimitExceeded")
        await until(lambda: case.rolling.newest.phase is Rolled.PAUSED)
        running.cancel()
    assert "dev-2: BackoffLimitExceeded" in case.rolling.newest.reason
    assert set(case.jobs) == {"dev-1", "dev-2"}
