"""Taking over list items that stand in the way: what managedFields must say for the next apply to remove them.

Somebody edits a Service's port from 80 to 81. For the server the port is the item's key, so that item is now theirs,
and ours is gone. Applying ours brings back a second item beside theirs, which the server refuses as a duplicate, for
ever. If theirs counts as applied by us, the same apply removes it. For use after such a refusal only: items that
others add beside ours are normally none of our business.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent.domain.ownership import has_key, item_keys
from shared.model import Manifest

MANAGER = "yardarm"
_INDEX = re.compile(r"\[[^\]]*\]")


def reclaimed(
    manifest: Manifest, live: Manifest, blamed: Iterable[str], manager: str = MANAGER
) -> list[dict[str, Any]] | None:
    """The managedFields of `live`, were the items ours that edits put into our lists; None if there are no such items.

    Only of lists that `manifest` has and that the server complained of (`blamed`: its field paths, such as
    `spec.ports[1].name`), only items that `manifest` has not, and only from edits (`Update`), not from what somebody
    else applies.
    """
    lists = tuple(_INDEX.sub("", path) + "." for path in blamed)
    managed = copy.deepcopy((live.get("metadata") or {}).get("managedFields") or [])
    mine = next((entry for entry in managed if _applies(entry) and entry.get("manager") == manager), None)
    if mine is None:
        mine = {
            "manager": manager,
            "operation": "Apply",
            "apiVersion": live.get("apiVersion"),
            "fieldsType": "FieldsV1",
        }
        managed.append(mine)
    moved = False
    for entry in managed:
        edited = entry.get("operation") == "Update" and not entry.get("subresource") and entry.get("manager") != manager
        if edited and entry.get("apiVersion") == mine.get("apiVersion"):
            moved |= _move(manifest, entry.get("fieldsV1") or {}, mine.setdefault("fieldsV1", {}), "", lists)
    return [entry for entry in managed if entry.get("fieldsV1")] if moved else None


def _applies(entry: Mapping[str, Any]) -> bool:
    return entry.get("operation") == "Apply" and not entry.get("subresource")


def _move(want: Any, theirs: dict[str, Any], ours: dict[str, Any], path: str, lists: tuple[str, ...]) -> bool:
    """Moves the strangers among the list items below `want` from one tree of fields to the other."""
    moved = False
    for name, inner, value in _shared(want, theirs):
        target = ours.get(name, {})
        below = f"{path}{name[2:]}."
        step = _move_items if isinstance(value, list) else _move
        moved |= step(value, inner, target, below, lists)
        if target:
            ours[name] = target
        if not inner:
            del theirs[name]
    return moved


def _move_items(
    want: list[Any], theirs: dict[str, Any], ours: dict[str, Any], path: str, lists: tuple[str, ...]
) -> bool:
    moved = False
    ours_to_take = any(blamed.startswith(path) for blamed in lists)
    for name, (key, inner) in zip([n for n in theirs if n.startswith("k:")], list(item_keys(theirs)), strict=True):
        item = next((item for item in want if has_key(item, {k: v for k, v in key.items() if k in item})), None)
        if item is None and ours_to_take:
            ours[name] = _joined(ours.get(name, {}), theirs.pop(name))
            moved = True
        elif item is not None and isinstance(inner, dict):
            target = ours.get(name, {})
            moved |= _move(item, inner, target, path, lists)
            if target:
                ours[name] = target
    return moved


def _shared(want: Any, theirs: dict[str, Any]) -> list[tuple[str, dict[str, Any], Any]]:
    if not isinstance(want, Mapping):
        return []
    return [
        (f"f:{key}", theirs[f"f:{key}"], value)
        for key, value in want.items()
        if isinstance(value, Mapping | list) and theirs.get(f"f:{key}")
    ]


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**one, **{key: _joined(one.get(key, {}), value) for key, value in other.items()}}
