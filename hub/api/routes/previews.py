"""What a branch would do to the fleet before it is merged: for checks of pull requests."""

from __future__ import annotations

from fastapi import APIRouter, Response

from hub.api.answers import Ctx, json_answer
from hub.api.audited import Acting
from hub.api.models.previews import PreviewAnswer, PreviewRequest
from hub.api.problems import Refusal
from hub.api.security.guard import Caller, demand, needs
from hub.domain.preview.markdown import markdown
from hub.domain.preview.planning import plan
from hub.domain.preview.unified import unified
from hub.domain.principals import EVERY
from shared.errors import DocumentError, Unavailable
from shared.messages import to_json

router = APIRouter(tags=["previews"])


@router.post("/previews", openapi_extra=needs("previews.make"), responses={200: {"model": PreviewAnswer}})
async def preview(ctx: Ctx, act: Acting, caller: Caller, asked: PreviewRequest) -> Response:
    """What changes on every cluster from one ref of the fleet repository to another, rendered but not published.

    `form` chooses how the whole is told: `json`, `text` like a diff, or `markdown` for a comment on a pull request.
    With `live`, agents also say what it would do on their clusters as they are, by dry runs.
    """
    act.of("preview.make", asked.to, looks=True)
    demand(caller, "previews.make", EVERY, [EVERY])  # it tells of every application on every cluster
    if ctx.previews.busy():
        raise Refusal(503, "other previews are being worked on: ask again in a moment", {"Retry-After": "5"})
    try:
        found, model, facts = await ctx.previews.preview(asked.from_, asked.to, asked.applications, live=asked.live)
    except DocumentError as error:
        raise Refusal(422, str(error)) from error
    except Unavailable as error:
        raise Refusal(503, str(error), {"Retry-After": "5"}) from error
    if asked.form == "text":
        return Response(unified(found), media_type="text/plain; charset=utf-8")
    made = plan(found, model, facts, ctx.view.clock.now())
    if asked.form == "markdown":
        return Response(markdown(found, made), media_type="text/markdown; charset=utf-8")
    told = {"preview": to_json(found), "plan": to_json(made)}
    return json_answer({**told, "changes": found.changes, "errors": found.errors})
