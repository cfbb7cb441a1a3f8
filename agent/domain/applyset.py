"""The inventory of a unit as kubectl's ApplySet defines it (KEP-3659), so that kubectl can read what Yardarm manages.

One parent ConfigMap per unit says which kinds and namespaces may hold members; a label on each object makes it a
member. The parent is written ahead: before anything is applied it lists the union of old and new, and it shrinks
only when every prune has succeeded, so that dying at any point leaves nothing unlisted.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from shared.model import Manifest, ObjectRef, UnitKey, Value

NAMESPACE = "yardarm-system"
"""Where the parents live unless configured otherwise."""

TOOLING = "yardarm/v1"
ID_LABEL = "applyset.kubernetes.io/id"
PART_OF = "applyset.kubernetes.io/part-of"
_TOOLING = "applyset.kubernetes.io/tooling"
_KINDS = "applyset.kubernetes.io/contains-group-kinds"
_NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
_UNIT = "yardarm.dev/unit"
_HOOKS = "yardarm.dev/hooks"
_FAREWELL = "yardarm.dev/farewell"


class Scope(Value, frozen=True):
    """Where members may be: `Kind.group` names, and namespaces besides the parent's own."""

    kinds: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()

    def __or__(self, other: Scope) -> Scope:
        """Everything that either covers."""
        return Scope(self.kinds | other.kinds, self.namespaces | other.namespaces)


class Record(Value, frozen=True):
    """What a parent says of its unit."""

    scope: Scope = Scope()
    hooks: str = ""
    """How far the unit's hooks are."""
    farewell: str = ""
    """Names the hooks for leaving that are kept in the Secret beside it; empty when there are none."""


def parent_ref(unit: UnitKey, namespace: str = NAMESPACE) -> ObjectRef:
    """The parent of a unit. Neither token holds a dot, so that the name is unambiguous."""
    return ObjectRef("v1", "ConfigMap", namespace, f"{unit.namespace}.{unit.application}")


def set_id(parent: ObjectRef) -> str:
    """The ApplySet's id: derived from the parent, so that no other parent can claim its members."""
    text = f"{parent.name}.{parent.namespace}.{parent.kind}.{parent.group}"
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"applyset-{digest}-v1"


def scope_of(refs: Iterable[ObjectRef], parent: ObjectRef) -> Scope:
    """The scope that just covers these members."""
    members = list(refs)
    return Scope(
        kinds=frozenset(ref.group_kind for ref in members),
        namespaces=frozenset(ref.namespace for ref in members) - {"", parent.namespace},
    )


def parent_manifest(unit: UnitKey, parent: ObjectRef, record: Record) -> Manifest:
    """The parent as it is applied."""
    notes = {_HOOKS: record.hooks, _FAREWELL: record.farewell}
    return {
        "apiVersion": parent.api_version,
        "kind": parent.kind,
        "metadata": {
            "name": parent.name,
            "namespace": parent.namespace,
            "labels": {ID_LABEL: set_id(parent), "app.kubernetes.io/managed-by": "yardarm"},
            "annotations": {
                _TOOLING: TOOLING,
                _KINDS: ",".join(sorted(record.scope.kinds)),
                _NAMESPACES: ",".join(sorted(record.scope.namespaces)),
                _UNIT: str(unit),
                **{name: text for name, text in notes.items() if text},
            },
        },
    }


def read_record(parent: Manifest) -> Record:
    """What a live parent says."""
    annotations = (parent.get("metadata") or {}).get("annotations") or {}
    return Record(
        Scope(_split(annotations.get(_KINDS)), _split(annotations.get(_NAMESPACES))),
        str(annotations.get(_HOOKS) or ""),
        str(annotations.get(_FAREWELL) or ""),
    )


def read_unit(parent: Manifest) -> tuple[str, str] | None:
    """(id of the ApplySet, unit) of a live parent; None when it is none of ours."""
    metadata = parent.get("metadata") or {}
    unit = (metadata.get("annotations") or {}).get(_UNIT)
    return (str((metadata.get("labels") or {}).get(ID_LABEL)), str(unit)) if unit else None


def part_of(manifest: Manifest) -> str:
    """The id of the ApplySet an object belongs to, empty when to none."""
    return str(((manifest.get("metadata") or {}).get("labels") or {}).get(PART_OF) or "")


def as_member(manifest: Manifest, applyset: str) -> Manifest:
    """A copy of the manifest that makes the object a member."""
    metadata = manifest.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), PART_OF: applyset}
    return {**manifest, "metadata": {**metadata, "labels": labels}}


def _split(listed: object) -> frozenset[str]:
    return frozenset(part for part in str(listed or "").split(",") if part)
