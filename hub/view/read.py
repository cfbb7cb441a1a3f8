"""The view's queries: plain dicts with the names of the API (DESIGN section 9), ready to be written as JSON.

Times are unix seconds. Lists are sorted and paged; a page is the items and the cursor of the next page, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from hub.domain.records import ApplicationInfo, ClusterInfo, Commit, EnvironmentInfo, PathTimes, Revision
from hub.domain.rollup import Tally
from hub.domain.status import Have, State, conditions
from hub.view.core import View
from hub.view.history import Delta, EventFilter
from hub.view.index import UnitFilter, read_cursor, write_cursor
from hub.view.records import ClusterRecord, Key, UnitRecord
from shared.messages import Drift, Event, ObjectStatus, to_json
from shared.model import ObjectRef, Problem
from shared.telemetry import trace_id

Item = dict[str, Any]
Page = tuple[list[Item], str | None]
T = TypeVar("T")

RECENT = 50
"""Events shown with a unit."""
LISTED_PROBLEMS = 10
"""Problems shown with an application in a list; its own page has all."""


def summary(view: View) -> Item:
    """The fleet in a few numbers."""
    tally = view.tally()
    commit = view.fleet.commit
    listed = [record for record in view.clusters.values() if _listed(record)]
    found = list(_problems(view))
    return {
        "commit": commit.sha if commit is not None else "",
        "head": _commit(commit),
        "repo": view.fleet.repo,
        "clusters": {
            "total": len(listed),
            "stale": sum(record.connection == "stale" for record in listed),
            "waiting": sum(record.connection == "waiting" for record in listed),
        },
        "environments": len(view.fleet.environments),
        "applications": len(view.applications),
        "units": tally.by_state(),
        "drifted": tally.drifted,
        "reasons": _reasons(tally),
        "problems": {
            "error": sum(problem.severity == "error" for problem in found),
            "warning": sum(problem.severity == "warning" for problem in found),
        },
    }


def clusters(view: View, limit: int, cursor: str | None = None, environment: str = "", state: str = "") -> Page:
    """Clusters by name, optionally of one environment, or in one (connection or worst unit) state."""
    names = sorted(name for name, record in view.clusters.items() if _listed(record))
    items = (cluster_item(view, view.clusters[name]) for name in _behind(names, cursor))
    return _page(
        (
            item
            for item in items
            if (not environment or environment in item["environments"]) and (not state or item["state"] == state)
        ),
        limit,
        lambda item: (item["name"],),
    )


def cluster(view: View, name: str) -> Item | None:
    """One cluster."""
    record = view.clusters.get(name)
    return cluster_item(view, record) if record is not None and _listed(record) else None


def cluster_item(view: View, record: ClusterRecord) -> Item:
    """A cluster with its agent and the counts of its units."""
    info = record.info or ClusterInfo(record.name, origin="unknown")
    tally = view.tally("cluster", record.name)
    beat = record.beat
    problems = list(beat.problems) if beat is not None else []
    if record.info is None:
        problems.append("the fleet does not know this cluster: add a Cluster document, or remove its agent")
    if record.skew:
        problems.append(f"its clock differs from the hub's by {abs(record.skew):.0f} s")
    return {
        "name": record.name,
        "environment": info.environment,
        "environments": list(info.environments),
        "labels": info.labels,
        "paused": info.paused,
        "origin": info.origin,
        "state": _cluster_state(record, tally),
        "connection": record.connection,
        "heard": record.heard,
        "since": record.since or None,
        "stale": record.silent,
        "agent": beat.agent if beat is not None else "",
        "boot": beat.boot if beat is not None else "",
        "interval": beat.interval if beat is not None else None,
        "facts": beat.facts if beat is not None else {},
        "problems": problems,
        "units": tally.by_state(),
        "drifted": tally.drifted,
        "reasons": _reasons(tally),
    }


def environments(view: View) -> list[Item]:
    """Environments in their order of promotion."""
    return [_environment(view, info) for info in sorted(view.fleet.environments, key=lambda one: (one.order, one.name))]


def _environment(view: View, info: EnvironmentInfo) -> Item:
    tally = view.tally("environment", info.name)
    return {
        "name": info.name,
        "order": info.order,
        "clusters": info.clusters,
        "state": tally.worst() or State.READY,
        "units": tally.by_state(),
        "drifted": tally.drifted,
        "reasons": _reasons(tally),
    }


def applications(view: View, limit: int, cursor: str | None = None, project: str = "") -> Page:
    """Applications by name."""
    names = _behind(sorted(view.applications), cursor)
    items = (application_item(view, view.applications[name]) for name in names)
    return _page((item for item in items if not project or item["project"] == project), limit, lambda i: (i["name"],))


def application(view: View, name: str) -> Item | None:
    """One application with where it is placed, its problems and its history of revisions."""
    info = view.applications.get(name)
    if info is None:
        return None
    return application_item(view, info) | {
        "clusterNames": list(info.clusters),
        "problems": [problem_item(problem) for problem in info.problems],
        "history": [_revision(revision) for revision in info.history],
    }


def application_item(view: View, info: ApplicationInfo) -> Item:
    """An application with the counts of its units, its first problems and its current revision."""
    tally = view.tally("application", info.name)
    current = info.history[0] if info.history else None
    errors = sum(problem.severity == "error" for problem in info.problems)
    return {
        "name": info.name,
        "namespace": info.namespace,
        "project": info.project,
        "labels": info.labels,
        "source": to_json(info.source),
        "clusters": len(info.clusters),
        "state": tally.worst() or (State.FAILED if errors else State.WAITING),
        "commit": _commit(info.commit),
        "revision": current.revision if current is not None else "",
        "trace": trace_id(current.traceparent) if current is not None else "",
        "problems": [problem_item(problem) for problem in info.problems[:LISTED_PROBLEMS]],
        "problemCounts": {"error": errors, "warning": len(info.problems) - errors},
        "history": [_revision(current)] if current is not None else [],
        "units": tally.by_state(),
        "drifted": tally.drifted,
        "reasons": _reasons(tally),
    }


def _revision(revision: Revision) -> Item:
    return {
        "revision": revision.revision,
        "commit": _commit(revision.commit),
        "trace": trace_id(revision.traceparent),
        "times": path_times(revision.times),
        "published": revision.published,
    }


def units(view: View, wanted: UnitFilter, limit: int, cursor: str | None = None) -> Page:
    """Units by cluster, namespace, application."""
    found = list(islice(view.index.select(wanted, _unit_key(cursor)), limit + 1))
    following = write_cursor(*found[limit - 1].key) if len(found) > limit else None
    return [unit_item(record) for record in found[:limit]], following


def unit_item(record: UnitRecord) -> Item:
    """A unit as it is listed."""
    cluster_name, namespace, application_name = record.key
    want, have, shown = record.want, record.have, record.shown
    if want is None or shown is None:
        raise LookupError(f"nothing is assigned to {'/'.join(record.key)}")
    return {
        "cluster": cluster_name,
        "namespace": namespace,
        "application": application_name,
        "environment": record.environment,
        "state": shown.state,
        "reason": shown.reason,
        "since": shown.since,
        "flags": list(shown.flags),
        "want": {
            "generation": want.generation,
            "digest": want.digest,
            "commit": want.commit,
            "revision": want.revision,
            "objects": want.objects,
            "removed": want.removed,
            "at": want.at,
        },
        "have": {
            "generation": have.generation if have is not None else 0,
            "digest": have.digest if have is not None else "",
            "commit": have.commit if have is not None else "",
            "revision": have.revision if have is not None else "",
            "phase": have.phase if have is not None else "",
            "health": have.health if have is not None else "Unknown",
            "at": have.at if have is not None else None,
            "received": have.received if have is not None else None,
            "applied": have.applied if have is not None else None,
            "healthy": have.healthy if have is not None else None,
        },
        "trace": trace_id(want.traceparent),
    }


def unit(view: View, key: Key) -> Item | None:
    """One unit with its objects, drift, conditions, times and latest events."""
    record = view.index.units.get(key)
    if record is None or record.want is None:
        return None
    details = record.details()
    reach = view.clusters[key[0]].reach
    wanted = EventFilter(cluster=key[0], namespace=key[1], application=key[2])
    return unit_item(record) | {
        "conditions": [to_json(one) for one in conditions(record.want, record.have, reach)],
        "heard": reach.heard,
        "counts": details.counts,
        "objects": [_object(one) for one in details.objects],
        "drift": [_drift(record, one) for one in details.drift],
        "warnings": list(details.warnings),
        "timeline": _timeline(record.have),
        "past": [to_json(passage) for passage in record.past],
        "events": [event_item(one) for one in islice(view.events.newest(wanted), RECENT)],
    }


def drift(view: View, wanted: UnitFilter, limit: int, cursor: str | None = None, *, standing: bool = False) -> Page:
    """Objects that differ, or (unless `standing`) differed and were put right, by unit."""
    after: Key | None = None
    skip = 0
    if cursor:
        cluster_name, namespace, application_name, seen = read_cursor(cursor, str, str, str, int)
        after, skip = (str(cluster_name), str(namespace), str(application_name)), int(seen)
    items: list[Item] = []
    for record in _from(view, wanted, after):
        offset = skip if record.key == after else 0
        for position, one in enumerate(record.details().drift):
            if position < offset or (standing and one.corrected is not None):
                continue
            if len(items) == limit:
                return items, write_cursor(*record.key, position)
            items.append(_drift(record, one))
    return items, None


def events(view: View, wanted: EventFilter, limit: int, cursor: str | None = None) -> Page:
    """Events, newest first."""
    before: tuple[float, str] | None = None
    if cursor:
        at, identity = read_cursor(cursor, float, str)
        before = (float(at), str(identity))
    found = list(islice(view.events.newest(wanted, before), limit + 1))
    following = write_cursor(float(found[limit - 1].at), found[limit - 1].id) if len(found) > limit else None
    return [event_item(one) for one in found[:limit]], following


def event_item(event: Event) -> Item:
    """An event with all its fields, empty ones too."""
    return {
        "id": event.id,
        "at": event.at,
        "type": event.type,
        "severity": event.severity,
        "cluster": event.cluster,
        "namespace": event.namespace,
        "application": event.application,
        "object": to_json(event.object) if event.object is not None else None,
        "message": event.message,
        "actor": event.actor,
        "commit": event.commit,
        "trace": event.trace,
    }


def problems(view: View, limit: int, cursor: str | None = None, application_name: str = "") -> Page:
    """All findings about what people wrote, errors first, then by file and line."""
    found = [one for one in _problems(view) if not application_name or one.application == application_name]
    found.sort(key=_problem_order)
    start = int(read_cursor(cursor, int)[0]) if cursor else 0
    end = max(start, 0) + limit
    following = write_cursor(end) if end < len(found) else None
    return [problem_item(one) for one in found[max(start, 0) : end]], following


def problem_item(problem: Problem) -> Item:
    """A finding with its place."""
    place = problem.place
    return {
        "severity": problem.severity,
        "message": problem.message,
        "place": {"file": place.file, "line": place.line, "field": place.field} if place is not None else None,
        "hint": problem.hint,
        "application": problem.application,
    }


def changed(view: View, delta: Delta) -> tuple[str, Item] | None:
    """What the stream says of a change: its name and the present state of the thing; None when there is nothing."""
    match delta.kind:
        case "unit":
            record = view.index.units.get((delta.key[0], delta.key[1], delta.key[2]))
            if record is not None:
                return "unit", unit_item(record)
            return "unit-removed", dict(zip(("cluster", "namespace", "application"), delta.key, strict=True))
        case "cluster":
            found = cluster(view, delta.key[0])
            return ("cluster", found) if found is not None else ("cluster-removed", {"name": delta.key[0]})
        case "application":
            info = view.applications.get(delta.key[0])
            if info is not None:
                return "application", application_item(view, info)
            return "application-removed", {"name": delta.key[0]}
        case "event":
            event = view.events.get(delta.key[0])
            return ("event", event_item(event)) if event is not None else None
        case _:
            return "fleet", {"environments": environments(view)}


def _from(view: View, wanted: UnitFilter, start: Key | None) -> Iterator[UnitRecord]:
    """Matching units from `start` on, that one included."""
    if start is not None:
        record = view.index.units.get(start)
        if record is not None and wanted.accepts(record):
            yield record
    yield from view.index.select(wanted, start)


def _problems(view: View) -> Iterator[Problem]:
    yield from view.fleet.problems
    for info in view.applications.values():
        yield from info.problems


def _problem_order(problem: Problem) -> tuple[bool, str, int, str, str]:
    place = problem.place
    file, line = (place.file, place.line) if place is not None else ("", 0)
    return (problem.severity != "error", file, line, problem.application, problem.message)


def _listed(record: ClusterRecord) -> bool:
    """Clusters of the fleet, and others while they are heard or still have units."""
    return record.info is not None or bool(record.units) or (record.heard is not None and not record.silent)


def _cluster_state(record: ClusterRecord, tally: Tally) -> State:
    if record.silent:
        return State.STALE
    if record.heard is None:
        return State.WAITING
    if record.info is not None and record.info.paused:
        return State.PAUSED
    return tally.worst() or State.READY


def _commit(commit: Commit | None) -> Item | None:
    return to_json(commit) if commit is not None else None


def _reasons(tally: Tally) -> list[Item]:
    return [{"state": state, "reason": reason, "units": count} for state, reason, count in tally.top_reasons()]


def _object(one: ObjectStatus) -> Item:
    return {"object": _reference(one.ref), "health": one.health, "reason": one.reason, "action": one.action}


def _timeline(have: Have | None) -> Item:
    if have is None:
        return {"received": None, "fetched": None, "applied": None, "healthy": None}
    return {"received": have.received, "fetched": have.fetched, "applied": have.applied, "healthy": have.healthy}


def path_times(times: PathTimes) -> Item:
    """When a revision passed each step in the hub."""
    return {
        "committed": times.committed,
        "detected": times.detected,
        "planned": times.planned,
        "rendered": times.rendered,
        "published": times.published,
    }


def _reference(ref: ObjectRef) -> Item:
    return {"apiVersion": ref.api_version, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _drift(record: UnitRecord, drift: Drift) -> Item:
    cluster_name, namespace, application_name = record.key
    return {
        "cluster": cluster_name,
        "namespace": namespace,
        "application": application_name,
        "object": _reference(drift.ref),
        "fields": [to_json(one) for one in drift.fields],
        "deleted": drift.deleted,
        "since": drift.since,
        "mode": drift.mode,
        "corrected": drift.corrected,
        "attempts": drift.attempts,
    }


def _unit_key(cursor: str | None) -> Key | None:
    if not cursor:
        return None
    first, second, third = read_cursor(cursor, str, str, str)
    return str(first), str(second), str(third)


def _behind(names: list[str], cursor: str | None) -> Iterable[str]:
    if not cursor:
        return names
    last = str(read_cursor(cursor, str)[0])
    return [name for name in names if name > last]


def _page(items: Iterator[Item], limit: int, key: Callable[[Item], tuple[str, ...]]) -> Page:
    found = list(islice(items, limit + 1))
    following = write_cursor(*key(found[limit - 1])) if len(found) > limit else None
    return found[:limit], following
