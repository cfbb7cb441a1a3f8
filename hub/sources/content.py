"""The files below a path of a commit, read from Git objects, and the key that says whether they changed.

Symbolic links are resolved inside the commit only: a link to a file of the same repository gives that file's content
(and counts in the key), everything else is a problem naming the link. Links to directories and submodules are not
followed. Runs on the mirror's thread (`Mirror.read`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hub.sources.access import Limits
from hub.sources.links import MAX_DEPTH, Astray, follow, links_below
from hub.sources.objects import LINK, SUBMODULE, TREE, Entry, Objects, clean
from shared.errors import DocumentError
from shared.model import Place, Problem

MAX_ENTRIES = 200_000
"""Names below one application's path, manifests or not."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an application's path holds. `files` are (path below it, content); equal `key`s mean equal content."""

    key: str
    files: tuple[tuple[str, bytes], ...]
    problems: tuple[Problem, ...] = ()


def content_key(objects: Objects, commit: str, path: str, seen: set[str] | None = None) -> str:
    """Names what is below `path`: the id of its tree, and of whatever links in it lead to. Reads no files.

    Adds the paths to `seen` on whose content the key depends, with all that is below them.

    Raises:
        DocumentError: there is nothing at `path`, or what is there is a link, a submodule or far too large.
    """
    seen = seen if seen is not None else set()
    seen.add("/".join(clean(path)))
    try:
        found = objects.find(commit, path)
    except DocumentError as error:
        if error.place is not None:  # as far as the way went; what else is there may be what was meant
            seen.update((error.place.file, error.place.file.rpartition("/")[0]))
        raise
    return key_of(objects, commit, found, seen)


def key_of(objects: Objects, commit: str, found: Entry, seen: set[str] | None = None) -> str:
    """Names what is in a file or directory of a commit. `found.path` is its path there, with no link on the way.

    Adds the paths to `seen` that links in it lead to.
    """
    links = links_below(objects, found.oid) if found.mode == TREE else ()
    if not links:
        return found.oid
    hasher = hashlib.sha256(found.oid.encode())
    for link in links:
        try:
            target = follow(objects, commit, _join(found.path, link.path), link.oid, seen).oid
        except Astray as astray:
            target = str(astray)
        hasher.update(f"\0{link.path}\0{target}".encode(errors="replace"))
    return hasher.hexdigest()


def read_content(
    objects: Objects, commit: str, path: str, wanted: Callable[[str], bool], limits: Limits | None = None
) -> Content:
    """The files below `path` whose relative path is `wanted`. A file given as `path` is the only one.

    What cannot be read is in `problems`, each with its place. The limits are those of the mirror when none are given.

    Raises:
        DocumentError: as `content_key`.
    """
    reader = _Reader(objects, commit, limits or objects.limits)
    found = objects.find(commit, path)
    key = content_key(objects, commit, path)
    if found.mode != TREE:
        reader.add(found.path.rpartition("/")[2], found.path, found.oid)
    else:
        for entry in walk(objects, found.oid):
            reader.entry(entry, _join(found.path, entry.path), wanted)
    return Content(key, tuple(reader.files), tuple(reader.problems))


def walk(objects: Objects, tree: str) -> Iterator[Entry]:
    """Everything below a tree except directories themselves, paths relative to it, in Git's order.

    Directories with unsafe names are given, not entered.

    Raises:
        DocumentError: too deep, or too much (a few objects can pretend to be millions of files).
    """
    stack = [("", iter(objects.entries(tree)))]
    count = 0
    while stack:
        prefix, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        count += 1
        if count > MAX_ENTRIES:
            raise DocumentError(f"more than {MAX_ENTRIES:,} files", hint="choose a path further down")
        here = Entry(f"{prefix}{entry.path}", entry.oid, entry.mode)
        if entry.mode != TREE or entry.problem:
            yield here
        elif len(stack) >= MAX_DEPTH:
            raise DocumentError(f"{here.path[:200]}: directories are nested deeper than {MAX_DEPTH}")
        else:
            stack.append((f"{here.path}/", iter(objects.entries(entry.oid))))


@dataclass(slots=True)
class _Reader:
    objects: Objects
    commit: str
    limits: Limits
    files: list[tuple[str, bytes]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _bytes: int = 0

    def entry(self, entry: Entry, full: str, wanted: Callable[[str], bool]) -> None:
        """Read an entry when it is wanted; a directory or link to one when files below it would be."""
        below = wanted(f"{entry.path}/x.yaml")
        if entry.problem:
            if below or wanted(entry.path):
                self._error(entry.problem, full.encode(errors="replace").decode(), "rename it, or exclude it")
        elif entry.mode == SUBMODULE:
            if below:
                self._warning("a submodule, which is not read", full)
        elif entry.mode == LINK:
            self._link(entry, full, file=wanted(entry.path), directory=below)
        elif wanted(entry.path):
            self.add(entry.path, full, entry.oid)

    def add(self, path: str, full: str, oid: str) -> None:
        """Read one file, within the limits."""
        size = self.objects.size(oid)
        if size > self.limits.file_bytes:
            limit = self.limits.file_bytes / 1024**2
            self._error(f"{size / 1024**2:.1f} MiB is more than the {limit:g} MiB a manifest may have", full)
        elif self._bytes + size > self.limits.source_bytes or len(self.files) >= self.limits.source_files:
            if self._bytes <= self.limits.source_bytes:
                most = f"{self.limits.source_files:,} files or {self.limits.source_bytes // 1024**2} MiB"
                self._error(f"the application has more than {most} of manifests", full, "split it")
            self._bytes = self.limits.source_bytes + 1
        else:
            self._bytes += size
            self.files.append((path, self.objects.blob(oid)))

    def _link(self, entry: Entry, full: str, *, file: bool, directory: bool) -> None:
        if not (file or directory):
            return
        try:
            target = follow(self.objects, self.commit, full, entry.oid)
        except Astray as astray:
            if file:
                self._error(f"a symbolic link {astray}", full, "put the file itself there, or exclude it")
            return
        if target.mode == TREE:
            if directory:
                self._warning(f"a symbolic link to the directory {target.path or '.'}, which is not followed", full)
        elif file:
            self.add(entry.path, full, target.oid)

    def _error(self, message: str, file: str, hint: str = "split it, or exclude it") -> None:
        self.problems.append(Problem("error", message, Place(file), hint))

    def _warning(self, message: str, file: str) -> None:
        self.problems.append(Problem("warning", message, Place(file)))


def _join(directory: str, path: str) -> str:
    return f"{directory}/{path}" if directory else path
