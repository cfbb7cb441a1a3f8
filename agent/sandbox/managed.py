"""Field management: who owns which field, recorded in `metadata.managedFields`.

`update` is for every ordinary write, `apply` for server-side apply. Both are pure: objects in, objects out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from agent.sandbox import fields, merge
from agent.sandbox.fields import FieldSet
from agent.sandbox.problems import ApiError, Cause, cause
from agent.sandbox.schema import Node

Object = dict[str, Any]
Key = tuple[str, str, str, str]
"""Identity of an entry: manager, operation, API version (of updates only), subresource."""

UNTRACKED: FieldSet = {
    "f:apiVersion": {}, "f:kind": {}, "f:metadata": {
        "f:name": {}, "f:namespace": {}, "f:creationTimestamp": {}, "f:selfLink": {}, "f:uid": {}, "f:clusterName": {},
        "f:generation": {}, "f:managedFields": {}, "f:resourceVersion": {},
    },
}  # fmt: skip
BEFORE_APPLY = "before-first-apply"
ANCIENT = "ancient-changes"
MAX_UPDATERS = 10


@dataclass(slots=True)
class Entry:
    """One manager's fields. `time` is RFC 3339 or empty."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    @property
    def key(self) -> Key:
        """Identity among the entries of one object."""
        return (
            self.manager, self.operation, self.api_version if self.operation == "Update" else "", self.subresource
        )  # fmt: skip


@dataclass(slots=True, frozen=True)
class Writer:
    """Who writes, through what: the identity of the entry that a write leaves behind.

    `ignored` are fields this endpoint resets, so nobody gains them through it.
    """

    manager: str
    api_version: str
    subresource: str
    now: str
    ignored: FieldSet

    def entry(self, operation: str, owned: FieldSet) -> Entry:
        """The entry for a write now."""
        return Entry(self.manager, operation, self.api_version, self.subresource, self.now, owned)


Entries = dict[Key, Entry]


def read(obj: Object) -> Entries:
    """The entries of an object; an unreadable or reset list (`[{}]`) counts as none."""
    out: Entries = {}
    for raw in obj.get("metadata", {}).get("managedFields") or ():
        if not raw.get("operation"):
            return {}
        entry = Entry(
            raw.get("manager", ""), raw["operation"], raw.get("apiVersion", ""), raw.get("subresource", ""),
            raw.get("time") or "", raw.get("fieldsV1") or {},
        )  # fmt: skip
        out[entry.key] = entry
    return out


def write(obj: Object, entries: Entries) -> Object:
    """`obj` with these entries; the containers on the way are copied."""
    ordered = sorted(entries.values(), key=lambda e: (e.operation, e.time, e.manager, e.api_version, e.subresource))
    metadata = dict(obj.get("metadata") or {})
    metadata.pop("managedFields", None)
    if ordered:
        metadata["managedFields"] = [_encoded(entry) for entry in ordered]
    return {**obj, "metadata": metadata}


def _encoded(entry: Entry) -> dict[str, Any]:
    out = {
        "manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version, "time": entry.time,
        "fieldsType": "FieldsV1", "fieldsV1": entry.fields, "subresource": entry.subresource,
    }  # fmt: skip
    return {k: v for k, v in out.items() if v != ""}


def _bare(obj: Object) -> Object:
    metadata = obj.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}
    return obj


def _settled(
    entries: Entries, compared: fields.Comparison, current: Key | None, *, force: bool
) -> list[tuple[Entry, FieldSet]]:
    """Takes changed and removed fields from every other manager, in place; returns the conflicts."""
    changed = fields.union(compared.modified, compared.added)
    conflicts = []
    for key, entry in entries.items():
        if key == current:
            continue
        lost = fields.intersection(entry.fields, changed)
        if lost:
            conflicts.append((entry, lost))
    if conflicts and not force:
        return conflicts
    for entry, lost in conflicts:
        entry.fields = fields.difference(entry.fields, lost)
    for key, entry in entries.items():
        if key != current:
            entry.fields = fields.difference(entry.fields, compared.removed)
    for key in [key for key, entry in entries.items() if not entry.fields]:
        del entries[key]
    return conflicts


def update(live: Object, new: Object, node: Node, writer: Writer, *, created: bool) -> Object:
    """`new` with its managed fields: the writer gains what differs from `live`, others lose it.

    `live` is the empty object of the kind on creation. A caller may state `managedFields` itself; `[{}]` ends
    the tracking until the next apply.
    """
    stated = new.get("metadata", {}).get("managedFields")
    entries = read(new) if stated and not writer.subresource else read(live)
    if not entries and stated and stated != [{}]:
        entries = read(live)
    if not entries and not created:
        return write(new, {})
    before, after = _bare(live), _bare(new)
    compared = fields.Comparison(before, after, node)
    gained = fields.union(compared.modified, compared.added)
    gained = fields.without_subtrees(fields.without_subtrees(gained, writer.ignored), UNTRACKED)
    _settled(entries, compared.excluding(writer.ignored), None, force=True)
    if gained:
        entry = writer.entry("Update", gained)
        previous = entries.get(entry.key)
        if previous is not None:
            entry.fields = fields.union(previous.fields, gained)
        entries[entry.key] = entry
    return write(new, _capped(entries))


def _capped(entries: Entries) -> Entries:
    """At most ten updaters: the oldest are put together, as the API server does it."""
    updaters = [e for e in entries.values() if e.operation == "Update" and not e.subresource]
    if len(updaters) <= MAX_UPDATERS:
        return entries
    updaters.sort(key=lambda e: (e.time, e.manager))
    out = dict(entries)
    for old in updaters[: len(updaters) - MAX_UPDATERS + 1]:
        del out[old.key]
        merged = Entry(ANCIENT, "Update", old.api_version, "", old.time, old.fields)
        if merged.key in out:
            merged.fields = fields.union(out[merged.key].fields, merged.fields)
        out[merged.key] = merged
    return out


def apply(live: Object, applied: Object, node: Node, writer: Writer, *, force: bool, base: Object) -> Object:
    """The result of a server-side apply; `live` itself, managed fields included, when nothing changes.

    `base` is what was there before anybody managed fields (the empty object of the kind).

    Raises:
        ApiError: 409, other managers own fields that would change.
    """
    entries = read(live)
    before = _bare(live)
    if not entries and live is not base:
        first = Writer(BEFORE_APPLY, writer.api_version, "", writer.now, {})
        live = update(base, before, node, first, created=True)
        entries = read(live)
    result = merge.merged(before, _bare(applied), node)
    own = fields.without_subtrees(fields.of(_bare(applied), node), writer.ignored)
    own = fields.without_subtrees(own, UNTRACKED)
    entry = writer.entry("Apply", own)
    previous = entries.get(entry.key)
    entries[entry.key] = entry
    if previous is not None:
        result = merge.pruned(result, previous.fields, [e.fields for e in entries.values()], node)
    compared = fields.Comparison(before, result, node).excluding(writer.ignored)
    conflicts = _settled(entries, compared, entry.key, force=force)
    if conflicts and not force:
        raise conflict_error(conflicts)
    if (
        result == before
        and previous is not None
        and previous.fields == own
        and previous.api_version == entry.api_version
    ):
        return live
    if not entry.fields:
        entries.pop(entry.key, None)
    return write(result, entries)


def conflict_error(conflicts: list[tuple[Entry, FieldSet]]) -> ApiError:
    """409 as the API server words it: one cause per field, naming the manager that owns it."""
    causes: list[Cause] = []
    lines: list[str] = []
    for entry, lost in sorted(conflicts, key=lambda c: orjson.dumps(c[0].key)):
        who = _named(entry)
        texts = [fields.path_text(path) for path in fields.paths(lost)]
        causes += [cause("FieldManagerConflict", text, f"conflict with {who}") for text in texts]
        lines += [f"conflicts with {who}:", *(f"- {text}" for text in texts)]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, details={"causes": causes})


def _named(entry: Entry) -> str:
    text = f'"{entry.manager}"'
    if entry.subresource:
        text += f' with subresource "{entry.subresource}"'
    if entry.operation == "Update":
        text += f" using {entry.api_version}"
    return text
