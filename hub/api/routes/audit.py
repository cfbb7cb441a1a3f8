"""The audit trail: who did what, when, from where, and what came of it. For admins: it names everybody."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from hub.api.answers import Ctx, Limit, Name, json_answer
from hub.api.models.audit import AuditEntry
from hub.api.models.common import Page
from hub.api.problems import Refusal
from hub.api.security.guard import Caller, demand, needs
from hub.domain.auditing import Result, Stored, Via, Wanted
from hub.domain.principals import EVERY
from shared.errors import Unavailable
from shared.messages import to_json

router = APIRouter(tags=["audit"])

Moment = Annotated[float, Query(ge=0, le=1e11, description="Unix seconds; 0: no limit.")]
Number = Annotated[int, Query(ge=0, le=2**53)]


def _wanted(  # noqa: PLR0913 - one parameter per filter
    *,
    since: Moment = 0.0,
    until: Moment = 0.0,
    actor: Name = "",
    action: Annotated[str, Query(max_length=100, description="An action, or what comes before its dot.")] = "",
    target: Annotated[str, Query(max_length=1000)] = "",
    result: Result | None = None,
    via: Via | None = None,
    source: Name = "",
) -> Wanted:
    return Wanted(since, until, actor, action, target, result, via, source)


@router.get("/audit", openapi_extra=needs("audit.read"), responses={200: {"model": Page[AuditEntry]}})
async def audit(
    ctx: Ctx,
    caller: Caller,
    wanted: Annotated[Wanted, Depends(_wanted)],
    *,
    limit: Limit = 100,
    cursor: Annotated[Number, Query(description="`next` of the page before; 0: the newest.")] = 0,
    after: Annotated[Number | None, Query(description="Oldest first instead, beyond this number; 0: all.")] = None,
) -> Response:
    """Entries, newest first. A page may be short and have others after it: it looks through a bounded number.

    With `after` the oldest come first, and `next` is always there: pass it as `after` for those that came meanwhile.
    """
    demand(caller, "audit.read", EVERY, [EVERY])
    try:
        if after is None:
            found, following = await ctx.audit.page(wanted, limit, cursor)
        else:
            found, following = await ctx.audit.after(wanted, limit, after)
    except Unavailable as error:
        raise Refusal(503, f"the audit trail cannot be read now: {error}", {"Retry-After": "5"}) from error
    told = {"items": [_item(each) for each in found], "next": None if following is None else str(following)}
    return json_answer(told)


def _item(stored: Stored) -> dict[str, Any]:
    """As the API gives it: nothing is left out because it has its default."""
    entry = stored.entry
    return {"number": stored.number} | {name: to_json(getattr(entry, name)) for name in entry.__struct_fields__}
