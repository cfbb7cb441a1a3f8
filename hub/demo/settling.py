"""When a fleet has settled: nothing moves any more, for good or for bad.

Pure: snapshots in, verdict out. Used by `yardarm demo --once`.
"""

from __future__ import annotations

import enum
from typing import Any

from hub.demo.progress import Snapshot

CALM = 1.0
"""Seconds without a change after which a fleet that is fine is believed."""
PATIENCE = 6.0
"""Seconds without a change after which trouble is believed: an agent tries again meanwhile."""
STUCK = 45.0
"""Seconds after which what claims to be on its way, but does not move, is trouble too."""
MOVING = ("Progressing", "Waiting")


class Verdict(enum.Enum):
    """How a fleet has settled."""

    FINE = "every unit is Ready"
    TROUBLE = "nothing moves any more, and not everything is Ready"


class Settling:
    """Watches snapshots for the moment after which nothing changed."""

    def __init__(self) -> None:
        self._signature: Any = None
        self.since = 0.0
        """When the fleet last changed, in unix seconds."""

    def observe(self, snapshot: Snapshot) -> Verdict | None:
        """The verdict, None while something moves or has moved just now."""
        summary = snapshot.summary
        signature = (
            summary["commit"],
            summary["clusters"],
            sorted(summary["units"].items()),
            summary["drifted"],
            summary["problems"],
            [(a["name"], a["revision"], a["clusters"], a["problemCounts"]) for a in snapshot.applications],
            sorted(unit["reason"] for unit in snapshot.units),
        )
        if signature != self._signature:
            self._signature, self.since = signature, snapshot.at
        calm = snapshot.at - self.since
        if is_fine(snapshot):
            return Verdict.FINE if calm >= CALM else None
        return Verdict.TROUBLE if calm >= (STUCK if _moving(snapshot) else PATIENCE) else None


def is_fine(snapshot: Snapshot) -> bool:
    """Every cluster is heard, every application is where it belongs, every unit is Ready, nothing is wrong in Git."""
    summary = snapshot.summary
    units = summary["units"]
    return (
        bool(summary["commit"])
        and units["total"] > 0
        and units.get("Ready", 0) == units["total"]
        and not summary["problems"]["error"]
        and not summary["clusters"].get("waiting")
        and all(application["units"]["total"] == application["clusters"] for application in snapshot.applications)
    )


def _moving(snapshot: Snapshot) -> bool:
    """Whether something is still on its way, as opposed to failed. Waits for clusters that have never been heard."""
    summary = snapshot.summary
    on_its_way = any(summary["units"].get(state) for state in MOVING) or bool(summary["clusters"].get("waiting"))
    unplaced = any(
        application["units"]["total"] != application["clusters"] and not application["problemCounts"]["error"]
        for application in snapshot.applications
    )
    return on_its_way or unplaced or (not summary["commit"] and not summary["problems"]["error"])
