"""The live feed as server-sent events.

The first message is `ready`: what is asked for after it is complete together with what follows. A client that comes
back with `Last-Event-ID` gets what it missed, or `reload` when that is no longer known. Every other message carries
the present state of one changed thing, so that repeats do no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from hub.api.answers import Ctx
from hub.api.context import Context
from hub.api.problems import Refusal
from hub.api.security.guard import Seen, needs, still_known
from hub.view import read
from hub.view.changes import changed
from hub.view.visible import Visible

router = APIRouter(tags=["stream"])

MAX_CLIENTS = 500
BATCHING = 0.1
"""Seconds over which changes are gathered: a thing that changes ten times in that time is sent once."""


class Audience:
    """Who listens now."""

    def __init__(self) -> None:
        self.count = 0


async def _room(request: Request) -> None:
    """Refuses when too many listen already: before the stream starts, so that it can be said."""
    audience: Audience = request.app.state.audience
    if audience.count >= MAX_CLIENTS:
        raise Refusal(503, f"{MAX_CLIENTS} clients are listening already; try again later", {"Retry-After": "10"})


@router.get(
    "/stream", response_class=EventSourceResponse, openapi_extra=needs("fleet.read"), dependencies=[Depends(_room)]
)
async def stream(
    request: Request, ctx: Ctx, seen: Seen, last_event_id: Annotated[str, Header(max_length=100)] = ""
) -> AsyncIterator[ServerSentEvent]:
    """Changes as they happen: unit, unit-removed, cluster, application, rollout, event, fleet, summary."""
    boot: str = request.app.state.boot
    audience: Audience = request.app.state.audience
    audience.count += 1
    ctx.metrics.sse_clients.inc()
    try:
        feed = ctx.view.feed
        number = _resume(last_event_id, boot)
        if number is None or feed.since(number) is None:
            number = feed.number
            yield _message("reload" if last_event_id else "ready", {"version": ctx.version}, boot, number)
        while True:
            await feed.beyond(number)
            await asyncio.sleep(BATCHING)
            if not await still_known(request):
                return
            following = feed.number
            for message in _messages(ctx, seen, number, following, boot):
                yield message
            number = following
    finally:
        audience.count -= 1
        ctx.metrics.sse_clients.dec()


def _messages(ctx: Context, seen: Visible, number: int, following: int, boot: str) -> Iterator[ServerSentEvent]:
    """Everything that changed after `number`, up to `following`, then the summary."""
    deltas = ctx.view.feed.since(number)
    if deltas is None:
        yield _message("reload", {"version": ctx.version}, boot, following)
        return
    for delta in deltas:
        found = changed(ctx.view, delta, seen)
        if found is not None:
            name, item = found
            yield _message(name, item, boot, delta.number)
    yield _message("summary", read.summary(ctx.view, seen), boot, following)


def _message(name: str, item: object, boot: str, number: int) -> ServerSentEvent:
    return ServerSentEvent(raw_data=orjson.dumps(item).decode(), event=name, id=f"{boot}-{number}")


def _resume(last_event_id: str, boot: str) -> int | None:
    """The number a client has seen last, None if it is not one of this process."""
    head, _, number = last_event_id.partition("-")
    return int(number) if head == boot and number.isascii() and number.isdigit() else None
