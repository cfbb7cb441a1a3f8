"""All Argo CD definitions of a repository, those behind others included (app of apps)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hub.domain.yamldoc import Document
from hub.importing.argo.applications import DEFAULT_PROJECT, Translated, in_waves, sources_of, translate
from hub.importing.argo.clusters import cluster_of
from hub.importing.argo.projects import project_of, stub_of
from hub.importing.argo.sets import set_of
from hub.importing.closure import Closure, closure
from hub.importing.drafts import Draft
from hub.importing.fields import Fields, Foreign
from hub.importing.files import below, has_chart, kustomization_in, last, parent
from hub.importing.home import Origins, origins
from hub.importing.names import token
from hub.importing.notes import Notes, want
from hub.importing.scene import Scene, mapping
from hub.importing.survey import ARGOCD, definitions_in, manifests_in
from shared.model import Problem

_SPEAKS = (b"argoproj.io/",)
_KINDS = tuple(f"kind: {kind}".encode() for kind in sorted(ARGOCD))
_DELETED = {
    "target": {"group": "argoproj\\.io", "kind": "Application|ApplicationSet|AppProject"},
    "patch": {"$patch": "delete"},
}


@dataclass(slots=True)
class _Behind:
    """What an Application's source holds: definitions, and whether there is anything else."""

    definitions: tuple[Foreign, ...] = ()
    more: bool = True
    mixed: bool = False
    """Whether definitions and other objects are not in files of their own."""
    problem: Problem | None = None
    """Why nobody can tell."""


@dataclass(slots=True)
class _Importer:
    scene: Scene
    origins: Origins
    servers: dict[str, str] = field(default_factory=dict)
    drafts: dict[tuple[str, ...], Draft] = field(default_factory=dict)
    projects: dict[str, Draft] = field(default_factory=dict)
    asked: dict[str, Foreign] = field(default_factory=dict)
    seen: set[tuple[str, int, str]] = field(default_factory=set)
    translated: dict[tuple[str, ...], Translated] = field(default_factory=dict)
    groups: dict[tuple[str, ...], str] = field(default_factory=dict)

    def run(self, definitions: tuple[Foreign, ...]) -> list[Draft]:
        self._enter(definitions, "")
        groups: dict[str, list[Translated]] = {}
        for key, found in self.translated.items():
            groups.setdefault(self.groups.get(key, ""), []).append(found)
        for siblings in groups.values():
            in_waves(siblings, self.scene)
        for name, by in self.asked.items():
            if name not in self.projects and name != DEFAULT_PROJECT:
                self.projects[name] = stub_of(name, by, self.scene)
        return [*self.projects.values(), *self.drafts.values()]

    def _enter(self, definitions: Iterable[Foreign], group: str) -> None:
        found = [each for each in definitions if self._is_new(each)]
        for each in found:
            if each.kind == "Secret":
                server, draft = cluster_of(each, self.scene)
                self.servers.setdefault(server.rstrip("/"), token(draft.candidates[0]))
                self.drafts.setdefault(draft.key, draft)
        for each in found:
            if each.kind == "AppProject":
                self.projects.setdefault(each.name, project_of(each, self.servers, self.scene))
        for each in found:
            if each.kind == "Application":
                self._application(each, group or parent(each.file))
            elif each.kind == "ApplicationSet":
                self._set(each)

    def _is_new(self, definition: Foreign) -> bool:
        mark = (definition.file, definition.document.line, definition.name)
        if mark in self.seen:
            return False
        self.seen.add(mark)
        return True

    def _set(self, definition: Foreign) -> None:
        draft = set_of(definition, self.origins, self.servers, self.scene)
        if draft is not None:
            self._ask_project(mapping(draft.spec.get("template")).get("spec") or draft.spec, definition)
            self.drafts[(*draft.key, definition.file)] = draft

    def _application(self, definition: Foreign, group: str) -> None:
        made = translate(definition, self.origins, self.servers, self.scene)
        if made is None:
            return
        behind = _behind(made, self.scene)
        if behind.problem is not None:
            self.scene.unknown(definition, behind.problem)
            return
        self._enter(behind.definitions, f"{definition.file}:{definition.name}")
        if behind.definitions and not behind.more:
            message = "it holds Argo CD definitions only: they are imported, itself it is not needed"
            self.scene.differs(definition, message, "spec.source")
            return
        _leave_out(made, behind)
        key = (*made.draft.key, definition.file)
        made.draft.candidates = (*made.draft.candidates, f"{last(parent(definition.file))}-{definition.name}")
        self.drafts[key], self.translated[key], self.groups[key] = made.draft, made, group
        self._ask_project(made.draft.spec, definition)

    def _ask_project(self, spec: object, by: Foreign) -> None:
        project = mapping(spec).get("project")
        if project:
            self.asked.setdefault(str(project), by)


def argo_drafts(scene: Scene) -> list[Draft]:
    """Drafts for everything of Argo CD that the survey found, or that comes out of what it names."""
    definitions = [*scene.survey.of("argocd"), *_made_here(scene)]
    definitions, named = _settled(definitions, scene), set[tuple[str, str]]()
    for each in definitions:
        named |= set(_named(each))
    return _Importer(scene, origins(scene.home, named, scene.tree)).run(tuple(definitions))


def _named(definition: Foreign) -> Iterator[tuple[str, str]]:
    """(address, path) of the sources of an Application, and of a template where they are plain."""
    quiet = Notes()
    spec = Fields(definition.document.value.get("spec"), "spec", definition, quiet)
    if definition.kind == "ApplicationSet":
        spec = spec.map("template").map("spec")
    if definition.kind in ("Application", "ApplicationSet"):
        for source in sources_of(spec):
            if "chart" not in source:
                path = source.text("path")
                yield source.text("repoURL"), "" if "{{" in path else path


def _made_here(scene: Scene) -> Iterator[Foreign]:
    """The definitions that the path itself renders to, where it is a chart that makes some."""
    path = scene.survey.path
    if path in scene.survey.charts and chart_speaks(scene, path):
        name = last(path) or "apps"
        yield from _rendered(scene, path, {}, name, "argocd")


def _settled(definitions: list[Foreign], scene: Scene) -> list[Foreign]:
    """Definitions as a kustomization leaves them: what one patches counts as rendered, not as written."""
    outer = _outermost(scene)
    governed = [each for each in outer if each.changes and any(each.holds(found.file) for found in definitions)]
    kept = [each for each in definitions if not any(one.holds(each.file) for one in governed)]
    for one in governed:
        found = _rendered(scene, one.directory, {}, "", "argocd")
        kept.extend(each for each in found if each.kind != "Secret")
    return kept


def _outermost(scene: Scene) -> list[Closure]:
    """The kustomizations below the path that no other one includes."""
    found = [closure(scene.tree, path) for path in scene.survey.kustomizations]
    included = {path for one in found for path in one.directories[1:]}
    return [one for one in found if one.directory not in included]


def _behind(made: Translated, scene: Scene) -> _Behind:
    """What is in an Application's own source. Nothing, when it is in another repository."""
    path, spec = made.main.local, made.draft.spec
    if path is None or len(made.parts) > 1:
        return _Behind()
    render = mapping(spec.get("render"))
    if made.main.helm:
        release = mapping(render.get("helm")).get("release") or made.draft.release
        return _of_render(scene, made, path, str(release)) if chart_speaks(scene, path) else _Behind()
    if kustomization_in(scene.tree, path) and "plain" not in render:
        speaks = any(_speaks(scene, file) for file, _, _ in closure(scene.tree, path).resources)
        return _of_render(scene, made, path, "") if speaks else _Behind()
    plain = mapping(render.get("plain"))
    recurse = bool(plain.get("recurse", True)) and bool(plain)
    files = manifests_in(scene.look(path), path, recurse=recurse)
    objects = [found for file in files for found in scene.objects(file) if _speaks(scene, file)]
    definitions = _definitions(tuple(each.document for each in objects))
    more = len(definitions) < len(objects) or any(not _speaks(scene, file) for file in files)
    held = {each.file for each in definitions}
    mixed = any(each.file in held and each.group != "argoproj.io" for each in objects)
    return _Behind(definitions, more, mixed)


def _of_render(scene: Scene, made: Translated, path: str, release: str) -> _Behind:
    namespace = str(made.draft.spec.get("namespace", "default"))
    request = want(path, mapping(made.draft.spec.get("render")), release, namespace)
    rendered = scene.rendered(request)
    if rendered is None:
        return _Behind()
    if isinstance(rendered, Problem):
        return _Behind(problem=rendered)
    definitions = _definitions(rendered)
    return _Behind(definitions, len(definitions) < len(rendered), mixed=True)


def _definitions(documents: tuple[Document, ...]) -> tuple[Foreign, ...]:
    return tuple(each for each in definitions_in(documents) if each.group == "argoproj.io")


def _rendered(scene: Scene, path: str, render: dict[str, object], release: str, namespace: str) -> Iterator[Foreign]:
    documents = scene.rendered(want(path, render, release, namespace))
    if isinstance(documents, tuple):
        yield from _definitions(documents)


def _leave_out(made: Translated, behind: _Behind) -> None:
    """Definitions are not applied as objects: they are documents now."""
    if not behind.definitions:
        return
    if behind.mixed:
        made.draft.spec.setdefault("overrides", []).append({"patches": [_DELETED]})
        return
    plain = made.draft.spec.setdefault("render", {}).setdefault("plain", {"recurse": False})
    files = {below(each.file, made.main.local or "") for each in behind.definitions}
    plain["exclude"] = sorted({*plain.get("exclude", []), *files})


def chart_speaks(scene: Scene, path: str) -> bool:
    """Whether the templates of a chart make Argo CD definitions."""
    if not has_chart(scene.tree, path):
        return False
    templates = f"{path}/templates" if path else "templates"
    return any(_speaks(scene, f"{templates}/{name}", kinds=True) for name in scene.tree.names(templates))


def _speaks(scene: Scene, path: str, *, kinds: bool = False) -> bool:
    data = scene.data(path)
    return any(mark in data for mark in _SPEAKS) and (not kinds or any(kind in data for kind in _KINDS))
