"""Taking over objects from other tools: what managedFields must say so that our first apply replaces the tool's last.

An object that kubectl, Helm, Argo CD or Flux made carries an entry of that tool for every field it wrote. Left alone,
those entries would make our apply a conflict, and fields that Git has dropped would stay for ever, owned by a tool that
is gone. Merged into our own entry before the first apply, they are ours: the same values need no write that anybody
notices, and what Git does not say goes, as kubectl's own migration from client-side to server-side apply does it.

Whether an object may be taken at all is for `claims` to say. Nothing here touches values.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from shared.model import Manifest

MANAGER = "yardarm"

MANAGERS: Mapping[str, str] = {
    "kubectl-client-side-apply": "kubectl apply",
    "kubectl": "kubectl apply --server-side",
    "kubectl-create": "kubectl create",
    "kubectl-run": "kubectl run",
    "kubectl-expose": "kubectl expose",
    "kubectl-replace": "kubectl replace",
    "before-first-apply": "whatever wrote it before field managers were recorded",
    "helm": "Helm",
    "Helm": "Helm",
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "flux": "Flux",
    "flux-client-side-apply": "Flux",
    "fleetagent": "Rancher Fleet",
}
"""Field managers of tools that put whole manifests on a cluster. Those of people (`kubectl-edit`, `kubectl-patch`) and
of controllers are not among them: what they wrote was no manifest that Git now replaces."""

_KEPT: tuple[tuple[str, ...], ...] = (
    ("spec", "replicas"),
    ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"),
)
"""Fields that stay with their owner when Git does not mention them: losing them would scale down to one, or restart
every pod, for no reason that anybody wrote down."""


def applied_by_us(live: Manifest, manager: str = MANAGER) -> bool:
    """Whether `manager` has applied the object before: then there is nothing to take over."""
    return any(_is_apply_of(entry, manager) for entry in _entries(live))


def tools(live: Manifest) -> tuple[str, ...]:
    """The tools whose fields would be taken over, by the names people know."""
    return tuple(dict.fromkeys(MANAGERS[entry["manager"]] for entry in _entries(live) if _movable(entry)))


def migrated(wanted: Manifest, live: Manifest, manager: str = MANAGER) -> list[dict[str, Any]] | None:
    """The managedFields of `live` with the fields of known tools moved to `manager`; None when there are none to move.

    Entries of another version of the API stay: fields may have other names there.
    """
    version = _version(live, wanted, manager)
    ours: dict[str, Any] = {
        "manager": manager, "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": {},
    }  # fmt: skip
    others: list[dict[str, Any]] = []
    moved = False
    for entry in copy.deepcopy(_entries(live)):
        if _is_apply_of(entry, manager) and entry.get("apiVersion") == version:
            ours["fieldsV1"] = _joined(ours["fieldsV1"], entry.get("fieldsV1") or {})
        elif _movable(entry) and entry.get("apiVersion") == version:
            taken, left = _split(entry.get("fieldsV1") or {}, wanted)
            ours["fieldsV1"] = _joined(ours["fieldsV1"], taken)
            moved = moved or bool(taken)
            if left:
                others.append({**entry, "fieldsV1": left})
        else:
            others.append(entry)
    return [ours, *others] if moved else None


def disowned(live: Manifest, manager: str = MANAGER) -> list[dict[str, Any]]:
    """The managedFields of `live` without those of `manager`.

    An object without any would count as written by an unknown hand, whose fields nobody can take without force: the
    labels as such, which nobody is denied, stay with us then.
    """
    others = [dict(entry) for entry in _entries(live) if entry.get("manager") != manager]
    if others:
        return others
    fields: dict[str, Any] = {"f:metadata": {"f:labels": {}}}
    version = str(live.get("apiVersion"))
    return [
        {"manager": manager, "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": fields}
    ]


def only_tools(managers: Iterable[str]) -> bool:
    """Whether all of these managers are tools that are taken over from."""
    return all(manager in MANAGERS for manager in managers)


def _entries(live: Manifest) -> list[dict[str, Any]]:
    return [each for each in (live.get("metadata") or {}).get("managedFields") or () if isinstance(each, dict)]


def _is_apply_of(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _movable(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") in MANAGERS and not entry.get("subresource")


def _version(live: Manifest, wanted: Manifest, manager: str) -> str:
    """The version our entry has, or will have."""
    mine = next((entry for entry in _entries(live) if _is_apply_of(entry, manager)), None)
    if mine is not None:
        return str(mine.get("apiVersion"))
    versions = [str(entry.get("apiVersion")) for entry in _entries(live) if _movable(entry)]
    own = str(wanted.get("apiVersion"))
    return own if own in versions or not versions else versions[0]


def _split(fields: dict[str, Any], wanted: Manifest) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what is taken over, what stays with the tool)."""
    left: dict[str, Any] = {}
    for path in _KEPT:
        if not _says(wanted, path) and _cut(fields, path):
            at = left
            for name in path[:-1]:
                at = at.setdefault(f"f:{name}", {})
            at[f"f:{path[-1]}"] = {}
    return fields, left


def _says(wanted: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(wanted, Mapping) or wanted.get(name) is None:
            return False
        wanted = wanted[name]
    return True


def _cut(fields: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Removes the field from the tree, with what then is empty above it; whether it was there."""
    name = f"f:{path[0]}"
    inner = fields.get(name)
    if inner is None:
        return False
    if len(path) > 1:
        if not _cut(inner, path[1:]):
            return False
        if inner:
            return True
    del fields[name]
    return True


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**one, **{key: _joined(one.get(key, {}), value) for key, value in other.items()}}
