"""Refusals of built-in kinds: the mistakes people make most, with the words of the real API server.

Each rule is a function of the new object and the old one (None on creation) that returns causes. What no rule says is
accepted; `typed` has already judged names and types of fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.sandbox.problems import Cause
from agent.sandbox.validation import others, workloads

Object = dict[str, Any]

Rule = Callable[[Object, Object | None], list[Cause]]
_RBAC = "rbac.authorization.k8s.io"
RULES: dict[tuple[str, str], Rule] = {
    ("apps", "deployments"): workloads.deployment,
    ("apps", "replicasets"): workloads.replica_set,
    ("apps", "daemonsets"): workloads.daemon_set,
    ("apps", "statefulsets"): workloads.stateful_set,
    ("batch", "jobs"): workloads.job,
    ("batch", "cronjobs"): workloads.cron_job,
    ("", "pods"): workloads.pod,
    ("", "podtemplates"): workloads.pod_template,
    ("", "replicationcontrollers"): workloads.replication_controller,
    ("", "services"): others.service,
    ("", "configmaps"): others.config_map,
    ("", "secrets"): others.secret,
    ("", "persistentvolumeclaims"): others.claim,
    ("", "persistentvolumes"): others.volume,
    ("coordination.k8s.io", "leases"): others.lease,
    ("networking.k8s.io", "networkpolicies"): others.network_policy,
    ("node.k8s.io", "runtimeclasses"): others.runtime_class,
    ("networking.k8s.io", "ingresses"): others.ingress,
    (_RBAC, "roles"): others.role,
    (_RBAC, "clusterroles"): others.role,
    (_RBAC, "rolebindings"): others.binding,
    (_RBAC, "clusterrolebindings"): others.binding,
    ("storage.k8s.io", "storageclasses"): others.storage_class,
    ("scheduling.k8s.io", "priorityclasses"): others.priority_class,
    ("autoscaling", "horizontalpodautoscalers"): others.autoscaler,
}
"""(group, plural) -> its rule."""
