"""API versions that Kubernetes no longer serves, or says it will not for long. Pure.

From the Kubernetes Deprecated API Migration Guide; only what is built in, since nobody else promises when.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from shared.model import ObjectRef, Place, Problem

Minor = tuple[int, int]
Standing = Literal["removed", "deprecated", "unknown"]
"""What a cluster does with an API version: serves it no more, serves it yet; unknown where its version is not known."""

_VERSION = re.compile(r"v?(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Since when an API version is deprecated and not served any more, and what to write instead, if there is any."""

    deprecated: Minor
    removed: Minor
    instead: str = ""


_WORKLOADS = ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")
_RBAC = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
_FLOW = ("FlowSchema", "PriorityLevelConfiguration")


def _entries() -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Deprecation]]:
    """(API versions, kinds, since when)."""
    yield ("extensions/v1beta1", "apps/v1beta1", "apps/v1beta2"), _WORKLOADS, Deprecation((1, 9), (1, 16), "apps/v1")
    yield ("extensions/v1beta1",), ("NetworkPolicy",), Deprecation((1, 9), (1, 16), "networking.k8s.io/v1")
    yield ("extensions/v1beta1",), ("PodSecurityPolicy",), Deprecation((1, 11), (1, 16))
    for group, kinds, since in (
        ("admissionregistration.k8s.io", ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"), (1, 16)),
        ("apiextensions.k8s.io", ("CustomResourceDefinition",), (1, 16)),
        ("apiregistration.k8s.io", ("APIService",), (1, 19)),
        ("certificates.k8s.io", ("CertificateSigningRequest",), (1, 19)),
        ("coordination.k8s.io", ("Lease",), (1, 19)),
        ("networking.k8s.io", ("Ingress", "IngressClass"), (1, 19)),
        ("rbac.authorization.k8s.io", _RBAC, (1, 17)),
        ("scheduling.k8s.io", ("PriorityClass",), (1, 14)),
        ("storage.k8s.io", ("CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"), (1, 19)),
    ):
        yield (f"{group}/v1beta1",), kinds, Deprecation(since, (1, 22), f"{group}/v1")
    yield ("extensions/v1beta1",), ("Ingress",), Deprecation((1, 14), (1, 22), "networking.k8s.io/v1")
    yield ("batch/v1beta1",), ("CronJob",), Deprecation((1, 21), (1, 25), "batch/v1")
    yield ("discovery.k8s.io/v1beta1",), ("EndpointSlice",), Deprecation((1, 21), (1, 25), "discovery.k8s.io/v1")
    yield ("events.k8s.io/v1beta1",), ("Event",), Deprecation((1, 22), (1, 25), "events.k8s.io/v1")
    yield ("node.k8s.io/v1beta1",), ("RuntimeClass",), Deprecation((1, 22), (1, 25), "node.k8s.io/v1")
    yield ("policy/v1beta1",), ("PodDisruptionBudget",), Deprecation((1, 21), (1, 25), "policy/v1")
    yield ("policy/v1beta1",), ("PodSecurityPolicy",), Deprecation((1, 21), (1, 25))
    scaler = ("HorizontalPodAutoscaler",)
    yield ("autoscaling/v2beta1",), scaler, Deprecation((1, 22), (1, 25), "autoscaling/v2")
    yield ("autoscaling/v2beta2",), scaler, Deprecation((1, 23), (1, 26), "autoscaling/v2")
    capacity = Deprecation((1, 24), (1, 27), "storage.k8s.io/v1")
    yield ("storage.k8s.io/v1beta1",), ("CSIStorageCapacity",), capacity
    for version, since, until in (
        ("v1beta1", (1, 23), (1, 26)),
        ("v1beta2", (1, 26), (1, 29)),
        ("v1beta3", (1, 29), (1, 32)),
    ):
        gone = Deprecation(since, until, "flowcontrol.apiserver.k8s.io/v1")
        yield (f"flowcontrol.apiserver.k8s.io/{version}",), _FLOW, gone


DEPRECATIONS = {
    (version, kind): found for versions, kinds, found in _entries() for version in versions for kind in kinds
}


def minor(version: str) -> Minor | None:
    """`(1, 30)` of `v1.30.2+k3s1`; None when it is no version."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2])) if found is not None else None


def written(version: Minor) -> str:
    """`1.30`."""
    return "{}.{}".format(*version)


def standing(known: Deprecation, version: Minor | None) -> Standing | None:
    """What becomes of it on a cluster of that version; None where there is nothing to be said of it yet."""
    if version is None:
        return "unknown"
    if version >= known.removed:
        return "removed"
    return "deprecated" if version >= known.deprecated else None


def advice(instead: str) -> str:
    """What to do, by what to write instead."""
    return f"write {instead}" if instead else "there is nothing that takes its place"


def finding(ref: ObjectRef, version: Minor | None, place: Place | None = None) -> Problem | None:
    """What is to be said of an object on a cluster of that version; of unknown version when it is None."""
    known = DEPRECATIONS.get((ref.api_version, ref.kind))
    found = standing(known, version) if known is not None else None
    if known is None or found is None:
        return None
    hint, removed = advice(known.instead), written(known.removed)
    if version is None:
        return Problem("warning", f"{ref}: {ref.api_version} is not served since Kubernetes {removed}", place, hint)
    if found == "removed":
        return Problem("error", f"{ref}: Kubernetes {written(version)} does not serve {ref.api_version}", place, hint)
    return Problem("warning", f"{ref}: {ref.api_version} is deprecated, and gone in Kubernetes {removed}", place, hint)
