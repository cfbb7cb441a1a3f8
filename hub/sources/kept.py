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

PATIENCE = 8


class Kept(Generic[V]):
    """Results by key, for one ref of one repository. `work` is called with a tree, and must look at nothing else.

    What nobody has asked for while it went through `PATIENCE` commits is forgotten.
    """

    def __init__(self, tree: Callable[[Objects, str], GitTree] = GitTree) -> None:
        """`tree` makes what `work` looks at."""
        self._make = tree
        self._commit = ""
        self._results: dict[Hashable, V] = {}
        self._moves = 0
        self._asked: dict[Hashable, int] = {}
        self._interest: Interest[Hashable] = Interest()

    def __len__(self) -> int:
        return len(self._results)

    def move(self, objects: Objects, commit: str) -> frozenset[Hashable]:
        """Goes to a commit; returns the keys whose results might be others there, and were forgotten therefore."""
        if commit == self._commit:
            return frozenset()
        self._moves += 1
        for key in [key for key, asked in self._asked.items() if self._moves - asked > PATIENCE]:
            del self._asked[key]
            self._forget(key)
        touched = self._touched(objects, commit) if self._results else set()
        self._commit = commit
        for key in touched:
            self._forget(key)
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
        self._asked[key] = self._moves
        if key not in self._results:
            tree = self._make(objects, self._commit)
            self._results[key] = work(tree)
            self._interest.put(key, tree.seen)
        return self._results[key]

    def _forget(self, key: Hashable) -> None:
        if key in self._results:
            del self._results[key]
            self._interest.drop(key)
