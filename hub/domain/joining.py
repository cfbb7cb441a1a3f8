"""Documents of all files, joined by name: which of several counts, and what stays of those that are wrong now. Pure.

A document that does not parse stays at its last good version; where it cannot be told which document that was, all that
its file defined stays. Goes from one commit to the next: only files that differ from before are looked at, so that a
commit costs what it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hub.domain.reading import FleetDocument, Parsed, Rejected
from shared.model import Problem

Key = tuple[str, str]
"""(kind, name) of a document."""

Files = Mapping[str, tuple[Parsed, ...]]
"""The fleet documents of each file, good and bad. A file that did not change has the very same tuple as before."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The documents of one commit.

    `documents` are those that count, sorted by key; `kept` among them are at an earlier version because the present one
    is wrong. The rest is what the next commit starts from.
    """

    documents: Mapping[Key, FleetDocument] = field(default_factory=dict)
    kept: frozenset[Key] = frozenset()
    files: Files = field(default_factory=dict, repr=False, compare=False)
    versions: Mapping[Key, tuple[FleetDocument, ...]] = field(default_factory=dict, repr=False, compare=False)
    rejected: Mapping[str, tuple[Rejected, ...]] = field(default_factory=dict, repr=False, compare=False)
    doubled: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with documents by themselves."""
        bad = [problem for items in self.rejected.values() for item in items for problem in item.problems]
        return (*bad, *(problem for problems in self.doubled.values() for problem in problems))


def by_file(parsed: Iterable[Parsed]) -> dict[str, tuple[Parsed, ...]]:
    """Documents in any order, each with those of its file."""
    files: dict[str, list[Parsed]] = {}
    for item in parsed:
        files.setdefault(item.file, []).append(item)
    return {file: tuple(items) for file, items in files.items()}


def join(files: Files, before: Joined) -> Joined:
    """The documents of a commit. `before` are those of the commit before, for what did not change and what was good."""
    changed = {file for file, items in files.items() if before.files.get(file) is not items}
    changed |= before.files.keys() - files.keys()
    if not changed:
        return before
    touched = _versions(files, before, changed)
    versions = dict(before.versions)
    rejected = {file: items for file, items in before.rejected.items() if file not in changed}
    for file in changed & files.keys():
        bad = tuple(item for item in files[file] if isinstance(item, Rejected))
        if bad:
            rejected[file] = bad
    doubled = {key: problems for key, problems in before.doubled.items() if key not in touched}
    found: dict[Key, FleetDocument | None] = {}
    for key, each in touched.items():
        if each:
            versions[key] = each
            found[key], problems = _one_of(each, before.documents.get(key))
            if problems:
                doubled[key] = problems
        else:
            versions.pop(key, None)
            found[key] = None
    kept = _last_good(rejected, versions, before)
    found.update(dict.fromkeys(before.kept - versions.keys()))
    found.update(kept)
    return Joined(_applied(before.documents, found), frozenset(kept), files, versions, rejected, doubled)


def _versions(files: Files, before: Joined, changed: set[str]) -> dict[Key, tuple[FleetDocument, ...]]:
    """The good documents, now, of every name that some changed file defines or defined."""
    touched: dict[Key, list[FleetDocument]] = {}
    for file in changed:
        for item in (*before.files.get(file, ()), *files.get(file, ())):
            if isinstance(item, FleetDocument):
                touched.setdefault(item.key, [])
    for key, versions in touched.items():
        versions.extend(document for document in before.versions.get(key, ()) if document.file not in changed)
    for file in changed & files.keys():
        for item in files[file]:
            if isinstance(item, FleetDocument):
                touched[item.key].append(item)
    return {key: tuple(sorted(items, key=_where)) for key, items in touched.items()}


def _where(document: FleetDocument) -> tuple[str, int]:
    return document.file, document.origin.line


def _one_of(
    versions: tuple[FleetDocument, ...], before: FleetDocument | None
) -> tuple[FleetDocument, tuple[Problem, ...]]:
    """The version that counts of a name written more than once: the one where it was before, else the first."""
    chosen = versions[0]
    if before is not None:
        chosen = next((document for document in versions if document.file == before.file), chosen)
    application = chosen.name if chosen.kind == "Application" else ""
    problems = tuple(
        Problem(
            "error",
            f"{other.kind} {other.name!r} is defined twice: also at {chosen.place()}, which counts",
            other.place("metadata.name"),
            "remove one of the two, or rename it",
            application,
        )
        for other in versions
        if other is not chosen
    )
    return chosen, problems


def _last_good(
    rejected: Mapping[str, tuple[Rejected, ...]], versions: Mapping[Key, tuple[FleetDocument, ...]], before: Joined
) -> dict[Key, FleetDocument]:
    """What the bad documents stood for before; where that cannot be told, all that their file defined."""
    kept: dict[Key, FleetDocument] = {}
    unclear: set[str] = set()
    for file, items in rejected.items():
        for item in items:
            key = (item.kind, item.name)
            last = before.documents.get(key)
            if last is not None:
                kept[key] = last
            elif key not in versions:
                unclear.add(file)
    if unclear:
        kept.update((key, last) for key, last in before.documents.items() if last.file in unclear)
    return {key: last for key, last in kept.items() if key not in versions}


def _applied(
    documents: Mapping[Key, FleetDocument], found: Mapping[Key, FleetDocument | None]
) -> Mapping[Key, FleetDocument]:
    """The documents with what was found in their place, still sorted."""
    result = dict(documents)
    for key, document in found.items():
        if document is None:
            result.pop(key, None)
        else:
            result[key] = document
    if result.keys() == documents.keys():
        return result
    return dict(sorted(result.items(), key=_key))


def _key(item: tuple[Key, FleetDocument]) -> Key:
    return item[0]
