"""An application's additions, written into its kustomization as `kustomize edit` writes them. Pure.

Not a kustomization on top of it: that would put a prefix before the prefix, where `kustomize edit set nameprefix` puts
another one in its place; Argo CD edits, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hub.render.job import Additions, Image, Patch, Replicas
from hub.render.kustomize.references import fold, named

Fields = dict[str, Any]


def edited(fields: Mapping[str, Any], additions: Additions) -> Fields:
    """The fields of a kustomization with the additions. What is malformed in them is left for Kustomize to tell."""
    settings = {
        "namePrefix": additions.name_prefix,
        "nameSuffix": additions.name_suffix,
        "namespace": additions.namespace,
    }
    result = {**fields, **{field: text for field, text in settings.items() if text}}
    if additions.images:
        have = [*_listed(result.get("images")), *_listed(result.pop("imageTags", None))]
        result["images"] = _by_name(have, map(_image, additions.images))
    if additions.replicas:
        result["replicas"] = _by_name(_listed(result.get("replicas")), map(_replicas, additions.replicas))
    if additions.labels:
        _label(result, additions)
    if additions.annotations:
        result["commonAnnotations"] = {**(result.get("commonAnnotations") or {}), **additions.annotations}
    if additions.components:
        have = _listed(result.get("components"))
        result["components"] = [*have, *(each for each in additions.components if each not in have)]
    if additions.patches:
        result["patches"] = [*_listed(result.get("patches")), *map(_patch, additions.patches)]
    return result


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _by_name(have: list[Any], more: Iterable[Fields]) -> list[Any]:
    """One entry for each name, the newer one where there were two; in the order of names, in which they then act."""
    entries = {str(_name(each)): each for each in [*have, *more]}
    return [entries[name] for name in sorted(entries, key=lambda name: name.encode())]


def _name(entry: Any) -> Any:
    return next((value for _, value in named(entry, "name")), "")


def _image(image: Image) -> Fields:
    fields = {"name": image.name, "newName": image.new_name, "newTag": image.new_tag, "digest": image.digest}
    return {field: text for field, text in fields.items() if text}


def _replicas(replicas: Replicas) -> Fields:
    return {"name": replicas.name, "count": replicas.count}


def _label(fields: Fields, additions: Additions) -> None:
    """With selectors they are common labels; else they join the first entry that has the same settings."""
    if additions.label_selectors:
        fields["commonLabels"] = {**(fields.get("commonLabels") or {}), **additions.labels}
        return
    entries = _listed(fields.get("labels"))
    for at, entry in enumerate(entries):
        if isinstance(entry, dict) and _settings(entry) == (False, additions.label_templates):
            pairs = next((value for _, value in named(entry, "pairs")), None) or {}
            rest = {key: value for key, value in entry.items() if fold(key) != "pairs"}
            entries = [*entries[:at], {**rest, "pairs": {**pairs, **additions.labels}}, *entries[at + 1 :]]
            break
    else:
        entry = {"pairs": dict(additions.labels)}
        entries = [*entries, {**entry, "includeTemplates": True} if additions.label_templates else entry]
    fields["labels"] = entries


def _settings(entry: Fields) -> tuple[bool, bool]:
    """(on selectors, on templates)."""
    names = ("includeSelectors", "includeTemplates")
    selectors, templates = (any(value for _, value in named(entry, name)) for name in names)
    return selectors, templates


def _patch(patch: Patch) -> Fields:
    text = patch.patch if isinstance(patch.patch, str) else json.dumps(patch.patch)
    if patch.target is None:
        return {"patch": text}
    target = patch.target
    fields = {
        "group": target.group,
        "version": target.version,
        "kind": target.kind,
        "name": target.name,
        "namespace": target.namespace,
        "labelSelector": target.label_selector,
        "annotationSelector": target.annotation_selector,
    }
    return {"patch": text, "target": {field: value for field, value in fields.items() if value}}
