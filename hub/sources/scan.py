"""Finds the fleet documents of a commit, reading again only what changed since an earlier scan.

Trees and blobs are remembered by their ids: a commit that touches one file in five thousand directories reads the trees
on the way to it and that file. A file counts when it is YAML or JSON by name and speaks of our API group; whether it is
parsed by YAML's rules and what its documents mean is the domain's business. Symbolic links are not followed: what they
lead to inside the path is found where it is. One scanner serves one repository, on the mirror's thread (`Mirror.read`).
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.domain.documents import API_GROUP
from hub.domain.reading import Parsed, read_documents
from hub.sources.links import MAX_DEPTH
from hub.sources.memo import Memo
from hub.sources.objects import TREE, Entry, Objects
from shared.errors import DocumentError
from shared.model import Place, Problem

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FOUND = 100_000
"""Files with fleet documents, and directories, that one scan may look at."""

_MARKER = f"{API_GROUP}/".encode()
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Scanned:
    """The fleet documents below a path, good and bad, in the order of paths.

    `manifests` counts the YAML and JSON files; `read` and `parsed` count what this scan had to look at anew.
    """

    documents: tuple[Parsed, ...]
    problems: tuple[Problem, ...]
    manifests: int
    read: int
    parsed: int


@dataclass(frozen=True, slots=True)
class _Below:
    """What a tree holds, with paths relative to it: files to parse, files too large to look at, YAML files."""

    fleet: tuple[tuple[str, str], ...] = ()
    too_large: tuple[tuple[str, int], ...] = ()
    manifests: int = 0


class FleetScanner:
    """See the module."""

    def __init__(self, memo: int = 200_000) -> None:
        self._limit = 0
        self._trees: Memo[_Below] = Memo(memo)
        self._blobs: Memo[bool] = Memo(memo)
        self._parsed: Memo[tuple[Parsed, ...]] = Memo(memo)
        self._read = 0

    def scan(self, objects: Objects, commit: str, path: str = "") -> Scanned:
        """The fleet documents below `path` in a commit; a file given as `path` is the only one.

        Raises:
            DocumentError: there is nothing at `path`, or too much.
        """
        self._read = parsed = 0
        self._limit = objects.limits.file_bytes
        found = objects.find(commit, path)
        below = self._below(objects, found.oid, 0) if found.mode == TREE else self._file(objects, found, "")
        root = f"{found.path}/" if found.path and found.mode == TREE else found.path
        documents: list[Parsed] = []
        for relative, oid in below.fleet:
            known = self._parsed.get((root + relative, oid))
            if known is None:
                parsed += 1
                known = tuple(read_documents(objects.blob(oid), file=root + relative))
                self._parsed.put((root + relative, oid), known)
            documents.extend(known)
        problems = tuple(self._too_large(root + relative, size) for relative, size in below.too_large)
        return Scanned(tuple(documents), problems, below.manifests, self._read, parsed)

    def _below(self, objects: Objects, tree: str, depth: int) -> _Below:
        known = self._trees.get(tree)
        if known is not None:
            return known
        if depth > MAX_DEPTH:
            raise DocumentError(f"directories are nested deeper than {MAX_DEPTH}")
        self._read += 1
        fleet: list[tuple[str, str]] = []
        too_large: list[tuple[str, int]] = []
        manifests = 0
        for entry in objects.entries(tree):
            if entry.problem or not (entry.mode == TREE or entry.is_file):
                continue
            inner = (
                self._below(objects, entry.oid, depth + 1)
                if entry.mode == TREE
                else self._file(objects, entry, entry.path)
            )
            prefix = f"{entry.path}/" if entry.mode == TREE else ""
            fleet.extend((prefix + relative, oid) for relative, oid in inner.fleet)
            too_large.extend((prefix + relative, size) for relative, size in inner.too_large)
            manifests += inner.manifests
            if len(fleet) > MAX_FOUND or len(too_large) > MAX_FOUND:
                raise DocumentError(
                    f"more than {MAX_FOUND:,} files with fleet documents", hint="set a path further down"
                )
        result = _Below(tuple(fleet), tuple(too_large), manifests)
        self._trees.put(tree, result)
        return result

    def _file(self, objects: Objects, entry: Entry, name: str) -> _Below:
        if not entry.path.endswith(SUFFIXES):
            return _Below()
        size = objects.size(entry.oid)
        if size > self._limit:
            return _Below(too_large=((name, size),), manifests=1)
        speaks = self._blobs.get(entry.oid)
        if speaks is None:
            self._read += 1
            data = objects.blob(entry.oid)
            speaks = _MARKER in data or data.startswith(_UTF16)
            self._blobs.put(entry.oid, speaks)
        return _Below(fleet=((name, entry.oid),) if speaks else (), manifests=1)

    def _too_large(self, file: str, size: int) -> Problem:
        limit = self._limit / 1024**2
        message = f"not searched for fleet documents: {size / 1024**2:.1f} MiB is more than {limit:g} MiB"
        return Problem("warning", message, Place(file))
