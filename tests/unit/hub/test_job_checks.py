"""Checks by a Job: what is assigned, under which name, and what its health means."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.bundles import Evaluation
from hub.cli.supplies import Offline
from hub.cli.worktree import Worktree
from hub.domain.checks import Measurement
from hub.domain.documents import API_VERSION
from hub.domain.fleet import build_fleet
from hub.domain.jobchecks import JobRun, check_unit, is_check, job_manifest, job_result, joint_result
from hub.domain.publishing import Given, orders
from hub.domain.reading import parse_document
from hub.domain.records import Commit, PathTimes, SourceInfo
from hub.domain.status import Have, Want
from hub.domain.yamldoc import Document
from hub.jobchecks import job_bundles
from hub.metrics import Metrics
from hub.view import View
from shared.bundle import decompress
from shared.errors import DocumentError
from shared.messages import Phase, Policy
from shared.model import Health, UnitKey, is_token
from shared.tasks import Clock

RUN = JobRun("web", "canary", 1, "checks/smoke.yaml", "one")
JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: smoke}
spec:
  ttlSecondsAfterFinished: 60
  template:
    spec:
      restartPolicy: Never
      containers: [{name: smoke, image: "smoke:1", args: ["https://${domain}", "${application}"]}]
"""


def document(kind, name, spec, labels=None):
    value = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
    return parse_document(Document("f.yaml", 1, value))


def fleet_of(spec, name="web"):
    clusters = [
        document("Cluster", "eu", {"variables": {"domain": "eu.example.com"}}, {"region": "eu"}),
        document("Cluster", "us", {"variables": {"domain": "us.example.com"}}, {"region": "us"}),
    ]
    return build_fleet([*clusters, document("Application", name, spec)])


def made(folder, files, run=RUN, **spec):
    """What `job_bundles` makes of a repository with these files."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    fleet = fleet_of({"namespace": "shop", "source": {"path": "apps/web"}, **spec})
    clock = Clock()
    with Offline() as offline:
        evaluation = Evaluation(
            application=fleet.applications["web"], fleet=fleet, facts={}, source=SourceInfo("."),
            commit=Commit("c" * 40), supplies=offline.supplies(Worktree(folder)), render=offline.render,
            traceparent="", times=PathTimes(),
        )  # fmt: skip
        return offline.run(job_bundles(evaluation, run, ("eu", "us"), Metrics(View(clock), "test"), clock))


def job_of(body):
    (line,) = decompress(body.inline, 10**6).splitlines()
    return orjson.loads(line)


def test_each_cluster_gets_the_job_with_its_own_variables_and_those_of_the_application(tmp_path):
    outcome = made(tmp_path, {"checks/smoke.yaml": JOB, "checks/other.yaml": "no: manifest", "apps/web/a.yaml": "x"})

    assert outcome.problems == []
    jobs = {cluster: job_of(body) for cluster, body in outcome.bodies.items()}
    args = {cluster: job["spec"]["template"]["spec"]["containers"][0]["args"] for cluster, job in jobs.items()}
    assert args == {"eu": ["https://eu.example.com", "web"], "us": ["https://us.example.com", "web"]}
    assert {job["metadata"]["name"] for job in jobs.values()} == {"smoke-7692c3ad"}
    assert all("ttlSecondsAfterFinished" not in job["spec"] for job in jobs.values())


def test_another_run_is_another_job_of_the_same_unit(tmp_path):
    files = {"checks/smoke.yaml": JOB}
    first, again, second = (
        made(tmp_path, files),
        made(tmp_path, files),
        made(tmp_path, files, JobRun("web", "canary", 1, "checks/smoke.yaml", "two")),
    )

    assert first.bodies["eu"].digest == again.bodies["eu"].digest
    assert first.bodies["eu"].digest != second.bodies["eu"].digest
    unit = check_unit(RUN, "eu", "shop")
    assert unit == check_unit(JobRun("web", "canary", 1, "checks/smoke.yaml", "two"), "eu", "shop")
    given_first = Given(1, first.bodies["eu"].digest, "c", "r", removed=False, policy=first.bodies["eu"].policy)
    assert [order.body for order in orders(unit.application, {unit: given_first}, {unit: second.bodies["eu"]})] == [
        second.bodies["eu"]
    ]


def test_it_is_kept_as_a_check_and_not_as_the_application_is(tmp_path):
    outcome = made(
        tmp_path,
        {"checks/smoke.yaml": JOB},
        sync={"drift": "correct", "timeout": "2m", "deletion": {"budget": 0, "onDelete": "orphan"}},
        dependsOn=["web-db"],
        health=[{"kind": "batch/Job", "healthy": "true"}],
    )
    policy = outcome.bodies["eu"].policy

    assert (policy.drift, policy.timeout, policy.create_namespace) == ("report", 120, False)
    assert (policy.deletion.budget, policy.deletion.on_delete) == ("100%", "delete")
    assert (policy.depends_on, policy.health) == ((), ())


def test_variables_and_images_of_overrides_count_and_their_patches_do_not(tmp_path):
    override = {
        "when": {"clusters": ["eu"]},
        "path": "apps/other",
        "variables": {"domain": "override.example.com"},
        "images": [{"name": "smoke", "newTag": "2"}],
        "patches": [{"patch": [{"op": "remove", "path": "/spec/nothing"}], "target": {"kind": "Job"}}],
        "replicas": [{"name": "web", "count": 3}],
    }
    outcome = made(tmp_path, {"checks/smoke.yaml": JOB}, overrides=[override])

    assert outcome.problems == []
    container = job_of(outcome.bodies["eu"])["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["args"][0]) == ("smoke:2", "https://override.example.com")
    assert job_of(outcome.bodies["us"])["spec"]["template"]["spec"]["containers"][0]["image"] == "smoke:1"


def test_the_checks_of_a_chart_are_in_the_fleet_repository(tmp_path):
    outcome = made(tmp_path, {"smoke.yaml": JOB}, JobRun("web", "canary", 1, "smoke.yaml", "one"),
                   source={"chart": "web", "repo": "https://charts.example.com", "version": "1.0.0"})  # fmt: skip

    assert set(outcome.bodies) == {"eu", "us"}


def test_a_kustomization_beside_it_does_not_matter(tmp_path):
    outcome = made(tmp_path, {"checks/smoke.yaml": JOB, "checks/kustomization.yaml": "resources: [smoke.yaml]"})

    assert (set(outcome.bodies), outcome.problems) == ({"eu", "us"}, [])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"apps/a.yaml": "x"}, "checks"),
        ({"checks/other.yaml": JOB}, "there is no checks/smoke.yaml in the repository"),
        ({"checks/smoke.yaml": JOB + "\n---\n" + JOB.replace("smoke}", "more}")}, "holds 2 objects"),
        ({"checks/smoke.yaml": JOB.replace("kind: Job", "kind: CronJob")}, "holds a batch/v1 CronJob"),
        ({"checks/smoke.yaml": JOB.replace("batch/v1", "batch/v1beta1")}, "holds a batch/v1beta1 Job"),
        ({"checks/smoke.yaml": JOB.replace("${domain}", "${domain}${zone}")}, "${zone} has no value"),
        ({"checks/smoke.yaml": JOB.replace("{name: smoke}", "{generateName: smoke-}")}, "give the object a metadata.name"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_said_and_nothing_is_assigned(tmp_path, files, message):
    outcome = made(tmp_path, files, overrides=[{"when": {"clusters": ["ap"]}, "variables": {"zone": "z"}}])

    assert outcome.bodies == {}
    assert outcome.kept == {"eu", "us"}
    assert {problem.application for problem in outcome.problems} == {"web"}
    assert all(problem.message.startswith("a check cannot be run: ") for problem in outcome.problems)
    assert message in outcome.problems[0].message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": {"name": "a", "annotations": {"helm.sh/hook": "test"}}}, "is a hook"),
        ({"metadata": {"name": "a", "namespace": "other"}}, "in the namespace other"),
        ({"spec": None}, "has no spec"),
        ({"spec": {"suspend": True}}, "would never end"),
    ],
)
def test_jobs_that_could_not_be_checks_are_refused(changes, message):
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {}, **changes}

    with pytest.raises(DocumentError, match=message):
        job_manifest([manifest], RUN, "shop")


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
RUNS = st.builds(JobRun, NAMES, NAMES, st.integers(1, 20), st.just("a.yaml"), st.text(max_size=5))


@given(RUNS, RUNS)
def test_names_are_valid_marked_and_differ_with_the_check(one, other):
    names = [check_unit(run, "c", "shop").application for run in (one, other)]
    same = (one.application, one.stage, one.number) == (other.application, other.stage, other.number)

    assert all(map(is_token, names))
    assert all(map(is_check, names))
    assert (names[0] == names[1]) is same


@given(st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?", fullmatch=True), st.text(max_size=5))
def test_job_names_are_short_enough_to_be_a_label(name, run):
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {}}
    found = job_manifest([manifest], JobRun("web", "canary", 1, "a.yaml", run), "shop")["metadata"]["name"]

    assert len(found) <= 63
    assert all(map(is_token, found.split("."))) or ".-" in name or "-." in name or ".." in name


def test_no_application_may_be_called_as_a_check_is():
    (problem,) = [p for p in fleet_of({}, "yardarm-check-web").problems if p.severity == "error"]

    assert "begin with yardarm-check-" in problem.message


WANT = Want(5, "d", "c", "r", "", 1000.0, 1, removed=False, timeout=300.0)


def have(phase=Phase.APPLIED, health=Health.PROGRESSING, reason="0 of 1 pods succeeded", **changes):
    fields = dict.fromkeys(("received", "fetched", "applied", "healthy"))
    told = {
        "generation": 5, "digest": "d", "commit": "c", "revision": "r", "phase": phase, "health": health,
        "reason": reason, "at": 1000.0, "since": 1000.0, "drifted": 0, "drift_total": 0, "drift_since": 0.0,
        "drift_reason": "", **fields,
    }  # fmt: skip
    return Have(**(told | changes))


@pytest.mark.parametrize(
    ("said", "now", "silent", "ok", "detail"),
    [
        (None, 1100, False, None, "has not reported"),
        (have(health=Health.HEALTHY, generation=4), 1100, False, None, "has not reported"),
        (have(health=Health.HEALTHY, digest="x"), 1100, False, None, "has not reported"),
        (have(health=Health.HEALTHY), 1100, False, True, ""),
        (have(health=Health.HEALTHY), 9999, True, True, ""),
        (have(health=Health.DEGRADED, reason="BackoffLimitExceeded"), 1100, False, False, "BackoffLimitExceeded"),
        (have(health=Health.DEGRADED), 1100, True, False, "0 of 1"),
        (have(), 1100, False, None, "0 of 1 pods succeeded"),
        (have(), 1300, False, False, "not complete within 5m: 0 of 1 pods succeeded"),
        (have(), 1300, True, None, "nothing is heard"),
        (have(Phase.FAILED, reason="forbidden"), 1100, False, None, "forbidden"),
        (have(Phase.FAILED, reason="forbidden"), 1300, False, False, "forbidden"),
        (have(Phase.APPLYING, Health.HEALTHY, ""), 1100, False, None, ""),
    ],
)
def test_the_health_of_the_unit_is_the_result(said, now, silent, ok, detail):
    found = job_result(WANT, said, now, silent=silent)

    assert (found.ok, found.at) == (ok, now)
    assert detail in found.detail


OUTCOMES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([True, False, None]))


@given(OUTCOMES)
def test_a_check_on_several_clusters_is_bad_if_one_is_and_good_if_all_are(outcomes):
    found = joint_result({name: Measurement(ok, "v", f"said {ok}", 1.0) for name, ok in outcomes.items()}, 2.0)

    values = list(outcomes.values())
    assert (found.ok is False) == (False in values)
    assert (found.ok is True) == (bool(values) and all(value is True for value in values))
    assert found.value == f"{values.count(True)} of {len(values)}"
    assert ("said" in found.detail) == any(value is not True for value in values)


def test_removing_a_check_is_an_order_as_any_other():
    unit = check_unit(RUN, "eu", "shop")
    told = {unit: Given(1, "d", "c", "r", removed=False, policy=Policy())}

    (order,) = orders(unit.application, told, {})
    assert (order.unit, order.body) == (unit, None)
    assert isinstance(unit, UnitKey)
