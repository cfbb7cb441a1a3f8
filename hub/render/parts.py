"""What a source's render reads, found without rendering: the files, and a key that changes only when one of them does.

It decides how a source is rendered where its document does not say: a kustomization, a chart, else plain files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hub.domain.blending import Part, digest_of
from hub.domain.tree import Files, Tree
from hub.domain.variants import ContentKey
from hub.render.job import Selection
from hub.render.select import CHART, KUSTOMIZATIONS, is_selected
from shared.errors import DocumentError
from shared.model import Place, Problem

Way = Literal["plain", "kustomize", "helm", "files"]
"""How a part is rendered; `files`: it is not, others borrow its files."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a part reads. `paths` are from the repository's root; plain files are found when they are read."""

    content: ContentKey
    way: Way
    paths: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Materials:
    """The files of a part: plain ones by their path below the part's, others by their path in the repository."""

    files: Files
    problems: tuple[Problem, ...] = ()


def reading(tree: Tree, part: Part) -> Reading:
    """What a part reads of its repository.

    Raises:
        DocumentError: its path cannot be used, or a file that it needs is not there.
    """
    lent = tuple(_lent(tree, part))
    if not part.rendered:
        return Reading(ContentKey(digest_of(lent)), "files", part.lent)
    own = _own(tree, part)
    if not lent:
        return own
    key = ContentKey(digest_of([own.content.key, lent]), capabilities=own.content.capabilities)
    return Reading(key, own.way, (*own.paths, *part.lent), own.problems)


def way_of(tree: Tree, part: Part) -> Way:
    """How a part is rendered: as its document says, or as what is at its path asks for."""
    render = part.render
    if part.source.chart or render.helm is not None:
        return "helm"
    if render.kustomize is not None:
        return "kustomize"
    if render.plain is not None:
        return "plain"
    names = set(tree.names(part.source.path))
    return "kustomize" if names & KUSTOMIZATIONS else "helm" if CHART in names else "plain"


def read(tree: Tree, part: Part, found: Reading) -> Materials:
    """The files that were found.

    Raises:
        DocumentError: one of them cannot be read.
    """
    if found.way == "plain":
        selection = selection_of(part)
        files, problems = tree.gather(part.source.path, lambda path: is_selected(path, selection))
        return Materials(files, problems)
    return Materials(tuple((path, tree.read(path)) for path in found.paths), found.problems)


def selection_of(part: Part) -> Selection:
    """Which files of a plain source are manifests."""
    plain = part.render.plain
    if plain is None:
        return Selection()
    return Selection(plain.recurse, plain.include, plain.exclude, explicit=True)


def _own(tree: Tree, part: Part) -> Reading:
    key = tree.require(part.source.path)
    return Reading(ContentKey(key), way_of(tree, part))


def _lent(tree: Tree, part: Part) -> Iterator[tuple[str, str]]:
    for path in part.lent:
        if tree.kind(path) != "file":
            raise DocumentError(f"there is no file {path!r}, which is a value file", Place(path))
        yield path, tree.id(path)
