"""API tokens that were made through the API, as they are stored, and who may make which. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hub.domain.access import exceeding, held
from hub.domain.principals import EVERY, OWNER, ROLES, Grant, KnownToken, Principal
from shared.model import Value


class IssuedToken(Value, frozen=True, omit_defaults=True):
    """One token. Of the token itself only its SHA-256 (hex) is kept. Times are unix seconds.

    `roles` are names of teams. `used` is about when it was last shown, to the hour; `revoked` and `revoked_by` are set
    on a token that opens nothing any more, which is remembered for a while so that every hub hears of it.
    """

    id: str
    name: str
    sha256: str
    grants: tuple[Grant, ...]
    created_at: float
    created_by: str
    roles: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    expires: float | None = None
    used: float | None = None
    revoked: float | None = None
    revoked_by: str = ""

    @property
    def known(self) -> KnownToken:
        """As whoever shows it is known."""
        return KnownToken(self.sha256, Principal(self.name, self.roles, self.emails, self.grants), self.expires)


def objection(creator: Principal, name: str, roles: Sequence[str], grants: Sequence[Grant]) -> str:
    """Why `creator` may not make such a token; empty when they may. Nobody gives what they do not have.

    Who is not an admin everywhere gives no team's name but their own teams', and names tokens after themselves: names
    count in approvals.
    """
    if name == OWNER:
        return f"{OWNER} is who holds the hub's own token: choose another name"
    more = exceeding(creator, grants)
    if more is not None:
        return f"a token may not do more than who makes it: {more} is asked for; {creator.name} has {held(creator)}"
    if exceeding(creator, [Grant("admin")]) is None:
        return ""
    teams = sorted(set(roles) - set(creator.roles) - set(ROLES))
    if teams:
        return f"{creator.name} is not of the team {teams[0]}: only an admin of everything gives teams away"
    if not name.startswith(f"{creator.name}."):
        return f"choose a name that begins with `{creator.name}.`: only an admin of everything gives others' names"
    return ""


def manages(principal: Principal, token: IssuedToken) -> bool:
    """Whether `principal` may see and revoke a token: one that may do no more than itself may as an admin."""
    as_admin = tuple(Grant("admin", each.projects or (EVERY,), each.environments or (EVERY,)) for each in token.grants)
    return exceeding(principal, as_admin or (Grant("admin"),)) is None
