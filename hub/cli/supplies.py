"""What applications are made of, from one tree of files, and rendering in this process: for commands without a hub."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hub import registered
from hub.cli import settings
from hub.domain.egress import Egress
from hub.render.job import Judged
from hub.render.pool import RULES_LIMITS
from hub.render.process import PoolStatistics, Worker
from hub.render.programs import Programs
from hub.render.renderer import Renderer
from hub.render.templates import Templates
from hub.render.worker import perform
from hub.settings import load
from hub.sources.charts.charts import Charts
from hub.sources.memo import Memo
from hub.sources.poller import Pace
from hub.sources.web import Web
from hub.supply.local import Looker
from hub.supply.pinned import Supplies, key_of
from hub.supply.recognised import recognised
from hub.supply.releases import Expanding
from shared.errors import DocumentError
from shared.model import Problem
from shared.tasks import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from types import TracebackType

    from hub.domain.blending import Part
    from hub.domain.tree import Tree
    from hub.domain.variants import Inputs
    from hub.importing.recognising import Question, Recognised
    from hub.render.helm.traits import Traits
    from hub.render.job import PlainJob, Rendered, RulesJob, Templated, TemplateJob
    from hub.render.kustomize.gathering import Fetched
    from hub.render.kustomize.remote import Remote, RemoteFile
    from hub.render.parts import Supplies as AnySupplies
    from hub.supply.local import Local
    from hub.supply.pinned import Key

T = TypeVar("T")


class Offline:
    """Renders in this process, without a hub; charts are fetched from their repositories and kept for this user.

    A hub's own settings in the environment (`YARDARM_CHARTS__ACCESS`, `YARDARM_RENDER__…`) hold here too.

    `with Offline() as offline: offline.run(offline.render(inputs, offline.supplies(tree)))`
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        own = load()
        web = Web(Egress(own.egress.allow, own.egress.deny), registered.chart_access(own.charts))
        self._charts = Charts(settings.charts_cache(), web, Pace(), lambda: None, Clock())
        self._traits: Memo[Traits] = Memo(1000)
        workers = InProcess()
        programs = Programs(own.render.helm_binary, own.render.kustomize_binary)
        renderer = Renderer(workers, Templates(workers), lambda _digest: (), programs)
        self._renderer = Expanding(renderer.render)
        self._judging = Worker(Judged, RULES_LIMITS, PoolStatistics())

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._judging.stop())
        self._runner.run(self._charts.close())
        self._runner.__exit__(kind, error, trace)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of it."""
        return self._runner.run(work)

    def supplies(self, tree: Tree) -> Supplies:
        """What applications are made of whose files are in `tree`, or in charts."""
        return Supplies(OneTree(tree), self._charts, self._traits)

    def recognised(self, tree: Tree, question: Question) -> Recognised:
        """What a repository without fleet documents means. See `hub.supply.recognised.recognised`."""

        async def read(call: Callable[[Tree], Recognised]) -> Recognised:
            return call(tree)

        return self.run(recognised(question, read, self.supplies(tree), self.render))

    async def render(self, inputs: Inputs, supplies: AnySupplies) -> Rendered:
        """See `Renderer.render`."""
        return await self._renderer.render(inputs, supplies)

    async def judge(self, job: RulesJob) -> Judged:
        """See `hub.render.pool.RenderPool.judge`: in a process of its own here too, since rules may hang."""
        return await self._judging.run(job)


class OneTree:
    """`hub.supply.pinned.Trees` of the fleet repository alone. Others are the hub's to fetch."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._looker = Looker()

    def only(self, keys: Collection[Key]) -> OneTree:  # noqa: ARG002 - there is but one
        """See `Trees`."""
        return self

    async def look(self, key: Key, parts: Mapping[str, Part]) -> Mapping[str, Local | Problem]:
        """See `hub.supply.pinned.Trees`."""
        if not _is_here(key):
            return dict.fromkeys(parts, Problem("error", _elsewhere(key)))
        return {footing: self._looker.look(self._tree, part) for footing, part in parts.items()}

    async def read(self, key: Key, call: Callable[[Tree], T]) -> T:
        """See `hub.supply.pinned.Trees`."""
        if not _is_here(key):
            raise DocumentError(_elsewhere(key))
        return call(self._tree)

    async def fetch(self, remote: Remote | RemoteFile) -> Fetched:  # noqa: ARG002 - all alike
        """See `hub.supply.pinned.Trees`."""
        raise DocumentError("what is outside the repository is fetched by the hub only")


class InProcess:
    """Renders where it is called."""

    async def render(self, job: PlainJob) -> Rendered:
        """See `hub.render.renderer.Worker`."""
        return perform(job)

    async def template(self, job: TemplateJob) -> Templated:
        """See `hub.render.templates.TemplateWorker`."""
        return perform(job)


def unseen(part: Part) -> str:
    """Why a part cannot be looked at without a hub; empty when it can."""
    key = key_of(part)
    return "" if key is None or _is_here(key) else _elsewhere(key)


def _is_here(key: Key) -> bool:
    return key == (".", "")


def _elsewhere(key: Key) -> str:
    repo, ref = key
    return f"its source {repo}{f' at {ref}' if ref else ''} is elsewhere, which only the hub fetches"
