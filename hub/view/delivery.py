"""Delivery figures of the rollouts that the view holds; what has not changed since the last time is not done anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from hub.domain import dora
from hub.domain.runs import Rollout
from hub.view.rollouts import KEPT, Rollouts


class Delivery:
    """Looks at rollouts, and remembers what those of each application came to."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._rollouts = rollouts
        self._known: dict[str, tuple[tuple[Rollout, ...], dora.History]] = {}

    async def report(
        self,
        application: str,
        environment: str,
        days: int,
        now: float,
        seen: Callable[[str], bool] = lambda _application: True,
    ) -> dora.Report:
        """The figures of the last days, of one application or, with an empty name, of all; of those that are `seen`.

        Thousands of clusters take seconds the first time: others have their turn meanwhile.
        """
        every = [each.application for each in self._rollouts.latest()]
        names = filter(seen, [application] if application else every)
        found = {name: rollouts for name in names if (rollouts := self._rollouts.of(name))}
        histories = await asyncio.to_thread(self._histories, found)
        self._known = {name: self._known[name] for name in every if name in self._known}
        return dora.report(histories, environment, days, now, KEPT)

    def _histories(self, found: Mapping[str, tuple[Rollout, ...]]) -> dict[str, dora.History]:
        return {name: self._history(name, rollouts) for name, rollouts in found.items()}

    def _history(self, name: str, rollouts: tuple[Rollout, ...]) -> dora.History:
        known = self._known.get(name)
        if known is None or len(known[0]) != len(rollouts) or any(map(_differ, known[0], rollouts)):
            known = self._known[name] = rollouts, dora.history_of(rollouts)
        return known[1]


def _differ(one: Rollout, other: Rollout) -> bool:
    return one is not other
