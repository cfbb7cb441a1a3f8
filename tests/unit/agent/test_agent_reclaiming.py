"""agent.domain.reclaiming: which of other people's list items may be taken over when they block ours."""

from __future__ import annotations

from typing import Any

from agent.domain.reclaiming import reclaimed

PORT_80 = 'k:{"port":80,"protocol":"TCP"}'
PORT_81 = 'k:{"port":81,"protocol":"TCP"}'
BLAMED = ["spec.ports[1].name"]
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}


def entry(manager: str, operation: str, *ports: str, **more: str) -> dict[str, Any]:
    fields = {"f:spec": {"f:ports": {port: {".": {}, "f:port": {}} for port in ports}, "f:type": {}}}
    return {"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields, **more}


def live(*managed: dict[str, Any]) -> dict[str, Any]:
    return {**SERVICE, "metadata": {"name": "web", "managedFields": list(managed)}}


def ports(managed: list[dict[str, Any]] | None) -> dict[str, list[str]]:
    return {each["manager"]: list(each["fieldsV1"]["f:spec"].get("f:ports", {})) for each in managed or []}


def test_an_edited_port_becomes_ours_and_the_rest_stays_theirs() -> None:
    found = reclaimed(SERVICE, live(entry("yardarm", "Apply"), entry("kubectl-edit", "Update", PORT_81)), BLAMED)
    assert ports(found) == {"yardarm": [PORT_81], "kubectl-edit": []}
    assert found is not None
    assert found[1]["fieldsV1"]["f:spec"] == {"f:type": {}}


def test_it_works_when_we_own_nothing_any_more() -> None:
    found = reclaimed(SERVICE, live(entry("kubectl-edit", "Update", PORT_81)), BLAMED)
    assert ports(found) == {"kubectl-edit": [], "yardarm": [PORT_81]}


def test_an_item_that_we_want_too_is_left_alone() -> None:
    assert reclaimed(SERVICE, live(entry("yardarm", "Apply"), entry("kubectl-edit", "Update", PORT_80)), BLAMED) is None


def test_what_others_apply_or_write_through_a_subresource_is_left_alone() -> None:
    for other in (entry("flux", "Apply", PORT_81), entry("x", "Update", PORT_81, subresource="status")):
        assert reclaimed(SERVICE, live(entry("yardarm", "Apply"), other), BLAMED) is None


def test_lists_that_the_server_did_not_complain_of_are_left_alone() -> None:
    body = live(entry("yardarm", "Apply"), entry("kubectl-edit", "Update", PORT_81))
    for blamed in ([], ["spec.type"], ["spec.portsAndMore[0]"], ["spec"]):
        assert reclaimed(SERVICE, body, blamed) is None


def test_the_object_is_not_changed() -> None:
    body = live(entry("yardarm", "Apply"), entry("kubectl-edit", "Update", PORT_81))
    reclaimed(SERVICE, body, BLAMED)
    assert body == live(entry("yardarm", "Apply"), entry("kubectl-edit", "Update", PORT_81))
