"""Who asks: a name, grants of three roles (each may do what the one before may), and names of teams.

What a grant opens is decided in `hub.domain.access`. A team's role (`sre`) opens nothing by itself; approvals ask for
it (`hub.domain.approvals`).
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


EVERY = "*"
"""In a grant: all projects, or all environments; also clusters that are in no environment."""


class Grant(Value, frozen=True, omit_defaults=True):
    """A role in some projects and environments, by name. What is left out is everything."""

    role: Role
    projects: tuple[str, ...] = (EVERY,)
    environments: tuple[str, ...] = (EVERY,)

    def gives(self, role: Role) -> bool:
        """Whether its role may do what needs `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def __str__(self) -> str:
        where = [f"{what} {', '.join(names)}" for what, names in self._limits()]
        return " in ".join([self.role, " and ".join(where)]) if where else self.role

    def _limits(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        parts = (("project", self.projects), ("environment", self.environments))
        return tuple((what, names) for what, names in parts if EVERY not in names)


class Principal(Value, frozen=True):
    """A person or a machine that the hub knows by its token or login. `emails` are those of its commits.

    `roles` are names of teams, and roles that it has everywhere; `grants` are roles that it has somewhere.
    """

    name: str
    roles: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()

    @property
    def granted(self) -> tuple[Grant, ...]:
        """All its grants: who has none may do nothing."""
        return (*(Grant(role) for role in ROLES if role in self.roles), *self.grants)

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
