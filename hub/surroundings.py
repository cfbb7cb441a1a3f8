"""What rollouts have to heed of the world around them, gathered: windows and freezes, holds, and other applications."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from hub.domain import dependencies, releases
from hub.domain.documents import Environment
from hub.domain.fleet import Facts, FleetModel
from hub.domain.requests import Asked
from hub.domain.runs import Around, Closed, Hold, Plan, Rollout, Wait
from hub.domain.windows import Opening, opening
from shared.tasks import Clock

_NOTHING = Around()


@dataclass(frozen=True, slots=True)
class _Scope:
    """What of a fleet has anything to heed: worked out once, as rollouts ask every second, and mostly for nothing."""

    closing: bool
    """Whether an environment has windows or freezes."""
    waiting: frozenset[str]
    """The applications that wait for others."""
    sets: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, model: FleetModel) -> _Scope:
        closing = any(each.spec.windows or each.spec.freezes for each in model.environments.values())
        applications = model.applications.items()
        waiting = frozenset(name for name, each in applications if each.spec.release_set or each.spec.depends_on)
        return cls(closing, waiting, releases.members(model.applications))

    def concerns(self, application: str) -> bool:
        """Whether there may be something for an application."""
        return self.closing or application in self.waiting


class Surroundings:
    """Asks others; remembers only until when an environment stays open or closed."""

    def __init__(
        self,
        model: Callable[[], FleetModel | None],
        newest: Callable[[str], Rollout | None],
        holds: Callable[[str], tuple[Hold, ...]],
        unready: Callable[[Collection[str]], Mapping[str, str]],
        stands: Callable[[str, str], bool],
        facts: Callable[[], Facts],
        clock: Clock,
    ) -> None:
        """`unready` says which applications have not been worked out for the newest commit, each with why.

        `stands` says whether an application is healthy on a cluster with what its newest rollout is to bring there.
        """
        self._model = model
        self._newest = newest
        self._holds = holds
        self._unready = unready
        self._stands = stands
        self._facts = facts
        self._clock = clock
        self._openings: dict[str, tuple[Environment, Opening]] = {}
        self._scope: tuple[FleetModel, _Scope] | None = None

    def around(self, plan: Plan) -> Around | None:
        """What a plan has to heed now; None while the fleet is not known."""
        model = self._model()
        if model is None:
            return None
        holds = self._holds(plan.application)
        if not (holds or self._scope_of(model).concerns(plan.application)):
            return _NOTHING
        closed = {name: each for name, environment in model.environments.items() if (each := self._closed(environment))}
        if closed:
            concerned = {name for pinned in plan.clusters.values() for name in pinned.environments}
            closed = {name: each for name, each in closed.items() if name in concerned}
        return Around(closed, holds, self._waits(plan, model))

    def follows(self) -> dict[str, Asked]:
        """What to ask of applications because of what became of others of their release sets."""
        model = self._model()
        found: dict[str, Asked] = {}
        for name, members in self._members(model).items() if model is not None else ():
            found |= releases.follows(name, self._rollouts(members), self._clock.now())
        return found

    def _closed(self, environment: Environment) -> Closed | None:
        if not (environment.spec.windows or environment.spec.freezes):
            return None
        now = self._clock.now()
        known = self._openings.get(environment.name)
        if known is None or known[0] is not environment or (known[1].changes is not None and now >= known[1].changes):
            known = self._openings[environment.name] = environment, opening(environment.spec, now, environment.name)
        return None if known[1].open else Closed(known[1].reason, known[1].changes)

    def _waits(self, plan: Plan, model: FleetModel) -> dict[str, tuple[Wait, ...]]:
        application = model.applications.get(plan.application)
        if application is None:
            return {}
        found: dict[str, tuple[Wait, ...]] = {}
        members: tuple[str, ...] = ()
        if application.spec.release_set:
            members = self._members(model)[application.spec.release_set]
            found = releases.waits(plan, self._rollouts(members), self._unready(members))
        if application.spec.depends_on:
            facts = self._facts()
            fleet = (model.candidate(name, facts.get(name)) for name in model.clusters)
            needs = dependencies.needs(application.spec, fleet)
            names = tuple(need.application for need in needs)
            newest, unready = self._rollouts({*names, *members}), self._unready(names)
            for stage, waits in dependencies.waits(plan, needs, newest, unready, self._stands, members).items():
                found[stage] = (*found.get(stage, ()), *waits)
        return found

    def _members(self, model: FleetModel) -> Mapping[str, tuple[str, ...]]:
        return self._scope_of(model).sets

    def _scope_of(self, model: FleetModel) -> _Scope:
        if self._scope is None or self._scope[0] is not model:
            self._scope = model, _Scope.of(model)
        return self._scope[1]

    def _rollouts(self, members: Iterable[str]) -> dict[str, Rollout]:
        return {name: rollout for name in members if (rollout := self._newest(name)) is not None}
