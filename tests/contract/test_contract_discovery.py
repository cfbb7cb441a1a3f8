"""Discovery: versions, groups and resources, legacy and aggregated, and the documents that kubectl reads."""

from __future__ import annotations

from tests.contract.client import Client

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_health_and_version(api: Client) -> None:
    for path in ("/healthz", "/readyz", "/livez"):
        assert (await api.get(path)).body == "ok"
    version = (await api.get("/version")).ok()
    assert version["gitVersion"].startswith("v1.")
    assert version["major"] == "1"
    assert int(version["minor"].rstrip("+")) >= 29


async def test_legacy(api: Client) -> None:
    core = (await api.get("/api")).ok()
    assert (core["kind"], core["versions"]) == ("APIVersions", ["v1"])
    groups = {g["name"]: g for g in (await api.get("/apis")).ok()["groups"]}
    assert groups["apps"]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    one = (await api.get("/apis/apps")).ok()
    assert (one["kind"], one["apiVersion"], one["name"]) == ("APIGroup", "v1", "apps")
    listed = (await api.get("/apis/apps/v1")).ok()
    assert (listed["kind"], listed["groupVersion"]) == ("APIResourceList", "apps/v1")
    resources = {r["name"]: r for r in listed["resources"]}
    web = resources["deployments"]
    assert (web["kind"], web["singularName"], web["namespaced"]) == ("Deployment", "deployment", True)
    assert {"create", "delete", "get", "list", "patch", "update", "watch"} <= set(web["verbs"])
    assert (web["shortNames"], web["categories"]) == (["deploy"], ["all"])
    assert resources["deployments/scale"]["kind"] == "Scale"
    names = {r["name"] for r in (await api.get("/api/v1")).ok()["resources"]}
    assert {"configmaps", "namespaces", "namespaces/status", "pods", "pods/status", "secrets", "services"} <= names


async def test_aggregated(api: Client) -> None:
    accept = f"{AGGREGATED},application/json"
    answer = await api.get("/apis", headers_Accept=accept)
    assert answer.headers["Content-Type"] == AGGREGATED
    body = answer.ok()
    assert (body["kind"], body["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    apps = next(i for i in body["items"] if i["metadata"]["name"] == "apps")
    version = apps["versions"][0]
    assert (version["version"], version["freshness"]) == ("v1", "Current")
    web = next(r for r in version["resources"] if r["resource"] == "deployments")
    assert web["responseKind"]["kind"] == "Deployment"
    assert web["responseKind"]["group"] in ("", "apps")  # empty: that of the group it is listed under
    assert (web["scope"], web["singularResource"]) == ("Namespaced", "deployment")
    assert {s["subresource"] for s in web["subresources"]} == {"scale", "status"}
    core = (await api.get("/api", headers_Accept=accept)).ok()
    assert {r["resource"] for r in core["items"][0]["versions"][0]["resources"]} >= {"configmaps", "nodes", "pods"}


async def test_plain_json_gets_the_legacy_answer(api: Client) -> None:
    assert (await api.get("/apis", headers_Accept="application/json")).ok()["kind"] == "APIGroupList"


async def test_openapi(api: Client) -> None:
    paths = (await api.get("/openapi/v3")).ok()["paths"]
    assert {"api/v1", "apis/apps/v1"} <= paths.keys()
    document = (await api.get("/openapi/v3/apis/apps/v1")).ok()
    schemas = document["components"]["schemas"]
    assert schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"] == [
        {"group": "apps", "kind": "Deployment", "version": "v1"}
    ]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    item = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert "fieldValidation" in {p["name"] for p in item["patch"]["parameters"]}
