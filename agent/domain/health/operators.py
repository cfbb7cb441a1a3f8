"""Rules for custom resources of well-known projects, where the generic rule would be too mild or too strict.

Each says what its project means by its conditions; nothing is known here of versions, and a field that a version does
not have is simply absent.
"""

from __future__ import annotations

from agent.domain.health.conditions import HEALTHY, degraded, generic, progressing, suspended
from agent.domain.health.fields import condition, is_true, items, mapping, metadata, number, said, spec, status, text
from shared.model import Health, HealthStatus, Manifest


def _by_ready(manifest: Manifest, not_yet: frozenset[str], waiting: str) -> HealthStatus:
    """Ready=False is failure, except for reasons that say "not yet"; without a Ready condition nobody has looked."""
    found = condition(manifest, "Ready")
    if found.get("status") == "True":
        return HEALTHY
    if found.get("status") == "False" and text(found, "reason") not in not_yet:
        return degraded(said(found) or "its Ready condition is False")
    return progressing(said(found) or waiting)


# --- cert-manager -----------------------------------------------------------------------------------------------------


def certificate(manifest: Manifest) -> HealthStatus:
    """Healthy when ready. A failed issuance is Degraded even while an older certificate is still good."""
    issuing = condition(manifest, "Issuing")
    if issuing.get("status") == "False" and issuing.get("reason") in ("Failed", "Denied", "InvalidRequest"):
        attempts = number(status(manifest), "failedIssuanceAttempts")
        again = f" ({attempts} failed attempts)" if attempts else ""
        return degraded(f"{said(issuing)}{again}")
    ready = condition(manifest, "Ready")
    if ready.get("status") == "True":
        return HEALTHY
    step = said(issuing) if issuing.get("status") == "True" else ""
    return progressing(said(ready) or step or "cert-manager has not looked at it yet")


def certificate_request(manifest: Manifest) -> HealthStatus:
    """Degraded when denied, invalid or failed."""
    for kind in ("Denied", "InvalidRequest"):
        if is_true(manifest, kind):
            return degraded(said(condition(manifest, kind)) or kind)
    return _by_ready(manifest, frozenset({"Pending", ""}), "cert-manager has not looked at it yet")


def issuer(manifest: Manifest) -> HealthStatus:
    """Issuer and ClusterIssuer: cert-manager says Ready=False only after it has tried."""
    return _by_ready(manifest, frozenset(), "cert-manager has not looked at it yet")


# --- Argo Rollouts and Flagger ----------------------------------------------------------------------------------------


def rollout(manifest: Manifest) -> HealthStatus:
    """Argo Rollouts: by status.phase; a pause is Suspended and says what it waits for."""
    now = status(manifest)
    generation = number(metadata(manifest), "generation")
    observed = text(now, "observedGeneration")
    if observed.isascii() and observed.isdigit() and len(observed) < 16 and int(observed) < generation:
        return progressing(f"its controller has not seen generation {generation} yet (last seen: {observed})")
    if is_true(manifest, "InvalidSpec"):
        return degraded(said(condition(manifest, "InvalidSpec")))
    phase, message = text(now, "phase"), text(now, "message")
    if now.get("abort") is True or phase == "Degraded":
        return degraded(message or said(condition(manifest, "Progressing")) or "the rollout was aborted")
    if spec(manifest).get("paused") is True:
        return suspended("spec.paused is true: changes are not rolled out")
    if phase == "Paused":
        return suspended(_pause(manifest))
    if phase == "Healthy":
        return HEALTHY
    return progressing(message or "the rollout is under way" if phase else "Argo Rollouts has not looked at it yet")


def _pause(manifest: Manifest) -> str:
    now = status(manifest)
    reasons = ", ".join(text(each, "reason") for each in items(now, "pauseConditions")) or text(now, "message")
    steps = spec(manifest).get("strategy")
    total = len(items(mapping(steps, "canary"), "steps"))
    step = f" at step {number(now, 'currentStepIndex') + 1} of {total}" if total else ""
    return f"paused{step} ({reasons or 'no reason given'}): promote it, or abort it"


_FLAGGER = {"Initialized": HEALTHY, "Succeeded": HEALTHY}


def canary(manifest: Manifest) -> HealthStatus:
    """Flagger: by status.phase; gates are Suspended, a rolled-back analysis is Degraded."""
    if spec(manifest).get("suspend") is True:
        return suspended("spec.suspend is true")
    phase = text(status(manifest), "phase")
    words = said(condition(manifest, "Promoted"))
    if phase in _FLAGGER:
        return _FLAGGER[phase]
    if phase == "Failed":
        return degraded(words or "the canary analysis failed and was rolled back")
    if phase in ("Waiting", "WaitingPromotion"):
        return suspended(f"{phase}: waits for approval by its gate webhook")
    if not phase:
        return progressing("Flagger has not looked at it yet")
    weight = number(status(manifest), "canaryWeight")
    return progressing(f"{phase}, canary weight {weight}" + (f": {words}" if words else ""))


# --- Flux -------------------------------------------------------------------------------------------------------------

_FLUX_AT_WORK = frozenset({"Progressing", "DependencyNotReady", "NewRevision", "ArtifactUpToDate", ""})


def flux(manifest: Manifest) -> HealthStatus:
    """All of Flux: Suspended by spec; a failed reconciliation is Degraded although Flux will try again."""
    if spec(manifest).get("suspend") is True:
        return suspended("spec.suspend is true: nothing is reconciled")
    ready = condition(manifest, "Ready")
    if is_true(manifest, "Stalled") or not ready:
        return generic(manifest)
    if ready.get("status") == "False" and text(ready, "reason") not in _FLUX_AT_WORK:
        return degraded(said(ready))
    return generic(manifest)


# --- Crossplane -------------------------------------------------------------------------------------------------------


def crossplane_package(manifest: Manifest) -> HealthStatus:
    """Provider, Configuration, Function: Healthy when installed and healthy."""
    if condition(manifest, "Installed").get("status") != "True":
        found = condition(manifest, "Installed")
        if found.get("status") == "False" and text(found, "reason") == "InactivePackageRevision":
            return suspended(said(found))
        return progressing(said(found) or "the package is not installed yet")
    healthy = condition(manifest, "Healthy")
    if healthy.get("status") == "True":
        return HEALTHY
    verdict = degraded if healthy.get("status") == "False" else progressing
    return verdict(said(healthy) or "the package is installed, and not healthy yet")


def crossplane_definition(manifest: Manifest) -> HealthStatus:
    """CompositeResourceDefinition: Healthy when established, and offered if it has claims."""
    for kind in ("Established", "Offered"):
        if kind == "Offered" and not mapping(spec(manifest), "claimNames"):
            continue
        found = condition(manifest, kind)
        if found.get("status") != "True":
            return progressing(said(found) or f"is not {kind} yet")
    return HEALTHY


def crossplane(manifest: Manifest) -> HealthStatus:
    """Managed and composite resources and claims: the generic Synced and Ready.

    A managed resource without conditions has not been looked at; the other kinds of these groups (ProviderConfig,
    Composition) never have any.
    """
    if "forProvider" in spec(manifest) and not condition(manifest, "Ready") and not condition(manifest, "Synced"):
        return progressing("Crossplane has not looked at it yet")
    return generic(manifest)


# --- secrets ----------------------------------------------------------------------------------------------------------


def sealed_secret(manifest: Manifest) -> HealthStatus:
    """SealedSecret: Healthy when its Secret was made."""
    synced = condition(manifest, "Synced")
    if synced.get("status") == "True":
        return HEALTHY
    if synced.get("status") == "False":
        return degraded(said(synced) or "it could not be unsealed: was it sealed for this cluster and namespace?")
    return progressing("the sealed-secrets controller has not looked at it yet")


def external_secrets(manifest: Manifest) -> HealthStatus:
    """ExternalSecret, PushSecret and the stores: Ready=False is an error of the store or of the reference."""
    return _by_ready(manifest, frozenset(), "external-secrets has not looked at it yet")


# --- others -----------------------------------------------------------------------------------------------------------


def knative(manifest: Manifest) -> HealthStatus:
    """Knative: Ready=Unknown is on its way, False has failed."""
    return _by_ready(manifest, frozenset(), "Knative has not looked at it yet")


def scaled_object(manifest: Manifest) -> HealthStatus:
    """KEDA: Ready=False names what is wrong with the triggers; Paused is Suspended."""
    if is_true(manifest, "Paused"):
        return suspended(said(condition(manifest, "Paused")) or "scaling is paused")
    return _by_ready(manifest, frozenset(), "KEDA has not looked at it yet")


def argo_application(manifest: Manifest) -> HealthStatus:
    """An Argo CD Application that is deployed by us: its own health, and a failed sync."""
    operation = mapping(status(manifest), "operationState")
    if text(operation, "phase") in ("Failed", "Error"):
        return degraded(f"its sync failed: {text(operation, 'message') or 'no message'}")
    for field in items(status(manifest), "conditions"):
        if text(field, "type").endswith("Error"):
            return degraded(f"{text(field, 'type')}: {text(field, 'message')}")
    told = mapping(status(manifest), "health")
    state = text(told, "status")
    if state in set(Health):
        reason = text(told, "message") or ("" if state == Health.HEALTHY else f"its health is {state}")
        return HealthStatus(Health(state), "" if state == Health.HEALTHY else reason)
    return progressing("Argo CD has not looked at it yet")


def cluster_api(manifest: Manifest) -> HealthStatus:
    """Cluster API: Paused by spec; a failureMessage is final; otherwise the generic Ready."""
    if spec(manifest).get("paused") is True:
        return suspended("spec.paused is true")
    message = text(status(manifest), "failureMessage")
    if message:
        return degraded(message)
    return generic(manifest)
