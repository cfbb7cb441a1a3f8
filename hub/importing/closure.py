"""What a kustomization is made of, as far as its files tell without building it.

Enough to see which files belong to it, whether it changes what it includes, and which objects come out of it roughly
under which names. What exactly comes out is known only to Kustomize.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hub.domain.yamldoc import load_documents
from hub.importing.files import Repository, join, kustomization_in
from hub.importing.scene import mapping
from shared.errors import DocumentError

MAX_DIRECTORIES = 1_000

_LISTS_OF_PATHS = ("crds", "configurations", "transformers", "generators", "validators", "openapi")
_CHANGES = (
    "patches",
    "patchesStrategicMerge",
    "patchesJson6902",
    "images",
    "replicas",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "commonAnnotations",
    "labels",
    "replacements",
    "vars",
    "transformers",
    "components",
)
_MAKES = ("configMapGenerator", "secretGenerator", "generators", "helmCharts", "helmChartInflationGenerator")


@dataclass(slots=True)
class Closure:
    """A kustomization and all it includes.

    `resources` are the manifests, with the prefix and suffix that names get on the way; `files` are all others that
    are read. `changes` says that objects do not come out as they are written, `incomplete` that something cannot be
    seen: it is remote, missing or made by a generator.
    """

    directory: str
    resources: list[tuple[str, str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    changes: bool = False
    incomplete: bool = False

    def holds(self, path: str) -> bool:
        """Whether a file is one of its manifests or other files."""
        return path in self.files or any(path == resource for resource, _, _ in self.resources)


def closure(tree: Repository, directory: str) -> Closure:
    """The closure of the kustomization in a directory. What cannot be read makes it `incomplete`, not an error."""
    found = Closure(directory)
    _enter(tree, directory, "", "", found)
    return found


def kustomization(tree: Repository, directory: str) -> dict[str, Any]:
    """The kustomization of a directory; empty when there is none that can be read."""
    path = kustomization_in(tree, directory)
    if not path:
        return {}
    try:
        documents = load_documents(tree.read(path), file=path)
    except DocumentError:
        return {}
    return mapping(documents[0].value) if documents else {}


def _enter(tree: Repository, directory: str, prefix: str, suffix: str, found: Closure) -> None:
    if directory in found.directories:
        return
    if len(found.directories) >= MAX_DIRECTORIES:
        found.incomplete = True
        return
    found.directories.append(directory)
    value = kustomization(tree, directory)
    if not value:
        found.incomplete = True
        return
    found.files.append(kustomization_in(tree, directory))
    found.changes = found.changes or any(value.get(key) for key in _CHANGES)
    found.incomplete = found.incomplete or any(value.get(key) for key in _MAKES)
    prefix, suffix = f"{value.get('namePrefix') or ''}{prefix}", f"{suffix}{value.get('nameSuffix') or ''}"
    for text in _texts(value, ("resources", "bases", "components")):
        _include(tree, directory, text, (prefix, suffix), found)
    for text in _other_files(value):
        path = join(directory, text)
        if path is not None and tree.kind(path) == "file":
            found.files.append(path)


def _include(tree: Repository, directory: str, text: str, affixes: tuple[str, str], found: Closure) -> None:
    path = join(directory, text)
    kind = tree.kind(path) if path is not None and "://" not in text else ""
    if path is None or not kind:
        found.incomplete = True
    elif kind == "directory":
        _enter(tree, path, *affixes, found)
    else:
        found.resources.append((path, *affixes))


def _texts(value: dict[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        listed = value.get(key)
        if isinstance(listed, list):
            yield from (each for each in listed if isinstance(each, str))


def _other_files(value: dict[str, Any]) -> Iterator[str]:
    yield from (text for text in _texts(value, _LISTS_OF_PATHS))
    yield from (text for text in _texts(value, ("patchesStrategicMerge",)) if "\n" not in text)
    for key in ("patches", "patchesJson6902", "replacements"):
        for each in _maps(value, key):
            if isinstance(each.get("path"), str):
                yield each["path"]
    for key in ("configMapGenerator", "secretGenerator"):
        for each in _maps(value, key):
            yield from (text.partition("=")[2] or text for text in _texts(each, ("files", "envs")))


def _maps(value: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = value.get(key)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
