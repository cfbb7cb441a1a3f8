"""Rules that hold for every kind: deletion, observedGeneration, and the conditions Stalled, Reconciling, Ready, Synced.

They follow kstatus. Ready=False alone means Progressing, not Degraded: most controllers report it from the first
second on, and those that know better say Stalled. Where a project is known to mean failure by it, the project has a
rule of its own.
"""

from __future__ import annotations

from agent.domain.health.fields import condition, is_true, metadata, number, said, status, texts
from shared.model import Health, HealthStatus, Manifest

HEALTHY = HealthStatus(Health.HEALTHY)


def progressing(reason: str) -> HealthStatus:
    """On its way; `reason` says to where."""
    return HealthStatus(Health.PROGRESSING, reason)


def degraded(reason: str) -> HealthStatus:
    """Does not work, and waiting alone will not help."""
    return HealthStatus(Health.DEGRADED, reason)


def suspended(reason: str) -> HealthStatus:
    """Stopped on purpose."""
    return HealthStatus(Health.SUSPENDED, reason)


def deleting(manifest: Manifest) -> HealthStatus | None:
    """Progressing while the object is being deleted; names the finalizers it waits for."""
    since = metadata(manifest).get("deletionTimestamp")
    if not since:
        return None
    finalizers = ", ".join(texts(metadata(manifest), "finalizers"))
    waits = f", waits for its finalizers: {finalizers}" if finalizers else ""
    return progressing(f"is being deleted since {since}{waits}")


def unseen(manifest: Manifest) -> HealthStatus | None:
    """Progressing while status speaks of an older generation: whatever else it says is out of date."""
    wanted = number(metadata(manifest), "generation")
    observed = number(status(manifest), "observedGeneration", wanted)
    if observed >= wanted:
        return None
    return progressing(f"its controller has not seen generation {wanted} yet (last seen: {observed})")


def stalled(manifest: Manifest) -> HealthStatus | None:
    """Degraded when a controller says it is stuck, Progressing when it says it is at work."""
    if is_true(manifest, "Stalled"):
        return degraded(said(condition(manifest, "Stalled")) or "its controller reports Stalled")
    if is_true(manifest, "Reconciling"):
        return progressing(said(condition(manifest, "Reconciling")) or "is being reconciled")
    return None


def generic(manifest: Manifest) -> HealthStatus:
    """The rule for kinds without one of their own: Stalled, Reconciling, Synced, Ready; Healthy when there is none.

    Synced=False is how Crossplane and others say that they could not do what the object asks for.
    """
    early = stalled(manifest)
    if early is not None:
        return early
    synced = condition(manifest, "Synced")
    if synced.get("status") == "False":
        if synced.get("reason") == "ReconcilePaused":
            return suspended(said(synced))
        return degraded(said(synced) or "its controller reports Synced=False")
    found = condition(manifest, "Ready")
    if not found or found.get("status") == "True":
        return HEALTHY
    return progressing(said(found) or "its Ready condition is not True")
