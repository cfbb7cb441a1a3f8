"""Strategic merge: a patch in the shape of the object, as `kubectl patch` and Kustomize take it. Pure.

Maps merge key by key, null removes a key, lists replace, except lists of the built-in kinds that Kubernetes merges by a
key (containers by name, ports by port, …). Directives: `$patch: delete | replace` in a map or list item,
`$deleteFromPrimitiveList/<field>` and `$setElementOrder/<field>` (accepted; order follows the object). Custom resources
have no merge keys: their lists replace, as in Kustomize.
"""

from __future__ import annotations

from typing import Any

from shared.errors import DocumentError

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "ownerReferences": "uid",
    "webhooks": "name",
    "matchConditions": "name",
}
"""Fields of built-in kinds whose lists merge, with the key that tells items apart. `ports` depends on where it is."""

_PRIMITIVE_LISTS = frozenset({"finalizers"})
_DIRECTIVE = "$patch"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"

BUILT_IN_GROUPS = frozenset(
    {"", "apps", "batch", "autoscaling", "policy", "admissionregistration.k8s.io", "networking.k8s.io"}
    | {"rbac.authorization.k8s.io", "storage.k8s.io", "apiextensions.k8s.io", "discovery.k8s.io", "node.k8s.io"}
)


def merge(manifest: dict[str, Any], patch: dict[str, Any], *, built_in: bool) -> dict[str, Any] | None:
    """`manifest` with `patch` merged in; None when the patch deletes it. Neither argument is changed.

    Raises:
        DocumentError: the patch does not fit, or uses a directive that is not known.
    """
    merged = _value(manifest, patch, "", built_in)
    return merged if merged is not _DELETED else None


_DELETED: Any = object()
_DEFAULTS = {"protocol": "TCP"}


def _value(old: Any, new: Any, field: str, built_in: bool) -> Any:  # noqa: FBT001
    if isinstance(new, dict):
        return _map(old if isinstance(old, dict) else {}, new, field, built_in)
    if isinstance(new, list) and isinstance(old, list):
        return _list(old, new, field, built_in)
    if isinstance(new, list):
        return [item for item in new if not _is_delete(item)]
    return new


def _map(old: dict[str, Any], new: dict[str, Any], field: str, built_in: bool) -> Any:  # noqa: FBT001
    directive = new.get(_DIRECTIVE)
    rest = {key: value for key, value in new.items() if key != _DIRECTIVE}
    if directive == "delete":
        return _DELETED
    if directive == "replace":
        return rest
    if directive not in (None, "merge"):
        raise DocumentError(
            f"$patch: {directive} is not known at {field or 'the top'}", hint="delete, replace or merge"
        )
    merged = dict(old)
    for key, value in rest.items():
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            merged[name] = [item for item in merged.get(name) or [] if item not in (value or [])]
        elif key.startswith(_ORDER):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            result = _value(merged.get(key), value, _child(field, key), built_in)
            if result is _DELETED:
                merged.pop(key, None)
            else:
                merged[key] = result
    return merged


def _list(old: list[Any], new: list[Any], field: str, built_in: bool) -> list[Any]:  # noqa: FBT001
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and len(item) == 1 for item in new):
        return [item for item in new if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "replace")]
    name = field.rpartition(".")[2]
    if built_in and name in _PRIMITIVE_LISTS:
        return [*old, *(item for item in new if item not in old)]
    keys = _keys(field, name, new) if built_in else ()
    if not keys:
        return [item for item in new if not _is_delete(item)]
    return _merge_items(old, new, keys, field)


def _merge_items(old: list[Any], new: list[Any], keys: tuple[str, ...], field: str) -> list[Any]:
    merged = list(old)
    added: list[Any] = []
    for item in new:
        if not isinstance(item, dict) or any(key not in item for key in keys):
            raise DocumentError(
                f"an item of {field} in the patch has no {' and '.join(keys)}, by which items are told apart"
            )
        wanted = tuple(item[key] for key in keys)
        at = next((index for index, each in enumerate(merged) if _identity(each, keys) == wanted), None)
        if at is None:
            if not _is_delete(item):
                added.append(_map({}, item, field, built_in=True))
            continue
        result = _map(merged[at], item, field, built_in=True)
        if result is _DELETED:
            del merged[at]
        else:
            merged[at] = result
    # Kustomize and kubectl put what is new in front; for env, order matters, and a variable must come before its use.
    return added + merged


def _keys(field: str, name: str, items: list[Any]) -> tuple[str, ...]:
    if name == "secrets":
        return ("name",) if field == "secrets" else ()
    if name != "ports":
        return (MERGE_KEYS[name],) if name in MERGE_KEYS else ()
    if not field.endswith("ontainers.ports") and field != "spec.ports":
        return ()
    # One port number may be there twice, for TCP and UDP.
    number = "port" if field == "spec.ports" else "containerPort"
    return (number, "protocol") if all(isinstance(item, dict) and "protocol" in item for item in items) else (number,)


def _identity(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...] | None:
    return tuple(item.get(key, _DEFAULTS.get(key)) for key in keys) if isinstance(item, dict) else None


def _is_delete(item: Any) -> bool:
    return isinstance(item, dict) and item.get(_DIRECTIVE) == "delete"


def _child(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key
