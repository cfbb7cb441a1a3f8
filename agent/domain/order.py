"""In which order objects are applied; deletion goes the other way round.

Namespaces and definitions come first whatever their wave, because nothing else can exist without them. Then stage
(hooks), wave and rank, in this order: a repository written for sync waves gets its waves, all others get the ranks.
"""

from __future__ import annotations

import enum

from agent.domain import hints
from shared.manifests import CLUSTER_SCOPED
from shared.model import Manifest, ObjectRef


class Rank(enum.IntEnum):
    """The classes of objects, in order of application."""

    NAMESPACE = 0
    DEFINITION = 1
    CLUSTER = 2
    """Cluster-wide things others refer to: classes, priorities, policies."""
    CONFIG = 3
    """What workloads read or are allowed by: accounts, roles, configuration, secrets, claims, services."""
    WORKLOAD = 4
    REST = 5
    """What refers to workloads, and custom resources."""
    GATE = 6
    """What sits in the way of requests: it must not come before the backend that answers for it."""


_BY_KIND = {
    "Namespace": Rank.NAMESPACE,
    "CustomResourceDefinition.apiextensions.k8s.io": Rank.DEFINITION,
    "MutatingWebhookConfiguration.admissionregistration.k8s.io": Rank.GATE,
    "ValidatingWebhookConfiguration.admissionregistration.k8s.io": Rank.GATE,
    "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io": Rank.GATE,
    "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io": Rank.GATE,
    "APIService.apiregistration.k8s.io": Rank.GATE,
    "ClusterIssuer.cert-manager.io": Rank.REST,
    **dict.fromkeys(
        (
            "ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim", "PersistentVolume", "LimitRange",
            "ResourceQuota", "Service", "NetworkPolicy.networking.k8s.io", "Role.rbac.authorization.k8s.io",
            "RoleBinding.rbac.authorization.k8s.io", "ClusterRole.rbac.authorization.k8s.io",
            "ClusterRoleBinding.rbac.authorization.k8s.io",
        ),
        Rank.CONFIG,
    ),
    **dict.fromkeys(
        (
            "Pod", "ReplicationController", "Deployment.apps", "StatefulSet.apps", "DaemonSet.apps",
            "ReplicaSet.apps", "Job.batch", "CronJob.batch",
        ),
        Rank.WORKLOAD,
    ),
}  # fmt: skip

Position = tuple[int, int, int, int]
"""(hoisted, stage, wave, rank): sorts objects into steps."""


def rank(ref: ObjectRef) -> Rank:
    """The class of an object."""
    known = _BY_KIND.get(ref.group_kind)
    if known is not None:
        return known
    return Rank.CLUSTER if ref.group_kind in CLUSTER_SCOPED else Rank.REST


def position(ref: ObjectRef, manifest: Manifest) -> Position:
    """Where in the order an object stands."""
    own, wave = rank(ref), hints.wave(manifest)
    if own <= Rank.DEFINITION:
        return (own, 0, wave, own)
    return (Rank.CLUSTER, hints.stage(manifest), wave, own)
