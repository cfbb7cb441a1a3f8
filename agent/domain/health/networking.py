"""Rules for the Gateway API: GatewayClass, Gateway and the routes, whose status has a part for each parent.

Every condition carries its own observedGeneration. What a controller has not looked at yet is Progressing; what it
has looked at and refused is Degraded, except for reasons that only mean "not yet".
"""

from __future__ import annotations

from typing import Any

from agent.domain.health.conditions import HEALTHY, degraded, progressing
from agent.domain.health.fields import condition_of, items, mapping, metadata, number, said, spec, status, text
from shared.model import HealthStatus, Manifest

_NOT_YET = frozenset({"Pending", "Waiting", "NotReconciled", "AddressNotAssigned", "NoResources", ""})
"""Reasons for False that controllers give while they are still at work."""


def gateway_class(manifest: Manifest) -> HealthStatus:
    """Healthy when a controller has accepted it."""
    return _condition(manifest, status(manifest), "Accepted", "no controller has accepted it yet") or HEALTHY


def gateway(manifest: Manifest) -> HealthStatus:
    """Healthy when accepted, programmed, and every listener with it."""
    waiting = "no controller has taken it: is its gatewayClassName installed?"
    early = _condition(manifest, status(manifest), "Accepted", waiting)
    if early is not None:
        return early
    for listener in items(status(manifest), "listeners"):
        verdict = _listener(manifest, listener)
        if verdict is not None:
            return verdict
    return _condition(manifest, status(manifest), "Programmed", "its listeners are not programmed yet") or HEALTHY


def _listener(manifest: Manifest, listener: dict[str, Any]) -> HealthStatus | None:
    name = f"listener {text(listener, 'name')}"
    conflict = condition_of(listener, "Conflicted")
    if conflict.get("status") == "True":
        return degraded(f"{name}: {said(conflict)}")
    for kind in ("Accepted", "ResolvedRefs", "Programmed"):
        if condition_of(listener, kind):
            verdict = _condition(manifest, listener, kind, f"is not {kind} yet", name)
            if verdict is not None:
                return verdict
    return None


def route(manifest: Manifest) -> HealthStatus:
    """Healthy when every parent has accepted it and found what it refers to."""
    told = items(status(manifest), "parents")
    wanted = items(spec(manifest), "parentRefs")
    for parent in told:
        name = _parent(parent)
        for kind, waiting in (
            ("Accepted", "has not accepted it yet"),
            ("ResolvedRefs", "has not resolved its backends yet"),
        ):
            verdict = _condition(manifest, parent, kind, waiting, name)
            if verdict is not None:
                return verdict
    heard = {_key(mapping(parent, "parentRef")) for parent in told}
    silent = [ref for ref in wanted if _key(ref) not in heard]
    if silent:
        return progressing(f"{_parent({'parentRef': silent[0]})} has not taken it yet: does it exist, and run?")
    return HEALTHY


def _key(ref: dict[str, Any]) -> tuple[str, str, str, Any]:
    """What tells parents apart; a controller may fill in the namespace, so that does not count."""
    return text(ref, "kind") or "Gateway", text(ref, "name"), text(ref, "sectionName"), number(ref, "port")


def _parent(parent: dict[str, Any]) -> str:
    ref = mapping(parent, "parentRef")
    section = text(ref, "sectionName")
    name = "/".join(part for part in (text(ref, "namespace"), text(ref, "name")) if part)
    return f"{text(ref, 'kind') or 'Gateway'} {name}" + (f" (listener {section})" if section else "")


def _condition(manifest: Manifest, holder: Any, kind: str, waiting: str, about: str = "") -> HealthStatus | None:
    """The verdict when a condition does not hold; None when it does."""
    found, prefix = condition_of(holder, kind), f"{about}: " if about else ""
    generation = number(metadata(manifest), "generation")
    if not found:
        return progressing(f"{about} {waiting}" if about else waiting)
    if number(found, "observedGeneration", generation) < generation:
        return progressing(f"{prefix}its controller has not seen generation {generation} yet")
    if found.get("status") == "True":
        return None
    if found.get("status") == "False" and text(found, "reason") not in _NOT_YET:
        return degraded(f"{prefix}{said(found)}")
    return progressing(f"{prefix}{said(found) or waiting}")
