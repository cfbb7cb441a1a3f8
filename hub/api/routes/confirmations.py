"""What waits for a person's word, and giving it. The only route that leads to deletions, and only to those shown."""

from __future__ import annotations

from fastapi import APIRouter, Response

from hub.api.answers import Ctx, Name, json_answer
from hub.api.audited import Acting
from hub.api.models.common import Page
from hub.api.models.confirmations import Confirm, Confirmation, Confirmed
from hub.api.problems import Refusal
from hub.api.security.guard import Caller, Seen, demand, needs
from hub.domain.principals import EVERY
from hub.view import confirmations
from hub.view.items import Item
from hub.view.visible import Visible
from shared.errors import Unavailable

router = APIRouter(tags=["confirmations"])


@router.get("/confirmations", openapi_extra=needs("confirmations.read"), responses={200: {"model": Page[Confirmation]}})
async def waiting(ctx: Ctx, seen: Seen, application: Name = "") -> Response:
    """Deletions and removals that wait to be confirmed; always one page."""
    found = [each for each in confirmations.held(ctx.view, seen) if each.names(application, ())]
    return json_answer({"items": confirmations.items(found), "next": None})


@router.post(
    "/confirmations", status_code=202, openapi_extra=needs("confirmations.give"), responses={202: {"model": Confirmed}}
)
async def confirm(ctx: Ctx, act: Acting, caller: Caller, seen: Seen, asked: Confirm) -> Response:
    """Lets exactly these deletions go ahead. If any of them is not what waits now, none does."""
    act.of("deletion.confirm", asked.application or ", ".join(asked.units), asked.reason)
    scope = [each for each in confirmations.held(ctx.view, seen) if each.names(asked.application, asked.units)]
    tokens = set(asked.tokens)
    chosen = [each for each in scope if each.token in tokens]
    unknown = tokens - {each.token for each in chosen}
    missed = set(asked.units) - {str(each.unit) for each in chosen}
    if unknown or missed:
        about = (
            f"{len(unknown)} of {len(tokens)} tokens are" if unknown else f"nothing of {', '.join(sorted(missed))} is"
        )
        raise Refusal(
            409,
            f"{about} what waits to be confirmed now: look at the present list, and confirm again",
            items=confirmations.items(scope),
        )
    shown = confirmations.items(chosen)
    act.detail = "; ".join(f"{each['kind']} of {each['application'] or 'the fleet'}: {_extent(each)}" for each in shown)
    for each in chosen:
        demand(caller, "confirmations.give", *_place(each, seen))
    now = ctx.view.clock.now()
    try:
        await ctx.confirmations.confirm([each.consent(caller.name, asked.reason, now) for each in chosen])
    except Unavailable as error:
        raise Refusal(503, f"the confirmation could not be stored: {error}", {"Retry-After": "5"}) from error
    return json_answer({"items": shown}, 202)


def _extent(shown: Item) -> str:
    """How much goes ahead, and where."""
    where = ", ".join(unit["cluster"] for unit in shown["units"]) or ", ".join(shown["items"])
    return f"{shown['count']} ({where})"


def _place(held: confirmations.Held, seen: Visible) -> tuple[str, list[str]]:
    """Where somebody has to be an operator to let it go ahead: for removals, everywhere of the application or fleet."""
    if held.unit is not None:
        return seen.project_of(held.application), [seen.environment_of(held.unit.cluster)]
    return seen.project_of(held.application) if held.application else EVERY, [EVERY]
