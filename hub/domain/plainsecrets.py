"""Secrets that are not secret: whoever may read the repository may read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from shared.diff import is_secret
from shared.model import Manifest, ObjectRef, Place, Problem
from shared.sealed import is_sealed

_FILLED_BY_OTHERS = frozenset({"kubernetes.io/service-account-token"})
"""Types whose values the cluster puts in."""
_NAMED = 3


def is_plain(manifest: Manifest) -> bool:
    """Whether it is a Secret with values in it that nobody has encrypted."""
    return (
        is_secret(manifest)
        and not is_sealed(manifest)
        and manifest.get("type") not in _FILLED_BY_OTHERS
        and any(_has_values(manifest.get(part)) for part in ("data", "stringData"))
    )


def _has_values(values: Any) -> bool:
    return isinstance(values, Mapping) and any(value not in (None, "") for value in values.values())


def warning(found: Iterable[tuple[ObjectRef, Place]]) -> Problem | None:
    """What to say of the plain Secrets of an application; None when there are none."""
    listed = list(found)
    if not listed:
        return None
    names = ", ".join(ref.name for ref, _ in listed[:_NAMED]) + (", …" if len(listed) > _NAMED else "")
    what = f"the Secret {names} is" if len(listed) == 1 else f"{len(listed)} Secrets ({names}) are"
    hint = "encrypt it for the clusters: yardarm secret encrypt FILE --in-place, and change what was in it"
    return Problem("warning", f"{what} not encrypted: whoever reads the repository reads it", listed[0][1], hint)
