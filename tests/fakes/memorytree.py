"""A `Tree` of files in memory, for what only reads one. It knows no links: those are Git's, see test_git_tree."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from hub.domain.patterns import exact
from hub.domain.tree import Kind
from shared.errors import DocumentError
from shared.model import Place


class MemoryTree:
    """Files by path."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.files = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}

    @classmethod
    def of(cls, folder: Path) -> MemoryTree:
        """The files of a folder on disk."""
        files = (path for path in folder.rglob("*") if path.is_file())
        return cls({str(path.relative_to(folder)): path.read_bytes() for path in files})

    def kind(self, path: str) -> Kind:
        if path in self.files:
            return "file"
        return "directory" if not path or any(name.startswith(f"{path}/") for name in self.files) else ""

    def id(self, path: str) -> str:
        kind = self.kind(path)
        if not kind:
            return ""
        below = {path: self.files[path]} if kind == "file" else self._below(path)
        return hashlib.sha256(repr(sorted(below.items())).encode()).hexdigest()

    def glob(self, pattern: str, *, files: bool) -> tuple[tuple[str, str], ...]:
        above = {parent.as_posix() for path in self.files for parent in Path(path).parents} - {"."}
        found = (path for path in (self.files if files else above) if exact(pattern).match(path))
        return tuple((path, self.id(path)) for path in sorted(found))

    def names(self, path: str) -> tuple[str, ...]:
        return tuple(sorted({name.partition("/")[0] for name in self._below(path)}))

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise DocumentError("no file", Place(path))
        return self.files[path]

    def _below(self, path: str) -> dict[str, bytes]:
        prefix = f"{path}/" if path else ""
        return {name.removeprefix(prefix): data for name, data in self.files.items() if name.startswith(prefix)}
