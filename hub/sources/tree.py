"""One repository at one commit, as those see it who gather files from several of its directories.

Paths are relative to the repository's root, with `/` between names; `""` is the root. Links are followed inside the
repository and nowhere else. `GitTree` belongs to the mirror's thread (`Mirror.read`).
"""

from __future__ import annotations

from typing import Literal, Protocol

from hub.sources.content import key_of
from hub.sources.links import Astray, resolve
from hub.sources.objects import LINK, SUBMODULE, TREE, Entry, Objects
from shared.errors import DocumentError
from shared.model import Place

Kind = Literal["file", "directory", ""]


class Tree(Protocol):
    """Files by path. What it names by `id` never changes."""

    def kind(self, path: str) -> Kind:
        """What is at a path; empty when nothing is there that may be read."""

    def id(self, path: str) -> str:
        """Names the content at a path: equal ids, equal content. Empty when nothing is there."""

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted; none where there is no directory."""

    def read(self, path: str) -> bytes:
        """A file's bytes.

        Raises:
            DocumentError: no file is there, or it is too large.
        """


class GitTree:
    """A `Tree` of Git objects."""

    def __init__(self, objects: Objects, commit: str) -> None:
        self._objects = objects
        self._commit = commit

    def kind(self, path: str) -> Kind:
        """See `Tree`."""
        found = self._find(path)
        return "" if found is None else "directory" if found.mode == TREE else "file"

    def id(self, path: str) -> str:
        """See `Tree`. For a directory with links in it, what they lead to counts as well."""
        found = self._find(path)
        if found is None:
            return ""
        return key_of(self._objects, self._commit, found)

    def names(self, path: str) -> tuple[str, ...]:
        """See `Tree`."""
        found = self._find(path)
        if found is None or found.mode != TREE:
            return ()
        return tuple(sorted(entry.path for entry in self._objects.entries(found.oid) if not entry.problem))

    def read(self, path: str) -> bytes:
        """See `Tree`."""
        try:
            found = resolve(self._objects, self._commit, path)
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
            found = resolve(self._objects, self._commit, path)
        except Astray:
            return None
        return None if found.mode in (SUBMODULE, LINK) else found
