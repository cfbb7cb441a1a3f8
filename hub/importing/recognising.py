"""A repository without fleet documents: what it means, so that a hub can be pointed at it as it is.

Definitions of other tools come first; without any, the directories speak (`layout`). A repository that runs as one
application stays that: what a hub took it for does not change because a file of another tool appears in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hub.domain.documents import API_VERSION, SUBSTITUTE
from hub.domain.reading import Parsed, Rejected, parse_document
from hub.domain.yamldoc import Document
from hub.importing.closure import closure
from hub.importing.files import Repository, last, shown
from hub.importing.home import Home
from hub.importing.layout import Layout, Unit, layout
from hub.importing.names import distinct, token
from hub.importing.notes import Made, Note, Renders, Translation, Want, grouped
from hub.importing.scene import Scene
from hub.importing.survey import Memo, survey
from hub.importing.translating import translate
from hub.importing.words import compact
from shared.model import Place, Problem

How = Literal["definitions", "directories", "one", "nothing"]
_HELM_RELEASE = b"helm.toolkit.fluxcd.io/"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a repository without fleet documents means.

    `how` says what it was taken from, `taken` the same for people. `documents` are fleet documents as plain maps.
    `problems` are what cannot be decided; what is in `broken` (files, directories) means nobody can
    tell now. With `wants` it is not final.
    """

    how: How
    documents: tuple[Made, ...] = ()
    notes: tuple[Note, ...] = ()
    problems: tuple[Problem, ...] = ()
    wants: tuple[Want, ...] = ()
    taken: Problem | None = None
    broken: tuple[tuple[str, Problem], ...] = ()

    @property
    def findings(self) -> tuple[Problem, ...]:
        """All there is to tell of a fleet that is used as it was recognised."""
        return (
            *([self.taken] if self.taken is not None else []),
            *self.problems,
            *(note.problem() for note in grouped(self.notes)),
        )

    def parsed(self) -> list[Parsed]:
        """The documents as the fleet model takes them. What was made of something that is broken now, stays."""
        rejected = [Rejected(file, "", "", (problem,)) for file, problem in self.broken]
        return [*(parsed_of(each) for each in self.documents), *rejected]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a repository: what `path` in it means.

    `home` are the addresses it is known by; `name` is what to call the application of a path without a name of its own.
    `clusters` are the labels of the clusters that are known; `present` has the path of each application that clusters
    have now: a path that runs as one application stays one.
    """

    path: str
    home: Home = field(default_factory=Home)
    name: str = ""
    clusters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    present: Mapping[str, str] = field(default_factory=dict)


ROUNDS = 8
"""How often it is rendered and asked again before it counts as endless: definitions that make definitions."""


def answer(tree: Repository, question: Question, renders: Renders, memo: Memo | None = None) -> Recognised:
    """What a repository means, as far as `renders` tell.

    Ask, render what the answer `wants`, and ask again with it, until it wants nothing more or for `ROUNDS` times.

    Args:
        tree: the repository at one commit.
        question: what is asked.
        renders: what was rendered so far.
        memo: parsed files, for those who ask again and again.

    Raises:
        DocumentError: there is nothing at the path, or far too much.
    """
    memo = {} if memo is None else memo
    found = survey(tree, question.path, memo)
    scene = Scene(tree, found, question.home, renders, question.clusters, memo=memo)
    return recognise(scene, question.name, question.present)


def parsed_of(made: Made) -> Parsed:
    """A document that was made, read like one that was written. It is at the place of what it was made of."""
    return parse_document(Document(made.place.file, made.place.line, dict(made.value)))


def recognise(scene: Scene, name: str = "", present: Mapping[str, str] | None = None) -> Recognised:
    """What a repository means.

    Args:
        scene: the repository.
        name: what to call the application of a path that has no name of its own.
        present: the path of each application that clusters have now: a path that runs as one application stays one.
    """
    path = scene.survey.path
    one = implicit_name(path, name)
    found = translate(scene)
    if found.documents or found.notes or found.broken:
        made = _of_definitions(scene, found)
    else:
        made = _of_directories(scene, one, layout(scene), found)
    if _runs_as_one(path, one, present or {}) and not _keeps(path, one, made.documents):
        return _as_it_runs(scene, one, made)
    return made


def implicit_name(path: str, name: str) -> str:
    """What the application of a whole path is called."""
    return token(last(path) or name)


def _of_definitions(scene: Scene, found: Translation) -> Recognised:
    names = " and ".join(found.tools) or "other tools"
    applications = sum(each.kind in ("Application", "ApplicationSet") for each in found.documents)
    message = f"no fleet documents here: definitions of {names} are taken, {applications} applications"
    place = Place(shown(scene.survey.path))
    hint = "`yardarm import` writes them as documents, to say more"
    taken = Problem("warning", message, place, hint)
    return Recognised(
        "definitions", found.documents, found.notes, scene.survey.problems, found.wants, taken, found.broken
    )


def _of_directories(scene: Scene, one: str, found: Layout, empty: Translation) -> Recognised:
    path = scene.survey.path
    aside = tuple(Problem("warning", f"left out: {why}", Place(shown(each))) for each, why in found.aside.items())
    if found.whole:
        return Recognised("one", (_whole(scene, one),), wants=empty.wants, taken=_taken_whole(path, one))
    if found.alternatives:
        return Recognised("nothing", problems=(*map(_undecided, found.alternatives), *aside))
    if not found.units:
        message = "no fleet documents, and no directory that can be an application"
        problem = Problem("error", message, Place(shown(path)), "point at another path, or write an Application")
        return Recognised("nothing", problems=(problem, *aside))
    names = distinct([_candidates(each.path) for each in found.units])
    documents = tuple(_unit(scene, each, name) for each, name in zip(found.units, names, strict=True))
    message = (
        f"no fleet documents here: each of {len(documents)} directories is taken as an application, in a namespace of "
        f"its name, for every cluster: {', '.join(names)}"
    )
    hint = "`yardarm import` writes them as documents, to say more"
    taken = Problem("warning", message, Place(shown(path)), hint)
    return Recognised("directories", documents, problems=aside, taken=taken)


def _candidates(path: str) -> list[str]:
    parts = path.split("/")
    return ["-".join(parts[-count:]) for count in range(1, len(parts) + 1)]


def _taken_whole(path: str, one: str) -> Problem:
    message = f"no fleet documents here: all manifests are taken as one application, {one!r}, for every cluster"
    return Problem("warning", message, Place(shown(path)), "add a document of kind Application to say more", one)


def _undecided(units: list[Unit]) -> Problem:
    paths = [shown(each.path) for each in units]
    others = ", ".join(paths[1:])
    message = (
        f"{', '.join(paths)}: these directories hold mostly the same objects, so at most one of them is meant for a "
        "cluster: nothing is applied"
    )
    hint = (
        f"point the hub at one of them; or write an Application with source.path: {paths[0]} and, for some clusters, "
        f"overrides with path: {others}"
    )
    return Problem("error", message, Place(paths[0]), hint)


def _whole(scene: Scene, name: str) -> Made:
    path = scene.survey.path
    spec: dict[str, Any] = {"source": {"path": shown(path)}}
    if path in scene.survey.kustomizations and _speaks_of_releases(scene, path):
        spec["render"] = {"helmReleases": "expand"}
    return _made(name, spec, path)


def _unit(scene: Scene, unit: Unit, name: str) -> Made:
    spec: dict[str, Any] = {"source": {"path": shown(unit.path)}, "namespace": name}
    if unit.way == "kustomization" and _speaks_of_releases(scene, unit.path):
        spec["render"] = {"helmReleases": "expand"}
    return _made(name, spec, unit.path)


def _speaks_of_releases(scene: Scene, path: str) -> bool:
    return any(_HELM_RELEASE in scene.data(file) for file, _, _ in closure(scene.tree, path).resources)


def _made(name: str, spec: Mapping[str, Any], path: str) -> Made:
    # The manifests were not written for Yardarm: ${namespace} in a script of theirs is not our builtin.
    metadata = {"name": name, "annotations": {SUBSTITUTE: "variables"}}
    value = {"apiVersion": API_VERSION, "kind": "Application", "metadata": metadata, "spec": compact(dict(spec))}
    return Made(value, Place(shown(path)), f"the directory {shown(path)}")


def _runs_as_one(path: str, one: str, present: Mapping[str, str]) -> bool:
    return one in present and _same_path(present[one], path)


def _keeps(path: str, one: str, documents: Iterable[Made]) -> bool:
    """Whether what was recognised still has the application of the whole path."""
    return any(
        each.kind == "Application"
        and each.name == one
        and _same_path(str(each.value.get("spec", {}).get("source", {}).get("path", ".")), path)
        for each in documents
    )


def _same_path(one: str, other: str) -> bool:
    return re.sub(r"^(\./|\.$|/)", "", one).strip("/") == re.sub(r"^(\./|\.$|/)", "", other).strip("/")


def _as_it_runs(scene: Scene, one: str, other: Recognised) -> Recognised:
    """The path as one application, as clusters have it, and what it could be otherwise."""
    names = ", ".join(each.name for each in other.documents if each.kind == "Application")
    message = (
        f"clusters have {shown(scene.survey.path)} as one application, {one!r}, so it stays one, although it could be "
        f"{names or 'read otherwise'}"
    )
    hint = "write documents (`yardarm import` does) to change that"
    problem = Problem("warning", message, Place(shown(scene.survey.path)), hint, one)
    return Recognised("one", (_whole(scene, one),), taken=problem)
