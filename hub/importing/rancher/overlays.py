"""Rancher Fleet's ways to change manifests for some clusters, as patches: `yaml.overlays`, kustomizations over charts.

An overlay is a folder whose files take the place of those of the same name, or, called `…_patch.yaml`, are merged into
them. Here a patch names an object, so the files are read and what they do to each object is written down.
"""

from __future__ import annotations

import re
from typing import Any

from hub.domain.yamldoc import load_documents
from hub.importing.closure import kustomization
from hub.importing.fields import Fields, Foreign, foreign_of
from hub.importing.files import MANIFESTS, join, last
from hub.importing.scene import Scene
from shared.errors import DocumentError

_PATCH = "_patch."


class Unreadable(ValueError):
    """What an overlay does cannot be told from its files."""


def overlay_patches(scene: Scene, directory: str, name: str) -> list[dict[str, Any]]:
    """What the overlay `name` of a bundle's directory does to its objects.

    Raises:
        Unreadable: it adds objects, or files cannot be read.
    """
    root = join(directory, f"overlays/{name}") or ""
    if scene.tree.kind(root) != "directory":
        raise Unreadable(f"there is no overlay {root}")
    made = []
    for path in scene.look(root).files:
        if not path.endswith(MANIFESTS):
            continue
        inner = path[len(root) + 1 :]
        base = join(directory, inner.replace(_PATCH, ".") if _PATCH in last(inner) else inner) or ""
        objects = _objects(scene, base) if scene.tree.kind(base) == "file" else None
        if _PATCH in last(inner):
            made += _merged(scene, path, base, objects)
        else:
            made += _in_place(scene, path, objects)
    return made


def _merged(scene: Scene, path: str, base: str, objects: list[Foreign] | None) -> list[dict[str, Any]]:
    if not objects:
        raise Unreadable(f"{path} changes {base}, which holds no object")
    if len(objects) > 1:
        raise Unreadable(f"{path} changes {base}, which holds {len(objects)} objects")
    return [{"target": target_for(objects[0]), "patch": _value(scene, path)}]


def _in_place(scene: Scene, path: str, objects: list[Foreign] | None) -> list[dict[str, Any]]:
    new = {(each.kind, each.name): each for each in _objects(scene, path)}
    old = {(each.kind, each.name): each for each in objects or []}
    added = sorted(f"{kind} {name}" for kind, name in new.keys() - old.keys())
    if added:
        raise Unreadable(f"{path} adds {', '.join(added)}: make an application of it that is placed on these clusters")
    made: list[dict[str, Any]] = []
    for key, each in old.items():
        if key in new:
            value = {**new[key].document.value, "$patch": "replace"}
            made.append({"target": target_for(each), "patch": value})
        else:
            made.append({"target": target_for(each), "patch": {"$patch": "delete"}})
    return made


def _objects(scene: Scene, path: str) -> list[Foreign]:
    try:
        documents = load_documents(scene.tree.read(path), file=path)
    except DocumentError as error:
        raise Unreadable(str(error)) from None
    return [found for each in documents if (found := foreign_of(each)) is not None]


def _value(scene: Scene, path: str) -> Any:
    try:
        documents = load_documents(scene.tree.read(path), file=path)
    except DocumentError as error:
        raise Unreadable(str(error)) from None
    if len(documents) != 1:
        raise Unreadable(f"{path} holds {len(documents)} documents, and a patch is one")
    return documents[0].value


def target_for(each: Foreign) -> dict[str, str]:
    """The target that means this object and no other: names are regular expressions there."""
    made = {"kind": each.kind, "name": re.escape(each.name).replace("\\-", "-")}
    return {"group": re.escape(each.group), **made} if each.group else made


def kustomize_patches(scene: Scene, directory: str) -> list[dict[str, Any]]:
    """The patches of a kustomization that has no resources of its own, as it is put over what a chart renders to.

    Raises:
        Unreadable: it does more than patch.
    """
    value = kustomization(scene.tree, directory)
    if not value:
        raise Unreadable(f"there is no kustomization in {directory or '.'}")
    known = {"apiVersion", "kind", "metadata", "patches", "patchesStrategicMerge", "images", "resources"}
    more = sorted(key for key, given in value.items() if given and key not in known)
    if more or value.get("resources"):
        raise Unreadable(f"the kustomization in {directory} does more than patch: {', '.join(more) or 'resources'}")
    made: list[dict[str, Any]] = []
    for entry in value.get("patchesStrategicMerge") or []:
        text = str(entry)
        if "\n" in text:
            made += [{"patch": each.value} for each in load_documents(text, file=directory)]
        else:
            made += [{"patch": value} for value in _patch_file(scene, directory, text)]
    for entry in value.get("patches") or []:
        if not isinstance(entry, dict):
            continue
        target = {"target": entry["target"]} if isinstance(entry.get("target"), dict) else {}
        bodies = _patch_file(scene, directory, str(entry["path"])) if entry.get("path") else [entry.get("patch")]
        made += [{**target, "patch": body} for body in bodies if body]
    return made


def _patch_file(scene: Scene, directory: str, text: str) -> list[Any]:
    path = join(directory, text)
    try:
        if path is None:
            raise DocumentError(f"{text!r} leads out of the repository")
        return [each.value for each in load_documents(scene.tree.read(path), file=path)]
    except DocumentError as error:
        raise Unreadable(str(error)) from None


def kustomize_images(scene: Scene, directory: str) -> list[dict[str, Any]]:
    """The images of such a kustomization."""
    listed = kustomization(scene.tree, directory).get("images")
    return [dict(each) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def ignored_fields(diff: Fields) -> list[dict[str, Any]]:
    """`diff.comparePatches` as `sync.ignore`."""
    made = []
    for each in diff.items("comparePatches"):
        group = each.text("apiVersion").rpartition("/")[0]
        rule: dict[str, Any] = {
            key: value
            for key, value in {
                "kind": each.text("kind"),
                "group": group,
                "name": each.text("name"),
                "namespace": each.text("namespace"),
            }.items()
            if value
        }
        fields = each.texts("jsonPointers")
        whole = False
        for operation in each.items("operations"):
            op, path = operation.text("op"), operation.text("path")
            whole = whole or op == "ignore"
            if op in ("remove", "replace", "add", "test") and path:
                fields.append(path)
            operation.needless("value")
            operation.finish()
        each.finish()
        made.append(rule if whole else {**rule, "fields": fields})
    diff.finish()
    return made
