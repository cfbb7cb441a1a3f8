"""Single things as the API shows them: plain dicts with the names of DESIGN section 9. Times are unix seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hub.domain.records import ApplicationInfo, ClusterInfo, Commit, EnvironmentInfo, PathTimes, Revision
from hub.domain.rollup import Tally
from hub.domain.runs import Hold
from hub.domain.status import Have, State
from hub.view.records import ClusterRecord, UnitRecord
from hub.view.visible import Visible
from shared.messages import Blocker, Drift, Event, IgnoreRule, ObjectStatus, to_json
from shared.model import ObjectRef, Problem
from shared.telemetry import trace_id

Item = dict[str, Any]

_RECIPIENT = re.compile(r"age1[a-z0-9]{1,2000}")

LISTED_PROBLEMS = 10
"""Problems shown with an application in a list; its own page has all."""


def cluster_item(record: ClusterRecord, seen: Visible) -> Item:
    """A cluster with its agent and the counts of its units."""
    info = record.info or ClusterInfo(record.name, origin="unknown")
    tally = seen.tally("cluster", record.name)
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
        "ageRecipient": _age_recipient(beat.facts) if beat is not None else "",
        "problems": problems,
        "units": tally.by_state(),
        "drifted": tally.drifted,
        "reasons": reason_items(tally),
    }


def _age_recipient(facts: Mapping[str, Any]) -> str:
    """The cluster's public key as its agent tells it; an agent can mislead about its own cluster only."""
    told = facts.get("ageRecipient")
    return told if isinstance(told, str) and _RECIPIENT.fullmatch(told) else ""


def _cluster_state(record: ClusterRecord, tally: Tally) -> State:
    if record.silent:
        return State.STALE
    if record.heard is None:
        return State.WAITING
    if record.info is not None and record.info.paused:
        return State.PAUSED
    return tally.worst() or State.READY


def environment_item(info: EnvironmentInfo, seen: Visible) -> Item:
    """An environment with the counts of its units."""
    tally = seen.tally("environment", info.name)
    return {
        "name": info.name,
        "order": info.order,
        "clusters": info.clusters,
        "state": tally.worst() or State.READY,
        "units": tally.by_state(),
        "drifted": tally.drifted,
        "reasons": reason_items(tally),
    }


def application_item(info: ApplicationInfo, seen: Visible) -> Item:
    """An application with the counts of its units, its first problems and its current revision."""
    tally = seen.tally("application", info.name)
    current = info.history[0] if info.history else None
    errors = sum(problem.severity == "error" for problem in info.problems)
    return {
        "name": info.name,
        "namespace": info.namespace,
        "project": info.project,
        "labels": info.labels,
        "source": to_json(info.source),
        "clusters": len(placed(info, seen)),
        "state": tally.worst() or (State.FAILED if errors else State.WAITING),
        "commit": commit_item(info.commit),
        "revision": current.revision if current is not None else "",
        "trace": trace_id(current.traceparent) if current is not None else "",
        "holds": [hold_item(hold) for hold in seen.holds(info.name)],
        "problems": [problem_item(problem) for problem in info.problems[:LISTED_PROBLEMS]],
        "problemCounts": {"error": errors, "warning": len(info.problems) - errors},
        "history": [revision_item(current)] if current is not None else [],
        "units": tally.by_state(),
        "drifted": tally.drifted,
        "reasons": reason_items(tally),
    }


def placed(info: ApplicationInfo, seen: Visible) -> list[str]:
    """The clusters that an application is on, as far as they are seen."""
    if seen.everything:
        return list(info.clusters)
    return [name for name in info.clusters if seen.unit((name, info.namespace, info.name))]


def revision_item(revision: Revision) -> Item:
    """A revision with its commit, trace and times."""
    return {
        "revision": revision.revision,
        "commit": commit_item(revision.commit),
        "trace": trace_id(revision.traceparent),
        "times": path_times(revision.times),
        "published": revision.published,
    }


def path_times(times: PathTimes) -> Item:
    """When a revision passed each step in the hub."""
    return {
        "committed": times.committed,
        "detected": times.detected,
        "planned": times.planned,
        "rendered": times.rendered,
        "published": times.published,
    }


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


def object_item(one: ObjectStatus) -> Item:
    """An object of a unit."""
    return {"object": reference(one.ref), "health": one.health, "reason": one.reason, "action": one.action}


def blocker_item(one: Blocker) -> Item:
    """What is in a unit's way."""
    return {
        "object": reference(one.object) if one.object is not None else None,
        "application": one.unit,
        "reason": one.reason,
        "since": one.since,
        "unblock": one.unblock,
        "waiting": one.waiting,
    }


def timeline_item(have: Have | None) -> Item:
    """When a unit's newest assignment reached each point."""
    if have is None:
        return {"received": None, "fetched": None, "applied": None, "healthy": None}
    return {"received": have.received, "fetched": have.fetched, "applied": have.applied, "healthy": have.healthy}


def drift_item(record: UnitRecord, drift: Drift) -> Item:
    """An object that differs, or differed, from Git."""
    cluster_name, namespace, application_name = record.key
    return {
        "cluster": cluster_name,
        "namespace": namespace,
        "application": application_name,
        "object": reference(drift.ref),
        "fields": [to_json(one) for one in drift.fields],
        "deleted": drift.deleted,
        "since": drift.since,
        "mode": drift.mode,
        "corrected": drift.corrected,
        "attempts": drift.attempts,
        "fight": drift.fight,
        "suggestion": _rule(drift.suggestion),
    }


def _rule(rule: IgnoreRule | None) -> Item | None:
    """A rule as it is written under `sync.ignore`, without its empty parts."""
    return {name: part for name, part in to_json(rule).items() if part} if rule is not None else None


def reference(ref: ObjectRef) -> Item:
    """The name of an object."""
    return {"apiVersion": ref.api_version, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


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


def commit_item(commit: Commit | None) -> Item | None:
    """A commit, None where there is none."""
    return to_json(commit) if commit is not None else None


def hold_item(hold: Hold) -> Item:
    """A hold, with all its fields."""
    return {
        "by": hold.by,
        "at": hold.at,
        "reason": hold.reason,
        "cluster": hold.cluster,
        "environment": hold.environment,
    }


def reason_items(tally: Tally) -> list[Item]:
    """The most frequent reasons of a roll-up."""
    return [{"state": state, "reason": reason, "units": count} for state, reason, count in tally.top_reasons()]
