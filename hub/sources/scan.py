"""Finds the fleet documents of a commit, reading again only what changed since the scan before.

The tree of a commit is compared with that of the last one: a commit that touches one file in five thousand directories
reads the trees on the way to it and that file. A file counts when it is YAML or JSON by name and speaks of our API
group; whether it is parsed by YAML's rules and what its documents mean is the domain's business. Symbolic links are not
followed: what they lead to inside the path is found where it is. One scanner serves one repository, on the mirror's
thread (`Mirror.read`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hub.domain.documents import API_GROUP
from hub.domain.encoding import UTF16_MARKS
from hub.domain.reading import Parsed, read_documents
from hub.sources.changes import Change, changes
from hub.sources.objects import Damaged, Entry, Objects
from shared.errors import DocumentError
from shared.model import Place, Problem

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FOUND = 100_000
"""Files with fleet documents, and files too large to look at, that a repository may have."""

_MARKER = f"{API_GROUP}/".encode()


@dataclass(frozen=True, slots=True)
class Scanned:
    """The fleet documents below a path, good and bad, by file.

    A file that did not change since the scan before has the very same documents. `manifests` counts the YAML and JSON
    files; `read` and `parsed` count the files that this scan had to look at anew.
    """

    files: Mapping[str, tuple[Parsed, ...]]
    problems: tuple[Problem, ...]
    manifests: int
    read: int
    parsed: int

    @property
    def documents(self) -> tuple[Parsed, ...]:
        """All of them, in the order of paths."""
        return tuple(document for file in sorted(self.files) for document in self.files[file])


@dataclass(slots=True)
class _Found:
    """What a scan found; the next one starts from it."""

    path: str = ""
    entry: Entry | None = None
    files: dict[str, tuple[Parsed, ...]] = field(default_factory=dict)
    too_large: dict[str, int] = field(default_factory=dict)
    manifests: int = 0
    read: int = 0
    parsed: int = 0


class FleetScanner:
    """See the module."""

    def __init__(self) -> None:
        self._last = _Found()

    def scan(self, objects: Objects, commit: str, path: str = "") -> Scanned:
        """The fleet documents below `path` in a commit; a file given as `path` is the only one.

        Raises:
            DocumentError: there is nothing at `path`, or too much.
        """
        entry = objects.find(commit, path)
        if self._last.path != path:
            self._last = _Found(path)
        try:
            found = self._follow(objects, self._last, entry)
        except Damaged:
            # What was there before may be gone from a mirror that was made anew; what is there now may not.
            found = self._follow(objects, _Found(path), entry)
        self._last = found
        limit = objects.limits.file_bytes
        problems = tuple(_too_large(file, size, limit) for file, size in sorted(found.too_large.items()))
        return Scanned(found.files, problems, found.manifests, found.read, found.parsed)

    def _follow(self, objects: Objects, last: _Found, entry: Entry) -> _Found:
        """What is to be found now, by way of the difference. Everything is counted before anything is parsed."""
        found = _Found(last.path, entry, dict(last.files), dict(last.too_large), last.manifests)
        fleet: dict[str, str] = {}
        speaks: dict[str, bool] = {}
        for change in _manifests(changes(objects, last.entry, entry)):
            found.manifests += _counts(change.new) - _counts(change.old)
            found.files.pop(change.path, None)
            found.too_large.pop(change.path, None)
            if change.new is not None and _counts(change.new) and self._speaks(objects, change.new, speaks, found):
                fleet[change.path] = change.new.oid
        if len(found.files) + len(fleet) > MAX_FOUND or len(found.too_large) > MAX_FOUND:
            raise DocumentError(f"more than {MAX_FOUND:,} files with fleet documents", hint="set a path further down")
        for path, oid in fleet.items():
            found.parsed += 1
            documents = tuple(read_documents(objects.blob(oid), file=path))
            if documents:
                found.files[path] = documents
        return found

    def _speaks(self, objects: Objects, entry: Entry, known: dict[str, bool], found: _Found) -> bool:
        """Whether a file speaks of our API group, and so has to be parsed."""
        if entry.oid not in known:
            size = objects.size(entry.oid)
            if size > objects.limits.file_bytes:
                found.too_large[entry.path] = size
                return False
            found.read += 1
            data = objects.blob(entry.oid)
            known[entry.oid] = _MARKER in data or data.startswith(UTF16_MARKS)
        return known[entry.oid]


def _manifests(told: Iterator[Change]) -> Iterator[Change]:
    return (change for change in told if change.path.endswith(SUFFIXES))


def _counts(entry: Entry | None) -> bool:
    return entry is not None and entry.is_file and not entry.problem


def _too_large(file: str, size: int, limit: int) -> Problem:
    message = f"not searched for fleet documents: {size / 1024**2:.1f} MiB is more than {limit / 1024**2:g} MiB"
    return Problem("warning", message, Place(file))
