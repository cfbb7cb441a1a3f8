"""What the hub asks of an agent, and its answers. Nothing that is asked changes anything, and nothing of it is kept."""

from __future__ import annotations

from typing import Literal

from shared.messages import FieldDrift, Policy
from shared.model import ObjectRef, UnitKey, Value

LONGEST = 60.0
"""Seconds that an agent gives one question at the most."""


class Question(Value, frozen=True, omit_defaults=True):
    """What would applying this to a unit do? Answered with dry runs, as far as `within` seconds allow.

    `body` is zstd of one JSON line per object. `signature` covers every other field, as that of an assignment does.
    """

    v: int
    cluster: str
    namespace: str
    application: str
    policy: Policy
    body: bytes
    within: float
    key: str = ""
    signature: bytes = b""

    @property
    def unit(self) -> UnitKey:
        """The unit it is about, which need not be on the cluster yet."""
        return UnitKey(self.cluster, self.namespace, self.application)


class Expected(Value, frozen=True, omit_defaults=True):
    """What applying would do to one object, as its API server says. Secrets are masked.

    `refused` comes with the server's words as `reason`; `unknown` with what is in the way of asking.
    """

    ref: ObjectRef
    action: Literal["created", "changed", "refused", "unknown"]
    fields: tuple[FieldDrift, ...] = ()
    reason: str = ""


class Answer(Value, frozen=True, omit_defaults=True):
    """Objects that would not stay as they are, and the number of those that would.

    `answered` is false when nothing could be found out; `reason` then says why, else what is missing.
    """

    v: int
    answered: bool
    unchanged: int = 0
    objects: tuple[Expected, ...] = ()
    reason: str = ""
