"""One repository at one commit, as those see it who gather files from several of its directories.

Paths are relative to the repository's root, with `/` between names; `""` is the root. Links are followed inside the
repository and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from shared.model import Problem

Kind = Literal["file", "directory", ""]

Files = tuple[tuple[str, bytes], ...]
"""Paths and what is in the files."""


class Tree(Protocol):
    """Files by path. What it names by `id` never changes."""

    def kind(self, path: str) -> Kind:
        """What is at a path; empty when nothing is there that may be read."""

    def id(self, path: str) -> str:
        """Names the content at a path: equal ids, equal content. Empty when nothing is there."""

    def real(self, path: str) -> str:
        """The path once links are followed, which is where `..` from it leads on from. Empty for the root."""

    def require(self, path: str) -> str:
        """The `id` of what an application's path names.

        Raises:
            DocumentError: nothing is there, or it is a link or a submodule.
        """

    def gather(self, path: str, wanted: Callable[[str], bool]) -> tuple[Files, tuple[Problem, ...]]:
        """The files below `path` whose path below it is `wanted`, by that path, and what cannot be read of them.

        Raises:
            DocumentError: as `require`.
        """

    def glob(self, pattern: str, *, files: bool) -> tuple[tuple[str, str], ...]:
        """The paths of the files, or else of the directories, that a pattern means (`hub.domain.patterns.exact`).

        Sorted, each with what names its content, which may be empty where that would have to be read. Links are not
        followed.

        Raises:
            DocumentError: nested too deep, or too many.
        """

    def names(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted; none where there is no directory."""

    def read(self, path: str) -> bytes:
        """A file's bytes.

        Raises:
            DocumentError: no file is there, or it is too large.
        """
