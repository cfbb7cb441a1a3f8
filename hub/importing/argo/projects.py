"""An AppProject as a Project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hub.domain.documents import DEFAULT_PROJECT
from hub.importing.argo.clusters import IN_CLUSTER, IN_CLUSTER_NAME
from hub.importing.drafts import Draft
from hub.importing.fields import Fields, Foreign
from hub.importing.names import token
from hub.importing.scene import Scene
from hub.importing.words import compact

Pair = tuple[str, str]

_KINDS = (
    "clusterResourceWhitelist",
    "clusterResourceBlacklist",
    "namespaceResourceWhitelist",
    "namespaceResourceBlacklist",
)


def project_of(project: Foreign, servers: Mapping[str, str], scene: Scene) -> Draft:
    """The fence as far as it can be drawn here; what is wider than it was is noted."""
    spec = scene.fields(project)
    clusters, namespaces = _destinations(spec, servers)
    listed = {name: [_kind(each) for each in spec.items(name)] for name in _KINDS}
    without_namespace = listed["clusterResourceWhitelist"]
    made = compact(
        {
            "sources": _sources(spec),
            "clusters": {"clusters": clusters} if clusters else {},
            "namespaces": namespaces,
            "kinds": compact(
                {
                    "allow": _unless_all(listed["namespaceResourceWhitelist"]),
                    "deny": sorted({*listed["namespaceResourceBlacklist"], *listed["clusterResourceBlacklist"]}),
                }
            ),
            "clusterScoped": sorted(set(without_namespace)),
            "serviceAccount": _account(spec),
        }
    )
    if project.name == DEFAULT_PROJECT and not without_namespace:
        made["clusterScoped"] = []  # our own default is open as long as it says nothing
    spec.left_if("roles", "who may do what is given by tokens and groups, in the hub's settings")
    spec.left_if("syncWindows", "windows belong to environments here", "Environment spec.windows")
    spec.left_if("orphanedResources", "objects that nobody owns are not looked for")
    spec.left_if("signatureKeys", "signatures are asked for per repository, in the hub's settings")
    spec.left_if("sourceIntegrity", "signatures are asked for per repository, in the hub's settings")
    spec.left_if("sourceNamespaces", "Applications are documents here, not objects in namespaces")
    spec.left_if("permitOnlyProjectScopedClusters", "clusters belong to no project")
    spec.needless("description")
    spec.finish()
    return Draft("Project", (project.name,), made, project, key=("argocd", "AppProject", project.name))


def stub_of(name: str, by: Foreign, scene: Scene) -> Draft:
    """A Project for a name that some Application gives, where its AppProject is not among what is read."""
    message = f"project: the AppProject {name!r} is not here, so the Project {token(name)!r} allows everything"
    scene.differs(by, message, "spec.project", "import its AppProject as well, or write the rules into the Project")
    return Draft("Project", (name,), {"clusterScoped": ["*"]}, by, key=("argocd", "AppProject", name))


def _sources(spec: Fields) -> list[str]:
    found = spec.texts("sourceRepos")
    denied = [text for text in found if text.startswith("!")]
    if denied:
        spec.left("sourceRepos", f"{', '.join(denied)}: only what is allowed can be listed")
    allowed = [text for text in found if not text.startswith("!")]
    unclear = [text for text in allowed if not _is_pattern(text)]
    if unclear:
        spec.left("sourceRepos", f"{', '.join(unclear)}: a pattern knows * within a step, and ** as a whole one")
    return [] if "*" in allowed else [text for text in allowed if text not in unclear]


def _is_pattern(text: str) -> bool:
    return not re.search(r"[\[\]{}?]", text) and all(step == "**" or "**" not in step for step in text.split("/"))


def _destinations(spec: Fields, servers: Mapping[str, str]) -> tuple[list[str], list[str]]:
    pairs: list[Pair] = []
    for each in spec.items("destinations"):
        name, server, namespace = each.text("name"), each.text("server"), each.text("namespace") or "*"
        if server.startswith("!") or name.startswith("!") or namespace.startswith("!"):
            each.left("", "only what is allowed can be listed, not what is denied")
        elif server == "*" or name == "*" or server == IN_CLUSTER or name == IN_CLUSTER_NAME:
            pairs.append(("*", namespace))
        elif name or server in servers:
            known = name or servers[server]
            if "*" in known:
                each.differs("name", f"{known!r}: clusters are named one by one, or chosen by label: every cluster")
                known = "*"
            pairs.append((known if known == "*" else token(known), namespace))
        else:
            each.left("server", f"{server} is an address, and no cluster is known by it", "name the cluster")
        each.finish()
    clusters = sorted({cluster for cluster, _ in pairs})
    namespaces = sorted({namespace for _, namespace in pairs})
    if len(set(pairs)) < len(clusters) * len(namespaces):
        spec.differs("destinations", "clusters and namespaces are listed apart: every listed pair is allowed")
    return ([] if "*" in clusters else clusters), ([] if "*" in namespaces else namespaces)


def _unless_all(kinds: list[str]) -> list[str]:
    return [] if "*" in kinds else sorted(set(kinds))


def _kind(entry: Fields) -> str:
    group, kind = entry.text("group"), entry.text("kind")
    entry.left_if("name", "kinds are allowed whole, whatever the object's name")
    entry.finish()
    if kind == "*" and group == "*":
        return "*"
    if kind == "*" and not group:
        return "core/*"
    return f"{group}/{kind}" if group else kind


def _account(spec: Fields) -> str:
    accounts = spec.items("destinationServiceAccounts")
    names = {each.text("defaultServiceAccount") for each in accounts}
    if len(names) > 1:
        spec.left("destinationServiceAccounts", "a Project has one service account for all its destinations")
        return ""
    name: Any = next(iter(names), "")
    for each in accounts:
        each.needless("server", "namespace")
    return str(name)
