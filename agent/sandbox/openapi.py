"""OpenAPI v3 documents: what kubectl reads to explain a kind and to see that the server validates fields itself."""

from __future__ import annotations

from typing import Any

from agent.sandbox import discovery, schema
from agent.sandbox.cluster import Cluster
from agent.sandbox.kinds import Kind

Object = dict[str, Any]
_OURS = ("x-go", "x-pb", "$ref")
_ACCEPTED = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]


def index(cluster: Cluster, prefix: str) -> Object:
    """`/openapi/v3`: a document per group version. `prefix` is the path under which the cluster is served."""
    paths = {}
    for group, versions in discovery.groups(cluster).items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            url = f"{prefix}/openapi/v3/{path}?hash={cluster.epoch:X}"
            paths[path] = {"serverRelativeURL": url}
    return {"paths": paths}


def document(cluster: Cluster, group: str, version: str) -> Object:
    """The document of one group version."""
    kinds = discovery.kinds_of(cluster, group, version)
    schemas: Object = {}
    paths: Object = {}
    for kind in kinds:
        if kind.custom:
            schemas[_custom_name(kind)] = _custom(kind)
            _collect("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", schemas)
        elif kind.definition:
            _collect(kind.definition, schemas)
        paths.update(_paths(kind))
    return {
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": cluster.kubernetes},
        "paths": paths, "components": {"schemas": schemas},
    }  # fmt: skip


def _custom_name(kind: Kind) -> str:
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _custom(kind: Kind) -> Object:
    root = dict(kind.node.schema)
    reference = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    root["properties"] = {
        **(root.get("properties") or {}), "apiVersion": {"type": "string"}, "kind": {"type": "string"},
        "metadata": {"allOf": [reference]},
    }  # fmt: skip
    root["x-kubernetes-group-version-kind"] = [{"group": kind.group, "kind": kind.kind, "version": kind.version}]
    return root


def _collect(name: str, into: Object) -> None:
    if name in into:
        return
    found = schema.data()["definitions"].get(name)
    if found is None:
        return
    into[name] = {}
    into[name] = _linked(found, into)


def _linked(node: Any, into: Object) -> Any:
    if isinstance(node, list):
        return [_linked(item, into) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    out = {k: _linked(v, into) for k, v in node.items() if k not in _OURS or not isinstance(v, str | list)}
    if isinstance(reference, str):
        _collect(reference, into)
        out["allOf"] = [{"$ref": f"#/components/schemas/{reference}"}]
    return out


def _paths(kind: Kind) -> Object:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    place = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    query = [{"name": n, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for n in names]

    def operation(action: str, parameters: list[Object]) -> Object:
        return {
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk, "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
        }  # fmt: skip

    body = {"content": {accepted: {"schema": {"type": "object"}} for accepted in _ACCEPTED}}
    return {
        place: {"get": operation("list", []), "post": operation("post", query[:3])},
        place + "/{name}": {
            "get": operation("get", []), "put": operation("put", query[:3]),
            "patch": {**operation("patch", query), "requestBody": body}, "delete": operation("delete", query[:1]),
        },
    }  # fmt: skip
