"""What applications are made of, all as of one moment: files of trees at a commit, charts in a version.

Everything that one evaluation reads belongs together, however long it takes and whatever moves meanwhile. Where trees
and charts come from is others' business (`hub.supply.git`, the command line's folders).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from hub.domain.blending import Part, digest_of, lender
from hub.domain.charts import ResolvedChart, Wanted
from hub.domain.tree import Tree
from hub.domain.variants import ContentKey
from hub.render.footprint import read_files
from hub.render.helm.archive import unpack, unpack_deep
from hub.render.helm.layout import assemble
from hub.render.helm.traits import Traits, traits_of, traits_of_texts
from hub.render.job import RemoteContent
from hub.render.kustomize.gathering import Fetched, Gathered, gather
from hub.render.kustomize.remote import Remote, RemoteFile, parse_resource
from hub.render.parts import ChartFiles, KustomizeFiles, LentFiles, Materials, PlainFiles, Reading
from hub.sources.memo import Memo
from hub.supply.local import Imports, Local, lent_files, plain_files
from shared.errors import DocumentError, Unavailable
from shared.model import Problem

T = TypeVar("T")

Key = tuple[str, str]
"""Repository and ref, as documents write them."""


class Charts(Protocol):
    """Chart repositories and registries."""

    async def resolve(self, wanted: Wanted) -> ResolvedChart:
        """The chart that is meant now.

        Raises:
            DocumentError: there is none.
            Unavailable: the repository cannot be asked, and never could.
        """

    async def archive(self, chart: ResolvedChart) -> bytes:
        """Its archive, verified against its digest; may raise as `resolve`."""


class Trees(Protocol):
    """Repositories, each at one commit."""

    def only(self, keys: Collection[Key]) -> Trees:
        """The same, of these repositories alone as far as they are known."""

    async def look(self, key: Key, parts: Mapping[str, Part]) -> Mapping[str, Local | Problem]:
        """What was found of the parts, given and returned by footing, or why one cannot be used."""

    async def read(self, key: Key, call: Callable[[Tree], T]) -> T:
        """The result of `call`, which gets the tree.

        Raises:
            DocumentError: there is no such repository, or what `call` has to say.
            Unavailable: it cannot be read now.
        """

    async def fetch(self, remote: Remote | RemoteFile) -> Fetched:
        """What a kustomization names outside its repository; see `hub.render.kustomize.gathering.Fetch`."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of a part before it is rendered. `key` is of all that it reads, elsewhere too."""

    key: str
    local: Local | None = None
    chart: ResolvedChart | None = None
    dependencies: tuple[ResolvedChart, ...] = ()
    kustomization: Gathered | None = None

    @property
    def is_chart(self) -> bool:
        return self.local is None or self.local.way == "helm"


def key_of(part: Part) -> Key | None:
    """The repository and ref that a part needs; None for one that comes from a chart repository."""
    return None if part.source.chart else (part.source.repo, part.source.ref)


class Supplies:
    """See `hub.render.parts.Supplies`. `prepare` what is known beforehand: it costs one turn for each repository."""

    def __init__(self, trees: Trees, charts: Charts, traits: Memo[Traits]) -> None:
        """`traits` are those of charts, by digest; it may outlive this object."""
        self._trees = trees
        self._charts = charts
        self._traits = traits
        self._resolved: dict[Wanted, ResolvedChart] = {}
        self._wanted: set[Wanted] = set()
        self._known: dict[str, _Found | Problem] = {}

    def only(self, parts: Iterable[Part]) -> Supplies:
        """The supplies of these parts alone, for somebody who keeps them: of a look at everything no more stays."""
        wanted = list(parts)
        keys = {key for part in wanted if (key := key_of(part)) is not None}
        narrow = Supplies(self._trees.only(keys), self._charts, self._traits)
        narrow._known = {part.footing: self._known[part.footing] for part in wanted if part.footing in self._known}
        return narrow

    async def prepare(self, parts: Iterable[Part]) -> None:
        """Looks at many parts at once."""
        wanted: dict[Key, dict[str, Part]] = {}
        for part in parts:
            if part.footing in self._known:
                continue
            key = key_of(part)
            if key is None:
                self._known[part.footing] = await _settled(self._of_repository(part))
            else:
                wanted.setdefault(key, {})[part.footing] = part
        for key, each in wanted.items():
            for footing, local in (await self._trees.look(key, each)).items():
                if isinstance(local, Problem):
                    self._known[footing] = local
                elif local.names_elsewhere:
                    self._known[footing] = await _settled(self._with_elsewhere(local))
                else:
                    self._known[footing] = _Found(local.key, local)

    @property
    def wanted(self) -> Collection[Wanted]:
        """The charts that were asked for."""
        return self._wanted

    async def reading(self, part: Part) -> Reading:
        """See `hub.render.parts.Supplies`."""
        found = await self._find(part)
        if found.local is not None and not found.is_chart:
            named = found.kustomization.remotes if found.kustomization is not None else ()
            return Reading(ContentKey(found.key), found.local.way, elsewhere=tuple(map(_origin, named)))
        traits = found.local.traits if found.local is not None else Traits()
        for chart in (*found.dependencies, *([found.chart] if found.chart is not None else [])):
            traits |= await self._traits_of(chart)
        traits |= traits_of_texts(text.encode() for text in _texts(part.values))
        content = ContentKey(found.key, capabilities=traits.capabilities)
        elsewhere = tuple((chart.repo, chart.chart) for chart in found.dependencies)
        return Reading(content, "helm", varies=traits.unsteady, elsewhere=elsewhere)

    async def materials(self, part: Part) -> Materials:
        """See `hub.render.parts.Supplies`."""
        found = await self._find(part)
        local = found.local
        if local is None or found.is_chart:
            return await self._chart(part, found)
        if found.kustomization is not None:
            return await self._kustomization(part, found.kustomization)
        if local.way == "files":
            return LentFiles(await self._read(part, lambda tree: lent_files(tree, part)))
        return await self._read(part, lambda tree: _plain(tree, part, local.jsonnet))

    def mark(self, parts: Iterable[Part]) -> tuple[str, ...]:
        """Equal as long as everything that these parts read is. They must have been prepared."""
        known = (self._known[part.footing] for part in parts)
        return tuple(str(each) if isinstance(each, Problem) else each.key for each in known)

    def has_charts(self, parts: Iterable[Part]) -> bool:
        """Whether one of these parts is a chart, and so may ask what a cluster's API can do."""
        found = (self._known[part.footing] for part in parts)
        return any(isinstance(each, _Found) and each.is_chart for each in found)

    async def _find(self, part: Part) -> _Found:
        if part.footing not in self._known:
            await self.prepare([part])
        known = self._known[part.footing]
        if isinstance(known, Problem):
            raise DocumentError(known.message, known.place, known.hint)
        return known

    async def _of_repository(self, part: Part) -> _Found:
        source = part.source
        chart = await self._resolve(Wanted(source.repo, source.chart, source.version))
        own = [file for file in part.value_files if not lender(file)[0]]
        return _Found(digest_of([chart.digest, own]) if own else chart.digest, chart=chart)

    async def _with_elsewhere(self, local: Local) -> _Found:
        if local.closure is not None:
            gathered = await gather(local.closure, (), (), self._trees.fetch)
            return _Found(digest_of([local.key, gathered.key]), local, kustomization=gathered)
        remotes = local.layout.remote if local.layout is not None else ()
        charts = tuple([await self._resolve(remote.wanted) for remote in remotes])
        return _Found(digest_of([local.key, [chart.digest for chart in charts]]), local, dependencies=charts)

    async def _resolve(self, wanted: Wanted) -> ResolvedChart:
        """One answer for as long as this object lives."""
        self._wanted.add(wanted)
        if wanted not in self._resolved:
            self._resolved[wanted] = await self._charts.resolve(wanted)
        return self._resolved[wanted]

    async def _traits_of(self, chart: ResolvedChart) -> Traits:
        known = self._traits.get(chart.digest)
        if known is None:
            known = traits_of(unpack_deep(await self._charts.archive(chart)))
            self._traits.put(chart.digest, known)
        return known

    async def _chart(self, part: Part, found: _Found) -> ChartFiles:
        if found.chart is not None:
            archive = await self._charts.archive(found.chart)
            return ChartFiles(part.source.chart, archive, _inside(archive, part))
        layout = found.local.layout if found.local is not None else None
        if found.local is None or layout is None:
            raise DocumentError("it is no chart")
        own_files = found.local.own
        fetched = {
            remote.wanted: await self._charts.archive(chart)
            for remote, chart in zip(layout.remote, found.dependencies, strict=True)
        }

        def collect(tree: Tree) -> ChartFiles:
            own = {text: tree.read(path) for text, path in own_files}
            return ChartFiles(layout.name, assemble(tree, layout, fetched), own, lent_files(tree, part))

        return await self._read(part, collect)

    async def _kustomization(self, part: Part, found: Gathered) -> KustomizeFiles:
        def collect(tree: Tree) -> KustomizeFiles:
            files, problems = read_files(tree, found.closure.footprint.paths)
            return KustomizeFiles(
                path=found.closure.root,
                files=files,
                kustomizations=found.closure.kustomizations,
                links=found.closure.footprint.links,
                remotes=found.remotes,
                outside=found.outside,
                problems=(*found.problems, *problems),
                lent=lent_files(tree, part),
            )

        return await self._read(part, collect)

    async def _read(self, part: Part, call: Callable[[Tree], T]) -> T:
        return await self._trees.read((part.source.repo, part.source.ref), call)


async def _settled(finding: Awaitable[_Found]) -> _Found | Problem:
    try:
        return await finding
    except DocumentError as error:
        return Problem("error", error.message, error.place, error.hint)
    except Unavailable as error:
        return Problem("error", str(error))


def _origin(content: RemoteContent) -> tuple[str, str]:
    """The repository, or the address of a file, that a kustomization names."""
    remote = parse_resource(content.text)
    return (remote.repo if isinstance(remote, Remote) else content.text), ""


def _plain(tree: Tree, part: Part, imports: Imports | None) -> PlainFiles:
    found = plain_files(tree, part, imports)
    return replace(found, lent=lent_files(tree, part)) if part.lent else found


def _texts(value: Any) -> Iterator[str]:
    """All strings in values: charts may take them for templates."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _inside(archive: bytes, part: Part) -> dict[str, bytes]:
    """The value files of a chart that are in it."""
    optional = part.render.helm is not None and part.render.helm.ignore_missing_value_files
    wanted = [file for file in part.value_files if not lender(file)[0]]
    files = unpack(archive) if wanted else {}
    own = {}
    for file in wanted:
        path = file.lstrip("/")
        if path in files:
            own[file] = files[path]
        elif not optional:
            raise DocumentError(f"there is no value file {file!r} in the chart {part.source.chart}")
    return own
