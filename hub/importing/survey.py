"""What lies below a path: charts, kustomizations, fleet.yaml files, and the definitions of other tools.

A file is parsed only when its bytes speak of another tool. The templates of charts are not read: what they make is
known once they are rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field

from hub.domain.reading import problem_of
from hub.domain.yamldoc import Document, scan_documents
from hub.importing.fields import Foreign, foreign_of
from hub.importing.files import CHART, FLEET, KUSTOMIZATIONS, MANIFESTS, Repository, inside, join, last, parent
from shared.errors import DocumentError
from shared.model import Place, Problem

MAX_FILES = 200_000
"""Names below the path."""
MAX_DEPTH = 64

CLUSTER_SECRET = "argocd.argoproj.io/secret-type"  # noqa: S105 - the name of a label
_MARKERS = (
    b"argoproj.io/",
    b"toolkit.fluxcd.io/",
    b"source.extensions.fluxcd.io/",
    b"fleet.cattle.io/",
)
ARGOCD = frozenset({"Application", "ApplicationSet", "AppProject"})
_FLUX = (
    "Kustomization|HelmRelease|HelmChart|GitRepository|OCIRepository|HelmRepository|ArtifactGenerator|ExternalArtifact"
)
_KINDS = re.compile(
    rf"kind[\"']?\s*:\s*[\"']?({'|'.join(sorted(ARGOCD))}|{_FLUX}|GitRepo|ClusterGroup|Cluster)\b".encode()
)
"""Kinds that become documents, or that those depend on."""

Memo = MutableMapping[tuple[str, str], tuple[Document | DocumentError, ...]]
"""Parsed files by (path, id of the content), for those who survey the same repository again and again."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies below `path`. Paths are the repository's, in order; directories of charts do not show what is in them.

    `definitions` are those of other tools as they are written, `fleet` the fleet.yaml files. `broken` are the files
    that may hold definitions and cannot be read, each with why; `problems` are files that hold none.
    """

    path: str
    files: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    kustomizations: tuple[str, ...] = ()
    fleet: tuple[str, ...] = ()
    definitions: tuple[Foreign, ...] = ()
    problems: tuple[Problem, ...] = ()
    broken: tuple[tuple[str, Problem], ...] = ()

    def of(self, tool: str) -> tuple[Foreign, ...]:
        """The definitions of one tool."""
        return tuple(each for each in self.definitions if tool_of(each) == tool)


def survey(tree: Repository, path: str, memo: Memo | None = None) -> Survey:
    """Looks at everything below `path`. Hidden directories are not entered.

    Raises:
        DocumentError: there is nothing at `path`, or far too much.
    """
    path = join("", path) or ""
    kind = tree.kind(path)
    if not kind:
        raise DocumentError(f"there is no {path or '.'} in the repository", Place(path or "."))
    looker = _Looker(tree, {} if memo is None else memo)
    if kind == "file":
        looker.files.append(path)
        looker.read(path)
    else:
        looker.directory(path, 0)
    return Survey(
        path,
        tuple(looker.files),
        tuple(looker.charts),
        tuple(looker.kustomizations),
        tuple(looker.fleet),
        tuple(looker.definitions),
        tuple(looker.problems),
        tuple(looker.broken.items()),
    )


def tool_of(definition: Foreign) -> str:
    """argocd, flux or fleet; empty when it is a definition of none of them."""
    group, kind = definition.group, definition.kind
    if group == "argoproj.io":
        return "argocd" if kind in ARGOCD else ""
    if kind == "Secret" and definition.labels().get(CLUSTER_SECRET) == "cluster":
        return "argocd"
    if group.endswith(".toolkit.fluxcd.io") or group == "source.extensions.fluxcd.io":
        return "flux"
    return "fleet" if group == "fleet.cattle.io" else ""


def definitions_in(documents: tuple[Document | DocumentError, ...]) -> Iterator[Foreign]:
    """The definitions among documents."""
    for document in documents:
        if isinstance(document, Document):
            found = foreign_of(document)
            if found is not None and tool_of(found):
                yield found


def parsed(tree: Repository, path: str, memo: Memo | None = None) -> tuple[Document | DocumentError, ...]:
    """The documents of a file, with the places of their fields."""
    key = (path, tree.id(path))
    known = memo.get(key) if memo is not None else None
    if known is None:
        known = tuple(scan_documents(tree.read(path), file=path, positions=True))
        if memo is not None:
            memo[key] = known
    return known


@dataclass(slots=True)
class _Looker:
    tree: Repository
    memo: Memo
    files: list[str] = field(default_factory=list)
    charts: list[str] = field(default_factory=list)
    kustomizations: list[str] = field(default_factory=list)
    fleet: list[str] = field(default_factory=list)
    definitions: list[Foreign] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: dict[str, Problem] = field(default_factory=dict)

    def directory(self, path: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise DocumentError(f"directories are nested deeper than {MAX_DEPTH}", Place(path))
        names = self.tree.names(path)
        if CHART in names:
            self.charts.append(path)
        if any(name in names for name in KUSTOMIZATIONS):
            self.kustomizations.append(path)
        for name in names:
            inner = f"{path}/{name}" if path else name
            if name.startswith(".") or (CHART in names and name in ("templates", "charts")):
                continue
            kind = self.tree.kind(inner)
            if kind == "directory":
                self.directory(inner, depth + 1)
            elif kind == "file":
                self.files.append(inner)
                if len(self.files) > MAX_FILES:
                    raise DocumentError(f"more than {MAX_FILES:,} files", Place(path), "choose a path further down")
                self.read(inner)

    def read(self, path: str) -> None:
        if last(path) in FLEET:
            self.fleet.append(path)
            return
        if not path.endswith(MANIFESTS) or last(path) in KUSTOMIZATIONS:
            return
        try:
            data = self.tree.read(path)
        except DocumentError as error:
            self.problems.append(Problem("warning", error.message, error.place or Place(path), error.hint))
            return
        if not any(marker in data for marker in _MARKERS):
            return
        documents = parsed(self.tree, path, self.memo)
        self.definitions.extend(definitions_in(documents))
        for document in documents:
            if isinstance(document, DocumentError):
                problem = problem_of(document)
                if _KINDS.search(data):
                    self.broken.setdefault(path, problem)
                else:
                    self.problems.append(Problem("warning", problem.message, problem.place, problem.hint))


def manifests_in(survey: Survey, directory: str, *, recurse: bool = True) -> list[str]:
    """The YAML and JSON files of a directory that may be manifests: not those of charts and kustomizations in it."""
    other = [each for each in (*survey.charts, *survey.kustomizations) if each != directory and inside(each, directory)]
    return [
        path
        for path in survey.files
        if path.endswith(MANIFESTS)
        and last(path) not in KUSTOMIZATIONS
        and last(path) not in FLEET
        and last(path) != CHART
        and (inside(path, directory) if recurse else parent(path) == directory)
        and not any(inside(path, each) for each in other)
    ]
