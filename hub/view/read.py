"""The view's queries: plain dicts with the names of the API (DESIGN section 9), ready to be written as JSON.

Times are unix seconds. Lists are sorted and paged; a page is the items and the cursor of the next page, or None.
`seen` limits each of them to what a caller may see; left out, that is everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from hub.domain.status import conditions
from hub.view.core import View
from hub.view.history import EventFilter
from hub.view.index import UnitFilter, read_cursor, write_cursor
from hub.view.items import (
    Item,
    application_item,
    blocker_item,
    cluster_item,
    commit_item,
    drift_item,
    environment_item,
    event_item,
    object_item,
    placed,
    problem_item,
    reason_items,
    revision_item,
    timeline_item,
    unit_item,
)
from hub.view.records import ClusterRecord, Key, UnitRecord
from hub.view.visible import Visible
from shared.messages import to_json
from shared.model import Problem

Page = tuple[list[Item], str | None]

RECENT = 50
"""Events shown with a unit."""


def summary(view: View, seen: Visible | None = None) -> Item:
    """The fleet in a few numbers."""
    seen = seen or Visible(view)
    tally = seen.tally()
    commit = view.fleet.commit
    listed = [record for record in view.clusters.values() if _listed(record) and seen.cluster(record.name)]
    found = list(_problems(view, seen))
    return {
        "commit": commit.sha if commit is not None else "",
        "head": commit_item(commit),
        "repo": view.fleet.repo,
        "clusters": {
            "total": len(listed),
            "stale": sum(record.connection == "stale" for record in listed),
            "waiting": sum(record.connection == "waiting" for record in listed),
        },
        "environments": sum(seen.environment(each.name) for each in view.fleet.environments),
        "applications": len(seen.applications()),
        "units": tally.by_state(),
        "drifted": tally.drifted,
        "reasons": reason_items(tally),
        "problems": {
            "error": sum(problem.severity == "error" for problem in found),
            "warning": sum(problem.severity == "warning" for problem in found),
        },
    }


def repositories(view: View, seen: Visible | None = None) -> list[Item]:
    """Where everything comes from, by name."""
    seen = seen or Visible(view)
    return [to_json(each) for each in view.fleet.repositories if seen.repository(each.name)]


def clusters(
    view: View,
    limit: int,
    cursor: str | None = None,
    environment: str = "",
    state: str = "",
    seen: Visible | None = None,
) -> Page:
    """Clusters by name, optionally of one environment, or in one (connection or worst unit) state."""
    seen = seen or Visible(view)
    names = sorted(name for name, record in view.clusters.items() if _listed(record) and seen.cluster(name))
    items = (cluster_item(view.clusters[name], seen) for name in _behind(names, cursor))
    return _page(
        (
            item
            for item in items
            if (not environment or environment in item["environments"]) and (not state or item["state"] == state)
        ),
        limit,
        lambda item: (item["name"],),
    )


def cluster(view: View, name: str, seen: Visible | None = None) -> Item | None:
    """One cluster."""
    seen = seen or Visible(view)
    record = view.clusters.get(name)
    listed = record is not None and _listed(record) and seen.cluster(name)
    return cluster_item(record, seen) if record is not None and listed else None


def environments(view: View, seen: Visible | None = None) -> list[Item]:
    """Environments in their order of promotion."""
    seen = seen or Visible(view)
    found = sorted(view.fleet.environments, key=lambda one: (one.order, one.name))
    return [environment_item(info, seen) for info in found if seen.environment(info.name)]


def applications(
    view: View, limit: int, cursor: str | None = None, project: str = "", seen: Visible | None = None
) -> Page:
    """Applications by name."""
    seen = seen or Visible(view)
    names = _behind(sorted(seen.applications()), cursor)
    items = (application_item(view.applications[name], seen) for name in names)
    return _page((item for item in items if not project or item["project"] == project), limit, lambda i: (i["name"],))


def application(view: View, name: str, seen: Visible | None = None) -> Item | None:
    """One application with where it is placed, its problems and its history of revisions."""
    seen = seen or Visible(view)
    info = view.applications.get(name)
    if info is None or not seen.application(name):
        return None
    return application_item(info, seen) | {
        "clusterNames": placed(info, seen),
        "problems": [problem_item(problem) for problem in info.problems],
        "history": [revision_item(revision) for revision in info.history],
    }


def units(view: View, wanted: UnitFilter, limit: int, cursor: str | None = None, seen: Visible | None = None) -> Page:
    """Units by cluster, namespace, application."""
    matching = _visible(view.index.select(wanted, _unit_key(cursor)), seen or Visible(view))
    found = list(islice(matching, limit + 1))
    following = write_cursor(*found[limit - 1].key) if len(found) > limit else None
    return [unit_item(record) for record in found[:limit]], following


def unit(view: View, key: Key, seen: Visible | None = None) -> Item | None:
    """One unit with its objects, drift, conditions, times and latest events."""
    record = view.index.units.get(key)
    if record is None or record.want is None or not (seen or Visible(view)).unit(key):
        return None
    details = record.details()
    reach = view.clusters[key[0]].reach
    wanted = EventFilter(cluster=key[0], namespace=key[1], application=key[2])
    return unit_item(record) | {
        "conditions": [to_json(one) for one in conditions(record.want, record.have, reach)],
        "heard": reach.heard,
        "counts": details.counts,
        "objects": [object_item(one) for one in details.objects],
        "drift": [drift_item(record, one) for one in details.drift],
        "warnings": list(details.warnings),
        "blockers": [blocker_item(one) for one in details.blockers],
        "timeline": timeline_item(record.have),
        "past": [to_json(passage) for passage in record.past],
        "events": [event_item(one) for one in islice(view.events.newest(wanted), RECENT)],
    }


def drift(
    view: View,
    wanted: UnitFilter,
    limit: int,
    cursor: str | None = None,
    *,
    standing: bool = False,
    seen: Visible | None = None,
) -> Page:
    """Objects that differ, or (unless `standing`) differed and were put right, by unit."""
    after: Key | None = None
    skip = 0
    if cursor:
        cluster_name, namespace, application_name, given = read_cursor(cursor, str, str, str, int)
        after, skip = (str(cluster_name), str(namespace), str(application_name)), int(given)
    items: list[Item] = []
    for record in _visible(_from(view, wanted, after), seen or Visible(view)):
        offset = skip if record.key == after else 0
        for position, one in enumerate(record.details().drift):
            if position < offset or (standing and one.corrected is not None):
                continue
            if len(items) == limit:
                return items, write_cursor(*record.key, position)
            items.append(drift_item(record, one))
    return items, None


def events(view: View, wanted: EventFilter, limit: int, cursor: str | None = None, seen: Visible | None = None) -> Page:
    """Events, newest first."""
    seen = seen or Visible(view)
    before: tuple[float, str] | None = None
    if cursor:
        at, identity = read_cursor(cursor, float, str)
        before = (float(at), str(identity))
    matching = view.events.newest(wanted, before)
    found = list(islice(matching if seen.everything else filter(seen.event, matching), limit + 1))
    following = write_cursor(float(found[limit - 1].at), found[limit - 1].id) if len(found) > limit else None
    return [event_item(one) for one in found[:limit]], following


def problems(
    view: View, limit: int, cursor: str | None = None, application_name: str = "", seen: Visible | None = None
) -> Page:
    """All findings about what people wrote, errors first, then by file and line."""
    found = [
        one
        for one in _problems(view, seen or Visible(view))
        if not application_name or one.application == application_name
    ]
    found.sort(key=_problem_order)
    start = int(read_cursor(cursor, int)[0]) if cursor else 0
    end = max(start, 0) + limit
    following = write_cursor(end) if end < len(found) else None
    return [problem_item(one) for one in found[max(start, 0) : end]], following


def _from(view: View, wanted: UnitFilter, start: Key | None) -> Iterator[UnitRecord]:
    """Matching units from `start` on, that one included."""
    if start is not None:
        record = view.index.units.get(start)
        if record is not None and wanted.accepts(record):
            yield record
    yield from view.index.select(wanted, start)


def _visible(records: Iterator[UnitRecord], seen: Visible) -> Iterator[UnitRecord]:
    return records if seen.everything else (record for record in records if seen.unit(record.key))


def _problems(view: View, seen: Visible) -> Iterable[Problem]:
    """Each finding once: what is wrong with an application's document is found with the fleet and with it."""
    own = (problem for info in view.applications.values() for problem in info.problems)
    found = dict.fromkeys((*view.fleet.problems, *own))
    return found if seen.everything else filter(seen.problem, found)


def _problem_order(problem: Problem) -> tuple[bool, str, int, str, str]:
    place = problem.place
    file, line = (place.file, place.line) if place is not None else ("", 0)
    return (problem.severity != "error", file, line, problem.application, problem.message)


def _listed(record: ClusterRecord) -> bool:
    """Clusters of the fleet, and others while they are heard or still have units."""
    return record.info is not None or bool(record.units) or (record.heard is not None and not record.silent)


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
