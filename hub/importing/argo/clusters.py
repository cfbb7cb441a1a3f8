"""The clusters of Argo CD: Secrets that register them, and which of them a destination means."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from hub.importing.drafts import Draft
from hub.importing.fields import Fields, Foreign
from hub.importing.names import ITEM, token
from hub.importing.scene import Scene, mapping

IN_CLUSTER = "https://kubernetes.default.svc"
IN_CLUSTER_NAME = "in-cluster"
_LABELS_OF_ARGO = "argocd.argoproj.io/"


def cluster_of(secret: Foreign, scene: Scene) -> tuple[str, Draft]:
    """(address, Cluster) of a Secret that registers a cluster. Its credentials are not read."""
    value = secret.document.value
    name = _datum(value, "name") or secret.name
    labels = {key: text for key, text in secret.labels().items() if not key.startswith(_LABELS_OF_ARGO)}
    scene.left(secret, "credentials: the cluster's own agent applies here", hint=f"yardarm keys agent {token(name)}")
    return _datum(value, "server"), Draft(
        "Cluster", (name, f"cluster-{name}"), {}, secret, labels, key=("argocd", "Cluster", name)
    )


def _datum(value: Mapping[str, Any], key: str) -> str:
    plain = mapping(value.get("stringData")).get(key)
    if isinstance(plain, str):
        return plain
    try:
        return base64.b64decode(str(mapping(value.get("data")).get(key, "")), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def placement_of(destination: Fields, servers: Mapping[str, str]) -> dict[str, Any]:
    """`placement` of a destination; empty for every cluster.

    Args:
        destination: `spec.destination` of an Application.
        servers: the names of clusters by their address, as far as they are known.
    """
    name, server = destination.text("name"), destination.text("server").rstrip("/")
    destination.needless("namespace")
    destination.finish()
    if (server == IN_CLUSTER and IN_CLUSTER not in servers) or name == IN_CLUSTER_NAME:
        destination.differs(
            "server" if server else "name",
            "the cluster that Argo CD runs on: here no cluster is special, so it goes to every one",
            "write placement to name clusters, environments or labels",
        )
        return {}
    known = name or servers.get(server, "")
    if known:
        return {"clusters": [known if ITEM in known else token(known)]}
    if not server:
        destination.left("", "it names no cluster: taken as every one")
        return {}
    guess = token(server.removeprefix("https://").removeprefix("http://"))
    destination.left(
        "server",
        f"{server} is an address, and clusters are called by name here: placed on {guess!r}, which need not exist",
        "write the cluster's name into placement.clusters",
    )
    return {"clusters": [guess]}
