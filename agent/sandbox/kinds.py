"""What a cluster serves: resources by path, built in or defined by a CustomResourceDefinition."""

from __future__ import annotations

import functools
from typing import Any

from agent.sandbox import schema
from agent.sandbox.schema import Node

LEFT_OUT = {("autoscaling", "v1"), ("events.k8s.io", "v1"), ("resource.k8s.io", "v1")}
"""Group versions that the sandbox does not serve: second versions of kinds it stores once, and device plug-ins."""

GENERATION = {
    ("apps", "deployments"), ("apps", "replicasets"), ("apps", "statefulsets"), ("apps", "daemonsets"),
    ("batch", "jobs"), ("batch", "cronjobs"), ("networking.k8s.io", "ingresses"), ("", "pods"),
    ("networking.k8s.io", "networkpolicies"), ("networking.k8s.io", "ingressclasses"),
    ("policy", "poddisruptionbudgets"),
    ("", "replicationcontrollers"), ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"), ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("discovery.k8s.io", "endpointslices"), ("", "podtemplates"), ("scheduling.k8s.io", "priorityclasses"),
}  # fmt: skip
"""Built-in resources whose `metadata.generation` is kept."""


class Kind:
    """One resource at one version. `storage` names where its objects are kept, whatever the version."""

    __slots__ = (
        "categories", "columns", "custom", "definition", "generation", "group", "head", "kind", "list_kind",
        "namespaced", "node_cache", "plural", "response_kind", "scale_paths", "short_names", "singular",
        "storage_version",
        "subresources", "verbs", "version",
    )  # fmt: skip

    def __init__(self, group: str, version: str, plural: str, kind: str, *, namespaced: bool) -> None:
        self.group, self.version, self.plural, self.kind, self.namespaced = group, version, plural, kind, namespaced
        self.singular = kind.lower()
        self.list_kind = kind + "List"
        self.short_names: list[str] = []
        self.categories: list[str] = []
        self.verbs: list[str] = []
        self.subresources: dict[str, dict[str, Any]] = {}
        self.custom = False
        self.definition = ""
        self.node_cache: Node | None = None
        self.generation = False
        self.storage_version = version
        self.scale_paths: dict[str, str] = {}
        self.response_kind = {"group": group, "version": version, "kind": kind}
        self.columns: list[dict[str, Any]] = []
        self.head = f'{{"kind":"{kind}","apiVersion":"{self.api_version}",'.encode()

    @property
    def api_version(self) -> str:
        """`apps/v1`; the core group has no slash."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self) -> tuple[str, str]:
        """(group, plural): where objects are kept."""
        return (self.group, self.plural)

    @property
    def node(self) -> Node:
        """The type of an object of this kind."""
        if self.node_cache is None:
            self.node_cache = schema.builtin().definition(self.definition)
        return self.node_cache

    @property
    def qualified(self) -> str:
        """`deployments.apps`, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def gvk_text(self) -> str:
        """`apps/v1, Kind=Deployment`, as Go prints it."""
        return f"{self.group}/{self.version}, Kind={self.kind}"


@functools.cache
def builtin() -> dict[tuple[str, str, str], Kind]:
    """(group, version, plural) -> built-in kind."""
    found = {}
    definitions = schema.kinds()
    for group in schema.data()["groups"]:
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            if (name, version["version"]) in LEFT_OUT:
                continue
            for resource in version["resources"]:
                kind = _from_discovery(name, version["version"], resource)
                kind.definition = definitions.get((name, kind.version, kind.kind), "")
                found[(name, kind.version, kind.plural)] = kind
    return found


def _from_discovery(group: str, version: str, resource: dict[str, Any]) -> Kind:
    kind = Kind(
        group, version, resource["resource"], resource["responseKind"]["kind"],
        namespaced=resource["scope"] == "Namespaced",
    )  # fmt: skip
    kind.singular = resource.get("singularResource", "")
    kind.response_kind = resource["responseKind"]
    kind.short_names = resource.get("shortNames", [])
    kind.categories = resource.get("categories", [])
    kind.verbs = resource["verbs"]
    kind.subresources = {s["subresource"]: s for s in resource["subresources"]}
    kind.generation = kind.storage in GENERATION
    if "scale" in kind.subresources:
        kind.scale_paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return kind


CUSTOM_VERBS = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]


def from_definition(crd: dict[str, Any]) -> list[Kind]:
    """The kinds of a CustomResourceDefinition, one per served version."""
    spec = crd["spec"]
    names = spec["names"]
    storage = next((v["name"] for v in spec["versions"] if v.get("storage")), spec["versions"][0]["name"])
    found = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        kind = Kind(
            spec["group"], version["name"], names["plural"], names["kind"], namespaced=spec["scope"] == "Namespaced"
        )
        kind.singular = names.get("singular") or names["kind"].lower()
        kind.list_kind = names.get("listKind") or names["kind"] + "List"
        kind.short_names = names.get("shortNames", [])
        kind.categories = names.get("categories", [])
        kind.verbs = CUSTOM_VERBS
        kind.custom = True
        kind.storage_version = storage
        kind.generation = True
        kind.columns = version.get("additionalPrinterColumns", [])
        kind.node_cache = schema.custom((version.get("schema") or {}).get("openAPIV3Schema"))
        sub = version.get("subresources") or {}
        base = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        if "status" in sub:
            kind.subresources["status"] = {"responseKind": base, "verbs": ["get", "patch", "update"]}
        if "scale" in sub:
            scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
            kind.subresources["scale"] = {"responseKind": scale, "verbs": ["get", "patch", "update"]}
            kind.scale_paths = sub["scale"]
        found.append(kind)
    return found
