"""How a live object is doing, judged from the object alone: kstatus' generic rules first, then one rule per kind.

Pure and without a clock: the same object always gives the same verdict, and whether something has been
Progressing for too long is for the rollout's deadline to say. A rule never fetches another object and never raises,
whatever the object holds. What no rule knows is judged by the generic conditions, and an object without any is
Healthy once it exists. docs/HEALTH.md has the whole table. Why a workload's pods do not run is for
`agent.domain.health.causes`, which is given the pods and events of those that are not Healthy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.domain.health import conditions, networking, operators, pods, surroundings, workloads
from agent.domain.health.fields import group_kind
from shared.model import WORST_FIRST, Health, HealthStatus, Manifest, ObjectRef

HEALTHY = HealthStatus(Health.HEALTHY)

Rule = Callable[[Manifest], HealthStatus]

RULES: dict[str, Rule] = {
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
    "PersistentVolume": surroundings.volume,
    "VolumeSnapshot.snapshot.storage.k8s.io": surroundings.snapshot,
    "Namespace": surroundings.namespace,
    "CustomResourceDefinition.apiextensions.k8s.io": surroundings.definition,
    "APIService.apiregistration.k8s.io": surroundings.api_service,
    "GatewayClass.gateway.networking.k8s.io": networking.gateway_class,
    "Gateway.gateway.networking.k8s.io": networking.gateway,
    "HTTPRoute.gateway.networking.k8s.io": networking.route,
    "GRPCRoute.gateway.networking.k8s.io": networking.route,
    "TLSRoute.gateway.networking.k8s.io": networking.route,
    "TCPRoute.gateway.networking.k8s.io": networking.route,
    "UDPRoute.gateway.networking.k8s.io": networking.route,
    "Certificate.cert-manager.io": operators.certificate,
    "CertificateRequest.cert-manager.io": operators.certificate_request,
    "Issuer.cert-manager.io": operators.issuer,
    "ClusterIssuer.cert-manager.io": operators.issuer,
    "Rollout.argoproj.io": operators.rollout,
    "Application.argoproj.io": operators.argo_application,
    "Canary.flagger.app": operators.canary,
    "SealedSecret.bitnami.com": operators.sealed_secret,
    "ScaledObject.keda.sh": operators.scaled_object,
    "ScaledJob.keda.sh": operators.scaled_object,
    "Service.serving.knative.dev": operators.knative,
    "ExternalSecret.external-secrets.io": operators.external_secrets,
    "ClusterExternalSecret.external-secrets.io": operators.external_secrets,
    "PushSecret.external-secrets.io": operators.external_secrets,
    "SecretStore.external-secrets.io": operators.external_secrets,
    "ClusterSecretStore.external-secrets.io": operators.external_secrets,
    "Provider.pkg.crossplane.io": operators.crossplane_package,
    "Configuration.pkg.crossplane.io": operators.crossplane_package,
    "Function.pkg.crossplane.io": operators.crossplane_package,
    "CompositeResourceDefinition.apiextensions.crossplane.io": operators.crossplane_definition,
}
"""Rules by `Kind.group`."""

GROUPS: dict[str, Rule] = {
    "toolkit.fluxcd.io": operators.flux,
    "crossplane.io": operators.crossplane,
    "upbound.io": operators.crossplane,
    "cluster.x-k8s.io": operators.cluster_api,
}
"""Rules for all kinds of an API group and of the groups below it, unless the kind has its own."""

_DELETING: dict[str, Rule] = {"Namespace": surroundings.namespace}
"""Kinds that say more about their deletion than their finalizers."""


def health(manifest: Manifest) -> HealthStatus:
    """The verdict on a live object, with the reason a person can act on (empty when Healthy)."""
    return unfinished(manifest) or rule_for(group_kind(manifest))(manifest)


def unfinished(manifest: Manifest) -> HealthStatus | None:
    """The verdict while nothing else counts: being deleted, or a status that is about an older generation."""
    deleting = conditions.deleting(manifest)
    if deleting is not None:
        rule = _DELETING.get(group_kind(manifest))
        return rule(manifest) if rule is not None else deleting
    return conditions.unseen(manifest)


def rule_for(kind: str) -> Rule:
    """The rule for a `Kind.group`: its own, its group's, or the generic one."""
    rule = RULES.get(kind)
    if rule is not None:
        return rule
    group = kind.partition(".")[2]
    for suffix, shared in GROUPS.items():
        if group == suffix or group.endswith(f".{suffix}"):
            return shared
    return conditions.generic


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
