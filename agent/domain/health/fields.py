"""Reads live objects that may hold anything: a field of the wrong type counts as absent, and nothing ever raises.

What an API server stores of its own kinds is well formed, but status of custom resources is whatever a controller
wrote, and a verdict on one odd object must not cost the verdicts on all others.
"""

from __future__ import annotations

from typing import Any

from shared.model import Manifest


def mapping(values: Any, *path: str) -> dict[str, Any]:
    """The map at a path of fields; empty when there is none."""
    for field in path:
        values = values.get(field) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def items(values: Any, field: str) -> list[dict[str, Any]]:
    """The maps in a list field; empty when there is none."""
    found = values.get(field) if isinstance(values, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def texts(values: Any, field: str) -> list[str]:
    """The strings in a list field; empty when there is none."""
    found = values.get(field) if isinstance(values, dict) else None
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def text(values: Any, field: str) -> str:
    """A string field; empty when absent."""
    value = values.get(field) if isinstance(values, dict) else None
    return value if isinstance(value, str) else ""


def number(values: Any, field: str, default: int = 0) -> int:
    """An integer field; `default` when absent or not a number."""
    value = values.get(field) if isinstance(values, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def metadata(manifest: Manifest) -> dict[str, Any]:
    """The metadata of an object."""
    return mapping(manifest, "metadata")


def status(manifest: Manifest) -> dict[str, Any]:
    """The status of an object; empty when there is none (yet)."""
    return mapping(manifest, "status")


def spec(manifest: Manifest) -> dict[str, Any]:
    """The spec of an object; empty when there is none."""
    return mapping(manifest, "spec")


def group_kind(manifest: Manifest) -> str:
    """`Deployment.apps`; core kinds have no dot."""
    group, slash, _ = text(manifest, "apiVersion").partition("/")
    kind = text(manifest, "kind")
    return f"{kind}.{group}" if slash else kind


def condition_of(holder: Any, kind: str) -> dict[str, Any]:
    """The condition of this type among `holder.conditions`, empty when absent."""
    return next((each for each in items(holder, "conditions") if each.get("type") == kind), {})


def condition(manifest: Manifest, kind: str) -> dict[str, Any]:
    """The condition of this type in status, empty when absent."""
    return condition_of(status(manifest), kind)


def is_true(manifest: Manifest, kind: str) -> bool:
    """Whether the condition of this type is True."""
    return condition(manifest, kind).get("status") == "True"


def is_false(manifest: Manifest, kind: str) -> bool:
    """Whether the condition of this type is there and False."""
    return condition(manifest, kind).get("status") == "False"


def said(found: dict[str, Any]) -> str:
    """What a condition (or anything with reason and message) says, as `Reason: message`, on one line."""
    reason, message = text(found, "reason"), " ".join(text(found, "message").split())
    return f"{reason}: {message}" if reason and message and not message.startswith(reason) else message or reason
