"""What follows from rollouts outside of the clusters: commit statuses, promotions written to Git, branches that revert.

Nothing ever waits for any of it. What cannot be written is a finding, and is tried again while that may help.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hub.bundles import Basis
from hub.domain import promotion, semver
from hub.domain.blending import candidates
from hub.domain.documents import Application
from hub.domain.fleet import Facts, FleetModel
from hub.domain.pinning import is_chart, pins_of
from hub.domain.promotion import Due
from hub.domain.runs import Phase, Rollout, SlotState, StagePhase
from hub.domain.selectors import matches
from hub.domain.staging import Promote
from hub.domain.statuses import StageCount, Summary
from hub.promoting import PinFile, file_of, last_change, promote
from hub.repositories import Repositories
from hub.reverting import Rejection, paths_of, revert
from hub.sources.mirror import Mirror
from hub.sources.objects import Objects
from hub.sources.writing import Writer
from hub.statuses import Statuses
from hub.supply.pins import FLEET
from shared.errors import DocumentError, Unavailable
from shared.messages import Event, Severity
from shared.model import Problem
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

_SHORT = 7
INTERVAL = 1.0
"""Seconds between looks at whether something has to be promoted."""


@dataclass(frozen=True)
class FleetRepository:
    """Where the fleet is described: address, ref and folder."""

    repo: str
    ref: str
    path: str


class Outward:
    """On the leading hub: give it every rollout that changes, and start `run`."""

    def __init__(  # noqa: PLR0913, PLR0917 - called once, by the composition root
        self,
        fleet: FleetRepository,
        model: Callable[[], FleetModel | None],
        facts: Callable[[], Facts],
        basis: Callable[[str], Basis | None],
        history: Callable[[str], Sequence[Rollout]],
        held: Callable[[str], bool],
        busy: Callable[[str], bool],
        repositories: Repositories,
        writer: Writer,
        statuses: Statuses,
        tell: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        """`basis` is of the newest evaluation of an application.

        `held` says whether a person keeps it where it is, `busy` whether it is being worked out.
        """
        self._fleet = fleet
        self._model = model
        self._facts = facts
        self._basis = basis
        self._history = history
        self._held = held
        self._busy = busy
        self._repositories = repositories
        self._writer = writer
        self._statuses = statuses
        self._tell = tell
        self._clock = clock
        self._mailbox: Mailbox[str, None] = Mailbox()
        self._wrong: dict[str, Problem] = {}
        self._done: set[str] = set()
        self._of: tuple[FleetModel, Mapping[str, Application]] | None = None

    def changed(self, rollout: Rollout) -> None:
        """A rollout is further than it was. Never blocks."""
        basis = self._basis(rollout.application)
        if basis is not None and self._statuses.tells(basis.source.repo):
            self._statuses.put(_summary(rollout, basis.source.repo, self._back_to(rollout)))
        if rollout.phase is Phase.ROLLED_BACK and rollout.plan.strategy.revert == "branch":
            self._mailbox.put(rollout.application, None)

    def problems(self) -> tuple[Problem, ...]:
        """What could not be written or told, and why."""
        return (*(self._wrong[name] for name in sorted(self._wrong)), *self._statuses.problems())

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work())
            group.create_task(self._watch())

    async def _watch(self) -> None:
        """Applications that are promoted by Git are looked at when anything has changed that decides about it."""
        seen: dict[str, object] = {}
        while True:
            await self._clock.sleep(INTERVAL)
            model = self._model()
            if model is None:
                continue
            for name, application in self._promoted(model).items():
                newest, basis = next(iter(self._history(name)), None), self._basis(name)
                if newest is None or basis is None or newest.phase is not Phase.COMPLETED or self._busy(name):
                    continue
                state = newest.id, basis.commit.sha, pins_of(application), self._held(name)
                if seen.get(name) != state:
                    seen[name] = state
                    self._mailbox.put(name, None)

    def _promoted(self, model: FleetModel) -> Mapping[str, Application]:
        """The applications that are promoted by Git."""
        if self._of is None or self._of[0] is not model:
            applications = model.applications.items()
            terms = {name: model.strategy_of(each) for name, each in applications}
            self._of = model, {name: each for name, each in applications if (of := terms[name]) and of.promotion}
        return self._of[1]

    async def _work(self) -> None:
        backoff = Backoff(1.0, 60.0)
        while True:
            name, _ = await self._mailbox.get()
            try:
                await self._look(name)
            except Unavailable as error:
                self._note(name, Problem("warning", f"{error}; it is tried again", application=name))
                self._mailbox.put_back(name, None)
                await self._clock.sleep(backoff.next(error.retry_after))
            except DocumentError as error:
                log.warning("a rollout is not written to Git", extra={"application": name, "error": str(error)})
                self._note(name, Problem("error", str(error), error.place, error.hint, name))
            else:
                backoff.reset()
                self._wrong.pop(name, None)

    def _note(self, name: str, problem: Problem) -> None:
        self._wrong[name] = problem

    async def _look(self, name: str) -> None:
        model, basis = self._model(), self._basis(name)
        rollouts = self._history(name)
        application = model.applications.get(name) if model is not None else None
        if model is None or application is None or basis is None or not rollouts:
            return
        newest, strategy = rollouts[0], model.strategy_of(application)
        if newest.phase is Phase.ROLLED_BACK and newest.plan.strategy.revert == "branch":
            await self._revert(application, newest)
        elif newest.phase is Phase.COMPLETED and strategy is not None and strategy.promotion and not self._held(name):
            await self._promote(application, newest, strategy.promotion, model, basis)

    async def _promote(
        self, application: Application, newest: Rollout, terms: Promote, model: FleetModel, basis: Basis
    ) -> None:
        chart, pins = is_chart(application), pins_of(application)
        present = self._present(application, model)
        file = file_of(model, application.name, terms, self._fleet.path)
        settled = _settled(newest, model)
        first = next((name for name in terms.environments if name in present), "")
        done = {name: pins[name] for name in settled if name in pins}
        if chart:
            done |= {first: _version(application)} if first in settled and first not in pins else {}
            found = promotion.due(terms.environments, present, pins, done, promotion.newer_version)
        else:
            paths = paths_of(application)
            besides = file if self._address(application) == self._fleet.repo else ""

            def look(objects: Objects) -> tuple[Due, ...]:
                own = first in settled and first not in pins
                source = {first: last_change(objects, basis.commit.sha, paths, besides)} if own else {}
                return promotion.due(terms.environments, present, pins, done | source, objects.newer)

            found = await (await self._mirror(self._address(application))).read(look)
        if not found:
            return
        mirror = await self._mirror(self._fleet.repo)
        where = PinFile(application.name, file, self._fleet.ref, review=terms.write == "branch", chart=chart)
        for pin in found:
            subject = "" if chart else await self._subject(application, pin.revision)
            written = await promote(self._writer, mirror, where, pin, subject, newest.id)
            if written.pushed:
                shown = f"{promotion.short(pin.revision)} is promoted to {pin.environment}, on branch {written.branch}"
                self._say(newest, f"promoted-{pin.environment}", Severity.INFO, shown, written.commit)
                self._repositories.wake()

    async def _revert(self, application: Application, rejected: Rollout) -> None:
        good = self._back_to(rejected)
        if rejected.id in self._done or not good or is_chart(application):
            return
        commit = rejected.plan.commit.sha
        what = Rejection(application.name, commit, good, paths_of(application), rejected.reason, rejected.id)
        mirror = await self._mirror(self._address(application))
        written = await revert(self._writer, mirror, what, self._ref(application))
        self._done.add(rejected.id)
        if written.pushed:
            shown = f"branch {written.branch} takes {commit[:_SHORT]} back: merge it"
            self._say(rejected, "reverted", Severity.INFO, shown, written.commit)

    async def _subject(self, application: Application, commit: str) -> str:
        mirror = await self._mirror(self._address(application))
        return await mirror.read(lambda objects: objects.commit(commit).subject)

    async def _mirror(self, address: str) -> Mirror:
        return (await self._repositories.watch(address)).mirror

    def _address(self, application: Application) -> str:
        """The repository of its own first source."""
        repo = candidates(application)[0].source.repo
        return self._fleet.repo if repo == FLEET else repo

    def _ref(self, application: Application) -> str:
        """The branch that it follows."""
        source = candidates(application)[0].source
        return source.ref or (self._fleet.ref if source.repo == FLEET else "")

    def _present(self, application: Application, model: FleetModel) -> set[str]:
        """The environments in which it has, or is to have, clusters."""
        facts = self._facts()
        everybody = (model.candidate(name, facts.get(name)) for name in model.clusters)
        placed = (each.name for each in everybody if matches(application.spec.placement, each).selected)
        return {model.environment_of(name) for name in placed}

    def _back_to(self, rollout: Rollout) -> str:
        """The commit that was completed before it."""
        older = [each for each in self._history(rollout.application) if each.plan.at < rollout.plan.at]
        return next((each.plan.commit.sha for each in older if each.phase is Phase.COMPLETED), "")

    def _say(self, rollout: Rollout, what: str, severity: Severity, message: str, commit: str) -> None:
        identity, kind = f"{rollout.id}-{what}-{commit[:_SHORT]}", f"rollout.{what.partition('-')[0]}"
        now = self._clock.now()
        self._tell(Event(identity, now, kind, severity, message, application=rollout.application, commit=commit))


def _settled(rollout: Rollout, model: FleetModel) -> set[str]:
    """The environments of which every cluster has what a completed rollout was to bring, and is healthy with it."""
    brought: dict[str, bool] = {}
    for name in rollout.plan.clusters:
        environment, slot = model.environment_of(name), rollout.slots.get(name)
        fine = slot is None or slot.state is SlotState.HEALTHY
        brought[environment] = brought.get(environment, True) and fine
    return {name for name, fine in brought.items() if fine}


def _version(application: Application) -> str:
    """The version of a chart that is promoted.

    Raises:
        DocumentError: it is a range, of which nobody can say what the next environment is to have.
    """
    version = candidates(application)[0].source.version
    if semver.parse(version) is None:
        raise DocumentError(f"{version!r} cannot be promoted: it is no version", hint="name the version of the chart")
    return version


def _summary(rollout: Rollout, repo: str, back_to: str) -> Summary:
    stages = zip(rollout.plan.stages, rollout.stages, strict=True)
    return Summary(
        application=rollout.application,
        repo=repo,
        commit=rollout.plan.commit.sha,
        phase=str(rollout.phase),
        stages=tuple(_count(rollout, stage.name, stage.clusters) for stage, run in stages if run.phase is not _PENDING),
        back_to=back_to if rollout.phase is Phase.ROLLED_BACK else "",
        reason=rollout.reason,
    )


_PENDING = StagePhase.PENDING


def _count(rollout: Rollout, name: str, clusters: Iterable[str]) -> StageCount:
    states = [rollout.slots[cluster].state for cluster in clusters]
    done = sum(state in (SlotState.HEALTHY, SlotState.RESTORED) for state in states)
    return StageCount(name, done, len(states), states.count(SlotState.FAILED))
