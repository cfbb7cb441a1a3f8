"""Repositories pinned for one look at the fleet, and what is remembered of them from look to look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from hub.domain.blending import Part
from hub.domain.records import Commit, PathTimes
from hub.domain.tree import Tree
from hub.render.helm.traits import Traits
from hub.sources.kept import Kept
from hub.sources.memo import Memo
from hub.sources.mirror import Mirror
from hub.sources.objects import Objects
from hub.sources.tree import GitTree
from hub.supply.local import Local, Looker
from hub.supply.pinned import Charts, Key, Supplies
from shared.errors import DocumentError
from shared.model import Problem

T = TypeVar("T")
Look = Callable[[Objects], dict[str, Local | Problem]]


@dataclass(frozen=True)
class Origin:
    """A commit of a repository that applications come from."""

    mirror: Mirror
    commit: Commit
    traceparent: str
    times: PathTimes


class Warehouse:
    """What was found in repositories and charts: a commit costs what it touches."""

    def __init__(self, charts: Charts, remotes: Iterable[str] = ()) -> None:
        """`remotes` are the prefixes of addresses that kustomizations may name."""
        self._charts = charts
        self._remotes = tuple(remotes)
        self._lookers: dict[Mirror, Looker] = {}
        self._kept: dict[Key, Kept[Local | Problem]] = {}
        self._traits: Memo[Traits] = Memo(20_000)

    def supplies(self, origins: Mapping[Key, Origin | Problem]) -> Supplies:
        """The supplies as of now. `origins` may get more before they are asked for, not afterwards."""
        return Supplies(_Trees(self, origins), self._charts, self._traits)

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


class _Trees:
    """See `hub.supply.pinned.Trees`."""

    def __init__(self, warehouse: Warehouse, origins: Mapping[Key, Origin | Problem]) -> None:
        self._warehouse = warehouse
        self._origins = origins

    async def look(self, key: Key, parts: Mapping[str, Part]) -> Mapping[str, Local | Problem]:
        origin = self._origins.get(key)
        if isinstance(origin, Origin):
            return await origin.mirror.read(self._warehouse.look(key, origin, parts))
        return dict.fromkeys(parts, origin or Problem("error", f"{key[0]} is not known"))

    async def read(self, key: Key, call: Callable[[Tree], T]) -> T:
        origin = self._origins.get(key)
        if not isinstance(origin, Origin):
            raise DocumentError(origin.message if origin is not None else f"{key[0]} is not known")
        sha = origin.commit.sha
        return await origin.mirror.read(lambda objects: call(GitTree(objects, sha)))
