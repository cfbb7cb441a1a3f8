"""Shapes of units, their objects and their drift."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hub.api.models.common import ObjectRef, Shape, Time
from hub.api.models.history import Event
from hub.domain.status import State
from shared.messages import Action
from shared.model import Health


class Want(Shape):
    """What is assigned."""

    generation: int
    digest: str
    commit: str
    revision: str
    objects: int
    removed: bool
    at: Time


class Have(Shape):
    """What the agent said last; empty strings before it said anything."""

    generation: int
    digest: str
    commit: str
    revision: str
    phase: str
    health: Health
    at: Time | None
    received: Time | None
    applied: Time | None
    healthy: Time | None


class Unit(Shape):
    """One application on one cluster. `since` is when its state began."""

    cluster: str
    namespace: str
    application: str
    environment: str
    state: State
    reason: str
    since: Time
    flags: list[str]
    want: Want
    have: Have
    trace: str


class ObjectStatus(Shape):
    """An object of a unit."""

    object: ObjectRef
    health: Health
    reason: str
    action: Action


class FieldDrift(Shape):
    """A field that differs, and who changed it when."""

    path: str
    want: Any
    have: Any
    manager: str
    at: Time | None


class Drift(Shape):
    """An object that differs from Git. `corrected` is when it was put right.

    `suggestion` is the rule for `sync.ignore` that would accept this; `fight` names who keeps changing it back.
    """

    cluster: str
    namespace: str
    application: str
    object: ObjectRef
    fields: list[FieldDrift]
    deleted: bool
    since: Time
    mode: Literal["correct", "report"]
    corrected: Time | None
    attempts: int
    fight: str
    suggestion: dict[str, Any] | None


class Condition(Shape):
    """A step on a unit's way: Scheduled, Delivered, Applied, Healthy, Verified."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    at: Time | None


class Timeline(Shape):
    """When the unit's newest assignment reached each point, on the agent's clock."""

    received: Time | None
    fetched: Time | None
    applied: Time | None
    healthy: Time | None


class Passage(Shape):
    """An earlier generation of a unit."""

    generation: int
    digest: str
    commit: str
    revision: str
    traceparent: str
    published: Time
    delivered: Time | None
    fetched: Time | None
    applied: Time | None
    healthy: Time | None


class Blocker(Shape):
    """What keeps a unit from being applied and healthy: an object of it, or an application that it depends on.

    `unblock` says what would let it go on; `waiting` counts the objects that wait for it.
    """

    object: ObjectRef | None
    application: str
    reason: str
    since: Time
    unblock: str
    waiting: int


class UnitDetail(Unit):
    """A unit with everything its agent said."""

    conditions: list[Condition]
    heard: Time | None
    counts: dict[str, int] = Field(description="Objects by health.")
    objects: list[ObjectStatus]
    drift: list[Drift]
    warnings: list[str]
    blockers: list[Blocker]
    timeline: Timeline
    past: list[Passage]
    events: list[Event]
