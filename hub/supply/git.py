"""Repositories for one look at the fleet, and what is remembered of them from look to look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from hub.domain.blending import Part
from hub.domain.reading import FleetDocument
from hub.domain.tree import Tree
from hub.importing.home import Home
from hub.importing.recognising import Question, Recognised
from hub.render.helm.traits import Traits
from hub.render.kustomize.closure import Memory
from hub.render.kustomize.gathering import Fetched, from_tree
from hub.render.kustomize.remote import Remote, RemoteFile
from hub.sources.kept import Kept
from hub.sources.memo import Memo
from hub.sources.mirror import Mirror
from hub.sources.objects import Objects
from hub.sources.tree import GitTree
from hub.supply.charts import WatchedCharts
from hub.supply.local import Local, Looker
from hub.supply.pinned import Key, Supplies
from hub.supply.pins import Moment, Origin
from hub.supply.recognised import Render, recognised
from shared.errors import DocumentError
from shared.model import Problem

T = TypeVar("T")

Look = Callable[[Objects], dict[str, Local | Problem]]


class Warehouse:
    """What was found in repositories and charts: a commit costs what it touches."""

    def __init__(self, charts: WatchedCharts, remotes: Iterable[str] = ()) -> None:
        """`remotes` are the prefixes of addresses that kustomizations may name."""
        self._charts = charts
        self._remotes = tuple(remotes)
        self._lookers: dict[Mirror, Looker] = {}
        self._memories: dict[Mirror, Memory] = {}
        self._kept: dict[Key, Kept[Local | Problem]] = {}
        self._traits: Memo[Traits] = Memo(20_000)
        self._fetched: Memo[Fetched] = Memo(1000)

    def supplies(self, moment: Moment) -> Supplies:
        """The supplies as of that moment."""
        return Supplies(_Trees(self, moment), self._charts, self._traits)

    def keep(self, supplies: Supplies) -> None:
        """Charts that these supplies, the newest, do not need are not watched any more."""
        self._charts.keep(supplies.wanted)

    def problems(self) -> list[Problem]:
        """What is wrong with chart repositories."""
        return self._charts.problems()

    async def moved(self, key: Key, origin: Origin) -> frozenset[str]:
        """The footings of parts that may read something else at this commit than at the one looked at last."""
        kept = self._kept.get(key)
        if kept is None:
            return frozenset()
        return frozenset(map(str, await origin.mirror.read(lambda objects: kept.move(objects, origin.commit.sha))))

    def look(self, key: Key, origin: Origin, parts: Mapping[str, Part]) -> Look:
        """The work for a repository's thread: what is found of `parts`, given and returned by footing."""
        looker = self._lookers.setdefault(origin.mirror, Looker(self._remotes))
        kept = self._kept.setdefault(key, Kept())

        def look_at(part: Part) -> Callable[[Tree], Local | Problem]:
            return lambda tree: looker.look(tree, part)

        def work(objects: Objects) -> dict[str, Local | Problem]:
            kept.move(objects, origin.commit.sha)
            return {footing: kept.get(objects, footing, look_at(part)) for footing, part in parts.items()}

        return work

    async def fetch(self, remote: Remote, origin: Origin) -> Fetched:
        """What a kustomization names by `remote`, in its repository at a commit."""
        sha = origin.commit.sha
        name = f"{sha} {remote.text}"
        known = self._fetched.get(name)
        if known is None:
            memory = self._memories.setdefault(origin.mirror, Memory())
            known = await origin.mirror.read(
                lambda objects: from_tree(remote, GitTree(objects, sha), sha, memory, self._remotes)
            )
            self._fetched.put(name, known)
        return known


async def recognised_at(
    origin: Origin,
    fleet: tuple[str, str, str],
    clusters: Iterable[FleetDocument],
    present: Mapping[str, str],
    supplies: Supplies,
    render: Render,
) -> Recognised:
    """What a commit of a fleet repository without fleet documents means.

    Args:
        origin: the commit.
        fleet: repository, ref and path.
        clusters: those that are registered.
        present: the path of each application that clusters have now.
        supplies: what applications of this commit are made of.
        render: see `Renderer.render`.

    Raises:
        DocumentError: there is nothing at the path, or far too much.
        Unavailable: a worker was lost; trying again may help.
    """
    (repo, ref, path), sha = fleet, origin.commit.sha
    question = Question(
        path="" if path == "." else path,
        home=Home((repo,), ref),
        name=repo.rstrip("/").rpartition("/")[2].removesuffix(".git"),
        clusters={each.name: each.resource.metadata.labels for each in clusters},
        present=present,
    )

    async def read(call: Callable[[Tree], Recognised]) -> Recognised:
        return await origin.mirror.read(lambda objects: call(GitTree(objects, sha)))

    return await recognised(question, read, supplies, render)


class _Trees:
    """See `hub.supply.pinned.Trees`."""

    def __init__(self, warehouse: Warehouse, moment: Moment) -> None:
        self._warehouse = warehouse
        self._moment = moment

    def only(self, keys: Collection[Key]) -> _Trees:
        return _Trees(self._warehouse, self._moment.only(keys))

    async def look(self, key: Key, parts: Mapping[str, Part]) -> Mapping[str, Local | Problem]:
        origin = await self._moment.origin(key)
        if isinstance(origin, Problem):
            return dict.fromkeys(parts, origin)
        return await origin.mirror.read(self._warehouse.look(key, origin, parts))

    async def read(self, key: Key, call: Callable[[Tree], T]) -> T:
        origin = await self._moment.origin(key)
        if isinstance(origin, Problem):
            raise DocumentError(origin.message, origin.place, origin.hint)
        sha = origin.commit.sha
        return await origin.mirror.read(lambda objects: call(GitTree(objects, sha)))

    async def fetch(self, remote: Remote | RemoteFile) -> Fetched:
        if isinstance(remote, RemoteFile):
            message = "a file that is had over http may be another one each time"
            raise DocumentError(message, hint="copy it into the repository, or name it in its Git repository")
        origin = await self._moment.origin((remote.repo, remote.ref))
        if isinstance(origin, Problem):
            raise DocumentError(origin.message, origin.place, origin.hint)
        return await self._warehouse.fetch(remote, origin)
