"""When a change that the server refuses may be made by deleting the object and creating it anew.

Only when every complaint is about a field that cannot change: with anything else wrong, the new object would be refused
too, and the old one be gone. And only where the object says so; objects whose deletion takes other things or data with
them have to say it in words that no tool's habit sets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.domain import hints
from shared import deletion
from shared.manifests import notes
from shared.model import Manifest, ObjectRef

REPLACE = "yardarm.dev/replace"
_FORCE = "kustomize.toolkit.fluxcd.io/force: enabled"
_UNCHANGEABLE = re.compile(
    r"immutable|may not change|may not be changed|cannot change|can ?not be changed|cannot be updated"
    r"|updates to .*(forbidden|fields other than)",
    re.IGNORECASE | re.DOTALL,
)


def immutable(complaints: Sequence[str]) -> bool:
    """Whether all that the server said, a text per field, is that fields cannot change."""
    return bool(complaints) and all(_UNCHANGEABLE.search(text) for text in complaints)


def may_replace(ref: ObjectRef, manifest: Manifest) -> bool:
    """Whether the object may be deleted and created anew."""
    if notes(manifest).get(REPLACE, "").lower() in ("enabled", "true"):
        return True
    return ref.group_kind not in deletion.PROTECTED and hints.recreate(manifest)


def advice(ref: ObjectRef) -> str:
    """What to do about a change that cannot be made in place."""
    if ref.group_kind in deletion.PROTECTED:
        return (
            f"undo the change, or move to an object with another name; to have this {ref.kind} deleted, with all that "
            f"depends on it, and created anew, annotate it {REPLACE}: enabled"
        )
    if ref.group_kind == "Job.batch":
        return (
            f"a Job runs once. To run it for every revision make it a hook (argocd.argoproj.io/hook: Sync), to replace "
            f"it annotate it {_FORCE}, to have it gone by itself set spec.ttlSecondsAfterFinished; or undo the change"
        )
    return f"undo the change, or annotate it {_FORCE} to have it deleted and created anew"
