"""Looks at the objects of one unit that were applied before, and gathers the news of their drift for the history.

What counts as drift, and when it may be corrected, is the vigil's business; this chooses whom to look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping

from agent.domain.desired import Desired, Key
from agent.survey import Survey
from agent.view import View
from agent.vigil import Vigil, described
from shared.messages import Drift, Policy
from shared.model import Manifest, ObjectRef

CONFIRMING = 8
"""Dry runs in flight while drift is confirmed."""
BREATH = 200
"""Objects that are compared before others get the event loop."""

News = tuple[tuple[Drift, str], ...]
"""Records of drift, each with a line about it."""


class Examiner:
    """Of one assignment. `news` is what came of looking since it was last taken."""

    def __init__(self, vigil: Vigil, view: View, survey: Survey, policy: Policy) -> None:
        self.vigil = vigil
        self._view = view
        self._survey = survey
        self._policy = policy
        self._news: list[tuple[Drift, str]] = []

    def same(self, each: Desired, live: Manifest) -> bool:
        """Whether a live object holds what is desired, as far as can be told without asking the server."""
        return self.vigil.same(each, live, self._policy)

    def to_correct(self) -> set[Key]:
        """Objects that have drifted and may be put right now."""
        return self.vigil.standing() - self.held()

    def in_question(self) -> set[Key]:
        """Objects that have drifted, or would not be corrected if they did."""
        return self.vigil.standing() | self.held()

    def held(self) -> frozenset[Key]:
        """Objects whose drift is not to be corrected now."""
        return self.vigil.held(self._policy)

    def next_due(self) -> float | None:
        """When the next held correction may be made; None when there is none."""
        return self.vigil.next_due(self._policy)

    def applied_before(
        self, kept: Iterable[Desired], live: Mapping[Key, Manifest], applied: Mapping[Key, str], apart: Collection[Key]
    ) -> Iterator[Desired]:
        """What was applied as it is desired now. Drift that stands is known already, unless it is over."""
        standing = self.vigil.standing()
        for each in kept:
            key = each.ref.key
            if applied.get(key) != each.digest or key in apart:
                continue
            if key not in standing:
                yield each
            elif (found := live.get(key)) is not None and self.same(each, found):
                self.vigil.over(key)

    async def examine(self, candidates: Iterable[Desired], live: Mapping[Key, Manifest] | None = None) -> None:
        """Looks at each: as it is in `live`, or where that is None as it is known or asked for now.

        Raises:
            Unreachable: the server could not be asked.
        """
        gate = asyncio.Semaphore(CONFIRMING)

        async def one(each: Desired, found: Manifest | None) -> None:
            async with gate:
                news = await self.vigil.examine(each, found, self._policy)
                if news is not None:
                    self._news.append((news, described(news)))

        async with asyncio.TaskGroup() as group:
            for number, each in enumerate(candidates):
                if number % BREATH == BREATH - 1:
                    await asyncio.sleep(0)
                found = live.get(each.ref.key) if live is not None else await self._current(each.ref)
                if found is None or not self.same(each, found) or each.ref.key in self.vigil.standing():
                    group.create_task(one(each, found))

    async def _current(self, ref: ObjectRef) -> Manifest | None:
        """An object as it is. One that only lost our label is gone from the cache, but it is there."""
        return self._view.get(ref) or (await self._survey.standing([ref])).get(ref.key)

    def applied(self, key: Key, live: Manifest, digest: str) -> None:
        """An object was applied, which may have corrected its drift."""
        corrected = self.vigil.applied(key, live, digest)
        if corrected is not None:
            self._news.append((corrected, f"corrected: {described(corrected)}"))

    def news(self) -> News:
        """What has come of looking; told once."""
        news, self._news = self._news, []
        return tuple(news)
