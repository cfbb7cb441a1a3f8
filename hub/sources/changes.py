"""What differs between two trees. Only subtrees with other ids are entered: it costs the change, not the repository.

Compared with the empty tree it is a walk over everything. Directories themselves are not told of, what is in them is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hub.sources.links import MAX_DEPTH
from hub.sources.objects import TREE, Entry, Objects
from shared.errors import DocumentError

MAX_CHANGES = 500_000
"""Names that one comparison may look at: a few objects can pretend to be millions of files."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file, link or submodule that came (`old` None), went (`new` None), or became another. `path` is from the root.

    A directory stands here only when its name is not safe in a path: it is not entered.
    """

    path: str
    old: Entry | None
    new: Entry | None


def changes(objects: Objects, old: Entry | None, new: Entry | None) -> Iterator[Change]:
    """From what stood at a path to what stands there now, deepest names first told; None: there is nothing.

    Raises:
        DocumentError: nested too deep, or too much; or a tree that is not one.
        Damaged: an object is missing.
    """
    stack = [(old, new, 0)]
    count = 0
    while stack:
        before, after, depth = stack.pop()
        if before == after:
            continue
        old_tree, new_tree = _tree(before), _tree(after)
        if (before is not None and not old_tree) or (after is not None and not new_tree):
            path = (after or before or Entry("", "", 0)).path
            yield Change(path, None if old_tree else before, None if new_tree else after)
        if not (old_tree or new_tree):
            continue
        if depth > MAX_DEPTH:
            raise DocumentError(f"{_shown(after or before)}: directories are nested deeper than {MAX_DEPTH}")
        for pair in _differing(objects, old_tree, new_tree):
            stack.append((*pair, depth + 1))
            count += 1
        if count > MAX_CHANGES:
            raise DocumentError(f"more than {MAX_CHANGES:,} files", hint="choose a path further down")


def _tree(entry: Entry | None) -> Entry | None:
    """The entry when it is a directory that may be entered."""
    if entry is None or entry.mode != TREE or (entry.path and entry.problem):
        return None
    return entry


def _differing(objects: Objects, old: Entry | None, new: Entry | None) -> Iterator[tuple[Entry | None, Entry | None]]:
    before = objects.raw_entries(old.oid) if old is not None else {}
    after = objects.raw_entries(new.oid) if new is not None else {}
    prefix = (new or old or Entry("", "", 0)).path
    prefix = f"{prefix}/" if prefix else ""
    if not before or not after:
        here = before or after
        for name, (mode, oid) in here.items():
            entry = Entry.of(prefix, name, mode, oid)
            yield (entry, None) if before else (None, entry)
        return
    for name in {name for name, _ in before.items() ^ after.items()}:
        was, now = before.get(name), after.get(name)
        yield (
            Entry.of(prefix, name, *was) if was is not None else None,
            Entry.of(prefix, name, *now) if now is not None else None,
        )


def _shown(entry: Entry | None) -> str:
    return entry.path[:200] if entry is not None else ""
