"""Shapes of what waits for a person's word, and of that word."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hub.api.models.common import ObjectRef, Shape, Time


class AwaitingUnit(Shape):
    """A unit that waits, and the token that confirms exactly what it waits with."""

    cluster: str
    namespace: str
    application: str
    token: str


class Confirmation(Shape):
    """Deletions (`kind` objects) or removals that wait for a person's word. `objects` are the first of `count`."""

    kind: Literal["objects", "applications", "clusters", "moves"]
    application: str
    namespace: str
    count: int
    objects: list[ObjectRef]
    items: list[str]
    reason: str
    since: Time
    token: str | None
    units: list[AwaitingUnit]


class Confirm(BaseModel):
    """What to let go ahead: every token of what was shown, limited to an application or to units if need be."""

    model_config = ConfigDict(extra="forbid")

    tokens: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]], Field(min_length=1, max_length=10_000)]
    application: Annotated[str, Field(max_length=63)] = ""
    units: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=10_000)] = []
    reason: Annotated[str, Field(max_length=1000)] = ""


class Confirmed(Shape):
    """What goes ahead now."""

    items: list[Confirmation]
