"""What a pattern means in a tree: files or directories, by their paths. Links are not followed.

Remembered by tree: a commit that touches one directory of thousands costs the names beside it, and what is in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hub.domain.patterns import ANY_DEPTH, is_hidden, step
from hub.sources.content import MAX_ENTRIES
from hub.sources.links import MAX_DEPTH
from hub.sources.objects import TREE, Entry, Objects
from shared.errors import DocumentError

Steps = tuple[str, ...]


def glob(objects: Objects, tree: str, steps: Steps, *, files: bool) -> tuple[Entry, ...]:
    """The files, or else the directories, below a tree whose path matches a pattern of `steps`, sorted by path.

    Raises:
        DocumentError: nested too deep, or too many of them.
    """
    found = {entry.path: entry for entry in _below(objects, tree, steps, files, 0)}
    return tuple(found[path] for path in sorted(found))


def _below(objects: Objects, tree: str, steps: Steps, files: bool, depth: int) -> tuple[Entry, ...]:  # noqa: FBT001
    key = ("glob", tree, steps, files)
    known = objects.memo.get(key)
    if known is not None:
        return known
    if depth > MAX_DEPTH:
        raise DocumentError(f"directories are nested deeper than {MAX_DEPTH}")
    found: list[Entry] = []
    for entry, rest in _reached(objects, tree, steps):
        if not rest and (entry.mode != TREE if files else entry.mode == TREE):
            found.append(entry)
        elif rest and entry.mode == TREE:
            inner = _below(objects, entry.oid, rest, files, depth + 1)
            found.extend(Entry(f"{entry.path}/{each.path}", each.oid, each.mode) for each in inner)
        if len(found) > MAX_ENTRIES:
            raise DocumentError(f"more than {MAX_ENTRIES:,} files", hint="write a pattern that means fewer")
    objects.memo.put(key, tuple(found))
    return tuple(found)


def _reached(objects: Objects, tree: str, steps: Steps) -> Iterator[tuple[Entry, Steps]]:
    """The names in a tree that the first step means, each with the steps that are still to go; none: it is there."""
    if not steps:
        return
    head, rest = steps[0], steps[1:]
    if head == ANY_DEPTH and rest:
        yield from _reached(objects, tree, rest)
    for entry in objects.entries(tree):
        if not (entry.is_file or entry.mode == TREE) or entry.problem:
            continue
        if head != ANY_DEPTH:
            if step(head).match(entry.path):
                yield entry, rest
        elif not is_hidden(entry.path):
            if not rest:
                yield entry, ()
            yield entry, steps
