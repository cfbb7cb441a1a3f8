"""What a part reads of one repository at one commit.

It decides how a part is rendered where its document does not say: a kustomization, a chart, else plain files. Charts
and kustomizations may name what is elsewhere; that is noted here and had by others.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from hub.domain.blending import Part, digest_of, lender
from hub.domain.tree import Tree
from hub.render.footprint import Footprint, read_files
from hub.render.helm.layout import Layout, lay_out, traits_in, value_file
from hub.render.helm.traits import Traits, traits_of_texts
from hub.render.job import File, Selection
from hub.render.jsonnet.closure import SUFFIX, closure
from hub.render.kustomize.closure import Closure, Closures, Memory
from hub.render.parts import JsonnetFiles, PlainFiles, Way
from hub.render.select import CHART, KUSTOMIZATIONS, is_selected
from shared.errors import DocumentError
from shared.model import Place, Problem


@dataclass(frozen=True, slots=True)
class Imports:
    """The Jsonnet files of a plain part, and what they read, by the paths by which they read it."""

    entries: tuple[str, ...]
    folders: tuple[str, ...]
    paths: tuple[str, ...]
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class Local:
    """What was found; `key` changes when any of it does.

    `own` are (what the document calls it, its path) of value files. A chart has a `layout` and `traits`, a
    kustomization a `closure`, plain files with Jsonnet among them `jsonnet`.
    """

    way: Way
    key: str
    own: tuple[tuple[str, str], ...] = ()
    layout: Layout | None = None
    traits: Traits = field(default_factory=Traits)
    closure: Closure | None = None
    jsonnet: Imports | None = None

    @property
    def names_elsewhere(self) -> bool:
        """Whether it may be made of more than is in its repository."""
        return self.closure is not None or (self.layout is not None and bool(self.layout.remote))


class Looker:
    """Looks at parts of one repository, on its thread."""

    def __init__(self, remotes: Sequence[str] = ()) -> None:
        """`remotes` are the prefixes of addresses that kustomizations may name."""
        self._memory = Memory()
        self._remotes = remotes

    def look(self, tree: Tree, part: Part) -> Local | Problem:
        """What was found, or why the part cannot be used."""
        try:
            return self._look(tree, part)
        except DocumentError as error:
            return Problem("error", error.message, error.place, error.hint)

    def _look(self, tree: Tree, part: Part) -> Local:
        lent = [(path, tree.id(path)) for path in part.lent]
        if not part.rendered:
            return Local("files", digest_of(lent))
        key = tree.require(part.source.path)
        path = "" if part.source.path == "." else part.source.path
        match way_of(tree, part):
            case "helm":
                found = _chart(tree, part, path)
            case "kustomize":
                components = part.render.kustomize.components if part.render.kustomize else ()
                closure = Closures(tree, self._memory, self._remotes).closure(path, components)
                found = Local("kustomize", closure.footprint.key, closure=closure)
            case way:
                imports = _jsonnet(tree, part, path)
                keys = [key, imports.footprint.key] if imports is not None else []
                found = Local(way, digest_of(keys) if keys else key, jsonnet=imports)
        return replace(found, key=digest_of([found.key, lent])) if lent else found


def _chart(tree: Tree, part: Part, path: str) -> Local:
    layout = lay_out(tree, path)
    wrong = next((problem for problem in layout.problems if problem.severity == "error"), None)
    if wrong is not None:
        raise DocumentError(wrong.message, wrong.place, wrong.hint)
    own = tuple(_own_value_files(tree, part, path))
    traits = traits_in(tree, layout) | traits_of_texts(tree.read(file) for _, file in own)
    ids = [tree.id(file) for _, file in own]
    return Local("helm", digest_of([layout.key, own, ids]) if own else layout.key, own, layout, traits)


def _jsonnet(tree: Tree, part: Part, path: str) -> Imports | None:
    selection = selection_of(part)
    found, _ = tree.gather(part.source.path, lambda each: each.endswith(SUFFIX) and is_selected(each, selection))
    if not found:
        return None
    single = tree.kind(path) == "file"
    entries = tuple(path if single else posixpath.join(path, each) for each, _ in found)
    libs = part.render.plain.jsonnet.libs if part.render.plain is not None else ()
    folders = (*reversed(libs), posixpath.dirname(path) if single else path)
    footprint, paths = closure(tree, entries, folders)
    return Imports(entries, folders, paths, footprint)


def _own_value_files(tree: Tree, part: Part, path: str) -> Iterator[tuple[str, str]]:
    """What the document calls each value file beside the chart, and its path."""
    optional = part.render.helm is not None and part.render.helm.ignore_missing_value_files
    for text in part.value_files:
        if lender(text)[0]:
            continue
        file = value_file(path, text)
        if tree.kind(file) == "file":
            yield text, file
        elif not optional:
            raise DocumentError(f"there is no value file {text!r}", Place(file))


def way_of(tree: Tree, part: Part) -> Way:
    """How a part is rendered: as its document says, or as what is at its path asks for."""
    render = part.render
    if part.source.chart or render.helm is not None:
        return "helm"
    if render.kustomize is not None:
        return "kustomize"
    if render.plain is not None:
        return "plain"
    names = set(tree.names("" if part.source.path == "." else part.source.path))
    return "kustomize" if names & KUSTOMIZATIONS else "helm" if CHART in names else "plain"


def plain_files(tree: Tree, part: Part, imports: Imports | None) -> PlainFiles:
    """The files of a plain part, and what its Jsonnet files read.

    Raises:
        DocumentError: there is nothing at its path.
    """
    selection = selection_of(part)

    def wanted(path: str) -> bool:
        return not path.endswith(SUFFIX) and is_selected(path, selection)

    found, problems = tree.gather(part.source.path, wanted)
    root = "" if part.source.path in ("", ".") else f"{part.source.path}/"
    files = tuple(File(path, data, root + path) for path, data in found)
    if imports is None:
        return PlainFiles(files, selection, problems)
    read, wrong = read_files(tree, imports.paths)
    wrong = (*imports.footprint.problems, *wrong)
    return PlainFiles(files, selection, problems, JsonnetFiles(read, imports.entries, imports.folders, wrong))


def selection_of(part: Part) -> Selection:
    """Which files of a plain part are manifests."""
    plain = part.render.plain
    if plain is None:
        return Selection()
    return Selection(plain.recurse, plain.include, plain.exclude, explicit=True)


def lent_files(tree: Tree, part: Part) -> dict[str, bytes]:
    """The files that other parts borrow, those that are there."""
    return {path: tree.read(path) for path in part.lent if tree.kind(path) == "file"}
