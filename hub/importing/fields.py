"""Reading other tools' documents field by field.

A definition that a cluster accepted may still hold anything in a file, so every field is read through `Fields`: what
has the wrong type is noted and counts as absent, and what nobody has asked for is noted by `finish`. A translator that
forgets a field therefore says so by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hub.domain.yamldoc import Document, child_path
from hub.importing.notes import Note, Notes
from shared.model import Place


@dataclass(frozen=True, slots=True)
class Foreign:
    """A document of another tool. `group` is its API group; documents without a kind (fleet.yaml) have none."""

    document: Document
    group: str
    kind: str
    name: str
    namespace: str = ""

    @property
    def subject(self) -> str:
        """What notes call it: `Application argocd/web`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def file(self) -> str:
        """The file it is in, or, for a rendered one, was rendered from."""
        return self.document.file

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its metadata, empty when it has none."""
        metadata = self.document.value.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    def annotation(self, name: str) -> str:
        """The value of an annotation, empty when it is not set."""
        annotations = self.metadata.get("annotations")
        return str(annotations.get(name, "")) if isinstance(annotations, dict) else ""

    def labels(self) -> dict[str, str]:
        """Its labels."""
        labels = self.metadata.get("labels")
        return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}

    def place(self, field: str = "") -> Place:
        """Where a field of it is."""
        return self.document.place(field)


def foreign_of(document: Document) -> Foreign | None:
    """A document as a definition; None when it is not an object with a kind and a name."""
    value = document.value
    if not isinstance(value, dict):
        return None
    metadata, kind = value.get("metadata"), value.get("kind")
    if not isinstance(metadata, dict) or not isinstance(kind, str):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace")
    group = str(value.get("apiVersion", "")).rpartition("/")[0]
    if not isinstance(name, str) or not name:
        return None
    return Foreign(document, group, kind, name, namespace if isinstance(namespace, str) else "")


class Fields:
    """A map of a definition. `path` is its field in the document."""

    def __init__(self, value: Any, path: str, origin: Foreign, notes: Notes) -> None:
        self.path = path
        self.origin = origin
        self._notes = notes
        self._read: set[str] = set()
        self._value: Mapping[str, Any] = value if isinstance(value, dict) else {}
        if value is not None and not isinstance(value, dict):
            self.left("", f"it must be a map, not {type(value).__name__}")

    def __contains__(self, key: str) -> bool:
        return self._value.get(key) is not None

    def keys(self) -> Iterator[str]:
        """The keys that have a value."""
        return (key for key, value in self._value.items() if value is not None)

    @property
    def value(self) -> Mapping[str, Any]:
        """The map itself; all of it counts as read."""
        self._read.update(self._value)
        return self._value

    def raw(self, key: str) -> Any:
        """A value as it is; None when it is not set."""
        self._read.add(key)
        return self._value.get(key)

    def text(self, key: str, default: str = "") -> str:
        """A string; numbers and booleans are taken as what they look like in YAML."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        self.left(key, "it must be a string")
        return default

    def flag(self, key: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002 - as dict.get
        """A boolean."""
        value = self.raw(key)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.left(key, "it must be true or false")
        return default

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        value = self.raw(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
            self.left(key, "it must be a list of strings")
            return []
        return [str(item) for item in value]

    def strings(self, key: str) -> dict[str, str]:
        """A map of strings."""
        value = self.raw(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str | int | float) for item in value.values()):
            self.left(key, "it must be a map of strings")
            return {}
        return {name: _text(item) for name, item in value.items()}

    def map(self, key: str) -> Fields:
        """A map; an empty one when it is not set."""
        return Fields(self.raw(key), child_path(self.path, key), self.origin, self._notes)

    def items(self, key: str) -> list[Fields]:
        """A list of maps."""
        value = self.raw(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.left(key, "it must be a list")
            return []
        path = child_path(self.path, key)
        return [Fields(item, child_path(path, number), self.origin, self._notes) for number, item in enumerate(value)]

    def needless(self, *keys: str) -> None:
        """These say nothing that Yardarm would have to be told."""
        self._read.update(keys)

    def left(self, key: str, message: str, hint: str = "") -> None:
        """A field that is not carried over, if it is there."""
        self._tell("left", key, message, hint)

    def differs(self, key: str, message: str, hint: str = "") -> None:
        """A field that is carried over as something else, if it is there."""
        self._tell("differs", key, message, hint)

    def left_if(self, key: str, message: str, hint: str = "") -> None:
        """`left`, when the field is there."""
        if self.raw(key) not in (None, False, "", [], {}):
            self._tell("left", key, message, hint)

    def differs_if(self, key: str, message: str, hint: str = "") -> None:
        """`differs`, when the field is there."""
        if self.raw(key) not in (None, False, "", [], {}):
            self._tell("differs", key, message, hint)

    def finish(self) -> None:
        """Notes every field that nobody has asked for."""
        for key in self.keys():
            if key not in self._read:
                self._tell("left", key, "a field that this version does not know", "")

    def _tell(self, kind: Any, key: str, message: str, hint: str) -> None:
        self._read.add(key)
        field = child_path(self.path, key) if key else self.path
        shown = f"{field.removeprefix('spec.')}: {message}" if field else message
        self._notes.add(Note(kind, self.origin.subject, shown, self.origin.place(field), hint))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
