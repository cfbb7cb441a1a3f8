"""Repositories of other tools, asked what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub.domain.fleet import build_fleet
from hub.importing.home import Home
from hub.importing.notes import Renders
from hub.importing.recognising import Question, Recognised, answer
from tests.fakes.memorytree import MemoryTree

SHAPES = Path(__file__).parents[1] / "data" / "imports"
URL = "https://git.example.com/team/repo"


def asked(
    files: Mapping[str, str | bytes],
    path: str = "",
    renders: Renders | None = None,
    clusters: Mapping[str, Mapping[str, str]] | None = None,
    present: Mapping[str, str] | None = None,
    urls: tuple[str, ...] = (URL,),
    name: str = "repo",
) -> Recognised:
    """What the files mean; checked to be documents that the fleet model takes without an error."""
    question = Question(path, Home(urls, "main"), name, clusters or {}, present or {})
    found = answer(MemoryTree(files), question, renders or {})
    problems = build_fleet(found.parsed(), notes=found.findings).problems
    wrong = [str(problem) for problem in problems if problem.severity == "error" and problem not in found.problems]
    assert wrong == []
    return found


def spec(found: Recognised, name: str, kind: str = "Application") -> dict[str, Any]:
    """The spec of a document."""
    made = {(each.kind, each.name): each.value["spec"] for each in found.documents}
    assert (kind, name) in made, sorted(made)
    return dict(made[kind, name])


def names(found: Recognised, kind: str = "Application") -> list[str]:
    """What the documents of a kind are called."""
    return sorted(each.name for each in found.documents if each.kind == kind)


def said(found: Recognised, kind: str) -> list[str]:
    """The notes of a kind (left, differs), without their hints."""
    return [f"{note.place}: {note.message}" for note in found.notes if note.kind == kind]
