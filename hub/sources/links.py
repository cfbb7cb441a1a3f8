"""Symbolic links, resolved inside one commit and never outside it. Nothing on disk is looked at."""

from __future__ import annotations

from hub.sources.objects import LINK, SUBMODULE, TREE, Entry, Objects
from shared.errors import DocumentError

MAX_DEPTH = 64
"""Directories below one another; more is an attack, or an accident with links."""
MAX_LINKS = 20_000
_MAX_HOPS = 10
_MAX_TARGET = 4096


class Astray(Exception):
    """A link leads nowhere that may be read; the message goes after "a symbolic link "."""


def links_below(objects: Objects, tree: str, depth: int = 0) -> tuple[Entry, ...]:
    """All links below a tree, with their paths. Remembered by tree: a commit costs only the way to what it touched.

    Raises:
        DocumentError: too deep, or too many.
    """
    known = objects.memo.get(("links", tree))
    if known is not None:
        return known
    if depth > MAX_DEPTH:
        raise DocumentError(f"directories are nested deeper than {MAX_DEPTH}")
    found: list[Entry] = []
    for entry in objects.entries(tree):
        if entry.mode == LINK:
            found.append(entry)
        elif entry.mode == TREE and not entry.problem:
            below = links_below(objects, entry.oid, depth + 1)
            found.extend(Entry(f"{entry.path}/{link.path}", link.oid, link.mode) for link in below)
        if len(found) > MAX_LINKS:
            raise DocumentError(f"more than {MAX_LINKS:,} symbolic links", hint="choose a path further down")
    objects.memo.put(("links", tree), tuple(found))
    return tuple(found)


def follow(objects: Objects, commit: str, path: str, link: str, seen: set[str] | None = None) -> Entry:
    """The file or directory that the link at `path` (with the object id `link`) leads to, with its path in the commit.

    Adds the paths to `seen` on whose content the answer depends.

    Raises:
        Astray: out of the repository, into a submodule, in a circle, or to nothing.
    """
    text = _target(objects, link)
    walk = _Walk(objects, commit, ascii(text), seen if seen is not None else set())
    for name in path.split("/")[:-1]:
        walk.enter(name)
    return walk.to(_steps(text, walk.shown))


def resolve(objects: Objects, commit: str, path: str, seen: set[str] | None = None) -> Entry:
    """The file or directory at `path`, links on the way and at its end followed, with its own path in the commit.

    Adds the paths to `seen` on whose content the answer depends.

    Raises:
        Astray: as `follow`.
    """
    walk = _Walk(objects, commit, ascii(path), seen if seen is not None else set())
    return walk.to(_steps(path, walk.shown))


class _Walk:
    """A way through a commit, from its root. `shown` is what messages call its goal."""

    def __init__(self, objects: Objects, commit: str, shown: str, seen: set[str]) -> None:
        self.shown = shown
        self._objects = objects
        self._stack = [Entry("", objects.tree_of(commit), TREE)]
        self._seen = seen

    def enter(self, name: str) -> None:
        """Goes down to a directory."""
        self._stack.append(self._child(name))

    def to(self, steps: list[str]) -> Entry:
        """Where `steps` lead to from here."""
        hops = 0
        while steps:
            step = steps.pop(0)
            if step == "..":
                if len(self._stack) == 1:
                    raise Astray(f"to {self.shown}, out of the repository")
                self._stack.pop()
                continue
            found = self._child(step)
            if found.mode != LINK:
                self._stack.append(found)
                continue
            self._seen.add(found.path)
            hops += 1
            if hops > _MAX_HOPS:
                raise Astray(f"to {self.shown}, in a circle")
            steps = _steps(_target(self._objects, found.oid), self.shown) + steps
        self._seen.add(self._stack[-1].path)
        return self._stack[-1]

    def _child(self, name: str) -> Entry:
        parent = self._stack[-1]
        path = f"{parent.path}/{name}" if parent.path else name
        found = self._objects.child(parent.oid, name) if parent.mode == TREE else None
        if found is None:
            self._seen.add(path if parent.mode == TREE else parent.path)
            raise Astray(f"to {self.shown}, which does not exist")
        if found.mode == SUBMODULE:
            self._seen.add(path)
            raise Astray(f"to {self.shown}, in a submodule")
        return Entry(path, found.oid, found.mode)


def _target(objects: Objects, link: str) -> str:
    if objects.size(link) > _MAX_TARGET:
        raise Astray("whose target is not a path")
    return objects.blob(link).decode(errors="surrogateescape")


def _steps(target: str, shown: str) -> list[str]:
    if target.startswith("/"):
        raise Astray(f"to {shown}, out of the repository")
    return [step for step in target.split("/") if step not in ("", ".")]
