"""Everything that a `kustomize build` of one directory may read: found before it runs, and refused where it may not be.

Kustomize itself keeps to directories, but it clones repositories, fetches files and, asked to, runs programs. Nothing
of that is left to it: what is outside the repository is named in the result, to be fetched by the hub's own means or
refused, and the build sees only the files that are named here.

What a kustomization file says is remembered by the id of its content, so that an overlay costs look-ups, not parsing;
bases shared by overlays of one commit are worked out once.
"""

from __future__ import annotations

import posixpath
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from hub.domain.tree import Tree
from hub.render.footprint import Footprint, Trail, contains, join, missing
from hub.render.kustomize import references
from hub.render.kustomize.references import NAMES, Kustomization, Reference, Role
from hub.render.kustomize.remote import Remote, RemoteFile, is_allowed, is_remote_file, parse_base, parse_resource
from shared.errors import DocumentError
from shared.model import Place, Problem

MOST_BUILDS = 10_000
"""Directories built for one kustomization, each counted as often as it is used: two bases that each use two, ten times
over, are a thousand builds from twenty short files."""
MOST_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Closure:
    """What the kustomization in the directory `root` reads.

    `kustomizations` are those of the footprint's paths that are kustomization files, first that of `root`; `remotes`
    what is named outside the repository, with the first place that names it. `outside` says that a file is named that
    is not below its kustomization, which Kustomize reads only when it is told that it may; `plugins`, that generators
    or transformers are configured in files of their own.
    """

    root: str
    footprint: Footprint
    kustomizations: tuple[str, ...]
    remotes: tuple[tuple[Remote | RemoteFile, Place], ...] = ()
    outside: bool = False
    plugins: bool = False


class Memory:
    """Kustomization files by the id of their content; the `limit` used last are kept. Not shared between threads."""

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, Kustomization] = OrderedDict()

    def read(self, tree: Tree, path: str) -> Kustomization:
        """The kustomization file at `path`.

        Raises:
            DocumentError: as `references.read`, or the file cannot be read.
        """
        key = tree.id(path)
        known = self._kept.get(key)
        if known is None:
            known = references.read(tree.read(path), path)
            self._kept[key] = known
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return known


@dataclass(slots=True)
class _Directory:
    """One kustomization by itself.

    `file` is empty when there is none that could be used. `below` are the directories that it uses, with the places
    that name them; `others` its files that are no kustomizations.
    """

    trail: Trail
    unusable: DocumentError | None = None
    file: str = ""
    below: list[tuple[str, Place]] = field(default_factory=list)
    remotes: list[tuple[Remote | RemoteFile, Place]] = field(default_factory=list)
    kustomizations: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    outside: bool = False
    plugins: bool = False


class Closures:
    """The kustomizations of one tree. `allowed` are the prefixes of addresses outside that may be named."""

    def __init__(self, tree: Tree, memory: Memory | None = None, allowed: Sequence[str] = ()) -> None:
        self._tree = tree
        self._memory = memory or Memory()
        self._allowed = tuple(allowed)
        self._directories: dict[str, _Directory] = {}
        self._being_read: set[str] = set()

    def closure(self, path: str, components: Sequence[str] = ()) -> Closure:
        """What a build of the directory `path` reads, when `components` (relative to it) are added to it."""
        root = self._tree.real(path)
        walk = _Walk(self, self._tree)
        first = self.directory(root)
        added = _Directory(Trail(self._tree))
        for text in components:
            place = Place(first.file or root or ".", 0, "components")
            self._refer(added, root, Reference(Role.COMPONENT, text, "components", 0), place)
        walk.visit(root, Place(root or "."), ())
        walk.add(added, (root,))
        return walk.closure(root, first.file)

    def directory(self, path: str) -> _Directory:
        """The kustomization in one directory."""
        known = self._directories.get(path)
        if known is None:
            self._being_read.add(path)
            try:
                known = self._directories[path] = self._read(path)
            finally:
                self._being_read.discard(path)
        return known

    def _read(self, path: str) -> _Directory:
        here = _Directory(Trail(self._tree))
        there = {name: real for name in NAMES if (real := here.trail.file(posixpath.join(path, name)))}
        if len(there) != 1:
            shown = path or "the root of the repository"
            here.unusable = (
                DocumentError(f"{shown} has several kustomization files: {', '.join(there)}", hint="keep one")
                if there
                else DocumentError(
                    f"there is no kustomization file in {shown}", hint=f"add a {NAMES[0]}, or name another directory"
                )
            )
            return here
        (here.file,) = there.values()
        here.kustomizations.add(here.file)
        here.outside = not contains(path, here.file)
        try:
            read = self._memory.read(self._tree, here.file)
        except DocumentError as error:
            here.trail.error(error.place or Place(here.file), error.message, error.hint)
            return here
        for finding in read.findings:
            here.trail.error(Place(here.file, finding.line, finding.field), finding.message, finding.hint)
        for warning in read.warnings:
            place = Place(here.file, warning.line, warning.field)
            here.trail.problems.append(Problem("warning", warning.message, place, warning.hint))
        for reference in read.references:
            self._refer(here, path, reference, Place(here.file, reference.line, reference.field))
        return here

    def _refer(self, here: _Directory, path: str, reference: Reference, place: Place) -> None:
        """Follow one reference of the kustomization in the directory `path`."""
        role, text = reference.role, reference.text
        if role is Role.PATCH and references.is_inline(text):
            return
        if role is Role.PLUGIN:
            here.plugins = True
            if references.is_inline(text):
                self._plugins(here, path, text, place)
                return
        if self._remote(here, reference, place):
            return
        target = join(path, text) if text.isprintable() else None
        if target is None:
            here.trail.error(place, f"{text!r} leads out of the repository", "copy what is needed into it")
            return
        kind = self._tree.kind(target)
        if kind == "file" and role is not Role.COMPONENT:
            self._file(here, path, reference, target, place)
        elif kind == "directory" and role is Role.PLUGIN:
            self._plugin_directory(here, path, here.trail.real(target), place, ())
        elif kind == "directory" and role in (Role.RESOURCE, Role.COMPONENT):
            here.below.append((here.trail.real(target), place))
        elif kind:
            here.trail.error(place, f"{text!r} is a {kind}, and has to be {role.value}")
        else:
            here.trail.file(target)
            why = missing(self._tree, target)
            here.trail.error(place, why.message, why.hint)

    def _file(self, here: _Directory, path: str, reference: Reference, target: str, place: Place) -> None:
        real = here.trail.file(target)
        here.others.add(real)
        here.outside = here.outside or not contains(path, real)
        if reference.role is Role.RESOURCE and posixpath.basename(target) in NAMES:
            hint = f"name its directory: {posixpath.dirname(reference.text) or '.'}"
            here.trail.error(place, f"{reference.text!r} is a kustomization file, not a resource", hint)
        if reference.role is Role.PLUGIN:
            self._plugins(here, path, None, Place(real))

    def _plugins(self, here: _Directory, path: str, text: str | None, place: Place) -> None:
        """Configurations of plugins, written out in `text` or in the file at `place`; names in them start at `path`."""
        try:
            data = self._tree.read(place.file) if text is None else text
            found, findings = references.read_plugins(data, place.file)
        except DocumentError as error:
            here.trail.error(place if text is not None else error.place or place, error.message, error.hint)
            return

        def at(line: int, named: str) -> Place:
            return place if text is not None else Place(place.file, line, named)

        for finding in findings:
            here.trail.error(at(finding.line, finding.field), finding.message, finding.hint)
        for reference in found:
            self._refer(here, path, reference, at(reference.line, reference.field))

    def _plugin_directory(
        self, here: _Directory, path: str, directory: str, place: Place, above: tuple[str, ...]
    ) -> None:
        """A kustomization whose objects are configurations: only what leaves them as they are written is let through.

        Otherwise what they name could be patched in when it was too late to check.
        """
        if directory in above or directory in self._being_read:
            here.trail.error(place, f"{directory or '.'} leads back to itself")
            return
        if len(above) + len(self._being_read) >= MOST_DEPTH:
            here.trail.error(place, f"kustomizations are nested deeper than {MOST_DEPTH}")
            return
        below = self.directory(directory)
        here.trail.merge(below.trail)
        here.kustomizations |= below.kustomizations
        if below.unusable is not None:
            here.trail.error(place, below.unusable.message, below.unusable.hint)
            return
        try:
            fields = self._memory.read(self._tree, below.file).fields
        except DocumentError:
            return  # among the directory's own problems
        for changing in sorted(set(fields) - references.HARMLESS):
            message = f"configurations of plugins cannot be checked when {changing} is applied to them"
            here.trail.error(Place(below.file, 0, changing), message, "write them out in files")
        for file in sorted(below.others):
            self._plugins(here, path, None, Place(file))
        here.others |= below.others
        for further, named_at in below.below:
            self._plugin_directory(here, path, further, named_at, (*above, directory))

    def _remote(self, here: _Directory, reference: Reference, place: Place) -> bool:
        """Whether the reference leads to another repository or host; noted, or refused."""
        text, role = reference.text, reference.role
        remote: Remote | RemoteFile | None
        if role in (Role.RESOURCE, Role.PLUGIN):
            remote = parse_resource(text)
        elif role is Role.COMPONENT:
            remote = parse_base(text)
        else:
            remote = RemoteFile(text) if is_remote_file(text) else None
        if remote is None:
            return False
        what = f"{text!r} is outside the repository"
        if role not in (Role.RESOURCE, Role.COMPONENT):
            here.trail.error(place, what, "copy it into the repository: only resources and components may be elsewhere")
        elif not is_allowed(remote, self._allowed):
            hint = "copy it into the repository, or have its address allowed in render.kustomize_remotes"
            here.trail.error(place, what, hint)
        else:
            here.remotes.append((remote, place))
        return True


class _Walk:
    """From one directory to all below it."""

    def __init__(self, closures: Closures, tree: Tree) -> None:
        self._closures = closures
        self._trail = Trail(tree)
        self._builds: dict[str, int] = {}
        self._kustomizations: set[str] = set()
        self._others: set[str] = set()
        self._remotes: dict[Remote | RemoteFile, Place] = {}
        self._outside = self._plugins = False

    def visit(self, path: str, place: Place, above: tuple[str, ...]) -> int:
        """How many builds the directory at `path` takes; `place` names it, `above` are those that it is built for."""
        if any(contains(path, each) for each in above):
            # Kustomize refuses a directory that holds the one it is used in, too.
            self._trail.error(place, f"{path or 'the root of the repository'} leads back to {above[-1] or 'itself'}")
            return 0
        if len(above) >= MOST_DEPTH:
            self._trail.error(place, f"kustomizations are nested deeper than {MOST_DEPTH}")
            return 0
        if path not in self._builds:
            here = self._closures.directory(path)
            if here.unusable is not None:
                self._trail.error(place, here.unusable.message, here.unusable.hint)
            self._builds[path] = 1 + self.add(here, (*above, path))
            if self._builds[path] > MOST_BUILDS:
                self._trail.error(place, f"it takes {self._builds[path]:,} builds of bases within bases: refused")
        return self._builds[path]

    def add(self, here: _Directory, above: tuple[str, ...]) -> int:
        """How many builds what a kustomization uses takes."""
        self._trail.merge(here.trail)
        self._kustomizations |= here.kustomizations
        self._others |= here.others
        for remote, place in here.remotes:
            self._remotes.setdefault(remote, place)
        self._outside = self._outside or here.outside
        self._plugins = self._plugins or here.plugins
        return sum(self.visit(path, place, above) for path, place in here.below)

    def closure(self, root: str, file: str) -> Closure:
        """All that was found. `file` is the kustomization file of `root`."""
        for path in sorted(self._kustomizations & self._others):
            self._trail.error(Place(path), "a kustomization file cannot be data, a patch or a configuration as well")
        return Closure(
            root,
            self._trail.footprint(root),
            tuple(sorted(self._kustomizations, key=lambda path: (path != file, path))),
            tuple(self._remotes.items()),
            self._outside or any(isinstance(remote, RemoteFile) for remote in self._remotes),
            self._plugins,
        )
