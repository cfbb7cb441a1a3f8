"""What a cluster says about what it serves: version, groups and resources, in both discovery formats."""

from __future__ import annotations

import re
from typing import Any

from agent.sandbox.cluster import Cluster
from agent.sandbox.kinds import Kind

Object = dict[str, Any]


def version(cluster: Cluster) -> Object:
    """`/version`."""
    match = re.match(r"v?(\d+)\.(\d+)", cluster.kubernetes)
    major, minor = match.groups() if match else ("1", "36")
    return {
        "major": major, "minor": minor, "gitVersion": cluster.kubernetes, "gitCommit": "sandbox",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "none", "platform": "yardarm/sandbox",
    }  # fmt: skip


def _priority(version: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (3, 0, 0)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0))


def groups(cluster: Cluster) -> dict[str, list[str]]:
    """Group -> its versions, the preferred one first; the core group is the empty name."""
    found: dict[str, set[str]] = {}
    for group, served, _ in cluster.kinds:
        found.setdefault(group, set()).add(served)
    return {group: sorted(served, key=_priority) for group, served in found.items()}


def kinds_of(cluster: Cluster, group: str, served: str) -> list[Kind]:
    """The kinds of one group version, by plural."""
    found = [k for k in cluster.kinds.values() if (k.group, k.version) == (group, served)]
    return sorted(found, key=lambda kind: kind.plural)


def group(name: str, versions: list[str]) -> Object:
    """An `APIGroup`."""
    listed = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(cluster: Cluster) -> Object:
    """`/apis`, legacy."""
    found = [group(name, versions) for name, versions in groups(cluster).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def resource_list(cluster: Cluster, group_name: str, served: str) -> Object:
    """`/apis/<group>/<version>`, legacy."""
    resources = []
    for kind in kinds_of(cluster, group_name, served):
        entry: Object = {
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": kind.verbs,
        }  # fmt: skip
        if kind.short_names:
            entry["shortNames"] = kind.short_names
        if kind.categories:
            entry["categories"] = kind.categories
        resources.append(entry)
        for name, sub in kind.subresources.items():
            response = sub["responseKind"]
            entry = {
                "name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced,
                "kind": response["kind"], "verbs": sub["verbs"],
            }  # fmt: skip
            if response.get("group"):
                entry["group"], entry["version"] = response["group"], response["version"]
            resources.append(entry)
    label = f"{group_name}/{served}" if group_name else served
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": label, "resources": resources}


def aggregated(cluster: Cluster, *, core: bool) -> Object:
    """`/api` (core) or `/apis`, aggregated: everything in one answer."""
    items = []
    for name, versions in groups(cluster).items():
        if (name == "") is not core:
            continue
        listed = [
            {"version": v, "resources": [_resource(k) for k in kinds_of(cluster, name, v)], "freshness": "Current"}
            for v in versions
        ]
        items.append({"metadata": {"name": name} if name else {}, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _resource(kind: Kind) -> Object:
    entry: Object = {
        "resource": kind.plural,
        "responseKind": kind.response_kind,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    }
    if kind.short_names:
        entry["shortNames"] = kind.short_names
    if kind.categories:
        entry["categories"] = kind.categories
    if kind.subresources:
        entry["subresources"] = [
            {"subresource": name, "responseKind": sub["responseKind"], "verbs": sub["verbs"]}
            for name, sub in kind.subresources.items()
        ]
    return entry
