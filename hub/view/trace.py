"""Where one revision of an application got to, cluster by cluster: the answer of `yardarm trace`.

It needs no tracing back end: the hub's own times come with the revision, the rest from reports. Agents' times are on
their own clocks.
"""

from __future__ import annotations

import math
from typing import Any

from hub.domain.records import ApplicationInfo, Revision
from hub.domain.status import RANK, State, counts_for
from hub.view.core import View
from hub.view.items import path_times
from hub.view.records import Passage, UnitRecord
from hub.view.visible import Visible
from shared.messages import to_json
from shared.telemetry import trace_id

Item = dict[str, Any]

DONE = (State.READY, State.DRIFTED)


def trace(
    view: View, application: str, revision: str | None = None, limit: int = 1000, seen: Visible | None = None
) -> Item | None:
    """The timeline of a revision (the current one when None); None when application or revision is unknown.

    `revision` may be a prefix, or a prefix of a commit. Clusters: failed first, then unfinished, then slowest first,
    at most `limit` of them; the numbers beside them always count all that are `seen`.
    """
    info = view.applications.get(application)
    chosen = _choose(info, revision) if info is not None else None
    if info is None or chosen is None:
        return None
    seen = seen or Visible(view)
    keys = (key for key in view.index.keys_of("application", application) if seen.unit(key))
    rows = [row for key in keys if (row := _row(view, key, chosen))]
    rows.sort(key=_order)
    took = sorted(row["seconds"] for row in rows if row["seconds"] is not None)
    return {
        "application": application,
        "revision": chosen.revision,
        "commit": to_json(chosen.commit),
        "trace": trace_id(chosen.traceparent),
        "times": path_times(chosen.times),
        "clusters": rows[:limit],
        "total": len(rows),
        "healthy": len(took),
        "seconds": {"p50": _quantile(took, 0.5), "p99": _quantile(took, 0.99), "max": took[-1] if took else None},
    }


def _choose(info: ApplicationInfo, revision: str | None) -> Revision | None:
    if not revision:
        return info.history[0] if info.history else None
    matching = (one for one in info.history if one.revision.startswith(revision) or one.commit.sha.startswith(revision))
    return next(matching, None)


def _row(view: View, key: tuple[str, str, str], chosen: Revision) -> Item | None:
    record = view.index.units[key]
    passage = _passage(record, chosen)
    if passage is None:
        return None
    present = record.want is not None and record.want.generation == passage.generation
    shown = record.shown
    begun = chosen.times.detected or passage.published
    return {
        "cluster": key[0],
        "namespace": key[1],
        "environment": record.environment,
        "state": shown.state if present and shown is not None else "Superseded",
        "reason": shown.reason if present and shown is not None else "",
        "published": passage.published,
        "delivered": passage.delivered,
        "fetched": passage.fetched,
        "applied": passage.applied,
        "healthy": passage.healthy,
        "seconds": max(0.0, passage.healthy - begun) if passage.healthy is not None else None,
    }


def _passage(record: UnitRecord, chosen: Revision) -> Passage | None:
    """The times of this revision on a unit: the present generation, or one it remembers."""
    want, have = record.want, record.have
    if want is not None and want.revision == chosen.revision:
        place = (want.generation, want.digest, want.commit, want.revision, want.traceparent, want.at)
        if have is None or not counts_for(want, have):
            return Passage(*place)
        return Passage(*place, have.received, have.fetched, have.applied, have.healthy)
    return next((passage for passage in record.past if passage.revision == chosen.revision), None)


def _order(row: Item) -> tuple[int, int, float, str, str]:
    if row["state"] == "Superseded":
        return (2, 0, -(row["seconds"] or 0.0), row["cluster"], row["namespace"])
    finished = row["seconds"] is not None and row["state"] in DONE
    return (
        1 if finished else 0,
        0 if finished else RANK[row["state"]],
        -(row["seconds"] or 0.0),
        row["cluster"],
        row["namespace"],
    )


def _quantile(sorted_values: list[float], share: float) -> float | None:
    if not sorted_values:
        return None
    return sorted_values[min(len(sorted_values), math.ceil(share * len(sorted_values))) - 1]
