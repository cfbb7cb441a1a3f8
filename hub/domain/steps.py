"""What moves a rollout on, and what has to be done about it: the events and commands of `hub.domain.rollout`. Pure."""

from __future__ import annotations

import msgspec

from hub.domain.checks import Measurement
from hub.domain.requests import Asked
from hub.domain.runs import Around, Plan, Rollout, Sight
from shared.messages import Severity
from shared.model import Value


class Proposed(Value, frozen=True):
    """What the newest commit amounts to; `around` and `sights` as of now, should it begin by this."""

    plan: Plan
    around: Around = Around()
    sights: dict[str, Sight] = msgspec.field(default_factory=dict)


class Observed(Value, frozen=True):
    """What can be seen of some clusters now."""

    sights: dict[str, Sight]


class Surrounded(Value, frozen=True):
    """What has to be heeded of the world around."""

    around: Around


class Measured(Value, frozen=True):
    """A check of a stage was measured; `check` is its number, from 0."""

    stage: str
    check: int
    measurement: Measurement


class Tick(Value, frozen=True):
    """Time has passed."""


Event = Asked | Proposed | Observed | Surrounded | Measured | Tick


class Move(Value, frozen=True):
    """Bring these clusters in line with `Rollout.position`, in this order."""

    clusters: tuple[str, ...]


class Again(Value, frozen=True):
    """Have these clusters try once more what they have."""

    clusters: tuple[str, ...]


class Tell(Value, frozen=True, omit_defaults=True):
    """Something for the history. `key` names it within the rollout: equal keys are one entry."""

    key: str
    type: str
    severity: Severity
    message: str
    by: str = ""


class Ended(Value, frozen=True):
    """Another rollout, which has come to its end by this, and what there is to tell of that."""

    rollout: Rollout
    told: tuple[Tell, ...] = ()


Command = Move | Again | Tell | Ended
