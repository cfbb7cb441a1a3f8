"""Shapes of what machines ask: webhooks and probes."""

from __future__ import annotations

from hub.api.models.common import Shape


class Accepted(Shape):
    """A webhook was taken."""

    accepted: bool
    message: str


class Alive(Shape):
    """The process answers."""

    status: str
    version: str


class Ready(Shape):
    """Whether the hub can work; `missing` says per part what it waits for."""

    ready: bool
    role: str
    missing: dict[str, str]
