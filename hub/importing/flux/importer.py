"""All Flux definitions of a repository: Kustomizations, what they hold, and the HelmReleases in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hub.domain.documents import SUBSTITUTE
from hub.domain.variables import Scope, substitute
from hub.domain.yamldoc import Document
from hub.importing.closure import Closure, closure
from hub.importing.drafts import Draft, Key
from hub.importing.fields import Fields, Foreign, foreign_of
from hub.importing.files import inside, last, parent, shown
from hub.importing.flux.content import SYNC, TOOLKIT
from hub.importing.flux.kustomizations import Kustomized, key_of, translate
from hub.importing.flux.releases import Release, decoded, release_of
from hub.importing.flux.roots import environments_of, roots_of
from hub.importing.flux.sources import Index, Sources, Unknown
from hub.importing.home import origins
from hub.importing.names import token
from hub.importing.notes import Notes, want
from hub.importing.scene import Scene
from hub.importing.survey import tool_of
from hub.importing.words import compact
from shared.errors import DocumentError

KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
HELM = "helm.toolkit.fluxcd.io"
_DELETED = {"target": {"group": r".*\.toolkit\.fluxcd\.io"}, "patch": {"$patch": "delete"}}
_NOT_HERE = {
    "notification.toolkit.fluxcd.io": "write a Notification; webhooks are part of the hub's settings",
    "image.toolkit.fluxcd.io": "images are not updated in Git",
}


@dataclass(slots=True)
class _Importer:
    scene: Scene
    sources: Sources
    index: Index
    drafts: list[Draft] = field(default_factory=list)
    aliases: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    visited: set[tuple[str, int, str, str]] = field(default_factory=set)
    roots_by: dict[str, Foreign] = field(default_factory=dict)

    def data(self, kind: str, namespace: str, name: str) -> Mapping[str, str] | None:
        found = self.index.find(kind, namespace, name) or self.scene.named(kind, namespace, name)
        return decoded(kind, found.document.value) if found is not None else None

    def enter(self, found: Iterable[Foreign], root: str, waits: tuple[Key, ...] = ()) -> list[Key]:
        """Translates definitions that are applied as they are; returns the keys of what was made of them."""
        made: list[Key] = []
        for each in found:
            mark = (each.file, each.document.line, each.name, root)
            if mark in self.visited:
                continue
            self.visited.add(mark)
            if each.group == KUSTOMIZE and each.kind == "Kustomization":
                made += self._kustomization(each, root)
            elif each.group == HELM and each.kind == "HelmRelease":
                made += self._release(each, root, None, waits)
            elif each.group in _NOT_HERE:
                self.scene.left(each, _NOT_HERE[each.group])
        return made

    def _kustomization(self, definition: Foreign, root: str) -> list[Key]:
        key = key_of("Kustomization", definition.namespace, definition.name)
        made = translate(definition, self.sources, self.data, self.scene)
        if made is None:
            self.aliases[self._rooted(key, root)] = ()
            return []
        self.index.learn(made.content.objects or ())
        keys = self._held(made, definition, root)
        self.aliases[self._rooted(key, root)] = tuple(keys)
        return keys

    def _held(self, made: Kustomized, definition: Foreign, root: str) -> list[Key]:
        """The application of a Kustomization, as far as one is left, and those of the releases in it."""
        objects = made.content.objects
        own = made.draft
        if not made.content.speaks:
            return [self._add(own, root)]
        if made.content.problem is not None:
            self.scene.unknown(definition, made.content.problem)
            return []
        if objects is None:
            return [self._expanded(made, definition, root)]
        flux = [each for each in objects if tool_of(each) == "flux"]
        releases = [each for each in flux if each.group == HELM]
        others = [each for each in flux if each.group != HELM]
        more = len(flux) < len(objects)
        read = [self._read(each, made) for each in releases]
        if any(each is None for each in read):
            self.enter(others, root)
            return [self._expanded(made, definition, root)]
        keys: list[Key] = []
        if more:
            if flux:
                own.spec.setdefault("overrides", []).append({"patches": [_DELETED]})
            keys.append(self._add(own, root))
        for each in releases:
            waits = (own.key,) if more else own.needs
            keys += self._release(each, root, made, waits)
        return [*keys, *self.enter(others, root)]

    def _read(self, definition: Foreign, made: Kustomized) -> Release | None:
        """A release that can be told in full, None for any other. Says nothing: it is read again."""
        if definition.document.value.get("spec", {}).get("suspend"):
            return Release({}, None, "", "")
        quiet = Notes()
        sources = Sources(self.index.find, self.sources.origins, quiet)
        try:
            read = release_of(_substituted(definition, made), sources, self.data, quiet)
        except Unknown:
            return None
        return None if read.missing else read

    def _expanded(self, made: Kustomized, definition: Foreign, root: str) -> Key:
        """One application that renders the charts of its HelmReleases in place."""
        message = (
            "its HelmReleases are rendered in place, as part of it"
            if made.content.objects is not None
            else f"what {shown(made.where.path)} holds is known once it is rendered: HelmReleases in it are "
            "rendered in place, as part of it"
        )
        self.scene.differs(definition, message, "spec.path")
        made.draft.spec.setdefault("render", {})["helmReleases"] = "expand"
        further = self._further(made)
        if further:
            made.draft.spec["sources"] = [*made.draft.spec.get("sources", []), *further]
        return self._add(made.draft, root)

    def _further(self, made: Kustomized) -> list[dict[str, Any]]:
        """Files elsewhere in this repository with the sources that releases name: they are needed beside them."""
        have = {(each.kind, each.name) for each in made.content.written}
        files = set()
        for each in made.content.written:
            for kind, namespace, name in _refers_to(each):
                found = None if (kind, name) in have else self.index.find(kind, namespace, name)
                if found is not None and self.scene.tree.kind(found.file) == "file":
                    files.add(found.file)
        return [{"path": parent(file), "render": {"plain": {"include": [last(file)]}}} for file in sorted(files)]

    def _release(self, definition: Foreign, root: str, made: Kustomized | None, waits: tuple[Key, ...]) -> list[Key]:
        if definition.document.value.get("spec", {}).get("suspend"):
            self.scene.left(definition, "suspended: it is not imported, what it has made stays", "spec.suspend")
            return []
        try:
            read = release_of(_substituted(definition, made), self.sources, self.data, self.scene.notes)
        except Unknown as reason:
            self.scene.left(definition, str(reason), "spec.chart")
            return []
        helm = compact(
            {
                "release": read.release,
                "values": read.values,
                "valueFiles": read.value_files,
                "ignoreMissingValueFiles": read.ignore_missing or None,
                "skipCRDs": None if read.crds else True,
            }
        )
        after = compact({"patches": read.patches, "images": read.images})
        spec: dict[str, Any] = {
            "source": read.source,
            "render": {"helm": helm},
            "namespace": token(read.namespace),
            **compact({"overrides": [after] if after else [], "sync": read.sync}),
        }
        needs = (*waits, *(key_of("HelmRelease", *each) for each in read.needs))
        draft = Draft(
            "Application",
            (definition.name, f"{read.namespace}-{definition.name}", f"{definition.name}-release"),
            spec,
            definition,
            {key: text for key, text in definition.labels().items() if TOOLKIT not in key},
            {SUBSTITUTE: "variables" if made is not None and made.substitution.open else "disabled"},
            key=key_of("HelmRelease", definition.namespace, definition.name),
            needs=needs,
        )
        return [self._add(draft, root)]

    def _add(self, draft: Draft, root: str) -> Key:
        draft.key = self._rooted(draft.key, root)
        draft.needs = tuple(self._rooted(each, root) for each in draft.needs)
        if root:
            draft.spec["placement"] = {"environments": [root]}
            draft.candidates = (*draft.candidates[:1], *(f"{root}-{each}" for each in draft.candidates))
        self.drafts.append(draft)
        return draft.key

    def _rooted(self, key: Key, root: str) -> Key:
        return (*key, root) if root and key[-1] != root else key


def _refers_to(release: Foreign) -> list[tuple[str, str, str]]:
    """The sources that a HelmRelease names, by (kind, namespace, name)."""
    if release.group != HELM:
        return []
    spec = Fields(release.document.value.get("spec"), "spec", release, Notes())
    refs = [spec.map("chartRef"), spec.map("chart").map("spec").map("sourceRef")]
    return [
        (ref.text("kind", "HelmRepository"), ref.text("namespace") or release.namespace, ref.text("name"))
        for ref in refs
        if "name" in ref
    ]


def _substituted(definition: Foreign, made: Kustomized | None) -> Foreign:
    """The release after its Kustomization's variables were put in, as Flux does before it is applied."""
    if made is None or not made.substitution.on:
        return definition
    scope = Scope(values=made.variables, known=frozenset(made.variables))
    value = substitute(definition.document.value, scope).manifest
    document = Document(definition.file, definition.document.line, value, definition.document.lines)
    return replace(definition, document=document)


def flux_drafts(scene: Scene) -> tuple[list[Draft], dict[Key, tuple[Key, ...]]]:
    """Drafts for everything of Flux that the survey found, and which of them each Kustomization stands for."""
    found = [*scene.survey.of("flux"), *_made_here(scene)]
    if not found:
        return [], {}
    held = [closure(scene.tree, path) for path in scene.survey.kustomizations]
    loose = [each for each in found if _is_loose(each, held, scene)]
    named = [(str(url), path) for url, path in _named(found)]
    index = Index()
    index.learn(found)
    importer = _Importer(scene, Sources(index.find, origins(scene.home, named, scene.tree), scene.notes), index)
    kustomizations = [each for each in loose if each.group == KUSTOMIZE]
    roots = roots_of(kustomizations)
    for each in kustomizations:
        importer.roots_by.setdefault(roots.of(each.file), each)
    owned = _owned(kustomizations, importer)
    for each in [*kustomizations, *(each for each in loose if each.group != KUSTOMIZE)]:
        if each.group == KUSTOMIZE or not any(inside(each.file, path) for path in owned):
            importer.enter([each], roots.of(each.file))
    environments = environments_of(roots, importer.roots_by, scene)
    return [*environments, *importer.drafts], importer.aliases


def _named(found: Iterable[Foreign]) -> Iterable[tuple[str, str]]:
    """(address, path) for what Kustomizations take from Git repositories."""
    quiet = Notes()
    urls = {
        (each.namespace, each.name): Fields(each.document.value.get("spec"), "spec", each, quiet).text("url")
        for each in found
        if each.kind == "GitRepository"
    }
    for each in found:
        spec = Fields(each.document.value.get("spec"), "spec", each, quiet)
        ref = spec.map("sourceRef")
        url = urls.get((ref.text("namespace") or each.namespace, ref.text("name")))
        if url and ref.text("kind") == "GitRepository":
            yield url, spec.text("path")


def _is_loose(definition: Foreign, held: Iterable[Closure], scene: Scene) -> bool:
    """Whether a definition is applied as it is written, and not through a kustomization that takes it in.

    A kustomization that only lists its files changes nothing; neither does the one of Flux' own installation.
    """
    if definition.file.endswith(f"/{SYNC}"):
        return True
    holders = [each for each in held if each.holds(definition.file)]
    plain = [each for each in holders if each.directory == scene.survey.path and not each.changes]
    return not holders or bool(plain)


def _owned(kustomizations: Iterable[Foreign], importer: _Importer) -> list[str]:
    """The paths of Kustomizations: what is below them belongs to them."""
    found = []
    quiet = Sources(importer.index.find, importer.sources.origins, Notes())
    for each in kustomizations:
        spec = Fields(each.document.value.get("spec"), "spec", each, Notes())
        ref = spec.map("sourceRef")
        try:
            where = quiet.directory(
                ref.text("kind"), ref.text("namespace") or each.namespace, ref.text("name"), spec.text("path")
            )
        except (Unknown, DocumentError):
            continue
        if where.local:
            found.append(where.path)
    return [path for path in found if path]


def _made_here(scene: Scene) -> list[Foreign]:
    """The definitions that the path itself renders to, where it is a kustomization that changes some."""
    path = scene.survey.path
    if path not in scene.survey.kustomizations:
        return []
    one = closure(scene.tree, path)
    held = [each for each in scene.survey.of("flux") if one.holds(each.file)]
    if not one.changes or not any(each.group == KUSTOMIZE for each in held):
        return []
    documents = scene.rendered(want(path, {}))
    if not isinstance(documents, tuple):
        return []
    return [found for each in documents if (found := foreign_of(each)) is not None and tool_of(found) == "flux"]
