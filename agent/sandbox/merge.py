"""Server-side apply's merge of an applied configuration into a live object, and the pruning that follows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.sandbox import fields
from agent.sandbox.fields import FieldSet
from agent.sandbox.schema import Node


def merged(live: Any, applied: Any, node: Node) -> Any:
    """`live` with everything `applied` says. Items of associative lists merge; `applied` decides their order."""
    if node.atomic:
        return applied
    if node.kind in ("map", "any") and isinstance(live, dict) and (isinstance(applied, dict) or applied is None):
        out = dict(live)
        for name, value in (applied or {}).items():
            out[name] = merged(live[name], value, node.child(name)) if name in live else value
        return out
    if node.kind == "list" and isinstance(live, list) and isinstance(applied, list):
        return _merged_list(live, applied, node)
    return applied


def _merged_list(live: list[Any], applied: list[Any], node: Node) -> list[Any]:  # noqa: C901 - one walk, as upstream
    left_order = [fields.item_element(node, item) for item in live]
    right_order = [fields.item_element(node, item) for item in applied]
    left: dict[str, Any] = {}
    for element, item in zip(left_order, live, strict=True):
        left.setdefault(element, item)
    right = dict(zip(right_order, applied, strict=True))
    out, done = [], set()
    shared = [element for element in right_order if element in left]
    i = j = 0
    while i < len(left_order) or j < len(right_order):
        if i < len(left_order) and j < len(right_order):
            element = left_order[i]
            if element == right_order[j]:
                out.append(merged(left[element], right[element], node.items()))
                done.add(element)
                i, j = i + 1, j + 1
                shared = shared[1:]
                continue
            if element in right and shared and shared[0] != element:
                i += 1  # a shared item whose turn has not come
                continue
        if i < len(left_order):
            element = left_order[i]
            if element not in right:
                out.append(live[i])
                i += 1
                continue
            if element in done:
                i += 1
        if j < len(right_order):
            element = right_order[j]
            out.append(merged(left[element], right[element], node.items()) if element in left else right[element])
            done.add(element)
            j += 1
            if shared and shared[0] == element:
                shared = shared[1:]
    return out


def pruned(result: Any, last: FieldSet, owned: Iterable[FieldSet], node: Node) -> Any:
    """`result` without what its applier owned before and nobody owns now.

    `last` is what the applier owned; `owned` are all managers' sets, the applier's new one included.
    """
    if not last:
        return result
    named = fields.with_named_members(last, node)
    stripped = fields.remove(result, named, node)
    everything = fields.with_named_members(fields.of(result, node), node)
    owned_now: FieldSet = {}
    for one in owned:
        owned_now = fields.union(owned_now, one)
    kept = fields.with_named_members(fields.of(stripped, node), node)
    claimed = fields.union(kept, fields.with_named_members(owned_now, node))
    back = fields.remove(result, fields.difference(everything, claimed), node)
    remaining = fields.with_named_members(fields.of(back, node), node)
    return fields.remove(result, fields.intersection(fields.difference(everything, remaining), named), node)
