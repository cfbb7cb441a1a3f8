"""Rollouts as the API shows them: plain dicts with the names of DESIGN section 9. Times are unix seconds.

Who may not see every environment of a rollout gets its stages and counts, and of clusters and reasons only what is
about those that it may see (`seen`; left out: everything).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, takewhile

from hub.domain import approvals, progress
from hub.domain.runs import REJECTED, Phase, Pinned, Rollout, SlotState, Wait
from hub.domain.staging import Approve, Stage
from hub.domain.telling import prefix
from hub.view.core import View
from hub.view.history import EventFilter
from hub.view.index import BadCursor, read_cursor, write_cursor
from hub.view.items import Item, commit_item, event_item, hold_item
from hub.view.rollouts import RolloutFilter
from hub.view.visible import Visible
from shared.messages import Event, to_json
from shared.telemetry import trace_id

Page = tuple[list[Item], str | None]

NAMED = 20
"""Clusters named of each state and reason; `clusters` has them all."""
REASONS = 10
"""Reasons told of each state."""
RECENT = 50
"""Events shown with a rollout."""


def rollouts(
    view: View, wanted: RolloutFilter, limit: int, cursor: str | None = None, seen: Visible | None = None
) -> Page:
    """Rollouts as they are listed, newest first."""
    seen = seen or Visible(view)
    found, following = _page(view, wanted, limit, cursor, seen)
    return [rollout_item(view, each, seen) for each in found], following


def history(view: View, application: str, limit: int, cursor: str | None = None, seen: Visible | None = None) -> Page:
    """The rollouts of an application, newest first, with how long they took."""
    seen = seen or Visible(view)
    found, following = _page(view, RolloutFilter(application), limit, cursor, seen)
    return [past_item(view, each, seen) for each in found], following


def _page(
    view: View, wanted: RolloutFilter, limit: int, cursor: str | None, seen: Visible
) -> tuple[list[Rollout], str | None]:
    after = None
    if cursor:
        at, identity = read_cursor(cursor, float, str)
        after = (float(at), str(identity))
    found = list(islice(filter(seen.rollout, view.rollouts.select(wanted, after)), limit + 1))
    last = found[limit - 1] if len(found) > limit else None
    following = write_cursor(-float(last.plan.at), last.id) if last is not None else None
    return found[:limit], following


def rollout_item(view: View, rollout: Rollout, seen: Visible | None = None) -> Item:
    """A rollout as it is listed."""
    seen = seen or Visible(view)
    now = view.clock.now()
    item = view.rollouts.shown(rollout, now, lambda: _item(view, rollout, now))
    return item if seen.whole(rollout) else _partly(item, rollout, seen)


def _partly(item: Item, rollout: Rollout, seen: Visible) -> Item:
    """Without what is, or may be, about clusters that are not seen: reasons name them."""
    stages = [stage | {"waitsFor": [wait | {"reason": ""} for wait in stage["waitsFor"]]} for stage in item["stages"]]
    return item | {
        "stages": stages,
        "reason": "",
        "environments": [each for each in item["environments"] if seen.environment(each)],
        "holds": [hold_item(each) for each in seen.holds(rollout.application)],
    }


def _item(view: View, rollout: Rollout, now: float) -> Item:
    plan = rollout.plan
    current = rollout.current
    per_cluster = _pace(view, rollout)
    left = progress.left(rollout, per_cluster, now)
    return {
        "id": rollout.id,
        "application": rollout.application,
        "phase": rollout.phase,
        "active": rollout.active,
        "revision": plan.revision,
        "from": plan.from_,
        "commit": commit_item(plan.commit),
        "back": plan.back,
        "stage": plan.stages[current].name if current < len(plan.stages) else "",
        "stages": [_stage(rollout, number) for number in range(len(plan.stages))],
        "clusters": to_json(progress.counts(rollout)),
        "environments": sorted(view.rollouts.environments(rollout)),
        "startedAt": plan.at,
        "endedAt": rollout.ended,
        "troubledAt": rollout.troubled,
        "reason": rollout.reason,
        "by": rollout.by,
        "approvals": [
            {"stage": each.stage, "by": each.by, "at": each.at, "comment": each.comment} for each in rollout.approvals
        ],
        "bypass": rollout.bypass,
        "queued": rollout.queued,
        "rejected": rollout.phase in REJECTED and not rollout.freed,
        "holds": [hold_item(each) for each in view.rollouts.holds(rollout.application)],
        "estimate": {"endsAt": now + left, "perCluster": per_cluster} if left is not None else None,
        "trace": trace_id(plan.traceparent),
    }


def past_item(view: View, rollout: Rollout, seen: Visible | None = None) -> Item:
    """A rollout with how long it and its stages took; up to now while it goes on."""
    until = _until(view, rollout)
    item = rollout_item(view, rollout, seen)
    stages = [
        told | {"durations": to_json(progress.durations(run, until))}
        for told, run in zip(item["stages"], rollout.stages, strict=True)
    ]
    return item | {"stages": stages, "seconds": until - rollout.plan.at}


def rollout_detail(view: View, rollout: Rollout, seen: Visible | None = None) -> Item:
    """A rollout with everything there is to say of its stages, its clusters by state, and what happened to it."""
    seen = seen or Visible(view)
    item, now = past_item(view, rollout, seen), view.clock.now()
    whole = seen.whole(rollout)
    stages = [told | _stage_detail(rollout, number, now) for number, told in enumerate(item["stages"])]
    if not whole:
        stages = [stage | {"checks": []} for stage in stages]
    return item | {
        "stages": stages,
        "states": _states(rollout, seen),
        "onFailure": rollout.plan.strategy.on_failure,
        "onNewer": rollout.plan.strategy.on_newer,
        "deadline": rollout.plan.strategy.deadline,
        "requests": list(rollout.asked),
        "events": [event_item(each) for each in islice(_events(view, rollout), RECENT)] if whole else [],
    }


def clusters(
    rollout: Rollout,
    limit: int,
    cursor: str | None = None,
    stage: str = "",
    state: str = "",
    seen: Callable[[str], bool] = lambda _cluster: True,
) -> Page:
    """The clusters that take part, stage by stage in the order in which they are given the revision.

    Those that take no part but are sent back with the others come last.
    """
    stages = {name: each.name for each in rollout.plan.stages for name in each.clusters}
    names = [*stages, *sorted(rollout.slots.keys() - stages.keys())]
    start = 0
    if cursor:
        (last,) = read_cursor(cursor, str)
        if last not in rollout.slots:
            raise BadCursor(f"the cluster {str(last)[:63]!r} has no part in this rollout: start over without `cursor`")
        start = names.index(str(last)) + 1
    items = (cluster_item(rollout, name, stages.get(name, "")) for name in names[start:] if seen(name))
    wanted = (item for item in items if (not stage or item["stage"] == stage) and (not state or item["state"] == state))
    found = list(islice(wanted, limit + 1))
    following = write_cursor(found[limit - 1]["cluster"]) if len(found) > limit else None
    return found[:limit], following


def cluster_item(rollout: Rollout, name: str, stage: str) -> Item:
    """One cluster of a rollout. `seconds` is what it took from assigned to healthy."""
    slot, pinned = rollout.slots[name], rollout.plan.clusters[name]
    took = slot.healthy - slot.released if slot.healthy is not None and slot.released is not None else None
    return {
        "cluster": name,
        "stage": stage,
        "environments": list(pinned.environments),
        "state": slot.state,
        "reason": slot.reason,
        "assignedAt": slot.released,
        "healthyAt": slot.healthy,
        "backAt": slot.back,
        "silentSince": slot.silent,
        "seconds": took if slot.back is None else None,
        **_digests(pinned),
    }


def _digests(pinned: Pinned) -> Item:
    """Bundles: what it had, what it gets, and what it goes back to; empty where there is nothing."""
    return {
        "from": pinned.previous.digest if pinned.previous is not None else "",
        "to": pinned.target.digest,
        "backTo": pinned.restore.digest if pinned.restore is not None else "",
    }


def _until(view: View, rollout: Rollout) -> float:
    return rollout.ended if rollout.ended is not None else view.clock.now()


def _pace(view: View, rollout: Rollout) -> float | None:
    """Measured in this rollout, or else in the last completed one before it."""
    own = progress.pace(rollout)
    if own is not None or not rollout.active:
        return own
    completed = (each for each in view.rollouts.before(rollout) if each.phase is Phase.COMPLETED)
    return next((found for each in completed if (found := progress.pace(each)) is not None), None)


def _stage(rollout: Rollout, number: int) -> Item:
    return {
        "name": rollout.plan.stages[number].name,
        "phase": rollout.stages[number].phase,
        "clusters": to_json(progress.counts(rollout, number)),
        "waitsFor": [_wait(each) for each in progress.waits(rollout, number)],
    }


def _wait(wait: Wait) -> Item:
    return {"kind": wait.kind, "reason": wait.reason, "since": wait.since or None, "until": wait.until}


def _stage_detail(rollout: Rollout, number: int, now: float) -> Item:
    planned, run = rollout.plan.stages[number], rollout.stages[number]
    spec = planned.spec
    return {
        "maxConcurrent": planned.at_once,
        "maxFailures": run.allowed,
        "exceeded": run.exceeded,
        "waived": run.waived,
        "turnAt": run.turn,
        "startedAt": run.started,
        "healthyAt": run.healthy,
        "soakedAt": run.soaked,
        "doneAt": run.done,
        "soak": spec.soak if spec is not None else 0.0,
        "approval": _approval(rollout, spec.approve, planned.name, now) if spec and spec.approve else None,
        "checks": _checks(rollout, number, spec) if spec is not None else [],
    }


def _approval(rollout: Rollout, approve: Approve, stage: str, now: float) -> Item:
    given = [each for each in rollout.approvals if each.stage == stage]
    found = approvals.verdict(approve, given, rollout.plan.commit.written_by, now)
    return {
        "by": list(approve.by),
        "needed": found.needed,
        "given": [each.by for each in found.given],
        "missing": found.missing,
        "expiresAt": found.expires,
    }


def _checks(rollout: Rollout, number: int, spec: Stage) -> list[Item]:
    items = []
    for check, standing in zip(spec.checks, rollout.stages[number].checks, strict=True):
        last = standing.last
        items.append(
            {
                "title": check.title,
                "for": check.for_,
                "ok": last.ok if last is not None else None,
                "value": last.value if last is not None else "",
                "detail": last.detail if last is not None else "",
                "at": last.at if last is not None else None,
                "since": standing.since,
                "failedSince": standing.failed_since,
            }
        )
    return items


def _states(rollout: Rollout, seen: Visible) -> list[Item]:
    """The clusters by state, and by what is said of them: the most frequent reasons first."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, slot in rollout.slots.items():
        if not seen.pinned(rollout, name):
            continue
        found.setdefault(slot.state, {}).setdefault(slot.reason, []).append(name)
    return [
        {
            "state": state,
            "count": sum(len(names) for names in reasons.values()),
            "reasons": [
                {"reason": reason, "count": len(names), "clusters": names[:NAMED]}
                for reason, names in sorted(reasons.items(), key=lambda each: (-len(each[1]), each[0]))[:REASONS]
            ],
        }
        for state in SlotState
        if (reasons := found.get(state))
    ]


def _events(view: View, rollout: Rollout) -> Iterator[Event]:
    """What happened to it, newest first."""
    begin = prefix(rollout.id)
    known = view.events.newest(EventFilter(application=rollout.application, type="rollout"))
    since = takewhile(lambda event: event.at >= rollout.plan.at, known)
    return (event for event in since if event.id.startswith(begin))
