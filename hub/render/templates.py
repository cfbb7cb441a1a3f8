"""Template steps, each done once: charts and kustomizations turned into YAML files, remembered by what they depend on.

A thousand clusters with three kinds of values cost three steps; those who ask for one that is under way wait for it. A
chart that fails fails for all who ask, without being tried for each.
"""

from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from hub.render.job import RenderError, Templated, TemplateJob

LIMIT = 64 * 1024**2
"""Bytes of YAML that are remembered."""


class TemplateWorker(Protocol):
    """Who does template steps: a pool of processes, or this one."""

    async def template(self, job: TemplateJob) -> Templated:
        """The result of a job.

        Raises:
            RenderError: the input is refused.
        """


class Kept(Protocol):
    """Results that must not be made anew, because they would come out differently."""

    async def get(self, digest: str) -> Templated | None:
        """What was kept under this name, None when nothing was."""

    async def put(self, digest: str, made: Templated) -> Templated:
        """Keeps it for every hub, now and after restarts; returns what is kept, which another may have put first."""


class Templates:
    """See the module."""

    def __init__(self, workers: TemplateWorker, kept: Kept | None = None, limit: int = LIMIT) -> None:
        self._workers = workers
        self._kept = kept
        self._limit = limit
        self._size = 0
        self._known: OrderedDict[str, Templated | RenderError] = OrderedDict()
        self._under_way: dict[str, asyncio.Future[Templated | RenderError]] = {}
        self.made = 0
        """Steps that workers were asked for."""

    async def of(self, digest: str, job: Callable[[], Awaitable[TemplateJob]], *, keep: bool = False) -> Templated:
        """The result that `digest` names; `job` makes the job for it if that has to be done.

        `keep`: done again it would come out differently, so the first result stands for good.

        Raises:
            RenderError: the input is refused; a transient one may be tried again.
        """
        known = self._known.get(digest)
        if known is None:
            step = self._under_way.get(digest)
            if step is None:
                step = self._under_way[digest] = asyncio.ensure_future(  # noqa: TID251 - outlives who asked, and ends with the workers
                    self._work(digest, job, keep=keep)
                )
                step.add_done_callback(functools.partial(self._done, digest))
            # Whoever asked may be superseded by a newer commit that wants the very same: the step goes on.
            known = await asyncio.shield(step)
        if isinstance(known, RenderError):
            raise RenderError(known.problems)
        return known

    def _done(self, digest: str, step: asyncio.Future[Templated | RenderError]) -> None:
        del self._under_way[digest]
        if not step.cancelled():
            step.exception()  # for those who wait, if there are any: nobody else misses it

    async def _work(
        self, digest: str, job: Callable[[], Awaitable[TemplateJob]], *, keep: bool
    ) -> Templated | RenderError:
        made = await self._kept.get(digest) if keep and self._kept is not None else None
        if made is None:
            try:
                self.made += 1
                made = await self._workers.template(await job())
            except RenderError as error:
                if error.transient:
                    raise
                self._remember(digest, error)
                return error
            if keep and self._kept is not None:
                made = await self._kept.put(digest, made)
        self._remember(digest, made)
        return made

    def _remember(self, digest: str, result: Templated | RenderError) -> None:
        self._known[digest] = result
        self._size += _bytes(result)
        while self._size > self._limit and len(self._known) > 1:
            _, dropped = self._known.popitem(last=False)
            self._size -= _bytes(dropped)


def _bytes(result: Templated | RenderError) -> int:
    return 1024 + (sum(len(file.data) for file in result.files) if isinstance(result, Templated) else 0)
