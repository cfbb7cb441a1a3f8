"""What sets find in repositories: directories by pattern, and what files say. Pure over a `Tree`.

One file that cannot be read leaves the others alone: what was made of it before stays, because its listing says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hub.domain.generating import Directories, Files
from hub.domain.patterns import loose
from hub.domain.tree import Tree
from hub.domain.yamldoc import Limits, load_documents
from shared.errors import DocumentError
from shared.model import Place, Problem

MOST = 10_000
"""Directories or files that one pattern may mean."""
LIMITS = Limits(size=1024 * 1024, nodes=50_000)
"""Of one file."""
MOST_BYTES = 64 * 1024 * 1024
"""Of all files of a listing."""

HERE = "."
"""What sets call the fleet repository, at the commit of their documents."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What to look for, and where: as a set asks for it. Equal lookups find the same at equal commits."""

    repo: str
    ref: str
    pattern: str
    exclude: tuple[str, ...]
    files: bool

    @classmethod
    def of(cls, wanted: Directories | Files) -> Lookup:
        """The lookup that a generator stands for."""
        return cls(wanted.repo, wanted.ref, wanted.path, wanted.exclude, isinstance(wanted, Files))


@dataclass(frozen=True, slots=True)
class Found:
    """A directory or file, and the items that it stands for. `id` names its content, where that decides the items.

    A file with an `error` would stand for some as well if it could be read.
    """

    path: str
    id: str
    items: tuple[Fields, ...]
    error: DocumentError | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a lookup found, sorted by path."""

    found: tuple[Found, ...] = ()


Listings = Mapping[Lookup, Listing | Problem]
"""What was found, or why it could not be looked for."""


def listings_in(tree: Tree, lookups: Iterable[Lookup]) -> dict[Lookup, Listing | Problem]:
    """What sets find in the fleet repository, when there is that and nothing else to look in."""
    found: dict[Lookup, Listing | Problem] = {}
    for lookup in lookups:
        if lookup.repo != HERE or lookup.ref:
            where = f"{lookup.repo} at {lookup.ref}" if lookup.ref else lookup.repo
            found[lookup] = Problem("warning", f"{where} is not looked into here", hint="a hub does")
            continue
        try:
            found[lookup] = listing(tree, lookup)
        except DocumentError as error:
            found[lookup] = Problem("error", error.message, error.place, error.hint)
    return found


def listing(tree: Tree, lookup: Lookup, before: Listing | None = None) -> Listing:
    """Looks in a repository. Files that are as they were `before` are not read again.

    Gives `before` itself when nothing has changed.

    Raises:
        DocumentError: the pattern means too much.
    """
    places = [
        (path, content)
        for path, content in tree.glob(lookup.pattern, files=lookup.files)
        if not any(loose(pattern).match(path) for pattern in lookup.exclude)
    ]
    if len(places) > MOST:
        what = "files" if lookup.files else "directories"
        raise DocumentError(f"{lookup.pattern} means more than {MOST:,} {what}", hint="write a pattern that means less")
    known = {found.path: found for found in before.found} if before is not None else {}
    found = tuple(_files(tree, places, known) if lookup.files else (_directory(path, known) for path, _ in places))
    if before is not None and len(found) == len(before.found) and all(map(_same, found, before.found)):
        return before
    return Listing(found)


def _same(one: Found, other: Found) -> bool:
    return one is other or (one.path == other.path and one.items == other.items and str(one.error) == str(other.error))


def _directory(path: str, known: Mapping[str, Found]) -> Found:
    return known.get(path) or Found(path, "", ({**_whereabouts(path), "path": path, "name": path.rpartition("/")[2]},))


def _files(tree: Tree, places: list[tuple[str, str]], known: Mapping[str, Found]) -> Iterator[Found]:
    left = MOST_BYTES
    for path, content in places:
        before = known.get(path)
        if before is not None and content and before.id == content:
            yield before
            continue
        try:
            data = tree.read(path)
            left -= len(data)
            if left < 0:
                raise DocumentError(f"the files come to more than {MOST_BYTES // 1024**2} MiB", Place(path))
            yield Found(path, content, tuple(_items(data, path)))
        except DocumentError as error:
            yield Found(path, content, (), error)


def _items(data: bytes, path: str) -> Iterator[Fields]:
    """The items of a file.

    Raises:
        DocumentError: it is not valid YAML, or holds something that is no map.
    """
    documents = load_documents(data, file=path, limits=LIMITS)
    if not documents:
        raise DocumentError("an empty file, where a map is expected", Place(path))
    directory = path.rpartition("/")[0]
    name = directory.rpartition("/")[2] or path.partition(".")[0]
    for document in documents:
        for value in document.value if isinstance(document.value, list) else [document.value]:
            if not isinstance(value, dict):
                raise DocumentError("a map is expected, or a list of maps", Place(path, document.line))
            try:
                orjson.dumps(value)
            except orjson.JSONEncodeError as error:
                raise DocumentError(f"cannot be written as JSON: {error}", Place(path, document.line)) from None
            yield {"name": name, **value, **_whereabouts(directory), "path": path, "directory": directory}


def _whereabouts(directory: str) -> dict[str, Any]:
    return {"segments": directory.split("/") if directory else []}
