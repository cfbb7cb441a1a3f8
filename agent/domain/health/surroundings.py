"""Rules for what carries no pods: services, volumes, namespaces and what extends the API."""

from __future__ import annotations

from agent.domain.health.conditions import HEALTHY, degraded, progressing
from agent.domain.health.fields import condition, is_false, is_true, items, mapping, said, spec, status, text
from shared.model import HealthStatus, Manifest


def service(manifest: Manifest) -> HealthStatus:
    """Healthy, but for a load balancer that has no address yet or could not open a port."""
    if spec(manifest).get("type") != "LoadBalancer":
        return HEALTHY
    addresses = items(mapping(status(manifest), "loadBalancer"), "ingress")
    for port in (port for address in addresses for port in items(address, "ports")):
        if port.get("error"):
            return degraded(f"the load balancer could not open port {port.get('port')}: {port['error']}")
    if addresses:
        return HEALTHY
    return progressing(
        "no load balancer has given it an address yet: has the cluster a controller for type LoadBalancer, and quota?"
    )


def ingress(manifest: Manifest) -> HealthStatus:  # noqa: ARG001 - the rule is that nothing has to be known
    """Always Healthy: many ingress controllers never publish an address, so its absence proves nothing."""
    return HEALTHY


def volume_claim(manifest: Manifest) -> HealthStatus:
    """Healthy when bound and not being resized, Degraded when its volume is lost or cannot grow."""
    phase = status(manifest).get("phase")
    if phase == "Lost":
        return degraded(f"its volume {text(spec(manifest), 'volumeName')} is lost")
    if phase != "Bound":
        storage_class = text(spec(manifest), "storageClassName") or "the default one"
        return progressing(f"is not bound to a volume yet (storage class: {storage_class}; some wait for a first pod)")
    for kind in ("ControllerResizeError", "NodeResizeError", "ModifyVolumeError"):
        if is_true(manifest, kind):
            return degraded(said(condition(manifest, kind)) or kind)
    if is_true(manifest, "FileSystemResizePending"):
        return progressing("its volume has grown; the file system follows when a pod that uses it (re)starts")
    if is_true(manifest, "Resizing"):
        return progressing("its volume is being resized")
    return HEALTHY


def volume(manifest: Manifest) -> HealthStatus:
    """Healthy when it can be or is used, Degraded when it could not be reclaimed."""
    phase = status(manifest).get("phase")
    if phase == "Failed":
        return degraded(said(status(manifest)) or "the volume could not be reclaimed")
    if phase == "Pending":
        return progressing("the volume is not available yet")
    return HEALTHY


def namespace(manifest: Manifest) -> HealthStatus:
    """Healthy when active; what keeps a terminating one is in its conditions."""
    if status(manifest).get("phase") != "Terminating":
        return HEALTHY
    return progressing("; ".join(["is being deleted", *remains(manifest)]))


def remains(manifest: Manifest) -> list[str]:
    """What still keeps a namespace that is being deleted."""
    kinds = (
        "NamespaceDeletionDiscoveryFailure",
        "NamespaceDeletionGroupVersionParsingFailure",
        "NamespaceDeletionContentFailure",
        "NamespaceContentRemaining",
        "NamespaceFinalizersRemaining",
    )
    return [said(condition(manifest, kind)) for kind in kinds if is_true(manifest, kind)]


def definition(manifest: Manifest) -> HealthStatus:
    """Healthy when established: from then on its kind is served."""
    for kind in ("NamesAccepted", "KubernetesAPIApprovalPolicyConformant"):
        if is_false(manifest, kind):
            return degraded(said(condition(manifest, kind)))
    if is_true(manifest, "Established"):
        return HEALTHY
    return progressing(said(condition(manifest, "Established")) or "is not established yet")


def api_service(manifest: Manifest) -> HealthStatus:
    """Healthy when available; its backend may still be starting, so nothing is Degraded here."""
    found = condition(manifest, "Available")
    if found.get("status") == "True":
        return HEALTHY
    return progressing(said(found) or "is not available yet")


def snapshot(manifest: Manifest) -> HealthStatus:
    """A VolumeSnapshot: Healthy when it can be used, Degraded when it could not be taken."""
    error = mapping(status(manifest), "error")
    if error:
        return degraded(f"the snapshot failed: {text(error, 'message') or 'no reason given'}")
    if status(manifest).get("readyToUse") is True:
        return HEALTHY
    return progressing("the snapshot is being taken")
