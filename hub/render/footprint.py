"""What a render may read, so that a commit that touches none of it renders nothing. Pure.

Whoever works out what a kustomization or a Jsonnet file leads to notes every path it looked at here. Files that are not
there count too: the day they appear, the result is another one.
"""

from __future__ import annotations

import difflib
import hashlib
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field

from hub.domain.tree import Tree
from hub.render.job import File
from shared.errors import DocumentError
from shared.model import Place, Problem


@dataclass(frozen=True, slots=True)
class Footprint:
    """The files at `paths`, sorted, and those that were looked for in vain (`absent`).

    Paths lead through no links; `links` are those that were met on the way, each with what it leads to. `key` changes
    only when one of all these does. An error among `problems` means that there is nothing to render.
    """

    key: str
    paths: tuple[str, ...]
    absent: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Trail:
    """Collects a footprint while somebody walks through a tree."""

    tree: Tree
    files: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def file(self, path: str) -> str:
        """Notes that the file at `path` is read. Where it is once links are followed; '' when there is none."""
        if self.tree.kind(path) != "file":
            self.absent.add(path)
            return ""
        real = self.real(path)
        self.files.add(real)
        return real

    def real(self, path: str) -> str:
        """The path with links followed, which are noted."""
        real = self.tree.real(path)
        if real == path:
            return real
        at = ""
        for name in path.split("/"):
            step = posixpath.join(at, name)
            at = self.tree.real(step)
            if at != step:
                self.links[step] = at
        return real

    def error(self, place: Place, message: str, hint: str = "") -> None:
        """Notes something for which there will be no result."""
        self.problems.append(Problem("error", message, place, hint))

    def merge(self, other: Trail) -> None:
        """Adds what another walk noted."""
        self.files |= other.files
        self.absent |= other.absent
        self.links |= other.links
        self.problems += (problem for problem in other.problems if problem not in self.problems)

    def footprint(self, *more: str) -> Footprint:
        """What was noted. `more` counts in the key too."""
        paths, absent, links = tuple(sorted(self.files)), tuple(sorted(self.absent)), tuple(sorted(self.links.items()))
        hasher = hashlib.sha256("\0".join(more).encode(errors="surrogateescape"))
        for path, content in (*((path, self.tree.id(path)) for path in (*paths, *absent)), *links):
            hasher.update(f"\n{path}\0{content}".encode(errors="surrogateescape"))
        return Footprint(hasher.hexdigest(), paths, absent, links, tuple(self.problems))


def read_files(
    tree: Tree, paths: Iterable[str], most_bytes: int = 64 * 1024**2
) -> tuple[tuple[File, ...], tuple[Problem, ...]]:
    """The files of a footprint, for a job, and what is wrong with those that cannot be read."""
    files, problems, size = list[File](), list[Problem](), 0
    for path in paths:
        try:
            data = tree.read(path)
        except DocumentError as error:
            problems.append(Problem("error", error.message, error.place or Place(path), error.hint))
            continue
        size += len(data)
        if size > most_bytes:
            message = f"with this file it reads more than {most_bytes // 1024**2} MiB"
            problems.append(Problem("error", message, Place(path), "split it"))
            break
        files.append(File(path, data))
    return tuple(files), tuple(problems)


def join(directory: str, path: str) -> str | None:
    """Where `path`, written in a file of `directory`, leads to; None for out of the repository."""
    joined = posixpath.normpath(posixpath.join("/", directory, path))
    above = posixpath.normpath(posixpath.join(directory, path))
    if path.startswith("/") or above == ".." or above.startswith("../"):
        return None
    return joined.lstrip("/")


def contains(directory: str, path: str) -> bool:
    """Whether `path` is `directory` or below it."""
    return not directory or path == directory or path.startswith(f"{directory}/")


def missing(tree: Tree, path: str) -> DocumentError:
    """What to say of a path where there is no file or directory that could be read."""
    directory, _, name = path.rpartition("/")
    while directory and tree.kind(directory) != "directory":
        directory, _, name = directory.rpartition("/")
    names = tree.names(directory)
    if name in names:
        try:
            tree.read(path)
        except DocumentError as error:
            return error
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {posixpath.join(directory, near[0])}?" if near else ""
    return DocumentError(f"there is no {path or 'file'} in the repository", hint=hint)
