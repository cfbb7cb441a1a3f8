"""Gathers the files of a chart: its directory, charts beside it that it names; charts from elsewhere are noted.

A dependency is looked for in the chart's own `charts/` first; what is there wins, as for Helm. Otherwise `file://…`
leads to another directory of the same repository, and the address of a repository to a chart that has to be fetched, in
the version of Chart.lock where there is one.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from hub.domain import semver
from hub.domain.charts import Wanted, repository
from hub.domain.tree import Tree
from hub.render.helm.archive import ArchiveLimits, unpack
from hub.render.helm.chartfile import (
    CHART,
    LOCK,
    REQUIREMENTS,
    REQUIREMENTS_LOCK,
    ChartFile,
    Dependency,
    read_chart,
    read_dependencies,
)
from hub.render.helm.ignoring import NAME as HELMIGNORE
from hub.render.helm.ignoring import Ignored
from shared.errors import DocumentError
from shared.model import Place, Problem

_DEPTH = 32
"""Directories below one another, also through links: more is a circle."""
_LOCAL = "file://"


@dataclass(frozen=True, slots=True)
class Remote:
    """A chart that has to be fetched, and the file of the archive that it becomes."""

    wanted: Wanted
    into: str
    place: Place | None = None


@dataclass(slots=True)
class Gathering:
    """What has been found so far. `files` are (path in the chart, path in the repository)."""

    tree: Tree
    limits: ArchiveLimits
    files: list[tuple[str, str]] = field(default_factory=list)
    remote: list[Remote] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def chart(self, path: str, into: str, trail: tuple[str, ...]) -> ChartFile:
        """Add the chart in the directory `path` to the archive, below `into`."""
        if path in trail:
            raise DocumentError(f"the chart depends on itself: {' → '.join([*trail, path])}")
        file = _join(path, CHART)
        if self.tree.kind(file) != "file":
            raise DocumentError(f"there is no chart in {path or 'the root of the repository'}", Place(file))
        chart = read_chart(self.tree.read(file), file)
        ignored = _ignored(self.tree, path)
        found = dict(self._walk(path, "", ignored, 0))
        self.files.extend((into + within, of) for within, of in found.items())
        if len(self.files) > self.limits.files:
            raise DocumentError(f"the chart has more than {self.limits.files:,} files", Place(path), "see .helmignore")
        declared = chart.dependencies
        if REQUIREMENTS in found:
            declared += read_dependencies(self.tree.read(found[REQUIREMENTS]), found[REQUIREMENTS])
        if declared:
            self._dependencies(path, into, declared, found, (*trail, path))
        return chart

    def _walk(self, path: str, below: str, ignored: Ignored, depth: int) -> Iterator[tuple[str, str]]:
        if depth > _DEPTH:
            raise DocumentError("directories are nested without end", Place(path), "is there a link in a circle?")
        for name in self.tree.names(path):
            of, within = _join(path, name), below + name
            kind = self.tree.kind(of)
            if ignored.ignores(within, directory=kind == "directory"):
                continue
            if kind == "directory":
                yield from self._walk(of, f"{within}/", ignored, depth + 1)
            elif kind == "file":
                yield within, of
            else:
                self.problems.append(
                    Problem("error", "it leads nowhere in this repository", Place(of), "a link, or a submodule")
                )

    def _dependencies(
        self, path: str, into: str, declared: tuple[Dependency, ...], found: dict[str, str], trail: tuple[str, ...]
    ) -> None:
        present = set(self._vendored(found))
        locked = self._locked(found)
        placed: set[tuple[str, str, str]] = set()
        for dependency in declared:
            mark = (dependency.name, dependency.repository, dependency.version)
            if dependency.name in present or mark in placed:
                continue
            placed.add(mark)
            try:
                if dependency.repository.startswith(_LOCAL):
                    self._local(path, into, dependency, trail)
                else:
                    self._remote(into, dependency, locked)
            except DocumentError as error:
                self.problems.append(Problem("error", error.message, error.place or dependency.place, error.hint))

    def _vendored(self, found: dict[str, str]) -> Iterator[str]:
        """The names of the charts in `charts/`."""
        for within, of in found.items():
            parts = within.split("/")
            if parts[0] != "charts" or parts[1][0] in "._":
                continue
            if len(parts) == 3 and parts[2] == CHART:
                yield read_chart(self.tree.read(of), of).name
            elif len(parts) == 2 and within.endswith(".tgz"):
                try:
                    yield read_chart(unpack(self.tree.read(of), self.limits)[CHART], f"{of}/{CHART}").name
                except DocumentError as error:
                    raise DocumentError(error.message, error.place or Place(of), error.hint) from None

    def _locked(self, found: dict[str, str]) -> dict[tuple[str, str], list[str]]:
        """The versions in the lock, by name and repository, in its order."""
        lock = found.get(LOCK) or found.get(REQUIREMENTS_LOCK)
        result: dict[tuple[str, str], list[str]] = {}
        for each in read_dependencies(self.tree.read(lock), lock) if lock else ():
            result.setdefault((each.name, each.repository), []).append(each.version)
        return result

    def _local(self, path: str, into: str, dependency: Dependency, trail: tuple[str, ...]) -> None:
        text = dependency.repository.removeprefix(_LOCAL)
        beside = posixpath.normpath(posixpath.join(path, text))
        if text.startswith("/") or beside == ".." or beside.startswith("../"):
            raise DocumentError(
                f"{dependency.name} is at {dependency.repository}, which leads out of the repository", dependency.place
            )
        beside = "" if beside == "." else beside
        other = self.chart(beside, f"{into}charts/{dependency.name}-{len(self.files)}/", trail)
        if other.name != dependency.name:
            raise DocumentError(f"the chart in {beside} is {other.name}, not {dependency.name}", dependency.place)
        version = semver.parse(other.version)
        if version is None or not semver.parse_range(dependency.version or "*").holds(version):
            raise DocumentError(
                f"{dependency.name} in {beside} has version {other.version}, not {dependency.version}", dependency.place
            )

    def _remote(self, into: str, dependency: Dependency, locked: dict[tuple[str, str], list[str]]) -> None:
        if not dependency.repository:
            raise DocumentError(
                f"{dependency.name} is not in charts/, and no `repository` says where else it is", dependency.place
            )
        if dependency.repository.startswith(("@", "alias:")):
            raise DocumentError(
                f"{dependency.name} is in {dependency.repository}, a name that only its author's machine knows",
                dependency.place,
                "write the address of the repository",
            )
        version = self._version(dependency, locked)
        wanted = Wanted(dependency.repository, dependency.name, version)
        repository(wanted)
        self.remote.append(Remote(wanted, f"{into}charts/{dependency.name}-{len(self.remote)}.tgz", dependency.place))

    def _version(self, dependency: Dependency, locked: dict[tuple[str, str], list[str]]) -> str:
        """The locked version that is in the range, the range itself where there is no lock."""
        if not locked:
            return dependency.version
        asked = semver.parse_range(dependency.version or "*")
        versions = locked.get((dependency.name, dependency.repository), ())
        fitting = [text for text in versions if (version := semver.parse(text)) is not None and asked.holds(version)]
        if not fitting:
            raise DocumentError(
                f"the lock has no {dependency.name} {dependency.version} from {dependency.repository}",
                dependency.place,
                "run `helm dependency update` and commit the lock",
            )
        return fitting[0]


def _ignored(tree: Tree, path: str) -> Ignored:
    file = _join(path, HELMIGNORE)
    if tree.kind(file) != "file":
        return Ignored()
    return Ignored(tree.read(file).decode(errors="replace"), file)


def _join(directory: str, path: str) -> str:
    return f"{directory}/{path}" if directory else path
