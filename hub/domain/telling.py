"""What the history says of rollouts: what happened to them, who asked for something, and what became of that. Pure."""

from __future__ import annotations

import hashlib

from hub.domain.requests import Asked
from hub.domain.runs import Rollout
from hub.domain.steps import Tell
from shared.messages import Event, Severity

ONCE = 60.0
"""Seconds within which a refusal that is the same as one before is not told again."""


def prefix(rollout: str) -> str:
    """What the ids of all events of one rollout, given by its id, begin with."""
    return f"rollout.{rollout}."


def happened(rollout: Rollout, tell: Tell, at: float) -> Event:
    """What the state machine tells; equal keys are one event."""
    return _event(rollout, tell.key, at, tell.type, tell.severity, tell.message, tell.by)


def asked(rollout: Rollout, request: Asked, effect: str) -> Event:
    """Somebody asked for something that can be done."""
    why = f" ({request.reason})" if request.reason else ""
    message = f"{request.verb} asked for: {effect}{why}"
    return _event(rollout, f"asked-{request.id}", request.at, "rollout.asked", Severity.INFO, message, request.by)


def refused(rollout: Rollout, request: Asked, why: str) -> Event:
    """Somebody asked for something that cannot, or may not, be done. Told once a minute, however often it is tried."""
    minute = int(request.at // ONCE)
    digest = hashlib.sha256(f"{request.verb}|{request.by}|{why}|{minute}".encode()).hexdigest()[:16]
    message = f"{request.verb} refused: {why}"
    return _event(rollout, f"refused-{digest}", request.at, "rollout.refused", Severity.WARNING, message, request.by)


def _event(rollout: Rollout, key: str, at: float, kind: str, severity: Severity, message: str, by: str) -> Event:
    plan = rollout.plan
    _, _, trace = plan.traceparent.partition("-")
    return Event(
        id=prefix(plan.id) + key,
        at=at,
        type=kind,
        severity=severity,
        message=message,
        application=plan.application,
        actor=by,
        commit=plan.commit.sha,
        trace=trace.partition("-")[0],
    )
