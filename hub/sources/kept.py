"""What was worked out over a repository's files, kept from commit to commit until something it looked at changes.

A commit that touches one directory of thousands costs the way to what it touched: only what looked there is worked out
again. Belongs to the mirror's thread (`Mirror.read`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from hub.sources.changes import changes
from hub.sources.interest import Interest
from hub.sources.objects import TREE, Entry, Objects
from hub.sources.tree import GitTree
from shared.errors import DocumentError, Unavailable

V = TypeVar("V")


class Kept(Generic[V]):
    """Results by key, for one ref of one repository. `work` is called with a tree, and must look at nothing else."""

    def __init__(self, tree: Callable[[Objects, str], GitTree] = GitTree) -> None:
        """`tree` makes what `work` looks at."""
        self._make = tree
        self._commit = ""
        self._results: dict[Hashable, V] = {}
        self._interest: Interest[Hashable] = Interest()

    def __len__(self) -> int:
        return len(self._results)

    def move(self, objects: Objects, commit: str) -> frozenset[Hashable]:
        """Goes to a commit; returns the keys whose results were forgotten, because they might be others there."""
        touched = self._touched(objects, commit) if commit != self._commit and self._results else set()
        self._commit = commit
        for key in touched:
            del self._results[key]
        return frozenset(touched)

    def _touched(self, objects: Objects, commit: str) -> set[Hashable]:
        after = Entry("", objects.tree_of(commit), TREE)
        try:
            before = Entry("", objects.tree_of(self._commit), TREE)
            return self._interest.concerned(change.path for change in changes(objects, before, after))
        except (Unavailable, DocumentError):
            # What was there before is gone from a mirror made anew, or too much has changed to say what.
            return set(self._results)

    def get(self, objects: Objects, key: Hashable, work: Callable[[GitTree], V]) -> V:
        """The result for `key` at the commit moved to. What `work` raises is not kept."""
        if key not in self._results:
            tree = self._make(objects, self._commit)
            self._results[key] = work(tree)
            self._interest.put(key, tree.seen)
        return self._results[key]

    def drop(self, key: Hashable) -> None:
        """Forgets a result nobody asks for any more."""
        self._results.pop(key, None)
        self._interest.drop(key)
