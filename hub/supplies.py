"""What applications are made of, pinned for one look at the fleet: repositories at a commit.

Everything that one evaluation reads is of the same moment, however long it takes and whatever moves meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hub.domain.blending import Part
from hub.domain.records import Commit, PathTimes
from hub.render import parts as rendering
from hub.render.parts import Materials, Reading
from hub.sources.mirror import Mirror
from hub.sources.objects import Objects
from hub.sources.tree import GitTree
from shared.errors import DocumentError
from shared.model import Problem

Key = tuple[str, str]
"""Repository and ref, as documents write them."""


@dataclass(frozen=True)
class Origin:
    """A commit of a repository that applications come from."""

    mirror: Mirror
    commit: Commit
    traceparent: str
    times: PathTimes


def key_of(part: Part) -> Key:
    """What has to be pinned for a part."""
    return part.source.repo, part.source.ref


class Supplies:
    """See the module; `hub.render.renderer.Supplies`."""

    def __init__(self, origins: Mapping[Key, Origin | Problem]) -> None:
        self._origins = origins
        self._known: dict[str, Reading | Problem] = {}

    async def prepare(self, parts: Iterable[Part]) -> None:
        """Works out the readings of many parts at once: one turn of its thread for each repository."""
        wanted: dict[Key, dict[str, Part]] = {}
        for part in parts:
            if part.footing not in self._known:
                wanted.setdefault(key_of(part), {})[part.footing] = part
        for key, each in wanted.items():
            origin = self._origins.get(key)
            if isinstance(origin, Origin):
                self._known |= await origin.mirror.read(_readings(origin.commit.sha, list(each.values())))
            else:
                self._known |= dict.fromkeys(each, origin or Problem("error", f"{key[0]} is not known"))

    async def reading(self, part: Part) -> Reading:
        """See `hub.render.renderer.Supplies`."""
        if part.footing not in self._known:
            await self.prepare([part])
        known = self._known[part.footing]
        if isinstance(known, Problem):
            raise DocumentError(known.message, known.place, known.hint)
        return known

    async def materials(self, part: Part) -> Materials:
        """See `hub.render.renderer.Supplies`."""
        found = await self.reading(part)
        origin = self._origins[key_of(part)]
        if isinstance(origin, Problem):
            raise DocumentError(origin.message)
        sha = origin.commit.sha
        return await origin.mirror.read(lambda objects: rendering.read(GitTree(objects, sha), part, found))

    def ask_for_capabilities(self, parts: Iterable[Part]) -> bool:
        """Whether one of these parts, which must have been worked out, depends on what a cluster's API can do."""
        found = (self._known[part.footing] for part in parts)
        return any(not isinstance(each, Problem) and each.content.capabilities for each in found)

    def mark(self, parts: Iterable[Part]) -> tuple[str, ...]:
        """Equal as long as everything that these parts read is. They must have been worked out."""
        return tuple(
            str(known) if isinstance(known, Problem) else known.content.key
            for known in (self._known[part.footing] for part in parts)
        )


def _readings(sha: str, parts: list[Part]) -> Callable[[Objects], dict[str, Reading | Problem]]:
    def work(objects: Objects) -> dict[str, Reading | Problem]:
        tree = GitTree(objects, sha)
        found: dict[str, Reading | Problem] = {}
        for part in parts:
            try:
                found[part.footing] = rendering.reading(tree, part)
            except DocumentError as error:
                found[part.footing] = Problem("error", error.message, error.place, error.hint)
        return found

    return work
