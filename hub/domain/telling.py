"""What the history says of rollouts: what happened to them, who asked for something, and what became of that. Pure."""

from __future__ import annotations

import hashlib

import msgspec

from hub.domain.requests import Asked
from hub.domain.runs import Rollout
from shared.messages import Event, Severity

ONCE = 60.0
"""Seconds within which a refusal that is the same as one before is not told again."""


def prefix(rollout: str) -> str:
    """What the ids of all events of one rollout, given by its id, begin with."""
    return f"{rollout}-"


def asked(rollout: Rollout, request: Asked, effect: str) -> Event:
    """Somebody asked for something that can be done."""
    identity = f"{prefix(rollout.id)}asked-{request.id}"
    message = f"{request.verb} asked for: {effect}" + (f" ({request.reason})" if request.reason else "")
    return _about(rollout, Event(identity, request.at, "rollout.asked", Severity.INFO, message, actor=request.by))


def refused(rollout: Rollout, request: Asked, why: str) -> Event:
    """Somebody asked for something that cannot, or may not, be done. Told once a minute, however often it is tried."""
    identity = prefix(rollout.id) + _once(request.verb, request.by, why, request.at)
    message = f"{request.verb} refused: {why}"
    return _about(rollout, Event(identity, request.at, "rollout.refused", Severity.WARNING, message, actor=request.by))


def of_application(application: str, what: str, by: str, effect: str, at: float) -> Event:
    """Somebody has put a hold on an application, or released it, or had it looked at anew (`what`)."""
    identity = f"application.{application}.{what}-{at:.3f}"
    return Event(
        identity, at, f"application.{what}", Severity.INFO, f"{what}: {effect}", application=application, actor=by
    )


def refused_of_application(application: str, what: str, by: str, why: str, at: float) -> Event:
    """Somebody asked for such a thing, and it cannot, or may not, be done. Told once a minute."""
    identity = f"application.{application}.{_once(what, by, why, at)}"
    message = f"{what} refused: {why}"
    return Event(identity, at, "application.refused", Severity.WARNING, message, application=application, actor=by)


def _about(rollout: Rollout, event: Event) -> Event:
    plan = rollout.plan
    _, _, rest = plan.traceparent.partition("-")
    return msgspec.structs.replace(
        event, application=plan.application, commit=plan.commit.sha, trace=rest.partition("-")[0]
    )


def _once(what: str, by: str, why: str, at: float) -> str:
    return f"refused-{hashlib.sha256(f'{what}|{by}|{why}|{int(at // ONCE)}'.encode()).hexdigest()[:16]}"
