"""What a translation yields: documents, notes on what they do not say, and what has to be rendered first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import orjson

from hub.domain.yamldoc import Document
from shared.model import Place, Problem, Value


class Note(Value, frozen=True):
    """Something of a definition that its translation does not say.

    `left` is lost: what it asked for does not happen here. `differs` is carried over, but not as the same thing: worth
    a look before the first apply. `subject` names the definition (`Application argocd/web`), `message` is the reason.
    """

    kind: Literal["left", "differs"]
    subject: str
    message: str
    place: Place
    hint: str = ""

    def problem(self) -> Problem:
        """The note as a finding of the fleet."""
        what = "not carried over" if self.kind == "left" else "carried over otherwise"
        return Problem("warning", f"{self.subject}: {what}: {self.message}", self.place, self.hint)


@dataclass(frozen=True, slots=True)
class Made:
    """A fleet document as a plain map. `origin` says what it was made of, `place` where that is written."""

    value: Mapping[str, Any]
    place: Place
    origin: str

    @property
    def kind(self) -> str:
        """Application, Project and so on."""
        return str(self.value["kind"])

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.value["metadata"]["name"])


class Want(Value, frozen=True):
    """A directory of this repository that has to be rendered before it can be read.

    `render` is a `spec.render` of an Application as canonical JSON; `release` and `namespace` are what Helm is told.
    """

    path: str
    render: str = "{}"
    release: str = ""
    namespace: str = ""

    @property
    def spec(self) -> dict[str, Any]:
        """`render`, decoded."""
        decoded: dict[str, Any] = orjson.loads(self.render)
        return decoded


def want(path: str, render: Mapping[str, Any], release: str = "", namespace: str = "") -> Want:
    """A `Want` for a `spec.render`."""
    return Want(path, orjson.dumps(render, option=orjson.OPT_SORT_KEYS).decode(), release, namespace)


Renders = Mapping[Want, tuple[Document, ...] | Problem]
"""What rendering gave: objects, each as a document, or why there are none."""


@dataclass(slots=True)
class Notes:
    """Collects notes, each once."""

    found: dict[Note, None] = field(default_factory=dict)

    def add(self, note: Note) -> None:
        """One more."""
        self.found.setdefault(note)

    def all(self) -> tuple[Note, ...]:
        """In the order of files and lines."""
        return tuple(sorted(self.found, key=lambda note: (note.place.file, note.place.line, note.message)))


@dataclass(frozen=True, slots=True)
class Translation:
    """What definitions of `tools` mean. With `wants` it is not final: there may be more behind them.

    `broken` are files and directories of which nobody can tell now what definitions are in them.
    """

    documents: tuple[Made, ...] = ()
    notes: tuple[Note, ...] = ()
    wants: tuple[Want, ...] = ()
    tools: tuple[str, ...] = ()
    broken: tuple[tuple[str, Problem], ...] = ()


def grouped(notes: Iterable[Note]) -> list[Note]:
    """What is said of many definitions in the same words, said once: of the first `and 3 more`, where that is."""
    by_words: dict[tuple[str, str, str], list[Note]] = {}
    for each in notes:
        by_words.setdefault((each.kind, each.message, each.hint), []).append(each)
    return [
        msgspec.structs.replace(first, subject=f"{first.subject} and {len(others)} more") if others else first
        for first, *others in by_words.values()
    ]
