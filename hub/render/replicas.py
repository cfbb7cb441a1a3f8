"""Numbers of replicas of overrides, put in place as a kustomization's `replicas` are, on any source's objects. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hub.render.job import Replicas
from shared.errors import DocumentError
from shared.model import Manifest, Problem

if TYPE_CHECKING:
    from hub.render.plain import Found

KINDS = frozenset({"Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"})
"""Kinds with spec.replicas, of whatever group."""


def apply_replicas(found: list[Found], replicas: Sequence[Replicas], problems: list[Problem]) -> list[Found]:
    """`found` with the numbers in place; as in Kustomize, a name that no workload has is a problem."""
    for each in replicas:
        if not any(is_for(each, one.manifest) for one in found):
            kinds = ", ".join(sorted(KINDS))
            message = f"replicas of an override: there is no workload {each.name!r}"
            problems.append(Problem("error", message, hint=f"name one of {kinds}"))
            continue
        try:
            found = [
                replace(one, manifest=with_replicas(one.manifest, each.count)) if is_for(each, one.manifest) else one
                for one in found
            ]
        except DocumentError as error:
            problems.append(Problem("error", f"replicas of an override: {each.name}: {error.message}"))
    return found


def is_for(replicas: Replicas, manifest: Manifest) -> bool:
    """Whether this is the workload that is meant."""
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return manifest.get("kind") in KINDS and name == replicas.name


def with_replicas(manifest: Manifest, count: int) -> Manifest:
    """`manifest` with that number of replicas. The argument is not changed.

    Raises:
        DocumentError: its spec is not a map.
    """
    spec = manifest.get("spec")
    if spec is not None and not isinstance(spec, dict):
        raise DocumentError("its spec is not a map")
    return {**manifest, "spec": {**(spec or {}), "replicas": count}}
