"""What one kustomization file, or one plugin's configuration, names. Pure: nothing is looked up here.

Kustomize matches the names of fields without regard to case, in the loose way of Go's JSON, to which even a long s is
an s; so this does as well. What was checked is what is built.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hub.domain.yamldoc import Document, child_path, load_documents
from shared.errors import DocumentError

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""Of a kustomization file; a directory may have one of them."""

FIELDS = (
    "apiVersion", "kind", "metadata", "openapi", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels",
    "commonAnnotations", "patchesStrategicMerge", "patchesJson6902", "patches", "images", "imageTags", "replacements",
    "replicas", "vars", "sortOptions", "resources", "components", "crds", "bases", "configMapGenerator",
    "secretGenerator", "helmGlobals", "helmCharts", "helmChartInflationGenerator", "generatorOptions",
    "configurations", "generators", "transformers", "validators", "buildMetadata",
)  # fmt: skip
"""The fields of a kustomization."""

HARMLESS = frozenset(
    {"apiVersion", "kind", "metadata", "resources", "bases", "namePrefix", "nameSuffix", "namespace", "commonLabels"}
    | {"commonAnnotations", "buildMetadata", "sortOptions"}
)
"""Fields that change no file name in what they are applied to."""

_HELM_HINT = "make the chart a source of the application (render.helm), which renders it with its own limits"
_PLUGIN_HINT = "only Kustomize's builtin generators and transformers run here"


class Role(enum.Enum):
    """What a name may stand for."""

    RESOURCE = "a file or a directory"
    COMPONENT = "a directory"
    FILE = "a file"
    PATCH = "a file, or a patch written out"
    PLUGIN = "a file or a directory, or a configuration written out"


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in a kustomization, with the field and line it is written on."""

    role: Role
    text: str
    field: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is refused."""

    message: str
    field: str
    line: int
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Kustomization:
    """A kustomization file, read. `fields` are its fields by the name they have in FIELDS."""

    fields: dict[str, Any]
    references: tuple[Reference, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[Finding, ...] = ()


def fold(name: str) -> str:
    """Equal for names of fields that are one to Kustomize."""
    return name.casefold()


_CANONICAL = {fold(name): name for name in FIELDS}
_NAMING = {
    "resources": Role.RESOURCE, "bases": Role.RESOURCE, "components": Role.COMPONENT, "crds": Role.FILE,
    "configurations": Role.FILE, "patchesStrategicMerge": Role.PATCH, "generators": Role.PLUGIN,
    "transformers": Role.PLUGIN, "validators": Role.PLUGIN,
}  # fmt: skip
_WITH_PATHS = frozenset({"patches", "patchesJson6902", "replacements"})
_GENERATORS = frozenset({"configMapGenerator", "secretGenerator"})
_CHARTS = frozenset({"helmCharts", "helmChartInflationGenerator"})


def read(data: bytes, file: str) -> Kustomization:
    """What a kustomization file says and names.

    Raises:
        DocumentError: it is not YAML, not a map, or has a field twice.
    """
    documents = load_documents(data, file=file, positions=True)
    if not documents:
        raise DocumentError("the kustomization is empty", None, "list its resources, or remove the file")
    document = documents[0]
    if not isinstance(document.value, dict):
        raise DocumentError("a kustomization is a map", document.place())
    fields: dict[str, Any] = {}
    reader = _Reader(document)
    key: str
    for key, value in document.value.items():
        name, path = _CANONICAL.get(fold(key), key), child_path("", key)
        if name in fields:
            raise DocumentError(f"the field {name} is there twice", document.place(path), "keep one")
        fields[name] = value
        reader.field(name, value, path)
    warnings = [
        Finding("Kustomize reads only the first document of this file", "", again.line, "put it in a file of its own")
        for again in documents[1:2]
    ]
    return Kustomization(fields, tuple(reader.references), tuple(reader.findings), tuple(warnings))


def read_plugins(data: bytes | str, file: str) -> tuple[tuple[Reference, ...], tuple[Finding, ...]]:
    """What configurations of generators and transformers name, and what is refused in them.

    Raises:
        DocumentError: they are not YAML.
    """
    references, findings = list[Reference](), list[Finding]()
    for document in load_documents(data, file=file, positions=True):
        reader = _Reader(document)
        for value, path in _flattened(document.value, ""):
            reader.plugin(value, path)
        references += reader.references
        findings += reader.findings
    return tuple(references), tuple(findings)


def is_inline(text: str) -> bool:
    """Whether an entry is a configuration or patch written out and not a name: it is one that YAML reads as a map."""
    try:
        values = [document.value for document in load_documents(text, file="")]
    except DocumentError:
        return "\n" in text
    return bool(values) and all(isinstance(value, dict) for value in values)


def named(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A field of a map, in every spelling that stands for it there: (as written, value)."""
    if isinstance(value, dict):
        wanted = fold(name)
        yield from ((key, found) for key, found in value.items() if fold(key) == wanted)


def source_path(text: str) -> str:
    """The file that an entry of `files` in a generator names: `path` or `key=path`."""
    return text.partition("=")[2] if "=" in text else text


class _Reader:
    """Collects the references of one document."""

    def __init__(self, document: Document) -> None:
        self.references: list[Reference] = []
        self.findings: list[Finding] = []
        self._document = document

    def field(self, name: str, value: Any, path: str) -> None:
        """A field of the kustomization."""
        if name in _NAMING:
            self._names(_NAMING[name], value, path)
        elif name in _WITH_PATHS:
            for item, at in _items(value, path):
                self._path_of(item, at)
        elif name in _GENERATORS:
            for item, at in _items(value, path):
                self._sources(item, at)
        elif name == "openapi":
            self._path_of(value, path)
        elif name in _CHARTS and value:
            self._refuse("a Helm chart inside a kustomization is not built", path, _HELM_HINT)

    def plugin(self, value: Any, path: str) -> None:
        """The configuration of a generator, transformer or validator."""
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(value, dict) or value.get("apiVersion") != "builtin" or not isinstance(kind, str):
            what = f"the plugin {kind}" if isinstance(kind, str) else "a plugin"
            self._refuse(f"{what} would run a program or a container", path, _PLUGIN_HINT)
            return
        if kind == "HelmChartInflationGenerator":
            self._refuse("a Helm chart inside a kustomization is not built", path, _HELM_HINT)
        self._sources(value, path)
        self._path_of(value, path)
        for key, paths in named(value, "paths"):
            self._names(Role.PATCH, paths, child_path(path, key))
        for key, replacements in named(value, "replacements"):
            for item, at in _items(replacements, child_path(path, key)):
                self._path_of(item, at)

    def _names(self, role: Role, value: Any, path: str) -> None:
        for item, at in _items(value, path):
            if isinstance(item, str):
                self._add(role, item, at)

    def _path_of(self, value: Any, path: str) -> None:
        for key, text in named(value, "path"):
            if isinstance(text, str) and text:
                self._add(Role.FILE, text, child_path(path, key))

    def _sources(self, value: Any, path: str) -> None:
        for key, sources in named(value, "files"):
            for item, at in _items(sources, child_path(path, key)):
                if isinstance(item, str):
                    self._add(Role.FILE, source_path(item), at)
        for key, sources in named(value, "envs"):
            self._names(Role.FILE, sources, child_path(path, key))
        for key, source in named(value, "env"):
            if isinstance(source, str) and source:
                self._add(Role.FILE, source, child_path(path, key))

    def _add(self, role: Role, text: str, path: str) -> None:
        self.references.append(Reference(role, text, path, self._document.place(path).line))

    def _refuse(self, message: str, path: str, hint: str) -> None:
        self.findings.append(Finding(message, path, self._document.place(path).line, hint))


def _items(value: Any, path: str) -> Iterable[tuple[Any, str]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield item, child_path(path, index)


def _flattened(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    """The members of a List, of whatever kind and however nested; anything else as it is."""
    kind = value.get("kind") if isinstance(value, dict) else None
    items = value.get("items") if isinstance(value, dict) else None
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list)):
        yield value, path
        return
    for item, at in _items(items, child_path(path, "items") if path else "items"):
        yield from _flattened(item, at)
