"""Two applications want one object at the same moment: one gets it, the other says who has it and leaves it alone."""

import pytest

from agent.domain import applyset
from shared.messages import Policy
from shared.model import ObjectRef
from tests.fakes.faultproxy import Fault
from tests.integration.test_agent_autonomy import place  # noqa: F401 - a fixture


def shared(place, color):  # noqa: F811
    metadata = {"name": "shared", "namespace": place.app}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"color": color}}


def own(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}}


async def settled(place, *given):  # noqa: F811
    """(the one that has the object, the one that does not), when each knows where it stands."""

    def last(assignment):
        reports = place.hub.reports.get(assignment.unit)
        return reports[-1] if reports else None

    def decided():
        phases = [report.phase for report in map(last, given) if report is not None]
        return sorted(phases) == ["Applied", "Blocked"]

    await place.hub.until(decided, 30, "one has it, the other is told")
    one, other = given
    return (one, other) if last(one).phase == "Applied" else (other, one)


@pytest.mark.parametrize("before", ["nothing", "made by hand"])
async def test_of_two_applications_one_gets_the_object_and_the_other_is_told_who_has_it(place, before):  # noqa: F811
    if before == "made by hand":
        await place.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.app}})
        await place.kube.apply(shared(place, "white"), manager="kubectl")
    # Both have looked before either writes.
    place.proxy.faults = (Fault("delay", verbs=frozenset({"patch"}), plurals=frozenset({"configmaps"}), seconds=1.0),)
    async with place.inside():
        red = await place.assign(shared(place, "red"), own("r"), app=f"{place.app}-r", namespace=place.app)
        blue = await place.assign(shared(place, "blue"), own("b"), app=f"{place.app}-b", namespace=place.app)
        has, lacks = await settled(place, red, blue)

        reason = place.hub.reports[lacks.unit][-1].reason
        assert str(has.unit) in reason
        assert "sync.adopt" in reason
        color = {red.unit: "red", blue.unit: "blue"}
        live = await place.live("ConfigMap", "shared")
        assert live["data"] == {"color": color[has.unit]}
        inventory = applyset.parent_ref(has.unit, f"{place.name}-system")
        assert applyset.part_of(live) == applyset.set_id(inventory)

        place.proxy.calm()
        gone = await place.assign(app=lacks.application, namespace=place.app, removed=True)
        await place.hub.report(gone, lambda r: r.phase == "Removed")
        assert (await place.live("ConfigMap", "shared"))["metadata"]["uid"] == live["metadata"]["uid"]


async def test_who_loses_an_object_to_another_application_says_so(place):  # noqa: F811
    async with place.inside():
        first = await place.assign(shared(place, "red"), app=f"{place.app}-r", namespace=place.app)
        await place.hub.healthy(first)
        taker = Policy(adopt="always")
        second = await place.assign(shared(place, "blue"), app=f"{place.app}-b", namespace=place.app, policy=taker)
        await place.hub.healthy(second)

        report = await place.hub.report(first, lambda r: r.phase == "Blocked")

    assert str(second.unit) in report.reason
    assert (await place.live("ConfigMap", "shared"))["data"] == {"color": "blue"}


async def test_an_apply_whose_answer_is_lost_is_no_contention(place):  # noqa: F811
    async with place.inside():
        await place.hub.healthy(await place.assign(own("a")))
        place.proxy.faults = (Fault("cut", verbs=frozenset({"patch"}), plurals=frozenset({"secrets"}), times=1),)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}}

        await place.hub.healthy(await place.assign(own("a"), secret))

    assert place.proxy.happened["cut", "patch"] == 1
    assert await place.kube.get(ObjectRef("v1", "Secret", place.app, "s"))
