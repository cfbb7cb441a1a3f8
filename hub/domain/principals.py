"""Who asks, and what they may do: three roles, each of which may do what the one before may, and names of teams.

A team's role (`sre`) opens nothing by itself; approvals ask for it (`hub.domain.approvals`).
"""

from __future__ import annotations

import re
from typing import Literal

from shared.model import Value

Role = Literal["viewer", "operator", "admin"]
"""What a request may need: viewers read and preview, operators steer, admins may do everything."""

ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From the least to the most."""

OWNER = "admin"
"""The name of whoever holds the hub's own token."""

PERSON = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")
"""What a person or a machine with a token can be called."""

ROLE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""What a role can be called."""


class Principal(Value, frozen=True):
    """A person or a machine that the hub knows by its token. `emails` are those of its commits."""

    name: str
    roles: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()

    def may(self, role: Role) -> bool:
        """Whether it can do what needs `role`."""
        return self.is_a(role)

    def is_a(self, role: str) -> bool:
        """Whether it counts as one with this role, or of this team.

        Everybody who is known is a viewer, an operator is what a viewer is, and an admin is everything.
        """
        enough = ROLES[ROLES.index(role) :] if role in ROLES else (role, ROLES[-1])
        return role == ROLES[0] or any(each in self.roles for each in enough)

    def wrote(self, author: str) -> bool:
        """Whether it is the author of a commit, given as `Ann <ann@example.com>`, or one of the two alone.

        Of an address, capital letters do not matter. Somebody whose commits bear the name of its token is it as well.
        """
        name, _, email = author.rpartition("<")
        known = {each.casefold() for each in (*self.emails, self.name)}
        return any(part and part in known for part in (name.strip().casefold(), email.rstrip("> ").casefold()))


class KnownToken(Value, frozen=True):
    """A token that opens the API: its SHA-256 in hex, whose it is, and until when (unix seconds, None for ever)."""

    sha256: str
    holder: Principal
    expires: float | None = None
