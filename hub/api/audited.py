"""Every request that changes something, or is refused, gets into the audit trail: no route has to think of it.

A route, or whatever finds out who asks, can say more about the request at hand: what it does to what, and why. That is
an `Act`, which belongs to the request; what it does not say is told from the request and its answer.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from typing import Annotated

import msgspec
from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.context import Audit
from hub.api.problems import MEDIA_TYPE
from hub.domain.auditing import Entry, Result, Via
from hub.domain.principals import Principal
from shared.tasks import Clock
from shared.telemetry import trace_id

LOOKS = frozenset({"GET", "HEAD", "OPTIONS"})
"""What changes nothing, unless a route says that it does."""
REFUSALS = frozenset({401, 403, 408, 413, 421, 429, 431})
"""Answers that tell of somebody who may not, or who sends what nobody means well by."""
LONGEST_PROBLEM = 64 * 1024
"""Bytes of a problem document that is still read for its detail."""

_TRACE = re.compile("[0-9a-f]{32}")


@dataclass(slots=True)
class Act:
    """What a request is about, as far as somebody has found out. Filled in while it is answered."""

    actor: str = ""
    roles: tuple[str, ...] = ()
    action: str = ""
    """`noun.verb`; one that is given has the request recorded whatever its method."""
    target: str = ""
    reason: str = ""
    """Why it is done, in the words of who asks."""
    detail: str = ""
    """What comes of it. The detail of a refusal is known without."""
    via: Via | None = None
    trace: str = ""
    looks: bool = False
    """It changes nothing (a preview, a dry run), and is recorded only if it is refused."""

    def by(self, who: Principal, via: Via | None = None) -> None:
        """Who asks."""
        self.actor, self.roles = who.name, who.roles
        self.via = via or self.via

    def of(self, action: str, target: str = "", reason: str = "", *, looks: bool = False) -> None:
        """What is asked for. Said before it is done, so that a refusal names it too."""
        self.action, self.target, self.reason, self.looks = action, target, reason, looks


def act_of(scope: Scope) -> Act:
    """The one of a request."""
    act: Act = scope.setdefault("state", {}).setdefault("act", Act())
    return act


async def _acting(request: Request) -> Act:
    return act_of(request.scope)


Acting = Annotated[Act, Depends(_acting)]
"""For routes that have more to say about what they do."""


class Audited:
    """Records when the answer is known, and before it is sent: who has it can rely on it."""

    def __init__(self, app: ASGIApp, audit: Audit, clock: Clock) -> None:
        self._app = app
        self._audit = audit
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        act = act_of(scope)
        held: Message | None = None
        """The beginning of an answer that is a problem, until its body says which."""
        recorded = False

        async def watching(message: Message) -> None:
            nonlocal held, recorded
            if message["type"] == "http.response.start":
                if _is_problem(message):
                    held = message
                    return
                recorded = True
                await self._record(scope, act, message["status"], "")
            elif held is not None:
                start, held, recorded = held, None, True
                await self._record(scope, act, start["status"], _detail(message.get("body", b"")))
                await send(start)
            await send(message)

        try:
            await self._app(scope, receive, watching)
        except (Exception, asyncio.CancelledError) as error:
            if not recorded:
                await self._record(scope, act, 500, f"the hub made a mistake: {type(error).__name__}")
            raise

    async def _record(self, scope: Scope, act: Act, status: int, detail: str) -> None:
        changing = (scope["method"] not in LOOKS or bool(act.action)) and not act.looks
        if not changing and status not in REFUSALS:
            return
        result = Result.OK if status < 400 else Result.REFUSED if status < 500 else Result.FAILED
        await self._audit.record(_entry(scope, act, result, detail, self._clock.now()))


def _entry(scope: Scope, act: Act, result: Result, detail: str, at: float) -> Entry:
    headers = Headers(scope=scope)
    client = scope.get("client")
    trace = act.trace or trace_id(headers.get("traceparent", ""))
    return Entry(
        id=secrets.token_hex(12),
        at=at,
        action=act.action or _unnamed(scope["method"], result),
        actor=act.actor,
        roles=act.roles,
        source=client[0] if client else "",
        via=act.via or _via(headers),
        # Never the query: what a browser is sent back with by a provider is in it.
        target=act.target if act.action else f"{scope['method']} {scope['path']}",
        result=result,
        reason=act.reason,
        detail=detail or act.detail,
        trace=trace if _TRACE.fullmatch(trace) else "",
    )


def _unnamed(method: str, result: Result) -> str:
    """The action of a request about which nobody said more."""
    if result is Result.REFUSED:
        return "request.refused"
    return f"request.{method.lower()}" if method in {"POST", "PUT", "PATCH", "DELETE"} else "request.other"


def _via(headers: Headers) -> Via:
    if headers.get("user-agent", "").startswith("yardarm"):
        return Via.CLI
    return Via.PAGE if "sec-fetch-site" in headers else Via.API


def _is_problem(start: Message) -> bool:
    kinds = [value for name, value in start["headers"] if name.lower() == b"content-type"]
    return start["status"] >= 400 and kinds == [MEDIA_TYPE.encode()]


def _detail(body: bytes) -> str:
    """What a problem document says; nothing of any other body gets into the trail."""
    if len(body) > LONGEST_PROBLEM:
        return ""
    try:
        return msgspec.json.decode(body, type=_Problem).detail
    except msgspec.DecodeError:
        return ""


class _Problem(msgspec.Struct):
    detail: str = ""
