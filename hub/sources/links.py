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


def follow(objects: Objects, commit: str, path: str, link: str) -> Entry:
    """The file or directory that the link at `path` (with the object id `link`) leads to, with its path in the commit.

    Raises:
        Astray: out of the repository, into a submodule, in a circle, or to nothing.
    """
    text = _target(objects, link)
    shown = ascii(text)
    stack = [Entry("", objects.tree_of(commit), TREE)]
    for name in path.split("/")[:-1]:
        stack.append(_child(objects, stack[-1], name, shown))
    return _walk(objects, stack, _steps(text, shown), shown)


def resolve(objects: Objects, commit: str, path: str) -> Entry:
    """The file or directory at `path`, links on the way and at its end followed, with its own path in the commit.

    Raises:
        Astray: as `follow`.
    """
    shown = ascii(path)
    return _walk(objects, [Entry("", objects.tree_of(commit), TREE)], _steps(path, shown), shown)


def _walk(objects: Objects, stack: list[Entry], steps: list[str], shown: str) -> Entry:
    """Where `steps` lead to from the directory at the end of `stack`, whose other members are those above it."""
    hops = 0
    while steps:
        step = steps.pop(0)
        if step == "..":
            if len(stack) == 1:
                raise Astray(f"to {shown}, out of the repository")
            stack.pop()
            continue
        found = _child(objects, stack[-1], step, shown)
        if found.mode != LINK:
            stack.append(found)
            continue
        hops += 1
        if hops > _MAX_HOPS:
            raise Astray(f"to {shown}, in a circle")
        steps = _steps(_target(objects, found.oid), shown) + steps
    return stack[-1]


def _target(objects: Objects, link: str) -> str:
    if objects.size(link) > _MAX_TARGET:
        raise Astray("whose target is not a path")
    return objects.blob(link).decode(errors="surrogateescape")


def _steps(target: str, shown: str) -> list[str]:
    if target.startswith("/"):
        raise Astray(f"to {shown}, out of the repository")
    return [step for step in target.split("/") if step not in ("", ".")]


def _child(objects: Objects, parent: Entry, name: str, shown: str) -> Entry:
    found = objects.child(parent.oid, name) if parent.mode == TREE else None
    if found is None:
        raise Astray(f"to {shown}, which does not exist")
    if found.mode == SUBMODULE:
        raise Astray(f"to {shown}, in a submodule")
    return Entry(f"{parent.path}/{name}" if parent.path else name, found.oid, found.mode)
