"""From a closure to what a build needs: the files of the repository, and of others where it names them."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from hub.domain.tree import Tree
from hub.render.footprint import read_files
from hub.render.job import File, RemoteContent
from hub.render.kustomize.closure import Closure, Closures, Memory
from hub.render.kustomize.remote import Remote, RemoteFile
from shared.errors import DocumentError
from shared.model import Place, Problem

MOST_REMOTES = 50


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was found at a remote's address. `pin` is the commit, or the digest of a file: what makes it one content."""

    pin: str
    content: RemoteContent
    closure: Closure | None = None
    problems: tuple[Problem, ...] = ()


Fetch = Callable[[Remote | RemoteFile], Awaitable[Fetched]]
"""Gets a remote by the hub's own means. A DocumentError says that it is not there, Unavailable that it may be later."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that a build reads. `key` names it, remotes as they are pinned included."""

    key: str
    closure: Closure
    files: tuple[File, ...]
    remotes: tuple[RemoteContent, ...]
    outside: bool
    problems: tuple[Problem, ...]


def from_tree(remote: Remote, tree: Tree, commit: str, memory: Memory, allowed: Sequence[str]) -> Fetched:
    """A remote directory, from its repository at a commit; on the thread that the tree belongs to."""
    closure = Closures(tree, memory, allowed).closure(remote.path)
    files, problems = read_files(tree, closure.footprint.paths)
    content = RemoteContent(remote.text, closure.root, files, closure.kustomizations, closure.footprint.links)
    return Fetched(commit, content, closure, (*closure.footprint.problems, *problems))


def from_file(remote: RemoteFile, data: bytes) -> Fetched:
    """A remote file, as it was fetched."""
    name = posixpath.basename(urlsplit(remote.text).path) or "file.yaml"
    return Fetched(hashlib.sha256(data).hexdigest(), RemoteContent(remote.text, name, (File(name, data),)))


async def gather(closure: Closure, files: tuple[File, ...], problems: tuple[Problem, ...], fetch: Fetch) -> Gathered:
    """What the build of `closure` reads, with what remotes name in turn.

    `files` and `problems` are what reading the files of its footprint gave.

    Raises:
        Unavailable: a remote cannot be had now.
    """
    closures, found = [closure], [*closure.footprint.problems, *problems]
    contents: dict[str, RemoteContent] = {}
    hasher = hashlib.sha256(closure.footprint.key.encode())
    waiting = list(closure.remotes)
    while waiting:
        remote, place = waiting.pop(0)
        if remote.text in contents:
            continue
        if len(contents) >= MOST_REMOTES:
            found.append(Problem("error", f"more than {MOST_REMOTES} addresses outside the repository", place))
            break
        try:
            fetched = await fetch(remote)
        except DocumentError as error:
            found.append(Problem("error", f"{remote.text}: {error.message}", place, error.hint))
            continue
        contents[remote.text] = fetched.content
        hasher.update(f"\0{remote.text}\0{fetched.pin}".encode())
        found += (_placed(problem, remote.text) for problem in fetched.problems)
        if fetched.closure is not None:
            closures.append(fetched.closure)
            hasher.update(fetched.closure.footprint.key.encode())
            waiting += ((named, _at(named_at, remote.text)) for named, named_at in fetched.closure.remotes)
    # Where plugins are at work, Kustomize's own fence stays up.
    outside = any(each.outside for each in closures) and not any(each.plugins for each in closures)
    return Gathered(hasher.hexdigest(), closure, files, tuple(contents.values()), outside, tuple(found))


def _placed(problem: Problem, remote: str) -> Problem:
    place = _at(problem.place, remote) if problem.place is not None else Place(remote)
    return Problem(problem.severity, problem.message, place, problem.hint, problem.application)


def _at(place: Place, remote: str) -> Place:
    return Place(f"{remote} {place.file}", place.line, place.field)
