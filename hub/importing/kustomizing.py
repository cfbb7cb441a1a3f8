"""Kustomize's own words where other tools repeat them: patches, images, metadata for all objects."""

from __future__ import annotations

from typing import Any

from hub.domain.yamldoc import load_documents
from hub.importing.fields import Fields
from hub.importing.words import compact
from shared.errors import DocumentError

_TARGET = ("group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector")


def target_of(target: Fields) -> dict[str, Any]:
    """The target of a patch."""
    made = compact({name: target.text(name) for name in _TARGET})
    target.finish()
    return made


def patches_of(fields: Fields) -> list[dict[str, Any]]:
    """`patches`, `patchesStrategicMerge` and `patchesJson6902` of a definition, in the order Kustomize applies them."""
    made = [{"patch": each.value} for each in fields.items("patchesStrategicMerge") if each.value]
    for each in fields.items("patchesJson6902"):
        made.append({"target": target_of(each.map("target")), "patch": each.raw("patch")})
        each.finish()
    for each in fields.items("patches"):
        each.left_if("options", "a patch changes neither names nor kinds")
        target = target_of(each.map("target"))
        patch = patch_of(each)
        if patch is not None:
            made.append(compact({"target": target, "patch": patch}))
        each.finish()
    return made


def patch_of(patch: Fields) -> Any:
    """The body of a patch, decoded where it is one document; None, and noted, when there is none."""
    text = patch.raw("patch")
    if isinstance(text, dict | list):
        return text
    if not isinstance(text, str) or not text.strip():
        patch.left("patch", "it is empty, or a file of another repository")
        return None
    try:
        documents = load_documents(text, file="patch")
    except DocumentError as error:
        patch.left("patch", f"it is not YAML: {error.message}")
        return None
    return documents[0].value if len(documents) == 1 else text


def images_of(fields: Fields) -> list[dict[str, Any]]:
    """`images` of a definition, as in a kustomization."""
    made = []
    for each in fields.items("images"):
        made.append(compact({name: each.text(name) for name in ("name", "newName", "newTag", "digest")}))
        each.finish()
    return made
