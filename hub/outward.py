"""What follows from rollouts outside of the clusters: commit statuses, promotions written to Git, branches that revert.

Nothing ever waits for any of it. What cannot be written is a finding, and is tried again while that may help.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hub.bundles import Basis
from hub.domain import promotion
from hub.domain.blending import candidates
from hub.domain.documents import Application
from hub.domain.fleet import Facts, FleetModel
from hub.domain.pinning import is_chart, pins_of
from hub.domain.promotion import Due
from hub.domain.runs import Phase, Rollout, SlotState, StagePhase
from hub.domain.selectors import matches
from hub.domain.staging import Promote
from hub.domain.statuses import StageCount, Summary
from hub.promoting import PinFile, file_of, promote
from hub.repositories import Repositories
from hub.reverting import Rejection, paths_of, revert
from hub.sources.mirror import Mirror
from hub.sources.writing import Writer
from hub.statuses import Statuses
from hub.supply.pins import FLEET
from shared.errors import DocumentError, Unavailable
from shared.messages import Event, Severity
from shared.model import Problem
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

_SHORT = 7


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
        repositories: Repositories,
        writer: Writer,
        statuses: Statuses,
        tell: Callable[[Event], None],
        clock: Clock,
    ) -> None:
        """`basis` is of the newest evaluation of an application, `held` whether a person keeps it where it is."""
        self._fleet = fleet
        self._model = model
        self._facts = facts
        self._basis = basis
        self._history = history
        self._held = held
        self._repositories = repositories
        self._writer = writer
        self._statuses = statuses
        self._tell = tell
        self._clock = clock
        self._mailbox: Mailbox[str, None] = Mailbox()
        self._wrong: dict[str, Problem] = {}
        self._done: set[str] = set()

    def changed(self, rollout: Rollout) -> None:
        """A rollout is further than it was. Never blocks."""
        basis = self._basis(rollout.application)
        if basis is not None:
            self._statuses.put(_summary(rollout, basis.source.repo, self._back_to(rollout)))
        if rollout.phase in (Phase.COMPLETED, Phase.ROLLED_BACK):
            self._mailbox.put(rollout.application, None)

    def problems(self) -> tuple[Problem, ...]:
        """What could not be written or told, and why."""
        return (*(self._wrong[name] for name in sorted(self._wrong)), *self._statuses.problems())

    async def run(self) -> None:
        """Until cancelled."""
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
        completed = _completed(newest, model, terms, pins, chart=chart, basis=basis)
        present = self._present(application, model)
        source = await self._mirror(self._address(application)) if not chart else None

        def due(newer: Callable[[str, str], bool]) -> tuple[Due, ...]:
            return promotion.due(terms.environments, present, pins, completed, newer)

        if source is None:
            found = due(promotion.newer_version)
        else:
            found = await source.read(lambda objects: due(objects.newer))
        if not found:
            return
        mirror = await self._mirror(self._fleet.repo)
        file = file_of(model, application.name, terms, self._fleet.path)
        where = PinFile(application.name, file, self._fleet.ref, review=terms.write == "branch", chart=chart)
        for pin in found:
            written = await promote(self._writer, mirror, where, pin, newest.plan.commit.subject, newest.id)
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


def _completed(
    rollout: Rollout, model: FleetModel, terms: Promote, pins: dict[str, str], *, chart: bool, basis: Basis
) -> dict[str, str]:
    """What a completed rollout has brought to every cluster of an environment, by environment."""
    brought: dict[str, bool] = {}
    for name in rollout.plan.clusters:
        environment, slot = model.environment_of(name), rollout.slots.get(name)
        fine = slot is None or slot.state is SlotState.HEALTHY
        brought[environment] = brought.get(environment, True) and fine
    first = terms.environments[0]
    source = basis.source.version if chart else rollout.plan.commit.sha
    return {name: pins.get(name) or (source if name == first else "") for name, fine in brought.items() if fine}


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
