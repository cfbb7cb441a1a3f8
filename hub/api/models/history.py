"""The shape of events."""

from __future__ import annotations

from hub.api.models.common import ObjectRef, Shape, Time
from shared.messages import Severity


class Event(Shape):
    """Something that happened."""

    id: str
    at: Time
    type: str
    severity: Severity
    cluster: str
    namespace: str
    application: str
    object: ObjectRef | None
    message: str
    actor: str
    commit: str
    trace: str
