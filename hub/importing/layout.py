"""Which applications a repository means that nobody has described: by its directories alone.

A directory of manifests, a chart or a kustomization is one application. A directory of such directories is one
application for each. Nothing is chosen where directories are several ways to install one thing (a chart and a
kustomization of the same, an overlay per environment): which of them is meant only a person can say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from hub.domain.documents import API_GROUP
from hub.domain.yamldoc import Document
from hub.importing.argo.importer import chart_speaks
from hub.importing.closure import Closure, closure, kustomization
from hub.importing.fields import Foreign, foreign_of
from hub.importing.files import CHART, inside, last
from hub.importing.scene import Scene, mapping
from hub.importing.survey import manifests_in
from shared.manifests import HOOK_ANNOTATIONS

Way = Literal["chart", "kustomization", "manifests"]
ObjectId = tuple[str, str, str]
"""(group, kind, name): namespaces do not tell two ways to install one thing apart."""

JSONNET = ".jsonnet"
_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
_MANY = 200
"""More directories than this are not a person's choice of applications."""


@dataclass(slots=True)
class Unit:
    """A directory that can be an application. `objects` are what its files hold, as far as they tell.

    `called` is the name of a chart, `templates` are its files: two charts of one name may well be different things.
    """

    path: str
    way: Way
    objects: frozenset[ObjectId] = frozenset()
    called: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()
    templates: frozenset[str] = frozenset()

    def same_as(self, other: Unit) -> bool:
        """Whether both install mostly the same objects."""
        both = self.objects & other.objects
        if both:
            return 2 * len(both) > len(self.objects | other.objects)
        if self.way == other.way == "chart":
            return self.called == other.called and self.templates == other.templates
        workloads = {name for _, kind, name in other.objects if kind in _WORKLOADS}
        return bool(self.called & workloads)


@dataclass(slots=True)
class Layout:
    """What the directories mean. `units` is empty when it is all one application, or nothing.

    `alternatives` are groups of directories of which at most one can be meant; `aside` is what was left out, and why.
    """

    units: list[Unit] = field(default_factory=list)
    alternatives: list[list[Unit]] = field(default_factory=list)
    aside: dict[str, str] = field(default_factory=dict)
    whole: bool = False


def layout(scene: Scene) -> Layout:
    """The applications of the path that the survey is about."""
    survey = scene.survey
    path = survey.path
    if path in survey.charts or path in survey.kustomizations or not (survey.charts or survey.kustomizations):
        return Layout(whole=True)
    made = Layout()
    closures = {each: closure(scene.tree, each) for each in survey.kustomizations}
    units = _units(scene, path, closures, made)
    units = _without_bases(units)
    if len(units) > _MANY:
        made.aside[path] = f"{len(units)} directories could be applications"
        return made
    made.alternatives = _alternatives(units)
    made.units = units
    return made


def _units(scene: Scene, directory: str, closures: dict[str, Closure], made: Layout) -> list[Unit]:
    """The units below a directory that is none itself."""
    survey = scene.survey
    own = [each for each in manifests_in(survey, directory, recurse=False) if _holds_object(scene, each)]
    units = [Unit(directory, "manifests", _objects_of(scene, own))] if own else []
    for name in sorted({_first(each, directory) for each in survey.files if _first(each, directory)}):
        inner = f"{directory}/{name}" if directory else name
        special = [each for each in (*survey.charts, *survey.kustomizations) if inside(each, inner)]
        if inner in survey.charts and inner in survey.kustomizations:
            made.aside[inner] = "it is a chart and a kustomization at once, which takes a plugin to render"
        elif inner in survey.charts:
            units += _chart(scene, inner, made)
        elif inner in survey.kustomizations:
            units += _kustomization(scene, inner, closures)
        elif special:
            units += _units(scene, inner, closures, made)
        else:
            units += _manifests(scene, inner)
    return units


def _first(path: str, directory: str) -> str:
    """The directory right below `directory` that a file is in; empty when it is in none."""
    if not inside(path, directory):
        return ""
    rest = path[len(directory) :].lstrip("/")
    return rest.partition("/")[0] if "/" in rest else ""


def _chart(scene: Scene, path: str, made: Layout) -> list[Unit]:
    if chart_speaks(scene, path):
        made.aside[path] = "it makes definitions of Argo CD: point at it, and they are imported"
        return []
    about = mapping(next((each.value for each in scene.documents(f"{path}/{CHART}")), {}))
    if about.get("type") == "library":
        return []
    called = frozenset({str(about.get("name") or last(path))})
    return [Unit(path, "chart", called=called, templates=frozenset(scene.tree.names(f"{path}/templates")))]


def _kustomization(scene: Scene, path: str, closures: dict[str, Closure]) -> list[Unit]:
    if kustomization(scene.tree, path).get("kind") == "Component":
        return []
    found = closures[path]
    objects = frozenset(
        (group, kind, f"{prefix}{name}{suffix}")
        for file, prefix, suffix in found.resources
        for group, kind, name in _objects_of(scene, [file])
    )
    return [Unit(path, "kustomization", objects, includes=frozenset(found.directories[1:]))]


def _manifests(scene: Scene, path: str) -> list[Unit]:
    files = [each for each in manifests_in(scene.survey, path) if _holds_object(scene, each)]
    jsonnet = any(each.endswith(JSONNET) and inside(each, path) for each in scene.survey.files)
    if not files and not jsonnet:
        return []
    return [Unit(path, "manifests", _objects_of(scene, files))]


def _holds_object(scene: Scene, path: str) -> bool:
    data = scene.data(path)
    return b"apiVersion" in data and b"kind" in data and any(_found(scene, path))


def _found(scene: Scene, path: str) -> list[Foreign]:
    return [found for each in scene.documents(path) if (found := _object(each)) is not None]


def _object(document: Document) -> Foreign | None:
    """A Kubernetes object: what has a kind and a version, and a name or one that is made. Not a fleet document."""
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get("apiVersion"), str):
        return None
    found = foreign_of(document)
    if found is not None and found.group == API_GROUP:
        return None
    if found is None and mapping(value.get("metadata")).get("generateName"):
        return Foreign(document, "", str(value.get("kind")), "")
    return found


def _objects_of(scene: Scene, files: Iterable[str]) -> frozenset[ObjectId]:
    """The objects of files that are kept, rather than run once or made for others to be in."""
    return frozenset(
        (each.group, each.kind, each.name)
        for path in files
        for each in _found(scene, path)
        if each.name and each.kind != "Namespace" and not any(each.annotation(name) for name in HOOK_ANNOTATIONS)
    )


def _without_bases(units: list[Unit]) -> list[Unit]:
    """Not those that another one includes as they are: they are a part of it."""
    return [
        each
        for each in units
        if not any(
            other is not each
            and any(inside(included, each.path) for included in other.includes)
            and each.same_as(other)
            for other in units
        )
    ]


def _alternatives(units: list[Unit]) -> list[list[Unit]]:
    """Groups of units that install the same, each unit in one group at most."""
    groups: list[list[Unit]] = []
    for each in units:
        near = [group for group in groups if any(each.same_as(other) or other.same_as(each) for other in group)]
        joined = [each, *(other for group in near for other in group)]
        groups = [group for group in groups if group not in near] + [joined]
    return [sorted(group, key=lambda unit: unit.path) for group in groups if len(group) > 1]
