"""What became of objects that were to be written, one by one and over a pass. Pure."""

from __future__ import annotations

import enum

import msgspec

from agent.domain.desired import Key
from shared.messages import Action
from shared.model import Manifest, ObjectRef


class Retry(enum.IntEnum):
    """How soon trying again makes sense."""

    NEVER = 0
    SOON = 1
    """It may pass by itself in seconds."""
    SLOWLY = 2
    """Somebody has to change something first."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one object. `live` is the object as the server returned it, None unless it was written."""

    ref: ObjectRef
    action: Action
    reason: str = ""
    retry: Retry = Retry.NEVER
    digest: str = ""
    live: Manifest | None = None
    retry_after: float | None = None
    no_answer: bool = False
    """The API server did not answer at all."""
    warnings: tuple[str, ...] = ()
    """What the server had to say about it though it took it."""

    @property
    def failed(self) -> bool:
        """Whether the object is not as it should be because of an error."""
        return self.action is Action.FAILED


class Held(msgspec.Struct, frozen=True):
    """An object that was not sent because another is not up: the first in the chain of those that wait."""

    ref: ObjectRef
    cause: ObjectRef
    why: str
    """What the cause is to the object."""
    reason: str
    """What is the matter with the cause."""


class Pass(msgspec.Struct):
    """The outcomes of one pass over steps, and what was held back in it."""

    outcomes: dict[Key, Outcome] = {}
    held: dict[Key, Held] = {}
    cluster_down: str = ""
    """Why the API server gave no answer at all; the rest of the pass was then left out."""

    @property
    def gate(self) -> str:
        """What the rest waits for, empty when all steps were taken."""
        first = next(iter(self.held.values()), None)
        if first is not None:
            return f"waits for {first.cause}: {first.reason}"
        pending = next((each for each in self.outcomes.values() if each.action is Action.PENDING), None)
        return f"{pending.ref}: {pending.reason}" if pending is not None else ""

    def add(self, other: Pass) -> None:
        """Takes in what came of more steps."""
        self.outcomes |= other.outcomes
        self.held |= other.held
        self.cluster_down = self.cluster_down or other.cluster_down

    @property
    def clean(self) -> bool:
        """Whether every step was taken and nothing failed."""
        return not (self.gate or self.cluster_down or any(each.failed for each in self.outcomes.values()))

    @property
    def retry(self) -> Retry:
        """The soonest retry that any object asks for."""
        wanted = [each.retry for each in self.outcomes.values() if each.retry is not Retry.NEVER]
        return min(wanted, default=Retry.SOON if self.cluster_down else Retry.NEVER)
