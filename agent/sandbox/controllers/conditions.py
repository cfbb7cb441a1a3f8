"""Conditions of a status: the time of a transition stays while the status does."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def settled(before: list[Object] | None, *wanted: Object) -> list[Object]:
    """`wanted` in their order, each with the time of its last transition."""
    known = {(c["type"], c["status"]): c.get("lastTransitionTime") for c in before or ()}
    return [{**c, "lastTransitionTime": known.get((c["type"], c["status"])) or c["lastTransitionTime"]} for c in wanted]


def condition(kind: str, now: str, *, ok: bool, reason: str, message: str) -> Object:
    """One condition that begins now."""
    return {
        "type": kind, "status": "True" if ok else "False", "lastTransitionTime": now, "reason": reason,
        "message": message,
    }  # fmt: skip
