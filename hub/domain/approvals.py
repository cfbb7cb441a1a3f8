"""Whether a stage has the approvals it asks for, and whether one more would count. Pure.

A person counts once, however often they approve, by the newest of their approvals. What they were (roles, addresses) is
kept with the approval, so that a token that is changed later changes no decision that was made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hub.domain.principals import Principal
from hub.domain.staging import USER, Approve
from shared.model import Value


class Approval(Value, frozen=True):
    """Somebody's word for a stage. `at` is unix seconds; `roles` and `emails` are what they had then."""

    stage: str
    by: str
    roles: tuple[str, ...]
    at: float
    comment: str = ""
    emails: tuple[str, ...] = ()

    @property
    def principal(self) -> Principal:
        """Who approved, as they were then."""
        return Principal(self.by, self.roles, self.emails)


class Approved(Value, frozen=True):
    """How far a stage is approved.

    `given` are the approvals that count, the oldest first. `missing` says who has yet to approve, empty when there are
    enough. `expires` is when that is over if nobody else approves (unix seconds, None: never): then there are not
    enough any more, or one fewer where there are too few already.
    """

    given: tuple[Approval, ...]
    needed: int
    missing: str
    expires: float | None

    @property
    def enough(self) -> bool:
        """Whether the stage may start."""
        return not self.missing


def verdict(approve: Approve, approvals: Iterable[Approval], authors: tuple[str, ...], now: float) -> Approved:
    """What the approvals of a stage amount to. `authors` are the commit's (`Commit.written_by`)."""
    newest: dict[str, Approval] = {}
    for each in sorted(approvals, key=lambda each: each.at):
        if _counts(approve, each.principal, authors) and not _expired(approve, each, now):
            newest[each.by] = each
    given = tuple(sorted(newest.values(), key=lambda each: (each.at, each.by)))
    lacking = approve.count - len(given)
    missing = f"{lacking} more of {wanted(approve)}" if lacking > 0 else ""
    ends = [each.at + approve.expires for each in given] if approve.expires else []
    return Approved(given, approve.count, missing, ends[max(0, -lacking)] if ends else None)


def objection(approve: Approve, principal: Principal, authors: tuple[str, ...], already: Collection[Approval]) -> str:
    """Why an approval of this person would not count; empty when it would.

    `authors` are the commit's, as for `verdict`; `already` are the approvals that count now (`Approved.given`).
    """
    if not any(_is(principal, each) for each in approve.by):
        has = ", ".join(principal.roles) or "no role"
        return f"this is for {wanted(approve)} to approve; {principal.name} has {has}"
    if not _counts(approve, principal, authors):
        return f"{principal.name} wrote the commit, and whoever did may not approve it (notAuthor)"
    if any(each.by == principal.name for each in already):
        return f"{principal.name} has approved it already"
    return ""


def wanted(approve: Approve) -> str:
    """Who may approve, in words."""
    return " or ".join(approve.by) + (" (not the commit's author)" if approve.not_author else "")


def _counts(approve: Approve, principal: Principal, authors: tuple[str, ...]) -> bool:
    if approve.not_author and any(principal.wrote(each) for each in authors):
        return False
    return any(_is(principal, each) for each in approve.by)


def _is(principal: Principal, approver: str) -> bool:
    if approver.startswith(USER):
        return principal.name == approver.removeprefix(USER) or principal.is_a("admin")
    return principal.is_a(approver)


def _expired(approve: Approve, approval: Approval, now: float) -> bool:
    return approve.expires > 0 and approval.at + approve.expires <= now
