"""What applications are made of, from a folder on disk, and rendering in this process: for commands without a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.render import parts as rendering
from hub.render import plain

if TYPE_CHECKING:
    from hub.domain.blending import Part
    from hub.domain.tree import Tree
    from hub.render.job import PlainJob, Rendered
    from hub.render.parts import Materials, Reading


class DiskSupplies:
    """`hub.render.renderer.Supplies` of one tree of files, whatever repository a part names."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    async def reading(self, part: Part) -> Reading:
        """See `hub.render.renderer.Supplies`."""
        return rendering.reading(self._tree, part)

    async def materials(self, part: Part) -> Materials:
        """See `hub.render.renderer.Supplies`."""
        return rendering.read(self._tree, part, await self.reading(part))


class InProcess:
    """Renders where it is called."""

    async def render(self, job: PlainJob) -> Rendered:
        """See `hub.render.renderer.Worker`."""
        return plain.render(job)
