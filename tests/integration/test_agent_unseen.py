"""What cannot be seen is not called missing: an agent that may not, or cannot, list what it looks after."""

from shared.model import Health
from tests.fakes.faultproxy import Fault
from tests.integration.test_agent_autonomy import place, saved  # noqa: F401 - a fixture

LIST = frozenset({"list"})


def secret(name):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"a": "b"}}


async def test_a_start_beside_a_server_that_cannot_list_calls_nothing_missing(place):  # noqa: F811
    given = await place.assign(secret("a"))
    async with place.agent():
        await place.hub.healthy(given, 40)
        await place.until(lambda: saved(place, given))
    place.hub.reports.clear()
    place.proxy.faults = (Fault("status", LIST, frozenset({"secrets"}), code=500),)

    async with place.agent():
        report = await place.hub.report(given, lambda r: r.objects and "cannot be seen" in r.objects[0].reason, 40)
        assert report.objects[0].health is Health.UNKNOWN
        assert "500" in report.objects[0].reason
        place.proxy.calm()
        await place.hub.healthy(given, 60)

    assert not any(each.health is Health.MISSING for r in place.hub.reports[given.unit] for each in r.objects)


async def test_what_may_not_be_listed_is_not_missing_after_a_restart_either(place):  # noqa: F811
    place.proxy.faults = (Fault("status", LIST, frozenset({"secrets"}), code=403),)
    given = await place.assign(secret("a"))
    async with place.agent():
        await place.hub.healthy(given, 40)
        await place.until(lambda: saved(place, given))
    place.hub.reports.clear()

    async with place.agent():
        report = await place.hub.report(given, lambda r: r.phase == "Applied", 40)

    assert report.objects[0].health is not Health.MISSING
    assert any("may not list and watch secrets" in each for each in report.warnings)
