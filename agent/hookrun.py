"""The hooks of one assignment in the making: which there are, how far they are, and the note of it on the cluster.

What a hook's standing means is decided in `agent.domain.hooks`; this keeps the run between passes and writes it down
before anything that could not be told from the cluster afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import msgspec

from agent.domain import hints, hooks
from agent.domain.desired import Desired, Key
from agent.domain.hooks import Hook, Moment, Run, Stand
from agent.domain.stepping import stage_of
from agent.inbox import Delivery
from agent.inventory import Inventory
from agent.view import View
from shared.messages import Action, ObjectStatus
from shared.model import Health, HealthStatus, Manifest, ObjectRef

log = logging.getLogger(__name__)

REMOVAL = "removed"
"""Stands for the content of an application that leaves."""


class HookRun:
    """The hooks of one assignment."""

    def __init__(self, inventory: Inventory, view: View, delivery: Delivery, before: HookRun | None = None) -> None:
        """`before` are those of the assignment that this one takes the place of, None when it is not known."""
        assignment = delivery.assignment
        self._inventory = inventory
        self._view = view
        self._unit = assignment.unit
        self._digest = REMOVAL if assignment.removed else hooks.content_digest(delivery.bundle.lines)
        self._generation = assignment.generation
        self._leaves = assignment.removed
        self._farewell: list[Manifest] | None = before._farewell if assignment.removed and before else None
        """The hooks for leaving, None while they are not known: an assignment that says so does not hold them."""
        if not assignment.removed:
            self._farewell = hooks.farewells(delivery.bundle.lines)
        self._noted = False
        self._ended: dict[str, Hook] = {}
        """Seen to have ended between passes: an object with a time to live may be gone by the next."""
        self.wanted: dict[Key, Desired] = {}
        self.run = Run("", 0)
        self.found: tuple[Hook, ...] = ()

    async def farewell(self) -> list[Manifest]:
        """The hooks for leaving, when it leaves. Until then they are kept on the cluster, for a later life of ours.

        Raises:
            ApiError: the cluster could not be asked, or does not take them.
            InvalidMessage: what was kept is damaged.
        """
        if self._farewell is None:
            self._farewell = await self._inventory.farewell(self._unit)
        if self._leaves:
            return self._farewell
        await self._inventory.keep_farewell(self._unit, self._farewell)
        return []

    def take(self, prepared: Iterable[Desired]) -> dict[Key, Desired]:
        """Keeps the hooks among the objects of the bundle, and returns the others."""
        listed = list(prepared)
        self.wanted = {each.ref.key: each for each in listed if hints.is_hook(each.manifest)}
        return {each.ref.key: each for each in listed if each.ref.key not in self.wanted}

    async def begin(self, *, anything_there: bool) -> Run:
        """The run as it is known, begun if need be. Nothing is written.

        Raises:
            ApiError: the cluster could not be asked.
        """
        if self.run.digest:
            return self._take_ended()
        note = await self._inventory.hooks(self._unit)
        before = _read(note)
        self._noted = bool(note) and before is not None and before.digest == self._digest
        if self.wanted or before is not None:
            self.run = hooks.begun(before, self._digest, self._generation, anything_there=anything_there)
        return self.run

    def _take_ended(self) -> Run:
        self._advance(hooks.noted(self.run, self._ended.values()))
        self._ended.clear()
        return self.run

    def _advance(self, run: Run) -> None:
        if run != self.run:
            self.run = run
            self._noted = False

    async def note(self) -> None:
        """Writes down how far the run is, if that is news.

        Raises:
            ApiError: it could not be written.
        """
        if not self._noted and self.run.digest:
            await self._inventory.note_hooks(self._unit, msgspec.json.encode(self.run).decode())
            self._noted = True

    def heard(self, key: Key, live: Manifest | None) -> None:
        """A hook's object has changed."""
        for hook in self.found:
            if hook.each.ref.key == key and live is not None and hook.stand not in (Stand.DONE, Stand.FAILED):
                now = hooks.stand(_unknown(hook), self.run, live)
                if now.stand in (Stand.DONE, Stand.FAILED):
                    self._ended[hook.id] = now

    def verdict(self, ref: ObjectRef, stage: int) -> HealthStatus:
        """How far a hook of this stage is, for those who wait for it."""
        now = (each for each in self._now() if each.each.ref.key == ref.key and stage_of(each.moment) == stage)
        return next((each.verdict for each in now if each.stand is not Stand.DONE), _DONE)

    def _now(self) -> tuple[Hook, ...]:
        return tuple(hooks.stand(_unknown(hook), self.run, self._view.get(hook.each.ref)) for hook in self.found)

    def look(self) -> tuple[Hook, ...]:
        """How all hooks stand after a pass; what has ended is remembered."""
        self.found = self._now()
        self._advance(hooks.noted(self.run, self.found))
        return self.found

    def give_up(self, reason: str) -> bool:
        """The revision cannot be applied. Whether there are hooks for that, which have not been asked for yet."""
        if (
            self.run.over
            or self.run.failed
            or not any(
                Moment.FAILED in hooks.moments(each.manifest, first=self.run.first) for each in self.wanted.values()
            )
        ):
            return False
        self._advance(msgspec.structs.replace(self.run, failed=reason))
        return True

    def end(self) -> None:
        """Everything is applied."""
        if self.run.digest:
            self._advance(hooks.ended(self.run))

    def failed(self) -> list[Hook]:
        """Hooks that failed and so stop the revision."""
        return [hook for hook in self.found if hook.stand is Stand.FAILED and hook.moment is not Moment.FAILED]

    def unfinished(self) -> list[Hook]:
        """Hooks without whose end the revision is not applied."""
        return [hook for hook in self.found if hook.stand is not Stand.DONE and hook.moment is not Moment.FAILED]

    def spent(self) -> tuple[list[ObjectRef], Mapping[Key, Manifest]]:
        """Objects to delete as their policy says, and as they are."""
        live = {key: found for key, each in self.wanted.items() if (found := self._view.get(each.ref)) is not None}
        return list(hooks.spent(self.found, live, self.run)), live

    def awaits(self, key: Key) -> bool:
        """Whether a change of this object may let the run go on."""
        return key in self.wanted and not self.run.over

    def objects(self) -> list[ObjectStatus]:
        """For the report."""
        return [_status(hook) for hook in self.found]


_DONE = HealthStatus(Health.HEALTHY)
_ACTIONS = {Stand.DONE: Action.UNCHANGED, Stand.FAILED: Action.FAILED, Stand.RUNNING: Action.CREATED}


def _status(hook: Hook) -> ObjectStatus:
    verdict = hook.verdict
    return ObjectStatus(hook.each.ref, verdict.health, verdict.reason, _ACTIONS.get(hook.stand, Action.PENDING))


def _unknown(hook: Hook) -> Hook:
    return Hook(hook.moment, hook.each)


def _read(note: str) -> Run | None:
    if not note:
        return None
    try:
        return msgspec.json.decode(note, type=Run)
    except msgspec.DecodeError as error:
        log.warning("the note about hooks cannot be read", extra={"note": note[:200], "error": str(error)})
        return None
