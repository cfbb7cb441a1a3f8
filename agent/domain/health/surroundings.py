"""Rules for what carries no pods: services, claims, namespaces and what extends the API."""

from __future__ import annotations

from agent.domain.health.conditions import condition, is_false, is_true, said, spec, status
from shared.model import Health, HealthStatus, Manifest

HEALTHY = HealthStatus(Health.HEALTHY)


def service(manifest: Manifest) -> HealthStatus:
    """Healthy, but for a load balancer that has no address yet."""
    if spec(manifest).get("type") != "LoadBalancer" or (status(manifest).get("loadBalancer") or {}).get("ingress"):
        return HEALTHY
    return HealthStatus(
        Health.PROGRESSING,
        "no load balancer has given it an address yet: has the cluster a controller for type LoadBalancer, and quota?",
    )


def ingress(manifest: Manifest) -> HealthStatus:  # noqa: ARG001 - the rule is that nothing has to be known
    """Always Healthy: many ingress controllers never publish an address, so its absence proves nothing."""
    return HEALTHY


def volume_claim(manifest: Manifest) -> HealthStatus:
    """Healthy when bound, Degraded when its volume is lost."""
    phase = status(manifest).get("phase")
    if phase == "Bound":
        return HEALTHY
    if phase == "Lost":
        return HealthStatus(Health.DEGRADED, f"its volume {spec(manifest).get('volumeName', '')} is lost")
    storage_class = spec(manifest).get("storageClassName") or "the default one"
    return HealthStatus(
        Health.PROGRESSING, f"is not bound to a volume yet (storage class: {storage_class}; some wait for a first pod)"
    )


def namespace(manifest: Manifest) -> HealthStatus:
    """Healthy when active; what keeps a terminating one is in its conditions."""
    if status(manifest).get("phase") != "Terminating":
        return HEALTHY
    kinds = ("NamespaceDeletionDiscoveryFailure", "NamespaceDeletionContentFailure", "NamespaceFinalizersRemaining")
    found = [said(condition(manifest, kind)) for kind in kinds if is_true(manifest, kind)]
    return HealthStatus(Health.PROGRESSING, "; ".join(["is being deleted", *found]))


def definition(manifest: Manifest) -> HealthStatus:
    """Healthy when established: from then on its kind is served."""
    if is_false(manifest, "NamesAccepted"):
        return HealthStatus(Health.DEGRADED, said(condition(manifest, "NamesAccepted")))
    if is_true(manifest, "Established"):
        return HEALTHY
    return HealthStatus(Health.PROGRESSING, said(condition(manifest, "Established")) or "is not established yet")


def api_service(manifest: Manifest) -> HealthStatus:
    """Healthy when available; its backend may still be starting, so nothing is Degraded here."""
    found = condition(manifest, "Available")
    if found.get("status") == "True":
        return HEALTHY
    return HealthStatus(Health.PROGRESSING, said(found) or "is not available yet")
