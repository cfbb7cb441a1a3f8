"""Approvals: who has agreed that a stage may start, and whether that is enough. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hub.domain.staging import Approve
from shared.model import Value


class Approval(Value, frozen=True, omit_defaults=True):
    """A person's word that a stage may start."""

    stage: str
    by: str
    at: float
    roles: tuple[str, ...] = ()
    comment: str = ""


class Approved(Value, frozen=True):
    """How far a stage's approval is: empty `missing` means that it is given."""

    given: tuple[Approval, ...]
    needed: int
    missing: str
    expires: float | None = None


def verdict(approve: Approve, approvals: Iterable[Approval], author: str, now: float) -> Approved:  # noqa: ARG001
    """What these approvals come to."""
    given = tuple({each.by: each for each in approvals}.values())
    lacking = approve.count - len(given)
    missing = "" if lacking <= 0 else f"{lacking} of {approve.count} approvals by {', '.join(approve.by)}"
    return Approved(given, approve.count, missing)
