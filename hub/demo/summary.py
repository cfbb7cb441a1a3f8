"""What `yardarm demo --once` prints for programs."""

from __future__ import annotations

from typing import Any

from hub.demo.progress import Snapshot
from hub.demo.settling import Verdict


def summary(snapshot: Snapshot, verdict: Verdict | None, seconds: float) -> dict[str, Any]:
    """The result as JSON: `{clusters, applications, units, commit, seconds, trace, problems}`, and how it ended.

    `seconds` is from the start of the demo until the fleet stopped moving. `trace` is of the newest commit.
    """
    found = snapshot.summary
    newest = max(snapshot.applications, key=lambda one: (one.get("commit") or {}).get("at", 0.0), default={})
    return {
        "result": verdict.name.lower() if verdict is not None else "timeout",
        "clusters": found["clusters"]["total"],
        "applications": found["applications"],
        "units": found["units"],
        "commit": found["commit"],
        "seconds": round(seconds, 3),
        "trace": newest.get("trace", ""),
        "problems": snapshot.problems,
        "unready": [
            {name: unit[name] for name in ("cluster", "namespace", "application", "state", "reason")}
            for unit in snapshot.units
            if unit["state"] != "Ready"
        ],
    }
