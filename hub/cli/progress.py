"""Rollouts as people see them at a terminal: dicts of the API in, tables and lines out. Pure.

Stages come as bars, clusters by state, gates with what they wait for and since when.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hub.cli.output import Table, age, counted, short

REJECTED = ("Aborted", "RolledBack")
"""Phases after which a revision is held (`hub.domain.runs`, which commands do not load: it takes its time)."""
Item = dict[str, Any]

WIDTH = 24
"""Columns of a bar."""
NAMED = 6
"""Clusters named on a line."""
TOLD = 10
"""Events of its history that are shown with a rollout."""
DONE, IN_FLIGHT, FAILED, OFFLINE, LEFT_OUT, PENDING = "█", "▒", "✗", "?", "-", "·"
LEGEND = "  ".join(
    f"{mark} {word}"
    for mark, word in (
        (DONE, "healthy"), (IN_FLIGHT, "in flight"), (FAILED, "failed"), (OFFLINE, "offline"), (LEFT_OUT, "left out"),
        (PENDING, "to come"),
    )
)  # fmt: skip
_PARTS = (
    (DONE, ("done", "restored")),
    (IN_FLIGHT, ("inFlight",)),
    (FAILED, ("failed", "kept")),
    (OFFLINE, ("offline",)),
    (LEFT_OUT, ("skipped",)),
)
_WORDS = {
    "done": "healthy", "restored": "back", "inFlight": "in flight", "failed": "failed", "offline": "offline",
    "pending": "to come", "skipped": "left out", "kept": "kept",
}  # fmt: skip
_NOTABLE = ("inFlight", "failed", "offline", "skipped")
_CALLS = {"approval": "yardarm rollout approve {}", "hold": "yardarm release {}"}
"""What a person can do about a wait."""
_FAILED = frozenset({"Failed", "RolledBack"})


def in_trouble(rollout: Item) -> bool:
    """Whether somebody has to look: it failed, was rolled back, or stands because too much failed."""
    return rollout["phase"] in _FAILED or (rollout["phase"] == "Paused" and not rollout["by"])


def listed(rollouts: Sequence[Item], now: float) -> Table:
    """Rollouts, a line each."""
    rows = [
        (
            each["application"],
            each["phase"],
            each["stage"],
            counts(each["clusters"]),
            short(each["revision"]),
            age(now - each["startedAt"]),
            each["reason"] or waiting(each, now),
        )
        for each in rollouts
    ]
    columns = ("APPLICATION", "PHASE", "STAGE", "CLUSTERS", "REVISION", "AGE", "WAITS FOR, OR WHY")
    return Table(columns, rows, "no rollouts")


def past(rollouts: Sequence[Item], now: float) -> Table:
    """The rollouts of one application with how long they and their stages took."""
    rows = [
        (
            short(each["revision"]),
            each["phase"],
            age(now - each["startedAt"]),
            age(each["seconds"]),
            counts(each["clusters"]),
            ", ".join(f"{stage['name']} {age(took)}" for stage in each["stages"] if (took := _took(stage))),
            (each["commit"] or {}).get("subject", ""),
            " ".join(filter(None, (each["reason"], each["by"] and f"({each['by']})"))),
        )
        for each in rollouts
    ]
    columns = ("REVISION", "PHASE", "AGE", "TOOK", "CLUSTERS", "STAGES", "COMMIT", "WHY")
    return Table(columns, rows, "no rollouts")


def shown(rollout: Item, now: float) -> Iterator[Table | str]:
    """One rollout with everything there is to say of it."""
    yield from _head(rollout, now)
    yield ""
    yield _stages(rollout)
    if rollout["stages"]:
        yield LEGEND
    yield from _gates(rollout, now)
    yield from _states(rollout)
    if rollout["events"]:
        yield ""
        yield _events(rollout["events"][:TOLD], now)


def counts(clusters: Item) -> str:
    """`12/30 healthy, 1 failed`; of those that were sent back, `12/14 back`."""
    number, of, word = clusters["done"], clusters["total"], "healthy"
    if clusters["restored"] or clusters["kept"]:
        left_alone = clusters["pending"] + clusters["done"] + clusters["skipped"]
        number, of, word = clusters["restored"], clusters["total"] - left_alone, "back"
    return ", ".join((f"{number}/{of} {word}", *_counted(clusters, _NOTABLE)))


def waiting(rollout: Item, now: float) -> str:
    """The first thing that the stage whose turn it is waits for."""
    waits = [wait for stage in rollout["stages"] for wait in stage["waitsFor"]]
    more = f" (and {len(waits) - 1} more)" if len(waits) > 1 else ""
    return _wait(waits[0], now) + more if waits else ""


def bar(clusters: Item, width: int = WIDTH) -> str:
    """Each kind of cluster gets its share of the columns, and at least one."""
    total = clusters["total"]
    if not total:
        return ""
    drawn = ""
    for mark, names in _PARTS:
        number = sum(clusters[name] for name in names)
        room = width - len(drawn) - bool(clusters["pending"])
        drawn += mark * min(room, max(1, number * width // total)) if number else ""
    # What rounding leaves goes to those to come, or (when all have come) to the first kind there is.
    return drawn.ljust(width, PENDING if clusters["pending"] else drawn[:1])


def _counted(clusters: Item, names: Iterable[str]) -> list[str]:
    return [f"{clusters[name]} {_WORDS[name]}" for name in names if clusters[name]]


def _head(rollout: Item, now: float) -> Iterator[str]:
    commit = rollout["commit"] or {}
    subject = f" “{commit['subject']}”" if commit.get("subject") else ""
    author = f" by {commit['author']}" if commit.get("author") else ""
    yield f"{rollout['application']}: revision {short(rollout['revision'])}{subject}{author}"
    ended = rollout["endedAt"]
    when = f"{age(now - ended)} ago, after {age(rollout['seconds'])}" if ended else f"for {age(rollout['seconds'])}"
    at = f" at stage {rollout['stage']}" if rollout["active"] and rollout["stage"] else ""
    came = f" · from {short(rollout['from'])}" if rollout["from"] else ""
    yield f"{rollout['phase']}{at} {when}{came} · {counts(rollout['clusters'])}{_estimate(rollout, now)}"
    if rollout["reason"] or rollout["by"]:
        yield f"why: {' '.join(filter(None, (rollout['reason'], rollout['by'] and '(' + rollout['by'] + ')')))}"
    if rollout["bypass"]:
        yield f"all gates are left out: {rollout['bypass']}"
    if rollout["queued"]:
        yield f"{short(rollout['queued'])} waits for it to end"
    if rollout["rejected"]:
        call = f"yardarm rollout release {rollout['application']}"
        yield f"{short(rollout['revision'])} does not start again by itself: commit, or `{call}`"
    for hold in rollout["holds"]:
        where = hold["cluster"] or hold["environment"] or "everywhere"
        yield f"held {where} by {hold['by']} for {age(now - hold['at'])}: {hold['reason']}"


def _estimate(rollout: Item, now: float) -> str:
    if not rollout["active"]:
        return ""
    estimate = rollout["estimate"]
    return f" · about {age(max(0.0, estimate['endsAt'] - now))} left" if estimate else " · nobody can say how long yet"


def _stages(rollout: Item) -> Table:
    rows = [
        (
            stage["name"],
            stage["phase"],
            bar(stage["clusters"]),
            ", ".join(_counted(stage["clusters"], _WORDS)) or "none",
            _limits(stage),
            _durations(stage["durations"]),
        )
        for stage in rollout["stages"]
    ]
    return Table(("STAGE", "PHASE", "PROGRESS", "CLUSTERS", "LIMITS", "TIME"), rows, "no stages")


def _limits(stage: Item) -> str:
    at_once = f"{stage['maxConcurrent']} at once" if stage["maxConcurrent"] < stage["clusters"]["total"] else ""
    may_fail = f"{stage['maxFailures']} may fail" if stage["maxFailures"] else ""
    return ", ".join(filter(None, (at_once, may_fail)))


def _durations(durations: Item) -> str:
    parts = ("waited", "rolled", "soaked", "checked")
    return ", ".join(f"{name} {age(durations[name])}" for name in parts if durations[name])


def _took(stage: Item) -> float:
    return sum(float(part) for part in stage["durations"].values() if part)


def _gates(rollout: Item, now: float) -> Iterator[str]:
    """What the stages wait for, and what was measured and approved."""
    lines = []
    for stage in rollout["stages"]:
        for wait in stage["waitsFor"]:
            call = _CALLS.get(wait["kind"], "").format(rollout["application"])
            lines.append(f"{stage['name']} waits for {_wait(wait, now)}" + (f": `{call}`" if call else ""))
        if stage["phase"] in ("Soaking", "Checking"):
            lines += [f"{stage['name']} check {_check(check, now)}" for check in stage["checks"]]
    lines += [
        f"{each['stage']} approved by {each['by']} {age(now - each['at'])} ago"
        + (f": {each['comment']}" if each["comment"] else "")
        for each in rollout["approvals"]
    ]
    if lines:
        yield ""
        yield from lines


def _wait(wait: Item, now: float) -> str:
    since = f" for {age(now - wait['since'])}" if wait["since"] else ""
    until = f", {age(max(0.0, wait['until'] - now))} to go" if wait["until"] else ""
    return f"{wait['kind']}{since}{until} ({wait['reason']})"


def _check(check: Item, now: float) -> str:
    if check["since"] is not None:
        stands = f"holds for {age(now - check['since'])} of {age(check['for'])}"
    elif check["failedSince"] is not None:
        stands = f"fails for {age(now - check['failedSince'])}"
    else:
        stands = "is not known yet"
    said = check["detail"] or check["value"]
    return f"{check['title']} {stands}" + (f": {said}" if said else "")


def _states(rollout: Item) -> Iterator[Table | str]:
    """Clusters by state; of those that are well, or have yet to come, only how many."""
    rows = [
        (told["state"], str(each["count"]), _names(each), each["reason"])
        for told in rollout["states"]
        for each in told["reasons"]
    ]
    if rows:
        yield ""
        yield Table(("STATE", "", "CLUSTERS", "REASON"), rows)


def _names(group: Item) -> str:
    names = group["clusters"][:NAMED]
    more = group["count"] - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _events(events: Sequence[Item], now: float) -> Table:
    rows = [(age(now - event["at"]), event["severity"], event["actor"], event["message"]) for event in reversed(events)]
    return Table(("AGE", "SEVERITY", "BY", "WHAT HAPPENED"), rows)


def line(rollout: Item, now: float) -> str:
    """A rollout that is under way, on one line."""
    why = rollout["reason"] or waiting(rollout, now)
    at = f" at {rollout['stage']}" if rollout["stage"] else ""
    return f"{rollout['application']} {rollout['phase']}{at}, {counts(rollout['clusters'])}" + (
        f": {why}" if why else ""
    )


def summary(rollouts: Sequence[Item], now: float, limit: int = 5) -> Iterator[str]:
    """The rollouts that are under way, for a page about more than that."""
    if not rollouts:
        return
    yield f"{counted(len(rollouts), 'rollout')} under way:"
    yield from (f"  {line(each, now)}" for each in rollouts[:limit])
    if len(rollouts) > limit:
        yield f"  and {len(rollouts) - limit} more: yardarm rollout list --active"


def rejected(rollouts: Sequence[Item], now: float, limit: int = 5) -> Iterator[str]:
    """Revisions that do not start again by themselves: what runs is not what Git says."""
    if not rollouts:
        return
    yield f"{counted(len(rollouts), 'revision')} held after being taken back:"
    for each in rollouts[:limit]:
        since = age(now - (each["endedAt"] or now))
        why = f": {each['reason']}" if each["reason"] else ""
        yield f"  {each['application']} {short(each['commit']['sha'])} {each['phase']} {since} ago{why}"
    if len(rollouts) > limit:
        yield f"  and {len(rollouts) - limit} more: yardarm rollout list"


def brief(rollout: Item | None, holds: Sequence[Item]) -> str:
    """A cell of a table: `Progressing at prod 3/30`, and whether somebody holds the application."""
    parts = []
    if rollout is not None:
        clusters = rollout["clusters"]
        at = f" at {rollout['stage']}" if rollout["stage"] else ""
        parts.append(f"{rollout['phase']}{at} {clusters['done'] or clusters['restored']}/{clusters['total']}")
    if holds:
        parts.append(f"held by {holds[0]['by']}")
    return ", ".join(parts)
