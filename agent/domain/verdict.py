"""Where an assignment stands after a pass, and what is in its way. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from agent.domain.blocking import Stops
from agent.domain.desired import Refused
from agent.domain.hooks import Hook, Moment
from agent.domain.outcome import Outcome, Pass
from agent.domain.plan import Plan
from shared.messages import Phase


class Verdict(msgspec.Struct, frozen=True):
    """Where the assignment stands, as far as applying goes."""

    phase: Phase
    reason: str = ""
    waits_for_units: bool = False


class Aftermath(msgspec.Struct, frozen=True):
    """A pass, and what is known when it is over."""

    work: Plan
    passed: Pass
    refused: Sequence[Refused] = ()
    """Objects of the bundle that cannot be kept on the cluster."""
    hooks_failed: Sequence[Hook] = ()
    """Those that stop the revision."""
    hooks_unfinished: Sequence[Hook] = ()
    unconfirmed: str = ""
    """Deletions that wait for a person, in words; empty when none do."""
    stuck: str = ""
    """Why the first of the leaving objects is not gone yet, if that is known."""


def verdict(after: Aftermath) -> Verdict:
    """The first of these that holds. Hooks after everything, and writing the inventory, may still be to do."""
    work, passed = after.work, after.passed
    failed: list[Outcome | Refused] = [each for each in passed.outcomes.values() if each.failed]
    if passed.cluster_down:
        return Verdict(Phase.APPLYING, passed.cluster_down)
    if failed or after.refused:
        return Verdict(Phase.FAILED, named([*failed, *after.refused]))
    if over := after.hooks_failed:
        return Verdict(Phase.FAILED, f"hook {over[0].each.ref} failed: {over[0].reason}")
    if work.refused:
        return Verdict(Phase.BLOCKED, named(work.refused))
    if waits := passed.gate or (named(work.waiting) if work.waiting else _going_on(after)):
        return Verdict(Phase.APPLYING, waits)
    if after.unconfirmed:
        return Verdict(Phase.BLOCKED, after.unconfirmed)
    late = after.hooks_unfinished
    return Verdict(Phase.APPLYING, _at_work(late[0])) if late else Verdict(Phase.APPLIED)


def _going_on(after: Aftermath) -> str:
    """What is at work of hooks and deletions; empty when only hooks after everything are left."""
    early = [each for each in after.hooks_unfinished if each.moment not in (Moment.AFTER, Moment.LEFT)]
    if early:
        return _at_work(early[0])
    work = after.work
    if work.prune or work.leaving:
        ref = work.leaving[0] if work.leaving else work.prune[0][0]
        return f"waits until {ref} is deleted" + (f": {after.stuck}" if after.stuck else "")
    return ""


def stops(after: Aftermath) -> Stops:
    """What is in the way."""
    passed = after.passed
    waits = Counter(each.cause.key for each in passed.held.values())
    causes = {each.cause.key: each for each in passed.held.values()}
    failed = [Refused(each.ref, each.reason) for each in passed.outcomes.values() if each.failed]
    return Stops(
        failed=(*failed, *after.refused),
        refused=after.work.refused,
        waiting=after.work.waiting,
        leaving=after.work.leaving,
        unconfirmed=after.work.blocked,
        hooks=tuple(hook for hook in after.hooks_unfinished if not hook.to_make),
        held=tuple((each.cause, each.reason, waits[key]) for key, each in causes.items()),
    )


def named(stopped: Sequence[Outcome | Refused]) -> str:
    """The first of them, with the number of the others."""
    more = f" (and {len(stopped) - 1} more objects)" if len(stopped) > 1 else ""
    return f"{stopped[0].ref}: {stopped[0].reason}{more}"


def _at_work(hook: Hook) -> str:
    return f"waits for hook {hook.each.ref}: {hook.reason or hook.stand}"
