"""What was fetched from chart repositories, on disk: archives by digest, indexes, and small notes.

It can be removed at any time; all of it can be fetched again. Everything here is synchronous.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shared.errors import InvalidMessage

ARCHIVES_LIMIT = 2 * 1024**3
"""Bytes of archives that are kept; those unused for longest go first."""


class IndexHead(msgspec.Struct, frozen=True):
    """What a server said of an index, to ask it whether there is a newer one."""

    etag: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class KeptIndex:
    """An index as it was fetched."""

    head: IndexHead
    body: bytes


class Cache:
    """A folder, made when it is needed."""

    def __init__(self, folder: Path, limit: int = ARCHIVES_LIMIT) -> None:
        self._folder = folder
        self._limit = limit

    def archive(self, digest: str) -> bytes | None:
        """An archive that was kept, None when there is none or it was damaged."""
        path = self._archive_path(digest)
        data = _read(path)
        if data is None:
            return None
        if digest_of(data) != digest:
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return data

    def keep_archive(self, digest: str, data: bytes) -> None:
        """Keeps an archive whose digest was checked."""
        _write(self._archive_path(digest), data)
        self._make_room()

    def index(self, base: str) -> KeptIndex | None:
        """The last good index of a repository."""
        data = _read(self._path("indexes", base))
        if data is None:
            return None
        head, _, body = data.partition(b"\n")
        try:
            return KeptIndex(msgspec.json.decode(head, type=IndexHead), body)
        except msgspec.DecodeError:
            return None

    def keep_index(self, base: str, index: KeptIndex) -> None:
        """Keeps a repository's index in place of the one before."""
        _write(self._path("indexes", base), msgspec.json.encode(index.head) + b"\n" + index.body)

    def note(self, key: str) -> bytes | None:
        """What was noted under this key."""
        return _read(self._path("notes", key))

    def keep_note(self, key: str, value: bytes) -> None:
        """Notes something small."""
        _write(self._path("notes", key), value)

    def _archive_path(self, digest: str) -> Path:
        kind, _, name = digest.partition(":")
        if kind != "sha256" or len(name) != 64 or not name.isalnum():
            raise InvalidMessage(f"{digest!r} is not a digest")
        return self._folder / "archives" / f"{name}.tgz"

    def _path(self, kind: str, key: str) -> Path:
        return self._folder / kind / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _make_room(self) -> None:
        known = []
        for path in (self._folder / "archives").glob("*.tgz"):
            with contextlib.suppress(OSError):
                found = path.stat()
                known.append((found.st_mtime, found.st_size, path))
        size = sum(each[1] for each in known)
        for _, taken, path in sorted(known):
            if size <= self._limit:
                return
            path.unlink(missing_ok=True)
            size -= taken


def digest_of(data: bytes) -> str:
    """`sha256:…` of an archive."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, whoever else writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
