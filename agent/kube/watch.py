"""One watch request: from a resource version until the server ends it."""

from __future__ import annotations

import enum
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import orjson

from agent.kube.errors import Unreachable, api_error
from agent.kube.transport import Request, Transport
from shared.model import Manifest

SERVER_TIMEOUT = 290
"""Seconds after which the server ends a watch; drawn between half and whole so that agents do not return together."""


class EventType(enum.StrEnum):
    """What happened."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event. Of a BOOKMARK only `metadata.resourceVersion` of the object means anything."""

    type: EventType
    object: Manifest

    @property
    def resource_version(self) -> str:
        """Where to go on from."""
        return str(self.object.get("metadata", {}).get("resourceVersion", ""))


async def watch(
    transport: Transport, path: str, query: dict[str, str], on_open: Callable[[], None] | None = None
) -> AsyncGenerator[WatchEvent, None]:
    """Yields events until the server ends the watch, which is normal.

    Raises:
        Gone: the resource version is too old.
        ApiError: anything else, also in the middle.
    """
    seconds = random.randint(SERVER_TIMEOUT // 2, SERVER_TIMEOUT)  # noqa: S311 - jitter
    full = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
    async with transport.stream(Request("GET", path, full), idle=seconds + 20) as lines:
        if on_open is not None:
            on_open()
        async for line in lines:
            yield _event(line)


def _event(line: bytes) -> WatchEvent:
    try:
        raw = orjson.loads(line)
        kind, body = raw["type"], raw["object"]
        if kind == "ERROR":
            raise api_error(int(body.get("code") or 500), body)
        return WatchEvent(EventType(kind), body)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise Unreachable(f"the watch sent something that is no event: {line[:100]!r}") from error
