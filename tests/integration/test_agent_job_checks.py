"""A check by a Job through a real agent: made beside the application, judged by its health, run anew, taken away."""

from __future__ import annotations

import pytest

from hub.domain.jobchecks import JobRun, check_unit, job_manifest, job_result
from hub.domain.status import said, wanted
from shared.messages import DeletionPolicy, Phase, Policy
from shared.model import Health, ObjectRef
from tests.fakes.agentplace import agent_place

POLICY = Policy(drift="report", create_namespace=False, deletion=DeletionPolicy("100%"), timeout=60.0)
FAILS = {"sandbox.yardarm.dev/fail": "CrashLoopBackOff"}


@pytest.fixture
async def place(tmp_path):
    async with agent_place("sandbox", tmp_path) as place:
        yield place


def job(pod):
    template = {
        "metadata": {"annotations": pod},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.com/smoke:1"}]},
    }
    spec = {"backoffLimit": 0, "ttlSecondsAfterFinished": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "smoke"}, "spec": spec}


async def test_a_check_is_made_judged_run_anew_and_taken_away(place):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
    await place.hub.healthy(await place.assign(settings))

    async def jobs():
        listed, _ = await place.kube.list(await place.kube.resource("batch/v1", "Job"), namespace=place.app)
        return [each["metadata"]["name"] for each in listed]

    async def run(number, manifest):
        """The result of a run, and the name of its Job."""
        this = JobRun(place.app, "canary", 1, "smoke.yaml", f"run {number}")
        made = job_manifest([manifest], this, place.app)
        unit = check_unit(this, "c1", place.app)
        given = await place.hub.assign("c1", unit.application, [made], namespace=place.app, policy=POLICY)
        ended = (Health.HEALTHY, Health.DEGRADED)
        report = await place.hub.report(given, lambda r: r.phase is Phase.APPLIED and r.health in ended)
        return job_result(wanted(given), said(report), report.at), made["metadata"]["name"]

    good, first = await run(1, job({}))
    assert (good.ok, good.value) == (True, "complete")
    assert await jobs() == [first]

    bad, second = await run(2, job(FAILS))
    assert (bad.ok, bad.value) == (False, "failed")
    assert bad.detail
    assert first != second

    async def only_the_second():
        return await jobs() == [second]

    await place.until(only_the_second)

    unit = check_unit(JobRun(place.app, "canary", 1, "smoke.yaml", ""), "c1", place.app)
    gone = await place.hub.assign("c1", unit.application, [], namespace=place.app, policy=POLICY, removed=True)
    await place.hub.report(gone, lambda r: r.phase is Phase.REMOVED)

    async def none():
        return not await jobs()

    await place.until(none)
    assert await place.kube.get(ObjectRef("v1", "ConfigMap", place.app, "settings"))
    assert await place.kube.get(ObjectRef("v1", "Namespace", "", place.app))
