"""The shape of the audit trail."""

from __future__ import annotations

from hub.api.models.common import Shape, Time
from hub.domain.auditing import Result, Via


class AuditEntry(Shape):
    """Something that somebody did, or tried. `number` is its place in the trail."""

    number: int
    id: str
    at: Time
    action: str
    actor: str
    roles: list[str]
    source: str
    via: Via
    target: str
    result: Result
    reason: str
    detail: str
    trace: str
    count: int
    hub: str
