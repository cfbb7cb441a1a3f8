"""Delivery figures of applications and environments, as DORA defines them, worked out from their rollouts. Pure.

The definitions are those of https://dora.dev/guides/dora-metrics: change lead time is from a change being committed to
version control to its being deployed; deployment frequency is deployments over a period; change fail rate is the
share of deployments that require intervention right after, such as a rollback or a hotfix; failed deployment recovery
time (before 2023: time to restore service) is how long it takes to recover from one of these. What they mean here:

- A *deployment* is a rollout that has given its revision to a cluster of the environment, at the time of the first one.
- Its *lead time* ends when the last of its clusters there was healthy with the revision. Clusters that were offline or
  skipped do not count, nor do those that failed once the rollout has gone through without them. One that never
  reached all clusters, or was taken back, has none.
- It *failed* when a cluster there failed or could not be told healthy in time, also where the strategy puts up with
  that, when its checks did not hold, or when it was taken back.
- It is *recovered* from when all its clusters there are healthy again: with the revision, with what they had before,
  or with that of a later rollout.

Times are unix seconds, durations seconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from hub.domain.runs import Phase, Rollout, Slot, SlotState
from shared.model import Value

DAY = 86_400.0
WEEK = 7 * DAY
ALL = ""
"""In place of an environment: all clusters of an application together."""


class Deployment(Value, frozen=True):
    """A rollout in one environment. Without `failed` nothing has gone wrong, without `recovered` it still does."""

    application: str
    environment: str
    at: float
    committed: float | None = None
    healthy: float | None = None
    failed: float | None = None
    recovered: float | None = None


class History(Value, frozen=True):
    """What is known of an application: how many rollouts, when the oldest began, and what they were, oldest first."""

    rollouts: int
    oldest: float | None
    deployments: tuple[Deployment, ...]


class Spread(Value, frozen=True):
    """Durations: how many there are, the middle one, and the one that nine of ten do not exceed. None without any."""

    samples: int
    median: float | None
    p90: float | None


class Figures(Value, frozen=True):
    """The four figures over a time. Each is None where there is nothing to work it out from.

    `per_day` are deployments per day of the time for which rollouts are known; `failure_rate` is between 0 and 1, of
    `deployments`.
    """

    deployments: int
    per_day: float | None
    lead_time: Spread
    failures: int
    failure_rate: float | None
    recovery: Spread


class Week(Value, frozen=True):
    """The figures of seven days, or of the rest of the time asked for."""

    start: float
    end: float
    figures: Figures


class Row(Value, frozen=True):
    """The figures of an application in an environment; those of `ALL` are about the application as a whole.

    `since` is from when on its rollouts are known.
    """

    application: str
    environment: str
    since: float
    figures: Figures


class Report(Value, frozen=True):
    """Figures from `start` to `end`: together, week by week, the newest last, and for each part.

    `rollouts` is how many are looked at, `complete_since` from when on all of those that there were are among them.
    """

    start: float
    end: float
    complete_since: float
    rollouts: int
    figures: Figures
    weeks: tuple[Week, ...]
    rows: tuple[Row, ...]


def history_of(rollouts: Sequence[Rollout]) -> History:
    """What an application's rollouts, ended or not and in any order, were in each environment."""
    return History(len(rollouts), min((each.plan.at for each in rollouts), default=None), tuple(_deployments(rollouts)))


def _deployments(rollouts: Iterable[Rollout]) -> list[Deployment]:
    found: list[Deployment] = []
    going_wrong: dict[str, list[int]] = {}
    for rollout in sorted(rollouts, key=lambda each: each.plan.at):
        blame = _blame(rollout)
        for environment, slots in _by_environment(rollout).items():
            at = min((slot.released for slot in slots.values() if slot.released is not None), default=None)
            if at is None:
                continue
            made = _deployment(rollout, environment, slots, at, blame)
            well = made.healthy if made.failed is None else made.recovered
            for number in going_wrong.pop(environment, []) if well is not None else ():
                again = max(well or 0.0, found[number].failed or 0.0)
                found[number] = msgspec.structs.replace(found[number], recovered=again)
            if made.failed is not None and made.recovered is None:
                going_wrong.setdefault(environment, []).append(len(found))
            found.append(made)
    return found


def report(histories: Mapping[str, History], environment: str, days: int, now: float, kept: int) -> Report:
    """The figures of the last days.

    Args:
        histories: what is known of each application.
        environment: only what happened there; `ALL`: everything, and rows for each environment besides.
        days: how far back.
        now: up to when.
        kept: how many rollouts of an application are known at most. Of one with so many, nothing is known from before
            the oldest of them.
    """
    start = now - days * DAY
    rows, together = [], []
    for application, history in sorted(histories.items()):
        full = history.rollouts >= kept and history.oldest is not None
        since = max(start, history.oldest or start) if full else start
        by_environment: dict[str, list[Deployment]] = {environment: []}
        for each in history.deployments:
            by_environment.setdefault(each.environment, []).append(each)
        for name, made in sorted(by_environment.items()):
            here = _Known(made, since)
            if name == environment:
                together.append(here)
            if made and environment in (ALL, name):
                rows.append(Row(application, name, since, _figures([here], start, now)))
    weeks = [(max(start, now - (number + 1) * WEEK), now - number * WEEK) for number in range(math.ceil(days / 7))]
    return Report(
        start=start,
        end=now,
        complete_since=max((each.since for each in together), default=start),
        rollouts=sum(each.rollouts for each in histories.values()),
        figures=_figures(together, start, now),
        weeks=tuple(Week(first, last, _figures(together, first, last)) for first, last in reversed(weeks)),
        rows=tuple(rows),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """The deployments of one application in one environment, all of them from `since` on."""

    made: list[Deployment]
    since: float


def _figures(parts: Iterable[_Known], start: float, end: float) -> Figures:
    """Each figure is of what came to be in this time: deployed, healthy, recovered."""
    count, failures, rates = 0, 0, []
    lead: list[float] = []
    recovery: list[float] = []
    for part in parts:
        made = [each for each in part.made if start <= each.at < end]
        count += len(made)
        failures += sum(each.failed is not None for each in made)
        covered = end - max(start, part.since)
        if covered > 0:
            rates.append(len(made) * DAY / covered)
        for each in part.made:
            if each.healthy is not None and each.committed is not None and start <= each.healthy < end:
                lead.append(max(0.0, each.healthy - each.committed))
            if each.recovered is not None and each.failed is not None and start <= each.recovered < end:
                recovery.append(each.recovered - each.failed)
    return Figures(
        deployments=count,
        per_day=sum(rates) if rates else None,
        lead_time=_spread(lead),
        failures=failures,
        failure_rate=failures / count if count else None,
        recovery=_spread(recovery),
    )


def _spread(durations: list[float]) -> Spread:
    if not durations:
        return Spread(0, None, None)
    in_order = sorted(durations)
    return Spread(len(in_order), statistics.median(in_order), in_order[math.ceil(0.9 * len(in_order)) - 1])


def _by_environment(rollout: Rollout) -> dict[str, dict[str, Slot]]:
    found: dict[str, dict[str, Slot]] = {ALL: rollout.slots}
    clusters = rollout.plan.clusters
    for name, slot in rollout.slots.items():
        for environment in clusters[name].environments:
            found.setdefault(environment, {})[name] = slot
    return found


def _deployment(rollout: Rollout, environment: str, slots: Mapping[str, Slot], at: float, blame: _Blame) -> Deployment:
    failed, recovered = _trouble(rollout, slots, at, blame)
    back = any(slot.back is not None for slot in slots.values())
    return Deployment(
        rollout.application,
        environment,
        at,
        committed=rollout.plan.commit.at or None,
        healthy=None if back else _healthy(rollout, slots.values()),
        failed=failed,
        recovered=recovered,
    )


def _trouble(
    rollout: Rollout, slots: Mapping[str, Slot], at: float, blame: _Blame
) -> tuple[float | None, float | None]:
    """Since when something was wrong on these clusters, and since when nothing is any more."""
    back = [slot for slot in slots.values() if slot.back is not None]
    bad = any(_bad(slot) for slot in slots.values())
    healed = [slots[name] for name in blame.clusters & slots.keys()]
    if not (back or bad or healed):
        return None, None
    began = rollout.troubled
    if began is None:  # nothing had failed, and a person took it back
        began = min((slot.back for slot in back if slot.back is not None), default=rollout.ended or at)
    failed = max(at, began)
    wanted = SlotState.RESTORED if back else SlotState.HEALTHY
    touched = back or healed
    if bad or blame.until is None or any(slot.state is not wanted for slot in touched):
        return failed, None
    return failed, max(failed, blame.until, *(slot.healthy or 0.0 for slot in touched))


def _healthy(rollout: Rollout, slots: Iterable[Slot]) -> float | None:
    """When the last cluster was healthy with the revision; None while one is to be waited for."""
    through = rollout.phase in (Phase.COMPLETED, Phase.FAILED)
    last = None
    for slot in slots:
        late = through and rollout.ended is not None and (slot.healthy or 0.0) > rollout.ended
        if slot.state is SlotState.HEALTHY and slot.healthy is not None and not late:
            last = max(last or 0.0, slot.healthy)
        elif not late and not through and slot.state not in (SlotState.OFFLINE, SlotState.SKIPPED):
            return None
    return last


class _Blame(Value, frozen=True):
    """Clusters with which something was wrong, though nothing of them tells any more; it was wrong until then at least.

    None: it still is.
    """

    clusters: frozenset[str] = frozenset()
    until: float | None = 0.0


def _blame(rollout: Rollout) -> _Blame:
    """What went wrong in a rollout in which no cluster is failing or was taken back: one healed, or checks failed."""
    troubled = rollout.troubled
    if troubled is None or any(slot.back is not None or _bad(slot) for slot in rollout.slots.values()):
        return _Blame()
    for stage, run in zip(rollout.plan.stages, rollout.stages, strict=True):
        if run.started is None or run.started > troubled or (run.done is not None and run.done < troubled):
            continue
        healed = {name for name in stage.clusters if (rollout.slots[name].healthy or troubled) >= troubled}
        if healed:
            return _Blame(frozenset(healed))
        return _Blame(frozenset(stage.clusters), run.done)
    return _Blame()


def _bad(slot: Slot) -> bool:
    return slot.state in (SlotState.FAILED, SlotState.KEPT)
