"""What a unit is shown as: a pure function of what was assigned, what its agent said, and when the agent was heard.

Silence is never green: a report counts only for the very generation and digest that is assigned, and an agent that
is not heard turns what is green into Stale. Nothing here remembers anything; `hub.view` keeps the records.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from shared.messages import Assignment, Phase, Report
from shared.model import Health, Value


class State(enum.StrEnum):
    """What a unit is shown as, worst first: of the states that hold, the first one is shown."""

    FAILED = "Failed"
    BLOCKED = "Blocked"
    DRIFTED = "Drifted"
    STALE = "Stale"
    PROGRESSING = "Progressing"
    WAITING = "Waiting"
    PAUSED = "Paused"
    READY = "Ready"


STATES = tuple(State)
RANK = {state: rank for rank, state in enumerate(STATES)}
MISSED_BEATS = 3
"""Heartbeats an agent may miss before its cluster is stale."""
LONGEST_INTERVAL = 60.0
"""Seconds: whoever announces rarer heartbeats is believed to beat this often."""
SKEW = 5.0
"""Seconds by which an agent's clock may differ from the hub's before it is corrected for."""


class Want(Value, frozen=True, gc=False):
    """What is assigned to a unit: an `Assignment` without its body. `timeout` is in seconds."""

    generation: int
    digest: str
    commit: str
    revision: str
    traceparent: str
    at: float
    objects: int
    removed: bool
    timeout: float


class Have(Value, frozen=True, gc=False):
    """What the agent said last of a unit: a `Report` without its lists.

    `since` is when phase or health last changed; `drifted` counts objects that differ now, `drift_total` also those
    already put right; times are on the agent's clock, None when not reached.
    """

    generation: int
    digest: str
    commit: str
    revision: str
    phase: Phase
    health: Health
    reason: str
    at: float
    since: float
    drifted: int
    drift_total: int
    drift_since: float
    drift_reason: str
    received: float | None
    fetched: float | None
    applied: float | None
    healthy: float | None


class Reach(Value, frozen=True):
    """How well a unit's cluster is heard.

    `heard` is the last sign of life (None: never), `since` when the present unbroken connection began, `skew` the
    hub's clock minus the agent's, in seconds.
    """

    heard: float | None = None
    since: float = 0.0
    silent: bool = False
    paused: bool = False
    skew: float = 0.0


class Shown(Value, frozen=True):
    """The verdict. `deadline` is when it changes by itself if nothing is heard, None if it does not."""

    state: State
    reason: str
    since: float
    flags: tuple[str, ...] = ()
    deadline: float | None = None


class Condition(Value, frozen=True):
    """One step on a unit's way. `status` is True, False or Unknown; `at` when it was reached, if known."""

    type: str
    status: str
    reason: str = ""
    at: float | None = None


Share = Callable[[str], str]
"""Returns an equal string that is kept once; digests, commits and revisions are the same in many units."""


def wanted(assignment: Assignment, share: Share = str) -> Want:
    """The part of an assignment that status needs."""
    return Want(
        assignment.generation,
        share(assignment.digest),
        share(assignment.commit),
        share(assignment.revision),
        share(assignment.traceparent),
        assignment.at,
        assignment.objects,
        assignment.removed,
        assignment.policy.timeout,
    )


def said(report: Report, share: Share = str) -> Have:
    """The part of a report that status needs."""
    standing = [drift for drift in report.drift if drift.corrected is None]
    oldest = min(standing, key=lambda drift: drift.since, default=None)
    reason = ""
    if oldest is not None:
        what = "deleted" if oldest.deleted else ", ".join(field.path for field in oldest.fields[:3]) or "differs"
        more = f", and {len(standing) - 1} more" if len(standing) > 1 else ""
        reason = f"{oldest.ref}: {what}{more}"
    return Have(
        generation=report.generation,
        digest=share(report.digest),
        commit=share(report.commit),
        revision=share(report.revision),
        phase=report.phase,
        health=report.health,
        reason=report.reason,
        at=report.at,
        since=report.since or report.at,
        drifted=len(standing),
        drift_total=len(report.drift),
        drift_since=oldest.since if oldest is not None else 0.0,
        drift_reason=reason,
        received=report.timeline.received,
        fetched=report.timeline.fetched,
        applied=report.timeline.applied,
        healthy=report.timeline.healthy,
    )


def counts_for(want: Want, have: Have | None) -> bool:
    """Whether a report is about exactly what is assigned; any other says nothing about it."""
    return have is not None and have.generation == want.generation and have.digest == want.digest


def is_gone(want: Want, have: Have | None) -> bool:
    """Whether the agent has confirmed that a removed unit is no more."""
    return want.removed and have is not None and have.phase is Phase.REMOVED and have.generation >= want.generation


def judge(want: Want, have: Have | None, reach: Reach, now: float) -> Shown:
    """The shown state: the first, in the order of `State`, of those that hold."""
    current = have if have is not None and counts_for(want, have) else None
    own = _own(want, have, current, reach, now)
    flags: list[str] = []
    shown = own
    if reach.paused:
        flags.append("Paused")
        shown = _worse(shown, Shown(State.PAUSED, "the cluster is paused", own.since))
    if reach.silent:
        flags.append("Stale")
        stale = f"nothing heard from the agent; last known: {own.state}" + (f" ({own.reason})" if own.reason else "")
        shown = _worse(shown, Shown(State.STALE, stale, reach.heard if reach.heard is not None else want.at))
    if current is not None and current.drifted:
        flags.append("Drifted")
        shown = _worse(shown, Shown(State.DRIFTED, current.drift_reason, current.drift_since))
    return Shown(shown.state, shown.reason, shown.since, tuple(reversed(flags)), own.deadline)


def conditions(want: Want, have: Have | None, reach: Reach) -> tuple[Condition, ...]:
    """How far a unit has come with what is assigned: Scheduled, Delivered, Applied, Healthy, Verified.

    Verified means that what the agent says can be believed now: healthy, without drift, and the agent is heard.
    """
    current = have if have is not None and counts_for(want, have) else None
    steps = [Condition("Scheduled", "True", at=want.at)]
    if current is None:
        waiting = _behind(want, have)
        return (
            *steps,
            *(Condition(name, "False", waiting) for name in ("Delivered", "Applied", "Healthy", "Verified")),
        )
    steps.append(Condition("Delivered", "True", at=current.received))
    applied = current.phase in (Phase.APPLIED, Phase.REMOVED) or current.applied is not None
    steps.append(Condition("Applied", _truth(applied), "" if applied else _phase_reason(current), current.applied))
    healthy = applied and current.phase is Phase.APPLIED and current.health is Health.HEALTHY
    if reach.silent or reach.heard is None:
        unknown = "nothing heard from the agent"
        return (
            *steps,
            Condition("Healthy", "Unknown", unknown, current.healthy),
            Condition("Verified", "Unknown", unknown),
        )
    steps.append(Condition("Healthy", _truth(healthy), "" if healthy else _phase_reason(current), current.healthy))
    verified = healthy and not current.drifted
    reason = "" if verified else current.drift_reason or "not healthy yet"
    return (*steps, Condition("Verified", _truth(verified), reason))


def patience(interval: float) -> float:
    """Seconds without a heartbeat after which an agent that beats every `interval` seconds is not heard any more."""
    return MISSED_BEATS * min(max(interval, 1.0), LONGEST_INTERVAL)


def span(seconds: float) -> str:
    """A duration as people write it: `90s`, `5m`, `2h`."""
    for size, unit in ((3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _own(want: Want, have: Have | None, current: Have | None, reach: Reach, now: float) -> Shown:
    """The state before drift, silence and pause are laid over it."""
    if current is None:
        never = reach.heard is None
        reason = "no agent has connected for this cluster yet" if never else _behind(want, have)
        return _timed(want, Shown(State.WAITING, reason, want.at), want.at, reach, now)
    match current.phase:
        case Phase.FAILED:
            return Shown(State.FAILED, current.reason or "the apply failed", current.since)
        case Phase.BLOCKED:
            return Shown(State.BLOCKED, current.reason or "blocked", current.since)
        case Phase.REMOVED | Phase.APPLYING:
            return _progressing(want, current, reach, now)
        case Phase.APPLIED:
            return _applied(want, current, reach, now)


def _applied(want: Want, current: Have, reach: Reach, now: float) -> Shown:
    match current.health:
        case Health.HEALTHY if not want.removed:
            return Shown(State.READY, "", current.since)
        case Health.DEGRADED:
            return Shown(State.FAILED, current.reason or "degraded", current.since)
        case Health.SUSPENDED:
            return Shown(State.PAUSED, current.reason or "suspended", current.since)
        case _:
            return _progressing(want, current, reach, now)


def _progressing(want: Want, current: Have, reach: Reach, now: float) -> Shown:
    started = want.at if current.healthy is None else current.since + reach.skew
    reason = "being removed" if want.removed else _phase_reason(current)
    return _timed(want, Shown(State.PROGRESSING, reason, current.since), started, reach, now)


def _timed(want: Want, shown: Shown, started: float, reach: Reach, now: float) -> Shown:
    """Fails what takes longer than its timeout, unless its agent is not heard: that is Stale, not failed."""
    if reach.silent or reach.heard is None:
        return shown
    deadline = max(started, reach.since) + want.timeout
    if now < deadline:
        return Shown(shown.state, shown.reason, shown.since, deadline=deadline)
    aim = "removed" if want.removed else "healthy"
    return Shown(State.FAILED, f"not {aim} within {span(want.timeout)}: {shown.reason}", deadline)


def _behind(want: Want, have: Have | None) -> str:
    if have is None:
        return "the agent has not reported on it yet"
    if have.generation == want.generation:
        return f"the agent reports another bundle for this generation ({have.digest[:12]}, not {want.digest[:12]})"
    if have.generation > want.generation:
        return "the agent reports a newer generation than this hub has seen"
    return f"the agent still has {have.commit[:10] or have.digest[:12]}"


def _phase_reason(have: Have) -> str:
    if have.reason:
        return have.reason
    if have.phase is Phase.APPLIED:
        return "" if have.health is Health.HEALTHY else f"health is {have.health}"
    return str(have.phase).lower()


def _worse(one: Shown, other: Shown) -> Shown:
    return other if RANK[other.state] < RANK[one.state] else one


def _truth(value: bool) -> str:  # noqa: FBT001 - one value, one meaning
    return "True" if value else "False"
