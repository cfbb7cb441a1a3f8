"""What applications are made of, from a folder on disk, and rendering in this process: for commands without a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hub.render.worker import perform
from hub.supply.local import Looker
from shared.errors import DocumentError
from shared.model import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hub.domain.blending import Part
    from hub.domain.tree import Tree
    from hub.render.job import PlainJob, Rendered, Templated, TemplateJob
    from hub.supply.local import Local
    from hub.supply.pinned import Key

T = TypeVar("T")


class DiskTrees:
    """`hub.supply.pinned.Trees` of one folder: the fleet repository as it lies there. Others are the hub's to fetch."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._looker = Looker()

    async def look(self, key: Key, parts: Mapping[str, Part]) -> Mapping[str, Local | Problem]:
        """See `hub.supply.pinned.Trees`."""
        if not is_here(key):
            return dict.fromkeys(parts, Problem("warning", _elsewhere(key)))
        return {footing: self._looker.look(self._tree, part) for footing, part in parts.items()}

    async def read(self, key: Key, call: Callable[[Tree], T]) -> T:
        """See `hub.supply.pinned.Trees`."""
        if not is_here(key):
            raise DocumentError(_elsewhere(key))
        return call(self._tree)


class InProcess:
    """Renders where it is called."""

    async def render(self, job: PlainJob) -> Rendered:
        """See `hub.render.renderer.Worker`."""
        return perform(job)

    async def template(self, job: TemplateJob) -> Templated:
        """See `hub.render.templates.TemplateWorker`."""
        return perform(job)


def is_here(key: Key) -> bool:
    """Whether the fleet repository is meant, as it is."""
    return key == (".", "")


def _elsewhere(key: Key) -> str:
    repo, ref = key
    return f"{repo}{f' at {ref}' if ref else ''} is elsewhere, which only the hub fetches"
