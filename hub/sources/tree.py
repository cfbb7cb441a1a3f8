"""A `Tree` of Git objects. It belongs to the mirror's thread (`Mirror.read`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hub.domain.patterns import is_wild
from hub.domain.tree import Files, Kind
from hub.sources.content import content_key, key_of, read_content
from hub.sources.globbing import glob
from hub.sources.links import Astray, resolve
from hub.sources.objects import LINK, SUBMODULE, TREE, Entry, Objects, clean
from shared.errors import DocumentError
from shared.model import Place, Problem


class GitTree:
    """A repository at a commit: see `hub.domain.tree.Tree`.

    `seen` collects the paths that were looked at: answers stay the same as long as what is there, and below, does.
    """

    def __init__(self, objects: Objects, commit: str, seen: set[str] | None = None) -> None:
        self.seen = seen if seen is not None else set()
        self._objects = objects
        self._commit = commit

    def kind(self, path: str) -> Kind:
        """See `hub.domain.tree.Tree`."""
        found = self._find(path)
        return "" if found is None else "directory" if found.mode == TREE else "file"

    def id(self, path: str) -> str:
        """See `hub.domain.tree.Tree`. For a directory with links in it, what they lead to counts as well."""
        found = self._find(path)
        if found is None:
            return ""
        return key_of(self._objects, self._commit, found, self.seen)

    def require(self, path: str) -> str:
        """See `hub.domain.tree.Tree`."""
        return content_key(self._objects, self._commit, path, self.seen)

    def gather(self, path: str, wanted: Callable[[str], bool]) -> tuple[Files, tuple[Problem, ...]]:
        """See `hub.domain.tree.Tree`."""
        content_key(self._objects, self._commit, path, self.seen)
        content = read_content(self._objects, self._commit, path, wanted)
        return content.files, content.problems

    def real(self, path: str) -> str:
        """See `hub.domain.tree.Tree`."""
        found = self._find(path)
        return path if found is None else found.path

    def glob(self, pattern: str, *, files: bool) -> tuple[tuple[str, str], ...]:
        """See `hub.domain.tree.Tree`."""
        steps = tuple(clean(pattern))
        self.seen.add("/".join(itertools.takewhile(lambda step: not is_wild(step), steps)))
        root = self._objects.tree_of(self._commit)
        found = glob(self._objects, root, steps, files=files)
        return tuple((entry.path, entry.oid) for entry in found)

    def names(self, path: str) -> tuple[str, ...]:
        """See `hub.domain.tree.Tree`."""
        found = self._find(path)
        if found is None or found.mode != TREE:
            return ()
        return tuple(sorted(entry.path for entry in self._objects.entries(found.oid) if not entry.problem))

    def read(self, path: str) -> bytes:
        """See `hub.domain.tree.Tree`."""
        try:
            found = resolve(self._objects, self._commit, path, self.seen)
        except Astray as astray:
            raise DocumentError(f"{path} leads {astray}", Place(path)) from None
        if found.mode == TREE:
            raise DocumentError(f"{path} is a directory, not a file", Place(path))
        size, limit = self._objects.size(found.oid), self._objects.limits.file_bytes
        if size > limit:
            raise DocumentError(
                f"{size / 1024**2:.1f} MiB is more than the {limit / 1024**2:g} MiB a file may have", Place(path)
            )
        return self._objects.blob(found.oid)

    def _find(self, path: str) -> Entry | None:
        try:
            found = resolve(self._objects, self._commit, path, self.seen)
        except Astray:
            return None
        return None if found.mode in (SUBMODULE, LINK) else found
