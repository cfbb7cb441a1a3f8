"""How a live object is doing, judged from the object alone: kstatus' generic rules first, then one rule per kind.

Pure and without a clock: the same object always gives the same verdict, and whether something has been
Progressing for too long is for the rollout's deadline to say. A rule never fetches another object. What no rule
knows is judged by its Ready condition, and an object without one is Healthy once it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.domain.health import conditions, pods, surroundings, workloads
from shared.model import WORST_FIRST, Health, HealthStatus, Manifest, ObjectRef

HEALTHY = HealthStatus(Health.HEALTHY)

RULES: dict[str, Callable[[Manifest], HealthStatus]] = {
    "Deployment.apps": workloads.deployment,
    "StatefulSet.apps": workloads.stateful_set,
    "DaemonSet.apps": workloads.daemon_set,
    "ReplicaSet.apps": workloads.replica_set,
    "ReplicationController": workloads.replica_set,
    "Pod": pods.pod,
    "Job.batch": workloads.job,
    "CronJob.batch": workloads.cron_job,
    "HorizontalPodAutoscaler.autoscaling": workloads.autoscaler,
    "PodDisruptionBudget.policy": workloads.disruption_budget,
    "Service": surroundings.service,
    "Ingress.networking.k8s.io": surroundings.ingress,
    "PersistentVolumeClaim": surroundings.volume_claim,
    "Namespace": surroundings.namespace,
    "CustomResourceDefinition.apiextensions.k8s.io": surroundings.definition,
    "APIService.apiregistration.k8s.io": surroundings.api_service,
}
"""Rules by `Kind.group`."""


def health(manifest: Manifest) -> HealthStatus:
    """The verdict on a live object, with the reason a person can act on (empty when Healthy)."""
    early = conditions.deleting(manifest) or conditions.unseen(manifest) or conditions.stalled(manifest)
    if early is not None:
        return early
    return RULES.get(_group_kind(manifest), conditions.ready)(manifest)


def roll_up(verdicts: Iterable[tuple[ObjectRef, HealthStatus]]) -> HealthStatus:
    """The verdict on a unit: that of its worst object, named in the reason; Healthy without objects."""
    worst: dict[Health, list[tuple[ObjectRef, HealthStatus]]] = {}
    for ref, verdict in verdicts:
        worst.setdefault(verdict.health, []).append((ref, verdict))
    for state in WORST_FIRST:
        if state in worst:
            return HealthStatus(state, _reason(worst[state]) if state is not Health.HEALTHY else "")
    return HEALTHY


def _reason(same: list[tuple[ObjectRef, HealthStatus]]) -> str:
    ref, verdict = min(same, key=lambda pair: pair[0].key)
    more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
    return f"{ref}: {verdict.reason}{more}" if verdict.reason else f"{ref}{more}"


def _group_kind(manifest: Manifest) -> str:
    group, slash, _ = str(manifest.get("apiVersion", "")).partition("/")
    kind = str(manifest.get("kind", ""))
    return f"{kind}.{group}" if slash else kind
