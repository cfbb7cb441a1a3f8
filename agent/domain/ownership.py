"""managedFields, readable: which manager set which field, and when; and which lists the server merges by key.

`fieldsV1` is a tree whose names are `f:<field>`, `k:<json of the key fields>`, `v:<json of a set's value>`, `i:<index>`
and `.` for the thing itself. A name without children is owned as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.diff import Step, same
from shared.model import Manifest

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One entry of managedFields. `at` is in unix seconds, None when the server did not note it."""

    manager: str
    operation: str
    subresource: str
    at: float | None
    fields: Fields


def entries(manifest: Manifest) -> tuple[Entry, ...]:
    """The entries of an object; none when it carries no managedFields."""
    metadata = manifest.get("metadata")
    raw = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    return tuple(_entry(item) for item in raw or () if isinstance(item, Mapping))


def owners(known: Sequence[Entry], manifest: Manifest, steps: Sequence[Step]) -> list[Entry]:
    """Who set the field at `steps` of `manifest`, newest first. `steps` index lists by their position in it.

    For a field with parts, everybody who set a part counts.
    """
    found = [entry for entry in known if _owns(entry.fields, manifest, steps)]
    return sorted(found, key=lambda entry: entry.at or 0.0, reverse=True)


def applied_fields(known: Sequence[Entry], manager: str) -> Fields | None:
    """What `manager` applied, None when it has no such entry."""
    return next(
        (
            entry.fields
            for entry in known
            if entry.manager == manager and entry.operation == "Apply" and not entry.subresource
        ),
        None,
    )


def child(fields: Fields | None, name: str) -> Fields | None:
    """The subtree of a map's field."""
    found = fields.get(f"f:{name}") if fields else None
    return found if isinstance(found, Mapping) else None


def item_keys(fields: Fields | None) -> Iterator[tuple[Mapping[str, Any], Fields]]:
    """The key fields of each item of a list that is merged by key, with its subtree; nothing for other lists."""
    for name, inner in (fields or {}).items():
        if name.startswith("k:"):
            key = orjson.loads(name[2:])
            if isinstance(key, dict) and isinstance(inner, Mapping):
                yield key, inner


def is_set(fields: Fields | None) -> bool:
    """Whether the list is merged as a set of values."""
    return any(name.startswith("v:") for name in fields or ())


def set_values(fields: Fields | None) -> Iterator[Any]:
    """The values of a list that is merged as a set."""
    yield from (orjson.loads(name[2:]) for name in fields or () if name.startswith("v:"))


def has_key(item: Any, key: Mapping[str, Any]) -> bool:
    """Whether a list item is the one that `key` names."""
    return isinstance(item, Mapping) and all(same(item.get(name), value) for name, value in key.items())


def _entry(item: Mapping[str, Any]) -> Entry:
    fields = item.get("fieldsV1")
    return Entry(
        str(item.get("manager") or ""),
        str(item.get("operation") or ""),
        str(item.get("subresource") or ""),
        _seconds(item.get("time")),
        fields if isinstance(fields, Mapping) else {},
    )


def _seconds(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except ValueError:
        return None


def _owns(fields: Fields, value: Any, steps: Sequence[Step]) -> bool:
    at: Fields = fields
    for step in steps:
        if not at:
            return True  # an atomic value above: owned as a whole
        inner, value = _descend(at, value, step)
        if inner is None:
            return False
        at = inner
    return True


def _descend(fields: Fields, value: Any, step: Step) -> tuple[Fields | None, Any]:
    if not isinstance(value, list):
        return child(fields, step.text), value.get(step.text) if isinstance(value, Mapping) else None
    index = step.have_index
    item = value[index] if index is not None and index < len(value) else None
    if item is None:
        return None, None
    return next((inner for key, inner in item_keys(fields) if has_key(item, key)), None), item
