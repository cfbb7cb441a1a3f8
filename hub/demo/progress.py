"""What a person wants to read while the fleet moves, from one look at the API to the next.

Pure: a `Snapshot` in, the lines that are new out. Each thing is told once, and what happens on many clusters is told
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hub.cli.matrix import TROUBLE
from hub.cli.output import age, counted, object_name, short, value

Item = dict[str, Any]

MOST_FIELDS = 3
"""Fields of one drifted object that are spelled out."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The hub's answers at one moment, as decoded JSON; `at` is when, in unix seconds."""

    at: float
    summary: Item
    clusters: list[Item] = field(default_factory=list)
    applications: list[Item] = field(default_factory=list)
    units: list[Item] = field(default_factory=list)
    drift: list[Item] = field(default_factory=list)
    problems: list[Item] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to tell. `tone` is a state or severity, for its colour; empty for plain news."""

    text: str
    tone: str = ""


class Progress:
    """Remembers what has been told."""

    def __init__(self) -> None:
        self._commit = ""
        self._revisions: dict[str, str] = {}
        self._stages: dict[str, str] = {}
        self._problems: set[str] = set()
        self._drift: dict[tuple[Any, ...], bool] = {}
        self._trouble: set[tuple[str, str, str, str]] = set()

    def news(self, snapshot: Snapshot) -> list[Line]:
        """What is new since the last call."""
        return [
            *self._commits(snapshot),
            *self._findings(snapshot),
            *self._applications(snapshot),
            *self._drifts(snapshot),
            *self._troubles(snapshot),
        ]

    def _commits(self, snapshot: Snapshot) -> Iterator[Line]:
        commits = [application.get("commit") or {} for application in snapshot.applications]
        newest = max(commits, key=lambda commit: commit.get("at", 0.0), default={})
        if newest.get("sha") and newest["sha"] != self._commit:
            self._commit = newest["sha"]
            by = f" by {newest['author']}" if newest.get("author") else ""
            yield Line(f"commit {short(newest['sha'])} “{newest.get('subject', '')}”{by}")

    def _findings(self, snapshot: Snapshot) -> Iterator[Line]:
        seen = {finding(problem): problem["severity"] for problem in snapshot.problems}
        for text, severity in seen.items():
            if text not in self._problems:
                yield Line(text, severity)
        for text in sorted(self._problems - seen.keys()):
            yield Line(f"no longer: {text}", "Ready")
        self._problems = set(seen)

    def _applications(self, snapshot: Snapshot) -> Iterator[Line]:
        units: dict[str, list[Item]] = {}
        for unit in snapshot.units:
            units.setdefault(unit["application"], []).append(unit)
        for application in snapshot.applications:
            name = application["name"]
            head = next(iter(application.get("history") or ()), None)
            if head is None:
                continue
            if self._revisions.get(name) != head["revision"]:
                self._revisions[name] = head["revision"]
                self._stages.pop(name, None)
                yield Line(_published(name, head))
            yield from self._stage(name, head, units.get(name, []))

    def _stage(self, name: str, head: Item, units: list[Item]) -> Iterator[Line]:
        """How far the newest revision has come, told when it is applied everywhere and when it is healthy there."""
        if not units:
            return
        current = [unit for unit in units if _has_what_it_should(unit)]
        ready = sum(unit["state"] == "Ready" for unit in current)
        stage = "healthy" if ready == len(units) else "applied" if len(current) == len(units) else ""
        if not stage or stage == self._stages.get(name) or (stage == "applied" and name in self._stages):
            return
        self._stages[name] = stage
        tone = "Ready" if stage == "healthy" else "Progressing"
        sha = short((head.get("commit") or {}).get("sha"))
        yield Line(f"{name} {sha}: {stage} on {counted(len(units), 'cluster')}{_since(head, units, stage)}", tone)

    def _drifts(self, snapshot: Snapshot) -> Iterator[Line]:
        for item in snapshot.drift:
            ref = item["object"]
            key = (item["cluster"], ref["kind"], ref.get("namespace"), ref["name"], item["since"])
            corrected = bool(item.get("corrected"))
            if key not in self._drift:
                yield Line(f"drift on {item['cluster']}: {difference(item)}", "Drifted")
            if corrected and not self._drift.get(key):
                took = age(item["corrected"] - item["since"])
                yield Line(f"drift on {item['cluster']}: {object_name(ref)} put right after {took}", "Ready")
            self._drift[key] = corrected

    def _troubles(self, snapshot: Snapshot) -> Iterator[Line]:
        seen = {
            (unit["application"], unit["state"], unit.get("reason") or "", unit["cluster"])
            for unit in snapshot.units
            if unit["state"] in TROUBLE - {"Drifted"}
        }
        fresh: dict[tuple[str, str, str], list[str]] = {}
        for application, state, reason, cluster in sorted(seen - self._trouble):
            fresh.setdefault((application, state, reason), []).append(cluster)
        for (application, state, reason), clusters in fresh.items():
            yield Line(f"{application} is {state} on {_names(clusters)}: {reason}", state)
        self._trouble = seen


def finding(problem: Item) -> str:
    """A problem on one line: where, what, and what to do."""
    place = problem.get("place") or {}
    where = place.get("file", "") + (f":{place['line']}" if place.get("line") else "")
    where += f": {place['field']}" if place.get("field") else ""
    hint = f" ({problem['hint']})" if problem.get("hint") else ""
    return f"{where + ': ' if where else ''}{problem['severity']}: {problem['message']}{hint}"


def difference(item: Item) -> str:
    """What differs in a drifted object, and who did it."""
    fields = item.get("fields") or []
    name = object_name(item["object"])
    if item.get("deleted") or not fields:
        return f"{name} was deleted"
    told = ", ".join(f"{f['path']} is {value(f['have'])}, want {value(f['want'])}" for f in fields[:MOST_FIELDS])
    more = f" and {len(fields) - MOST_FIELDS} more fields" if len(fields) > MOST_FIELDS else ""
    managers = sorted({f["manager"] for f in fields if f.get("manager")})
    return f"{name}: {told}{more}" + (f" (by {', '.join(managers)})" if managers else "")


def _published(name: str, head: Item) -> str:
    times, clusters = head.get("times") or {}, head.get("published", 0)
    what = f"rendered and published to {counted(clusters, 'cluster')}" if clusters else "no cluster has to change"
    timed = clusters and times.get("published") and times.get("detected")
    took = f" in {age(times['published'] - times['detected'])}" if timed else ""
    return f"{name} {short((head.get('commit') or {}).get('sha'))}: {what}{took}"


def _since(head: Item, units: Iterable[Item], stage: str) -> str:
    """How long it took from the commit's being seen to the last cluster."""
    begun = (head.get("times") or {}).get("detected")
    ends = [(unit.get("have") or {}).get(stage) for unit in units]
    reached = [end for end in ends if isinstance(end, int | float)]
    return f", {age(max(reached) - begun)} after it was seen" if begun and len(reached) == len(ends) else ""


def _has_what_it_should(unit: Item) -> bool:
    want, have = unit.get("want") or {}, unit.get("have") or {}
    return bool(want.get("digest")) and want.get("digest") == have.get("digest") and unit["state"] != "Waiting"


def _names(clusters: list[str]) -> str:
    return ", ".join(clusters[:3]) + (f" and {len(clusters) - 3} more" if len(clusters) > 3 else "")
