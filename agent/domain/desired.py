"""The objects of a bundle as they are applied to one cluster: placed in a namespace, cleaned, labelled.

Pure: what only the cluster knows (whether a kind has namespaces) comes in as a function.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping

import orjson

from agent.domain import applyset
from agent.domain.secrecy import Unreadable, Unsealed
from shared.diff import LAST_APPLIED, is_secret
from shared.errors import DocumentError
from shared.manifests import ref_of
from shared.model import Manifest, ObjectRef, UnitKey, Value
from shared.sealed import Path

Key = tuple[str, str, str, str]
"""`ObjectRef.key`: (group, kind, namespace, name)."""

_SERVER_SIDE = frozenset(
    {"managedFields", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "deletionTimestamp",
     "deletionGracePeriodSeconds"}
)  # fmt: skip


class Desired(Value, frozen=True):
    """One object as it is sent to the API server; `digest` names its content."""

    ref: ObjectRef
    manifest: Manifest
    digest: str
    hidden: tuple[Path, ...] = ()
    """Fields of `manifest` whose values were decrypted here. `digest` is of what was encrypted: it is kept on disk."""

    def __repr__(self) -> str:
        return f"Desired({self.ref}, {self.digest})"


Given = Manifest | Unsealed | Unreadable | Desired
"""An object of a bundle, as far as it is known: those with secrets once they were opened, or not."""


class Refused(Value, frozen=True):
    """An object that is left alone, and why. Without a readable name, `ref` holds what is known."""

    ref: ObjectRef
    reason: str


def prepare(
    given: Iterable[Given], unit: UnitKey, set_id: str, namespaced: Callable[[ObjectRef], bool | None]
) -> tuple[list[Desired], list[Refused]]:
    """The objects to keep on the cluster, and those that cannot be. What is `Desired` already is taken as it is.

    `namespaced` says whether a kind has namespaces, None when the cluster does not know it (yet): then a definition
    in the same bundle decides, else what is known of built-in kinds.
    """
    bundle = list(given)
    scopes = _defined_scopes(each.manifest if isinstance(each, Desired) else _written(each) for each in bundle)
    found: dict[Key, Desired] = {}
    refused: list[Refused] = []
    for each in bundle:
        ready = each if isinstance(each, Desired) else _prepared_or_not(each, unit, set_id, namespaced, scopes)
        if isinstance(ready, Refused):
            refused.append(ready)
        elif found.setdefault(ready.ref.key, ready) is not ready:
            refused.append(Refused(ready.ref, "is in the bundle more than once: the first one counts"))
    return list(found.values()), refused


def _written(each: Manifest | Unsealed | Unreadable) -> Manifest:
    """The object as the hub sent it."""
    return each.sealed if isinstance(each, Unsealed | Unreadable) else each


def _prepared_or_not(
    given: Manifest | Unsealed | Unreadable,
    unit: UnitKey,
    set_id: str,
    namespaced: Callable[[ObjectRef], bool | None],
    scopes: Mapping[str, bool],
) -> Desired | Refused:
    try:
        return _prepared(given, unit, set_id, namespaced, scopes)
    except DocumentError as error:
        return Refused(_vague_ref(_written(given)), str(error))


def _prepared(
    given: Manifest | Unsealed | Unreadable,
    unit: UnitKey,
    set_id: str,
    namespaced: Callable[[ObjectRef], bool | None],
    scopes: Mapping[str, bool],
) -> Desired | Refused:
    manifest = _written(given)
    ref = ref_of(manifest, unit.namespace)
    has_namespace = namespaced(ref)
    if has_namespace is None:
        has_namespace = scopes.get(ref.group_kind, bool(ref.namespace))
    namespace = (ref.namespace or unit.namespace) if has_namespace else ""
    ref = ObjectRef(ref.api_version, ref.kind, namespace, ref.name)
    if isinstance(given, Unreadable):
        return Refused(ref, f"cannot be decrypted: {given.reason}")
    if isinstance(given, Unsealed) and ref_of(given.manifest, unit.namespace) != ref_of(manifest, unit.namespace):
        # What an object is has been decided about by what everybody could read.
        return Refused(ref, "cannot be applied: its kind, name or namespace is encrypted")
    content = applyset.as_member(_cleaned(manifest, namespace), set_id)
    named = digest(content)
    if not isinstance(given, Unsealed):
        return Desired(ref, content, named)
    revealed = applyset.as_member(_cleaned(given.manifest, namespace), set_id)
    secret = is_secret(given.manifest)
    hidden = (("data", *path[1:]) if secret and path[0] == "stringData" else path for path in given.hidden)
    return Desired(ref, revealed, named, tuple(hidden))


def digest(manifest: Manifest) -> str:
    """Names the content of one object; independent of the order of keys."""
    return hashlib.blake2b(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def _cleaned(manifest: Manifest, namespace: str) -> Manifest:
    """Without what only the server or kubectl may write; Secrets without `stringData`, which is never read back."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name not in _SERVER_SIDE}
    metadata.pop("namespace", None)
    if namespace:
        metadata["namespace"] = namespace
    if isinstance(metadata.get("annotations"), dict) and LAST_APPLIED in metadata["annotations"]:
        # Exported from a cluster: kubectl's copy of an object that is not this one any more.
        metadata["annotations"] = {key: text for key, text in metadata["annotations"].items() if key != LAST_APPLIED}
    clean = {name: value for name, value in manifest.items() if name not in ("status", "metadata")}
    clean["metadata"] = metadata
    if manifest.get("kind") == "Secret" and isinstance(clean.get("stringData"), dict):
        plain = {name: base64.b64encode(str(text).encode()).decode() for name, text in clean.pop("stringData").items()}
        clean["data"] = {**(clean.get("data") or {}), **plain}
    return clean


def _defined_scopes(bundle: Iterable[Manifest]) -> dict[str, bool]:
    """`Kind.group` → has namespaces, from the definitions in the bundle itself."""
    scopes = {}
    for manifest in bundle:
        if manifest.get("kind") == "CustomResourceDefinition" and isinstance(manifest.get("spec"), dict):
            spec = manifest["spec"]
            kind = (spec.get("names") or {}).get("kind")
            scopes[f"{kind}.{spec.get('group')}"] = spec.get("scope") != "Cluster"
    return scopes


def _vague_ref(manifest: Manifest) -> ObjectRef:
    metadata = manifest.get("metadata")
    name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
    return ObjectRef(
        str(manifest.get("apiVersion") or "?"), str(manifest.get("kind") or "?"), "", str(name or "(no name)")
    )
