"""Rules that hold for every kind: deletion, observedGeneration, and the conditions Stalled, Reconciling and Ready.

They follow kstatus. Ready=False alone means Progressing, not Degraded: most controllers report it from the first
second on, and those that know better say Stalled.
"""

from __future__ import annotations

from typing import Any

from shared.model import Health, HealthStatus, Manifest


def status(manifest: Manifest) -> dict[str, Any]:
    """The status of an object; empty when there is none (yet) or it is not a map."""
    value = manifest.get("status")
    return value if isinstance(value, dict) else {}


def spec(manifest: Manifest) -> dict[str, Any]:
    """The spec of an object; empty when there is none or it is not a map."""
    value = manifest.get("spec")
    return value if isinstance(value, dict) else {}


def condition(manifest: Manifest, kind: str) -> dict[str, Any]:
    """The condition of this type, empty when absent."""
    listed = status(manifest).get("conditions")
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("type") == kind:
            return each
    return {}


def is_true(manifest: Manifest, kind: str) -> bool:
    """Whether the condition of this type is True."""
    return condition(manifest, kind).get("status") == "True"


def is_false(manifest: Manifest, kind: str) -> bool:
    """Whether the condition of this type is there and False."""
    return condition(manifest, kind).get("status") == "False"


def said(found: dict[str, Any]) -> str:
    """What a condition says, as `Reason: message`."""
    reason, message = str(found.get("reason") or ""), str(found.get("message") or "")
    return f"{reason}: {message}" if reason and message else message or reason


def number(values: dict[str, Any], field: str, default: int = 0) -> int:
    """An integer field; `default` when absent or not a number."""
    value = values.get(field)
    return value if isinstance(value, int) else default


def deleting(manifest: Manifest) -> HealthStatus | None:
    """Progressing while the object is being deleted; names the finalizers it waits for."""
    metadata = manifest.get("metadata") or {}
    since = metadata.get("deletionTimestamp")
    if not since:
        return None
    finalizers = ", ".join(map(str, metadata.get("finalizers") or ()))
    waits = f", waits for its finalizers: {finalizers}" if finalizers else ""
    return HealthStatus(Health.PROGRESSING, f"is being deleted since {since}{waits}")


def unseen(manifest: Manifest) -> HealthStatus | None:
    """Progressing while status speaks of an older generation: whatever else it says is out of date."""
    wanted = number(manifest.get("metadata") or {}, "generation")
    observed = status(manifest).get("observedGeneration")
    if not isinstance(observed, int) or observed >= wanted:
        return None
    return HealthStatus(
        Health.PROGRESSING, f"its controller has not seen generation {wanted} yet (last seen: {observed})"
    )


def stalled(manifest: Manifest) -> HealthStatus | None:
    """Degraded when a controller says it is stuck, Progressing when it says it is at work."""
    if is_true(manifest, "Stalled"):
        return HealthStatus(Health.DEGRADED, said(condition(manifest, "Stalled")) or "its controller reports Stalled")
    if is_true(manifest, "Reconciling"):
        return HealthStatus(Health.PROGRESSING, said(condition(manifest, "Reconciling")) or "is being reconciled")
    return None


def ready(manifest: Manifest) -> HealthStatus:
    """The rule for kinds without one of their own: the Ready condition, Healthy when there is none."""
    found = condition(manifest, "Ready")
    if not found or found.get("status") == "True":
        return HealthStatus(Health.HEALTHY)
    return HealthStatus(Health.PROGRESSING, said(found) or "its Ready condition is not True")
