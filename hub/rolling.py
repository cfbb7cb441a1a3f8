"""All that carries rollouts on, put together: part of what runs while a hub leads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from hub import registered
from hub.bundles import Basis, Evaluation
from hub.carrier import Carrier, Rate
from hub.checks.measuring import Measuring
from hub.domain.egress import Egress
from hub.domain.fleet import Facts, FleetModel
from hub.domain.requests import Asked
from hub.domain.runs import Rollout
from hub.kept import KeptBodies
from hub.ledger import Ledger, Reader
from hub.loops.rollouts import Rollouts
from hub.metrics import Metrics
from hub.moves import Moves
from hub.publisher import Publisher
from hub.settings import HubSettings
from hub.sources.web import Web, WebLimits
from hub.steering import Steering
from hub.store import Store
from hub.surroundings import Surroundings
from hub.turns import Turns
from hub.verifying import Verifying
from hub.view import View
from hub.view.standing import stands
from shared.bus import Bus
from shared.messages import Event
from shared.model import UnitKey
from shared.tasks import Clock


class Rolling:
    """Rollouts, what they need, and what they heed."""

    def __init__(  # noqa: PLR0913, PLR0917 - called once, by the composition root
        self,
        bus: Bus,
        settings: HubSettings,
        publisher: Publisher,
        moves: Moves,
        allows: Callable[[str, str, str], bool],
        view: View,
        model: Callable[[], FleetModel | None],
        facts: Callable[[], Facts],
        unready: Callable[[Collection[str]], dict[str, str]],
        again: Callable[[str], None],
        changed: Callable[[Rollout], None],
        tell: Callable[[Event], None],
        turns: Turns,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """`model` is the fleet, once it is known. The rest: see the parts."""
        self.basis_of: Callable[[Rollout], Basis | None] = lambda _rollout: None
        """What was evaluated for a rollout; None while that is not known."""
        self._view = view
        self._model = model
        self._facts = facts
        self.bodies = KeptBodies(bus)
        rate = Rate(settings.rollouts.rate, clock)
        self.carrier = Carrier(publisher, self.bodies, moves, allows, self._history, rate, clock)
        self.steering = Steering(Store(bus), self._ask, clock)
        surroundings = Surroundings(model, self._newest, view.rollouts.holds, unready, self._stands, facts, clock)
        self.rollouts = Rollouts(
            Ledger(Store(bus)),
            self.bodies,
            view,
            self.carrier,
            surroundings.around,
            follows=surroundings.follows,
            tell=tell,
            changed=changed,
            again=again,
            done=self.steering.done,
            turns=turns,
            clock=clock,
        )
        egress = Egress(settings.egress.allow, settings.egress.deny)
        limited = WebLimits(total=settings.checks.timeout)
        self.verifying = Verifying(
            self.rollouts.active,
            self._evaluation,
            Measuring(Web(egress, registered.check_access(settings.checks), limited), clock),
            self.rollouts.measured,
            publisher,
            view,
            metrics,
            clock,
        )

    async def load(self, reader: Reader) -> None:
        """What an earlier hub has stored, as far as `reader` has not read it."""
        await self.rollouts.load(reader)
        await self.steering.load()
        self._view.watcher = self.rollouts.noticed

    async def run(self) -> None:
        """Until cancelled, or fenced."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.rollouts.run())
                group.create_task(self.verifying.run())
                group.create_task(self.steering.run())
        finally:
            self._view.watcher = None

    def packs(self) -> set[str]:
        """The digests of packs that a rollout may give, or give back."""
        return self.bodies.packs(self.rollouts.needed())

    def _ask(self, application: str, asked: Asked) -> None:
        self.rollouts.ask(application, asked)

    def _newest(self, application: str) -> Rollout | None:
        return self.rollouts.newest(application)

    def _history(self, application: str) -> tuple[Rollout, ...]:
        return self.rollouts.history(application)

    def _evaluation(self, rollout: Rollout) -> Evaluation | None:
        """What was evaluated for a rollout, in the fleet as it is now."""
        basis, model = self.basis_of(rollout), self._model()
        return basis.at(model, self._facts()) if basis is not None and model is not None else None

    def _stands(self, application: str, cluster: str) -> bool:
        """Whether an application is healthy on a cluster with what its newest rollout is to bring there."""
        rollout = self.rollouts.newest(application)
        pinned = rollout.plan.clusters.get(cluster) if rollout is not None else None
        if pinned is None:
            return False
        return stands(self._view, UnitKey(cluster, pinned.target.namespace, application), pinned.target.digest)
