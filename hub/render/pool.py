"""Worker processes that render. The event loop only moves bytes.

Each worker has one job at a time; one that dies, hangs or outgrows its memory is replaced, and only its own job fails.
Templates have workers of their own, with more memory and started with their first job: a chart that hangs holds up no
plain render, and a hub without charts never loads Helm.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from hub.render.crew import Crew
from hub.render.job import Judged, PlainJob, Rendered, RulesJob, Templated, TemplateJob
from hub.render.process import PoolLimits, PoolStatistics

__all__ = ["RULES_LIMITS", "TEMPLATE_LIMITS", "PoolLimits", "PoolStatistics", "RenderPool"]

TEMPLATE_LIMITS = PoolLimits(memory=3 * 1024**3)
"""Go reserves 1.7 GiB of address space before it renders anything."""

RULES_LIMITS = PoolLimits(workers=1, timeout=10.0, memory=512 * 1024**2)
"""A thousand objects against ten rules take a second. The worker starts with the first job."""


class RenderPool:
    """`async with RenderPool() as pool: await pool.render(job)`."""

    def __init__(
        self, limits: PoolLimits | None = None, templates: PoolLimits | None = None, rules: PoolLimits | None = None
    ) -> None:
        self._objects = Crew(Rendered, limits or PoolLimits())
        self._templates = Crew(Templated, templates or TEMPLATE_LIMITS)
        self._rules = Crew(Judged, rules or RULES_LIMITS)
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def statistics(self) -> PoolStatistics:
        """Of plain renders."""
        return self._objects.statistics

    @property
    def template_statistics(self) -> PoolStatistics:
        """Of template jobs."""
        return self._templates.statistics

    async def __aenter__(self) -> RenderPool:
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._objects.start(self._tasks, "render", on_demand=False)
        self._templates.start(self._tasks, "template", on_demand=True)
        self._rules.start(self._tasks, "rules", on_demand=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._objects.close()
        self._templates.close()
        self._rules.close()
        if self._tasks is not None:
            # Not told of the caller's exception, which it would wrap in a group.
            await self._tasks.__aexit__(None, None, None)

    async def render(self, job: PlainJob) -> Rendered:
        """Make objects of YAML files. Cancelling the caller takes a job back that has not begun.

        Raises:
            RenderError: the input is refused, or the render took too long, too much memory, or killed its worker.
        """
        return await self._objects.run(job)

    async def template(self, job: TemplateJob) -> Templated:
        """Make YAML files of a chart. May raise and be cancelled as `render`.

        Its errors are `transient` only where the job is not to blame: a job that runs out of time or memory would do
        so again.
        """
        return await self._templates.run(job)

    async def judge(self, job: RulesJob) -> Judged:
        """Hold objects against rules. May raise and be cancelled as `template`."""
        return await self._rules.run(job)
