"""The scale endpoint: a `Scale` for everything that has replicas, built in or by a CustomResourceDefinition."""

from __future__ import annotations

import re
from typing import Any

from agent.sandbox.kinds import Kind
from agent.sandbox.problems import bad_request
from agent.sandbox.registry import Transform

Object = dict[str, Any]
_SCALE_PATH = re.compile(r"[^.]+")


def at(obj: Object, path: str) -> Any:
    """The value at a path such as `.spec.replicas`, or None."""
    value: Any = obj
    for name in _SCALE_PATH.findall(path):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def scale_of(kind: Kind, obj: Object) -> Object:
    """The Scale of an object."""
    metadata = obj["metadata"]
    selector = at(obj, kind.scale_paths.get("labelSelectorPath", "")) if kind.custom else obj["spec"].get("selector")
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": at(obj, kind.scale_paths["statusReplicasPath"]) or 0}
    if isinstance(selector, dict):
        pairs = selector.get("matchLabels", selector if kind.kind == "ReplicationController" else {})
        status["selector"] = ",".join(f"{k}={v}" for k, v in sorted(pairs.items()))
    elif isinstance(selector, str):
        status["selector"] = selector
    replicas = at(obj, kind.scale_paths["specReplicasPath"]) or 0
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {k: metadata[k] for k in kept if k in metadata},
        "spec": {"replicas": replicas} if replicas else {}, "status": status,
    }  # fmt: skip


def scaled(kind: Kind, scale: Object) -> Transform:
    """The change that writing a Scale makes.

    Raises:
        ApiError: 400, it names no number.
    """
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise bad_request('Scale in version "v1" cannot be handled as a Scale: spec.replicas must be an integer')

    def change(obj: Object) -> Object:
        *parents, last = _SCALE_PATH.findall(kind.scale_paths["specReplicasPath"])
        place = obj
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = replicas
        version = (scale.get("metadata") or {}).get("resourceVersion")
        if version:
            obj["metadata"]["resourceVersion"] = version
        return obj

    return change
