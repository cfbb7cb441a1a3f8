"""A fleet repository as it lies on disk, committed or not: what `validate` and `render` look at.

It reads what the hub would read from Git: files that Git ignores are left out, links are followed inside the tree only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hub.cli.trouble import usage
from hub.domain.blending import digest_of
from hub.domain.patterns import exact
from hub.domain.reading import Parsed, read_documents
from hub.domain.tree import Files, Kind
from shared.errors import DocumentError
from shared.model import Place, Problem

SUFFIXES = (".yaml", ".yml", ".json")
MOST_BYTES = 8 * 1024 * 1024
"""A larger file is a problem, not a manifest."""


class Worktree:
    """A folder: `root` is what paths in documents are relative to, `scope` the folder whose documents count."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            usage(f"{path} is not a folder: name the fleet repository, or a folder in it")
        self._repository = _repository(path)
        self.root = self._repository.root if self._repository else path.resolve()
        self.scope = path.resolve().relative_to(self.root)
        self._names: dict[Path, tuple[str, str, tuple[tuple[str, str], ...]]] = {}

    def documents(self) -> list[Parsed]:
        """The fleet documents of everything below `scope`, good and bad."""
        found: list[Parsed] = []
        for path in self._walk(self.root / self.scope):
            if path.suffix in SUFFIXES and not path.is_symlink() and path.stat().st_size <= MOST_BYTES:
                found += read_documents(path.read_bytes(), file=self._name(path))
        return found

    def kind(self, path: str) -> Kind:
        """See `hub.domain.tree.Tree`."""
        found = self._inside(path)
        return "" if found is None else "directory" if found.is_dir() else "file" if found.is_file() else ""

    def id(self, path: str) -> str:
        """See `hub.domain.tree.Tree`. The id that Git would give it, as long as no links are in it."""
        found = self._inside(path)
        if found is None or not found.exists():
            return ""
        name, links = self._hashed(found)[1:]
        if name == _EMPTY_TREE:
            return ""
        return digest_of([name, sorted(links)]) if links else name

    def _hashed(self, path: Path) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """The mode and id that Git gives a path, and the links in it, each with the id of what it leads to."""
        known = self._names.get(path)
        if known is None:
            known = self._names[path] = self._hash(path)
        return known

    def _hash(self, path: Path) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        if path.is_symlink():
            target = self._inside(self._name(path))
            leads = "" if target is None or target.is_dir() or not target.exists() else self._hashed(target)[1]
            return "120000", _git_name("blob", os.fsencode(path.readlink())), ((self._name(path), leads),)
        if not path.is_dir():
            data = path.read_bytes() if path.is_file() else b""
            return "100755" if path.stat().st_mode & 0o100 else "100644", _git_name("blob", data), ()
        lines: list[tuple[bytes, bytes]] = []
        links: list[tuple[str, str]] = []
        for each in path.iterdir():
            if each.name == ".git" or self._ignored(each):
                continue
            mode, name, below = self._hashed(each)
            if name == _EMPTY_TREE:  # Git knows no empty directories
                continue
            written = os.fsencode(each.name)
            order = written + b"/" if mode == _TREE else written
            lines.append((order, mode.encode() + b" " + written + b"\0" + bytes.fromhex(name)))
            links += below
        return _TREE, _git_name("tree", b"".join(line for _, line in sorted(lines))), tuple(links)

    def real(self, path: str) -> str:
        """See `hub.domain.tree.Tree`."""
        found = self._inside(path)
        if found is None:
            return path
        return "" if found == self.root else found.relative_to(self.root).as_posix()

    def require(self, path: str) -> str:
        """See `hub.domain.tree.Tree`."""
        folder = self.root / path
        if folder.is_file() or folder.is_dir():
            return self.id(path)
        raise DocumentError(f"there is no {path} in the repository", Place(path))

    def glob(self, pattern: str, *, files: bool) -> tuple[tuple[str, str], ...]:
        """See `hub.domain.tree.Tree`."""
        wanted, found = exact(pattern), set[str]()
        for path in self._walk(self.root):
            name = self._name(path)
            here = [name] if path.is_file() and not path.is_symlink() else []
            above = [parent.as_posix() for parent in Path(name).parents[:-1]]
            found.update(each for each in (here if files else above) if wanted.match(each))
        return tuple((path, "") for path in sorted(found))

    def names(self, path: str) -> tuple[str, ...]:
        """See `hub.domain.tree.Tree`."""
        found = self._inside(path)
        if found is None or not found.is_dir():
            return ()
        return tuple(sorted(each.name for each in found.iterdir() if each.name != ".git" and not self._ignored(each)))

    def read(self, path: str) -> bytes:
        """See `hub.domain.tree.Tree`."""
        found = self._inside(path)
        problem = "there is no such file" if found is None else self._problem(found)
        if found is None or problem:
            raise DocumentError(f"{path}: {problem}", Place(path))
        return found.read_bytes()

    def gather(self, path: str, wanted: Callable[[str], bool]) -> tuple[Files, tuple[Problem, ...]]:
        """See `hub.domain.tree.Tree`."""
        self.require(path)
        folder = self.root / path
        if folder.is_file():
            return ((folder.name, folder.read_bytes()),), ()
        files, problems = list[tuple[str, bytes]](), list[Problem]()
        for found in self._walk(folder):
            below = found.relative_to(folder).as_posix()
            if not wanted(below):
                continue
            problem = self._problem(found)
            if problem:
                problems.append(Problem("error", problem, Place(self._name(found)), "exclude it"))
            else:
                files.append((below, found.read_bytes()))
        return tuple(files), tuple(problems)

    def _inside(self, path: str) -> Path | None:
        """The file or folder with all links followed, None when that leads out of the repository."""
        # realpath, because it stops at a circle of links where Path.resolve gives up.
        found = Path(os.path.realpath(self.root / path))
        return found if found.is_relative_to(self.root) else None

    def _problem(self, path: Path) -> str:
        # realpath, because it stops at a circle of links where Path.resolve gives up.
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(self.root):
            return f"a symbolic link to {str(path.readlink())!r}, out of the repository"
        if not path.is_file():
            return "neither a file nor a link to one"
        size = path.stat().st_size
        return f"{size / 1024**2:.1f} MiB is more than a manifest may have" if size > MOST_BYTES else ""

    def _walk(self, folder: Path) -> Iterator[Path]:
        """All files and links below, in order; hidden folders and what Git ignores are not entered."""
        for here, folders, files in os.walk(folder):
            place = Path(here)
            folders[:] = sorted(name for name in folders if name != ".git" and not self._ignored(place / name))
            links = [name for name in folders if (place / name).is_symlink()]
            for name in sorted([*files, *links]):
                if not self._ignored(place / name):
                    yield place / name

    def _ignored(self, path: Path) -> bool:
        return self._repository is not None and self._repository.ignores(path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _git_name(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


_TREE = "40000"
_EMPTY_TREE = _git_name("tree", b"")


class _Repository:
    def __init__(self, root: Path, ignores: Callable[[str], bool]) -> None:
        self.root = root
        self._ignores = ignores

    def ignores(self, path: Path) -> bool:
        return self._ignores(path.relative_to(self.root).as_posix())


def _repository(path: Path) -> _Repository | None:
    """The Git repository around a folder, None where there is none or it belongs to somebody else."""
    import pygit2

    with contextlib.suppress(pygit2.GitError):
        found = pygit2.discover_repository(str(path.resolve()))
        if found is not None:
            repository = pygit2.Repository(found)
            if repository.workdir:
                return _Repository(Path(repository.workdir).resolve(), repository.path_is_ignored)
    return None
