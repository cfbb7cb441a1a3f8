"""A folder on disk as a tree of files, for tests of what gathers files: links are followed inside it only."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from shared.errors import DocumentError
from shared.model import Place


class FolderTree:
    """`hub.sources.tree.Tree` over a folder. `reads` are the paths whose content was asked for, in order."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.reads: list[str] = []

    def kind(self, path: str) -> Literal["file", "directory", ""]:
        place = self._place(path)
        return "" if place is None else "directory" if place.is_dir() else "file" if place.is_file() else ""

    def id(self, path: str) -> str:
        match self.kind(path):
            case "file":
                return hashlib.sha256((self.root / path).read_bytes()).hexdigest()
            case "directory":
                names = ((name, self.id(f"{path}/{name}" if path else name)) for name in self.names(path))
                return hashlib.sha256(repr(list(names)).encode()).hexdigest()
            case _:
                return ""

    def real(self, path: str) -> str:
        place = self._place(path)
        if place is None or not place.exists():
            return path
        shown = place.relative_to(self.root).as_posix()
        return "" if shown == "." else shown

    def names(self, path: str) -> tuple[str, ...]:
        return (
            tuple(sorted(each.name for each in (self.root / path).iterdir())) if self.kind(path) == "directory" else ()
        )

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        place = self._place(path)
        if place is None:
            raise DocumentError(f"{path} leads out of the repository", Place(path))
        if not place.is_file():
            raise DocumentError(f"there is no file {path}", Place(path))
        return place.read_bytes()

    def _place(self, path: str) -> Path | None:
        place = Path(os.path.realpath(self.root / path))
        return place if place.is_relative_to(self.root) else None
