"""CustomResourceDefinitions: established, served, pruned, validated, owned, gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.client import APPLY, MERGE, STRATEGIC, Client, managers

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(group: str, **version: Any) -> dict[str, Any]:
    spec = {
        "type": "object", "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1}, "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "replicas": {"type": "integer"},
            "ports": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object", "required": ["name"],
                    "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                },
            },
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "plain": {"type": "array", "items": {"type": "string"}},
            "percent": {"x-kubernetes-int-or-string": True},
        },
    }  # fmt: skip
    status = {"type": "object", "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    one = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        **version,
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [one],
        },
    }  # fmt: skip


class Widgets:
    """A served definition and its objects."""

    def __init__(self, api: Client, group: str) -> None:
        self.api, self.group = api, group
        self.resource = f"widgets.{group}/v1"
        self.path = f"/apis/{group}/v1/namespaces/{api.namespace}/widgets"

    def widget(self, name: str = "w", **spec: Any) -> dict[str, Any]:
        return {"apiVersion": f"{self.group}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
async def widgets(api: Client) -> AsyncIterator[Widgets]:
    group = f"g{api.unique()}.example.com"
    made = Widgets(api, group)
    (await api.call("POST", CRDS, definition(group))).ok()
    await established(api, group)

    async def served() -> bool:
        return (await api.get(made.path)).code == 200

    await api.eventually(served)
    yield made
    await api.call("DELETE", f"{CRDS}/widgets.{group}")


async def established(api: Client, group: str) -> dict[str, Any]:
    async def check() -> Any:
        body = (await api.get(f"{CRDS}/widgets.{group}")).ok()
        conditions = {c["type"]: c for c in (body.get("status") or {}).get("conditions") or ()}
        return body if conditions.get("Established", {}).get("status") == "True" else None

    found: dict[str, Any] = await api.eventually(check)
    return found


async def test_established_with_its_names(widgets: Widgets) -> None:
    body = await established(widgets.api, widgets.group)
    names = {
        "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"],
    }  # fmt: skip
    assert body["status"]["acceptedNames"] == body["spec"]["names"] == names
    assert body["status"]["storedVersions"] == ["v1"]
    conditions = {c["type"]: (c["status"], c["reason"]) for c in body["status"]["conditions"]}
    assert conditions == {
        "NamesAccepted": ("True", "NoConflicts"), "Established": ("True", "InitialNamesAccepted"),
    }  # fmt: skip
    assert body["spec"]["conversion"] == {"strategy": "None"}


async def test_discovered(widgets: Widgets) -> None:
    api = widgets.api

    async def listed() -> Any:
        groups = [g["name"] for g in (await api.get("/apis")).ok()["groups"]]
        return widgets.group in groups

    await api.eventually(listed)
    resources = {r["name"] for r in (await api.get(f"/apis/{widgets.group}/v1")).ok()["resources"]}
    assert resources == {"widgets", "widgets/status", "widgets/scale"}


async def test_pruned_defaulted_and_kept(widgets: Widgets) -> None:
    wanted = widgets.widget(size=1, unknown=1, free={"any": {"thing": [1]}}, percent="5%")
    answer = await widgets.api.call("POST", widgets.path, wanted)
    made = answer.ok()
    assert made["spec"] == {"size": 1, "mode": "a", "free": {"any": {"thing": [1]}}, "percent": "5%"}
    assert answer.headers.getall("Warning") == ['299 - "unknown field \\"spec.unknown\\""']
    assert made["metadata"]["generation"] == 1
    strict = widgets.widget("s", size=1, unknown=1)
    message = (await widgets.api.call("POST", widgets.path, strict, fieldValidation="Strict")).refused(
        400, "BadRequest"
    )
    assert message.endswith('strict decoding error: unknown field "spec.unknown"')


async def test_lists_of_custom_resources_name_their_kind(widgets: Widgets) -> None:
    (await widgets.api.call("POST", widgets.path, widgets.widget(size=1))).ok()
    body = (await widgets.api.get(widgets.path)).ok()
    assert (body["kind"], body["items"][0]["kind"]) == ("WidgetList", "Widget")


async def test_validated(widgets: Widgets) -> None:
    api = widgets.api
    answer = await api.call("POST", widgets.path, widgets.widget(size="big"))
    answer.refused(422, "Invalid")
    causes = answer.body["details"]["causes"]
    assert causes[0]["field"] == "spec.size"
    assert causes[0]["reason"] == "FieldValueTypeInvalid"
    assert 'spec.size in body must be of type integer: "string"' in causes[0]["message"]
    answer = await api.call("POST", widgets.path, widgets.widget(size=0, mode="c"))
    answer.refused(422, "Invalid")
    found = {c["field"]: c["message"] for c in answer.body["details"]["causes"]}
    assert "spec.size in body should be greater than or equal to 1" in found["spec.size"]
    assert found["spec.mode"] == 'Unsupported value: "c": supported values: "a", "b"'
    answer = await api.call("POST", widgets.path, widgets.widget(mode="a"))
    answer.refused(422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "spec.size"


async def test_applied_by_keys(widgets: Widgets) -> None:
    api = widgets.api

    async def apply(manager: str, **spec: Any) -> Any:
        return (await api.call("PATCH", f"{widgets.path}/w", widgets.widget(**spec), APPLY, fieldManager=manager)).ok()

    await apply("one", size=1, ports=[{"name": "a", "port": 1}], tags=["x"])
    after = await apply("two", size=1, ports=[{"name": "b", "port": 2}], tags=["y"], plain=["p"], free={"k": {"l": 1}})
    assert after["spec"]["ports"] == [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    assert after["spec"]["tags"] == ["x", "y"]
    owned = managers(after)[("two", "Apply", "")]["f:spec"]
    assert owned == {
        "f:size": {}, "f:plain": {}, "f:free": {"f:k": {".": {}, "f:l": {}}},
        "f:ports": {'k:{"name":"b"}': {".": {}, "f:name": {}, "f:port": {}}}, "f:tags": {'v:"y"': {}},
    }  # fmt: skip
    last = await apply("two", size=1)
    assert last["spec"] == {"size": 1, "mode": "a", "ports": [{"name": "a", "port": 1}], "tags": ["x"]}


async def test_ownership_in_free_form_fields(widgets: Widgets) -> None:
    wanted = widgets.widget(size=1, free={"k": {"l": 1}, "n": [1, 2], "e": {}})
    after = (await widgets.api.call("PATCH", f"{widgets.path}/w", wanted, APPLY, fieldManager="one")).ok()
    owned = managers(after)[("one", "Apply", "")]["f:spec"]["f:free"]
    assert owned == {"f:k": {".": {}, "f:l": {}}, "f:n": {}, "f:e": {}}


async def test_status_has_its_own_endpoint(widgets: Widgets) -> None:
    api, path = widgets.api, f"{widgets.path}/w"
    wanted = {**widgets.widget(size=1), "status": {"phase": "no"}}
    made = (await api.call("POST", widgets.path, wanted)).ok()
    assert "status" not in made
    after = (await api.call("PATCH", f"{path}/status", {"spec": {"size": 5}, "status": {"phase": "yes"}}, MERGE)).ok()
    assert after["status"] == {"phase": "yes"}
    assert (after["spec"]["size"], after["metadata"]["generation"]) == (1, 1)
    after = (await api.call("PATCH", path, {"spec": {"size": 2}, "status": {"phase": "x"}}, MERGE)).ok()
    assert (after["spec"]["size"], after["status"], after["metadata"]["generation"]) == (2, {"phase": "yes"}, 2)


async def test_scale_of_a_custom_resource(widgets: Widgets) -> None:
    api, path = widgets.api, f"{widgets.path}/w"
    (await api.call("POST", widgets.path, widgets.widget(size=1, replicas=2))).ok()
    assert (await api.get(f"{path}/scale")).ok()["spec"] == {"replicas": 2}
    (await api.call("PATCH", f"{path}/scale", {"spec": {"replicas": 3}}, MERGE)).ok()
    assert (await api.get(path)).ok()["spec"]["replicas"] == 3


async def test_no_strategic_merge(widgets: Widgets) -> None:
    (await widgets.api.call("POST", widgets.path, widgets.widget(size=1))).ok()
    answer = await widgets.api.call("PATCH", f"{widgets.path}/w", {"spec": {"size": 2}}, STRATEGIC)
    answer.refused(415, "UnsupportedMediaType")


async def test_update_needs_a_version(widgets: Widgets) -> None:
    (await widgets.api.call("POST", widgets.path, widgets.widget(size=1))).ok()
    answer = await widgets.api.call("PUT", f"{widgets.path}/w", widgets.widget(size=2))
    message = answer.refused(422, "Invalid")
    assert message.endswith("metadata.resourceVersion: Invalid value: 0: must be specified for an update")


async def test_unserved_before_it_is_established(api: Client) -> None:
    group = f"g{api.unique()}.example.com"
    answer = await api.get(f"/apis/{group}/v1/namespaces/{api.namespace}/widgets")
    assert (answer.code, answer.body) == (404, "404 page not found\n")


async def test_deleting_the_definition_deletes_its_objects(widgets: Widgets) -> None:
    api = widgets.api
    held = widgets.widget(size=1)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    (await api.call("POST", widgets.path, held)).ok()
    (await api.call("DELETE", f"{CRDS}/widgets.{widgets.group}")).ok()

    async def marked() -> bool:
        return "deletionTimestamp" in (await api.get(f"{widgets.path}/w")).ok()["metadata"]

    await api.eventually(marked)
    (await api.call("PATCH", f"{widgets.path}/w", {"metadata": {"finalizers": None}}, MERGE)).ok()
    await api.gone(f"{CRDS}/widgets.{widgets.group}")
    await api.gone(widgets.path)


BAD = {
    "name": (lambda d: d["metadata"].update(name="wrong.example.com"), "metadata.name"),
    "no schema": (lambda d: d["spec"]["versions"][0].pop("schema"), "spec.versions[0].schema.openAPIV3Schema"),
    "two storage versions": (
        lambda d: d["spec"]["versions"].append({**d["spec"]["versions"][0], "name": "v2"}), "spec.versions",
    ),
    "no type": (
        lambda d: d["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"].pop("type"),
        "spec.validation.openAPIV3Schema.properties[spec].properties[size].type",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BAD))
async def test_bad_definitions(api: Client, name: str) -> None:
    spoil, field = BAD[name]
    wanted = definition(f"g{api.unique()}.example.com")
    spoil(wanted)
    answer = await api.call("POST", CRDS, wanted)
    answer.refused(422, "Invalid")
    assert field in {c["field"] for c in answer.body["details"]["causes"]}
