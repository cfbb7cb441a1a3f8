"""Chart.yaml and Chart.lock: what a chart says it depends on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.domain.yamldoc import Document, load_documents
from shared.errors import DocumentError
from shared.model import Place

CHART = "Chart.yaml"
LOCK = "Chart.lock"
REQUIREMENTS = "requirements.yaml"
"""Where charts of `apiVersion: v1` declare what they depend on."""
REQUIREMENTS_LOCK = "requirements.lock"


@dataclass(frozen=True, slots=True)
class Dependency:
    """A chart that another needs. `version` is a range, or exact when it comes from a lock."""

    name: str
    version: str = ""
    repository: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class ChartFile:
    """What a chart says about itself."""

    name: str
    version: str
    dependencies: tuple[Dependency, ...] = ()


def read_chart(data: bytes, file: str) -> ChartFile:
    """A Chart.yaml; `file` is what errors call it.

    Raises:
        DocumentError: it is no YAML, or does not name the chart.
    """
    document = _map(data, file)
    value = document.value
    name, version = value.get("name"), value.get("version")
    if not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise DocumentError("a chart has a `name`", document.place("name"))
    if not isinstance(version, str) or not version:
        raise DocumentError("a chart has a `version`, written as text", document.place("version"))
    return ChartFile(name, version, _dependencies(document))


def read_dependencies(data: bytes, file: str) -> tuple[Dependency, ...]:
    """The dependencies in a lock, or in the requirements.yaml of an old chart.

    Raises:
        DocumentError: it is no YAML, or a dependency has no name.
    """
    return _dependencies(_map(data, file))


def _map(data: bytes, file: str) -> Document:
    documents = load_documents(data, file=file, positions=True)
    if not documents:
        return Document(file, 1, {})
    if not isinstance(documents[0].value, dict):
        raise DocumentError("it has to be a map", Place(file, documents[0].line))
    return documents[0]


def _dependencies(document: Document) -> tuple[Dependency, ...]:
    listed = document.value.get("dependencies") or ()
    if not isinstance(listed, list | tuple):
        raise DocumentError("`dependencies` has to be a list", document.place("dependencies"))
    return tuple(_dependency(each, document.place(f"dependencies[{at}]")) for at, each in enumerate(listed))


def _dependency(value: Any, place: Place) -> Dependency:
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not value["name"]:
        raise DocumentError("a dependency has a `name`", place)
    version, repository = value.get("version", ""), value.get("repository", "")
    return Dependency(value["name"], str(version or ""), str(repository or ""), place)
