"""The report of a unit: what it says of many objects, and that it always fits into one message."""

from agent.domain.account import State, report, summed
from shared.messages import VERSION, Action, Assignment, Drift, FieldDrift, ObjectStatus, Phase, Policy, encode
from shared.model import Health, ObjectRef

ASSIGNMENT = Assignment(
    v=VERSION, cluster="c1", namespace="web", application="shop", generation=3, digest="d" * 64, commit="abc", revision="r",
    policy=Policy(), objects=1, at=1.0,
)  # fmt: skip


def status(number, health=Health.HEALTHY, reason=""):
    return ObjectStatus(ObjectRef("v1", "ConfigMap", "web", f"c{number:05}"), health, reason)


def test_all_objects_are_counted_and_the_unhealthy_ones_come_first():
    objects = (*(status(n) for n in range(2000)), status(3000, Health.DEGRADED, "it crashed"))

    found = report(ASSIGNMENT, State(Phase.APPLIED, objects=objects), 5.0)

    assert found.counts == {"Healthy": 2000, "Degraded": 1}
    assert found.objects[0].ref.name == "c03000"
    assert (found.health, found.reason) == (Health.DEGRADED, "ConfigMap web/c03000: it crashed")


def test_a_report_fits_into_what_an_agent_may_send():
    objects = tuple(status(n, Health.DEGRADED, "x" * 5000) for n in range(5000))
    fields = tuple(FieldDrift(f"/data/{n}", "w" * 1000, "h" * 1000) for n in range(9))
    drift = tuple(Drift(status(n).ref, 1.0, "correct", fields) for n in range(5000))

    found = report(ASSIGNMENT, State(Phase.FAILED, "y" * 100_000, objects, drift), 5.0)

    assert len(encode(found)) < 256 * 1024


def test_what_the_last_apply_says_goes_before_health():
    found = report(ASSIGNMENT, State(Phase.FAILED, "Forbidden", (status(1, Health.DEGRADED, "old"),)), 5.0)

    assert found.reason == "Forbidden"


def test_sums_leave_out_what_did_not_happen():
    refs = [status(n).ref for n in range(3)]

    text = summed({refs[0]: Action.CREATED, refs[1]: Action.CREATED, refs[2]: Action.PRUNED})

    assert text == "2 created, 1 pruned"
