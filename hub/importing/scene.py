"""What a translator works with: the repository, what was found in it, and where to put what there is to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.domain.yamldoc import Document
from hub.importing.fields import Fields, Foreign, foreign_of
from hub.importing.files import Repository, shown
from hub.importing.home import Home
from hub.importing.notes import Note, Notes, Renders, Want
from hub.importing.survey import Memo, Survey, parsed, survey
from shared.errors import DocumentError
from shared.model import Problem


@dataclass(slots=True)
class Scene:
    """One import. `clusters` are the clusters that are known, with their labels; empty when nobody can say."""

    tree: Repository
    survey: Survey
    home: Home
    renders: Renders = field(default_factory=dict)
    clusters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    wants: dict[Want, None] = field(default_factory=dict)
    memo: Memo = field(default_factory=dict)
    looks: dict[str, Survey] = field(default_factory=dict)
    broken: dict[str, Problem] = field(default_factory=dict)
    """Files and directories of which nobody can tell now what definitions are in them, and why."""

    def look(self, path: str) -> Survey:
        """What lies below a directory, wherever in the repository it is; empty when nothing is there."""
        known = self.looks.get(path)
        if known is None:
            try:
                known = self.survey if path == self.survey.path else survey(self.tree, path, self.memo)
            except DocumentError:
                known = Survey(path)
            self.looks[path] = known
        return known

    def fields(self, foreign: Foreign, key: str = "spec") -> Fields:
        """A part of a definition."""
        return Fields(foreign.document.value.get(key), key, foreign, self.notes)

    def rendered(self, want: Want) -> tuple[Document, ...] | Problem | None:
        """What a directory renders to; None, and wanted, when it has not been rendered."""
        known = self.renders.get(want)
        if known is None:
            self.wants.setdefault(want)
        elif isinstance(known, Problem):
            self.broken.setdefault(shown(want.path), known)
        return known

    def unknown(self, foreign: Foreign, why: Problem) -> None:
        """A definition of which nobody can tell now what it means."""
        self.broken.setdefault(foreign.file, why)

    def left(self, foreign: Foreign, message: str, field_path: str = "", hint: str = "") -> None:
        """Something of a definition that is not carried over."""
        self.notes.add(Note("left", foreign.subject, message, foreign.place(field_path), hint))

    def differs(self, foreign: Foreign, message: str, field_path: str = "", hint: str = "") -> None:
        """Something of a definition that is carried over as something else."""
        self.notes.add(Note("differs", foreign.subject, message, foreign.place(field_path), hint))

    def documents(self, path: str) -> tuple[Document, ...]:
        """The good documents of a file; none when it cannot be read."""
        try:
            found = parsed(self.tree, path, self.memo)
        except DocumentError:
            return ()
        return tuple(each for each in found if isinstance(each, Document))

    def objects(self, path: str) -> list[Foreign]:
        """The objects of a file."""
        return [found for each in self.documents(path) if (found := foreign_of(each)) is not None]

    def named(self, kind: str, namespace: str, name: str) -> Foreign | None:
        """An object of a built-in kind in a file of what was looked at; in the namespace, or in none that is said."""
        wanted, spoken = name.encode(), f"kind: {kind}".encode()
        nearly = None
        for path in dict.fromkeys(path for each in (self.survey, *self.looks.values()) for path in each.files):
            data = self.data(path) if path.endswith((".yaml", ".yml")) else b""
            if wanted not in data or spoken not in data:
                continue
            for found in self.objects(path):
                if found.kind == kind and found.name == name:
                    if found.namespace == namespace:
                        return found
                    if not found.namespace:
                        nearly = nearly or found
        return nearly

    def data(self, path: str) -> bytes:
        """The bytes of a file; nothing when it cannot be read."""
        try:
            return self.tree.read(path) if self.tree.kind(path) == "file" else b""
        except DocumentError:
            return b""


def mapping(value: Any) -> dict[str, Any]:
    """The value when it is a map, else an empty one."""
    return value if isinstance(value, dict) else {}
