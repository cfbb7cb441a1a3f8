"""The changes between two sets of objects, fit to be shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec
import orjson

from hub.domain.preview.model import Action, FieldChange
from hub.domain.preview.states import Key
from shared.diff import SECRET, SECRET_DIFFERS, Difference, diff, is_secret, masked, masked_difference
from shared.model import Manifest, ObjectRef
from shared.sealed import without_seal

Objects = Mapping[Key, tuple[ObjectRef, bytes]]


@dataclass(frozen=True, slots=True)
class Change:
    """One object's change, on whatever cluster. Equal `print`s are shown alike."""

    ref: ObjectRef
    action: Action
    fields: tuple[FieldChange, ...] = ()
    manifest: Manifest | None = None
    note: str = ""

    @property
    def print(self) -> bytes:
        """Names what is shown of it."""
        shown = [self.action, *self.ref.key, msgspec.to_builtins(self.fields), self.manifest, self.note]
        return orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)


def changes(before: Objects, after: Objects) -> Iterator[Change]:
    """What comes, goes and differs. Secrets are masked."""
    for key, (ref, line) in after.items():
        had = before.get(key)
        if had is None:
            yield Change(ref, "added", manifest=masked(_decoded(line)))
        elif had[1] != line:
            fields = field_changes(_decoded(had[1]), _decoded(line))
            if fields:
                yield Change(ref, "changed", fields)
    for key, (ref, line) in before.items():
        if key not in after:
            yield Change(ref, "removed", manifest=masked(_decoded(line)))


def _decoded(line: bytes) -> Manifest:
    """The object as it will be on the cluster, apart from ciphertexts: whom they are for is no change of it."""
    return without_seal(orjson.loads(line))


def field_changes(before: Manifest, after: Manifest) -> tuple[FieldChange, ...]:
    """The fields in which two versions of an object differ; those of a Secret without their values."""
    found = diff(after, before)
    if is_secret(before) or is_secret(after):
        found = [_masked(difference) for difference in found]
    return tuple(FieldChange(each.path, each.have, each.want) for each in found)


def _masked(difference: Difference) -> Difference:
    shown = masked_difference(difference)
    same = shown.want == shown.have == SECRET
    return replace(shown, want=SECRET_DIFFERS) if same else shown
