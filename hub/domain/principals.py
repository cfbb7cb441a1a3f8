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
"""The name of whoever holds the hub's own token, and the role that it has."""

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
        """Whether it can do what needs `role`. Everybody who is known is at least a viewer."""
        return role == ROLES[0] or any(each in self.roles for each in ROLES[ROLES.index(role) :])


class KnownToken(Value, frozen=True):
    """A token that opens the API: its SHA-256 in hex, whose it is, and until when (unix seconds, None for ever)."""

    sha256: str
    holder: Principal
    expires: float | None = None
