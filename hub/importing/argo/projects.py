"""An AppProject as a Project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.importing.argo.clusters import IN_CLUSTER, IN_CLUSTER_NAME
from hub.importing.drafts import Draft
from hub.importing.fields import Fields, Foreign
from hub.importing.names import token
from hub.importing.scene import Scene
from hub.importing.words import compact

Pair = tuple[str, str]


def project_of(project: Foreign, servers: Mapping[str, str], scene: Scene) -> Draft:
    """The fence as far as it can be drawn here; what is wider than it was is noted."""
    spec = scene.fields(project)
    clusters, namespaces = _destinations(spec, servers)
    made = compact(
        {
            "sources": _sources(spec),
            "clusters": {"clusters": clusters} if clusters else {},
            "namespaces": namespaces,
            "kinds": _kinds(spec),
            "serviceAccount": _account(spec),
        }
    )
    spec.left_if("roles", "access to the API is not given by project")
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
    return Draft("Project", (name,), {}, by, key=("argocd", "AppProject", name))


def _sources(spec: Fields) -> list[str]:
    found = spec.texts("sourceRepos")
    denied = [text for text in found if text.startswith("!")]
    if denied:
        spec.left("sourceRepos", f"{', '.join(denied)}: only what is allowed can be listed")
    allowed = [text for text in found if not text.startswith("!")]
    return [] if "*" in allowed else allowed


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


def _kinds(spec: Fields) -> list[str]:
    """Allowed kinds: both lists must be closed for ours to be, because here one list holds both."""
    for name in ("clusterResourceBlacklist", "namespaceResourceBlacklist"):
        spec.left_if(name, "only what is allowed can be listed, not what is denied")
    cluster = [_kind(each) for each in spec.items("clusterResourceWhitelist")]
    namespaced = [_kind(each) for each in spec.items("namespaceResourceWhitelist")]
    if "*" in cluster and ("*" in namespaced or not namespaced):
        return []
    if not namespaced or "*" in namespaced:
        spec.left(
            "clusterResourceWhitelist",
            "all kinds with a namespace and only some without cannot be said in one list: all are allowed",
            "list the kinds in the Project, or leave it to the service account's rights",
        )
        return []
    return sorted({*cluster, *namespaced})


def _kind(entry: Fields) -> str:
    group, kind = entry.text("group"), entry.text("kind")
    entry.left_if("name", "kinds are allowed whole, whatever the object's name")
    entry.finish()
    if kind == "*":
        return "*" if group == "*" else f"{group}/*"
    return kind if group in ("", "*") else f"{group}/{kind}"


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
