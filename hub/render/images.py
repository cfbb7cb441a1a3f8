"""Images of overrides, put in place as a kustomization's `images` are, on objects from any source. Pure.

Kustomize looks for `image` in the members of every list called containers or initContainers, however deep, and at
images that are mounted as volumes; custom resources included, their definitions not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hub.render.job import Image
from shared.errors import DocumentError
from shared.model import Manifest, Problem

if TYPE_CHECKING:
    from hub.render.plain import Found

_LISTS = frozenset({"containers", "initContainers"})
_VOLUMES = (("spec", "volumes"), ("spec", "template", "spec", "volumes"))
_PARTS = re.compile(r"(?P<name>(?:[^/]*/)?[^:@]*)(?::(?P<tag>[^@]*))?(?:@(?P<digest>.*))?", re.DOTALL)

Change = Callable[[str], str]


def apply_images(found: list[Found], images: Sequence[Image], problems: list[Problem]) -> list[Found]:
    """`found` with all images in place, one after the other; one whose name cannot be used is added to `problems`."""
    for image in images:
        try:
            matches(image.name, "")
        except DocumentError as error:
            problems.append(Problem("error", f"the image {image.name!r} of an override: {error.message}"))
            continue
        found = [replace(each, manifest=with_image(each.manifest, image)) for each in found]
    return found


def with_image(manifest: Manifest, image: Image) -> Manifest:
    """`manifest` with `image` in place; itself when there is nothing to do. The argument is not changed.

    Raises:
        DocumentError: the image's name is no regular expression.
    """
    if manifest.get("kind") == "CustomResourceDefinition":
        return manifest

    def change(reference: str) -> str:
        return replaced(reference, image) if matches(image.name, reference) else reference

    changed = _in_containers(manifest, change)
    for path in _VOLUMES:
        changed = _in_volumes(changed, path, change)
    result: Manifest = changed
    return result


def matches(name: str, reference: str) -> bool:
    """Whether a reference is to the image of that name, whatever its tag and digest.

    Raises:
        DocumentError: the name is no regular expression.
    """
    return _pattern(name).match(reference) is not None


def replaced(reference: str, image: Image) -> str:
    """The reference with the image's parts in place of its own. A new tag does away with a digest, and the reverse."""
    parts = _PARTS.fullmatch(reference)
    name, tag, digest = (parts["name"], parts["tag"] or "", parts["digest"] or "") if parts else (reference, "", "")
    if image.new_tag or image.digest:
        tag, digest = image.new_tag, image.digest
    return (image.new_name or name) + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


@lru_cache(maxsize=1024)
def _pattern(name: str) -> re.Pattern[str]:
    try:
        return re.compile(rf"{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?\Z")
    except re.error as error:
        raise DocumentError(f"{name!r} is not a regular expression: {error}") from None


def _in_containers(value: Any, change: Change) -> Any:
    """The value with the images of containers in it changed; itself when none is."""
    if isinstance(value, list):
        return _same([_in_containers(item, change) for item in value], value)
    if not isinstance(value, dict):
        return value
    changed = {}
    for key, item in value.items():
        below = _in_containers(item, change)
        if key in _LISTS and isinstance(below, list):
            below = _same([_field(each, "image", change) for each in below], below)
        changed[key] = below
    return _same(changed, value)


def _in_volumes(value: Any, path: tuple[str, ...], change: Change) -> Any:
    if not isinstance(value, dict) or path[0] not in value:
        return value
    below = value[path[0]]
    if len(path) > 1:
        changed = _in_volumes(below, path[1:], change)
    elif isinstance(below, list):
        changed = _same([_mounted(each, change) for each in below], below)
    else:
        changed = below
    return value if changed is below else {**value, path[0]: changed}


def _mounted(volume: Any, change: Change) -> Any:
    mounted = volume.get("image") if isinstance(volume, dict) else None
    changed = _field(mounted, "reference", change)
    return volume if changed is mounted else {**volume, "image": changed}


def _field(value: Any, field: str, change: Change) -> Any:
    reference = value.get(field) if isinstance(value, dict) else None
    if not isinstance(reference, str) or (changed := change(reference)) == reference:
        return value
    return {**value, field: changed}


def _same(changed: Any, value: Any) -> Any:
    """What was there when nothing in it is another object: objects share parts, and most have no image to change."""
    if isinstance(changed, list):
        return value if all(map(_is, changed, value)) else changed
    return value if all(item is value[key] for key, item in changed.items()) else changed


def _is(one: Any, other: Any) -> bool:
    return one is other
