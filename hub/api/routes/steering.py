"""What people ask of rollouts. Each request is told, whether it is accepted or refused.

Nothing is carried out here: the leading hub does that, and looks again whether it still can.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Body, Response

from hub.api import acts
from hub.api.answers import Ctx
from hub.api.audited import Acting
from hub.api.context import Context
from hub.api.models.rollouts import Effect, Steer
from hub.api.problems import Refusal
from hub.api.routes.rollouts import newest
from hub.api.security.guard import Caller, Seen, demand, needs
from hub.domain import approvals, earlier, effects, telling
from hub.domain.access import within
from hub.domain.principals import Principal
from hub.domain.requests import Asked, Verb, awaited, objection
from hub.domain.runs import Rollout
from hub.domain.staging import Approve
from shared.telemetry import trace_id

router = APIRouter(prefix="/rollouts", tags=["steering"])

EMERGENCY = "emergency"
"""The role that, beside admins, may have all gates of a rollout left out."""
OF_TEAMS = frozenset({Verb.APPROVE, Verb.BYPASS})
"""What is not for operators to ask for, but for whom the strategy names, and for `EMERGENCY`."""
MUST_SAY_WHY = frozenset({Verb.ABORT, Verb.ROLLBACK, Verb.BYPASS, Verb.SKIP})

Steering = Annotated[Steer, Body(default_factory=Steer)]


@router.post(
    "/{application}/{verb}", status_code=202, openapi_extra=needs("rollouts.ask"), responses={202: {"model": Effect}}
)
async def steer(
    ctx: Ctx, act: Acting, caller: Caller, seen: Seen, application: str, verb: Verb, body: Steering
) -> Response:
    """Asks something of a rollout: the one that is under way, or the last one.

    Answers what will happen; with `dryRun` nothing does. 409 says why it cannot be done now.
    """
    act.of(f"rollout.{verb}", application, body.reason, looks=body.dry_run)
    rollout = newest(ctx, seen, application)
    act.trace = trace_id(rollout.plan.traceparent)
    project, asked = seen.project_of(application), _asked(ctx, caller, rollout, verb, body)
    environments = _environments(rollout, asked)
    here = within(caller, project, environments)
    asked = msgspec.structs.replace(asked, roles=here.roles)
    try:
        demand(caller, "rollouts.ask", project, environments)
        if verb not in OF_TEAMS:
            demand(caller, "rollouts.steer", project, environments)
        _may(here, rollout, asked)
        asked = _meant(ctx, rollout, asked, body)
        _can(rollout, asked)
    except Refusal as refusal:
        if not body.dry_run:
            ctx.rollouts.tell(telling.refused(rollout, asked, refusal.detail))
            acts.note("a request about a rollout was refused", application, verb, caller, refusal.detail)
        raise
    act.detail = effect = effects.effect(rollout, asked)
    if not body.dry_run:
        with acts.stored():
            await ctx.rollouts.ask(application, asked)
        ctx.rollouts.tell(telling.asked(rollout, asked, effect))
        acts.note("a request about a rollout was accepted", application, verb, caller, effect)
    return acts.answer(effect, application, rollout.id, asked.id, dry_run=body.dry_run)


def _asked(ctx: Context, caller: Principal, rollout: Rollout, verb: Verb, body: Steer) -> Asked:
    """The request as it was written; an approval is for the stage that waits unless it says another."""
    return Asked(
        id=secrets.token_hex(8),
        verb=verb,
        by=caller.name,
        at=ctx.view.clock.now(),
        reason=body.reason,
        roles=caller.roles,
        emails=caller.emails,
        stage=body.stage or (awaited(rollout) if verb is Verb.APPROVE else ""),
        clusters=tuple(dict.fromkeys(body.clusters)),
        rollout=rollout.id,
    )


def _environments(rollout: Rollout, asked: Asked) -> set[str]:
    """Where a request is about: the stage that is approved, the clusters that are named, or all that take part."""
    clusters: Iterable[str] = rollout.slots
    if asked.verb is Verb.APPROVE:
        clusters = next((each.clusters for each in rollout.plan.stages if each.name == asked.stage), rollout.slots)
    elif asked.clusters and asked.verb in (Verb.RETRY, Verb.SKIP):
        clusters = [name for name in asked.clusters if name in rollout.slots] or rollout.slots
    pinned = rollout.plan.clusters
    return {pinned[name].environment for name in clusters if name in pinned}


def _may(caller: Principal, rollout: Rollout, asked: Asked) -> None:
    """Lets pass who may ask for what teams may ask for. `caller` as they are where it is about.

    Raises:
        Refusal: 403.
    """
    match asked.verb:
        case Verb.APPROVE:
            approve = _approve(rollout, asked.stage)
            authors = rollout.plan.commit.written_by
            why = approvals.objection(approve, caller, authors, ()) if approve is not None else ""
            if why:
                raise Refusal(403, why)
        case Verb.BYPASS:
            if not caller.is_a(EMERGENCY):
                has = ", ".join(caller.roles)
                detail = f"this needs the role admin or {EMERGENCY}; {caller.name} has {has}"
                raise Refusal(403, detail, needs=EMERGENCY, has=list(caller.roles))
        case _:
            return


def _meant(ctx: Context, rollout: Rollout, asked: Asked, body: Steer) -> Asked:
    """The request with everything that it leaves out, or names shortly, filled in: what is told is what is done.

    Raises:
        Refusal: 404, 409 or 422.
    """
    if body.rollout not in ("", rollout.id):
        detail = f"another rollout of {rollout.application} has begun ({rollout.plan.revision}): look at it first"
        raise Refusal(409, detail, rollout=rollout.id)
    if asked.verb in MUST_SAY_WHY:
        acts.reason(body)
    if asked.verb in (Verb.RETRY, Verb.SKIP) and not asked.clusters:
        names = effects.failed(rollout)
        if not names:
            raise Refusal(409, "no cluster of this rollout has failed" + _NAME_THEM.get(asked.verb, ""))
        return msgspec.structs.replace(asked, clusters=names)
    if asked.verb is Verb.ROLLBACK and body.to:
        back_to = _earlier(ctx, rollout, body.to)
        to = earlier.targets(rollout, back_to)
        return msgspec.structs.replace(asked, to=to, revision=back_to.plan.revision)
    return asked


_NAME_THEM = {Verb.SKIP: ": name the clusters to leave out"}


def _can(rollout: Rollout, asked: Asked) -> None:
    """Lets pass what can be done now.

    Raises:
        Refusal: 409.
    """
    why = objection(rollout, asked)
    approve = _approve(rollout, asked.stage) if asked.verb is Verb.APPROVE and not why else None
    if approve is not None:
        caller = Principal(asked.by, asked.roles, asked.emails)
        given = [each for each in rollout.approvals if each.stage == asked.stage]
        counting = approvals.verdict(approve, given, rollout.plan.commit.written_by, asked.at).given
        why = approvals.objection(approve, caller, rollout.plan.commit.written_by, counting)
    if not why and asked.verb is Verb.RETRY:
        well = sorted(set(asked.clusters) - set(effects.failed(rollout)))
        why = f"{', '.join(well)}: not failed, so there is nothing to try again" if well else ""
    if why:
        raise Refusal(409, why, phase=rollout.phase)


def _approve(rollout: Rollout, stage: str) -> Approve | None:
    """Who may approve a stage; None when there is none of this name, or nobody has to."""
    specs = (each.spec for each in rollout.plan.stages if each.name == stage)
    return next((spec.approve for spec in specs if spec is not None), None)


def _earlier(ctx: Context, rollout: Rollout, name: str) -> Rollout:
    """The completed rollout that a revision or commit, or how one begins, means.

    Raises:
        Refusal: 404 or 422, with what there is to choose from.
    """
    history = ctx.view.rollouts.of(rollout.application)
    found = earlier.matching(history, name)
    if len(found) == 1:
        return found[0]
    choices = found or earlier.completed(history)
    told = ", ".join(f"{each.plan.revision} ({each.plan.commit.subject})" for each in choices)
    if found:
        raise Refusal(422, f"{name[:100]!r} is the beginning of several: {told}", choices=_choices(choices))
    detail = f"{rollout.application} has completed no rollout {name[:100]!r}"
    raise Refusal(404, f"{detail}; there are: {told}" if told else detail, choices=_choices(choices))


def _choices(rollouts: Iterable[Rollout]) -> list[dict[str, str]]:
    plans = [each.plan for each in rollouts]
    return [{"revision": plan.revision, "commit": plan.commit.sha, "subject": plan.commit.subject} for plan in plans]
