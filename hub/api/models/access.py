"""Shapes of tokens, of who asks, and of how to log in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from hub.api.models.common import Shape, Time
from hub.domain.principals import EVERY, PERSON, ROLE, Role

Scope = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9-]{1,63})$")]
"""The name of a project or environment, or `*` for all."""
Scopes = Annotated[tuple[Scope, ...], Field(min_length=1, max_length=1000)]


class GrantShape(BaseModel):
    """A role in some projects and environments; left out, or `*`: in all."""

    model_config = ConfigDict(extra="forbid")

    role: Role
    projects: Scopes = (EVERY,)
    environments: Scopes = (EVERY,)


class NewToken(BaseModel):
    """A token to make. `teams` count in approvals, `emails` are the holder's in commits, `expires` is unix seconds."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(pattern=rf"^{PERSON.pattern}$")]
    grants: Annotated[tuple[GrantShape, ...], Field(min_length=1, max_length=100)]
    teams: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=rf"^{ROLE.pattern}$")], ...], Field(max_length=100)
    ] = ()
    emails: Annotated[tuple[Annotated[str, Field(max_length=254)], ...], Field(max_length=20)] = ()
    expires: Annotated[float, Field(gt=0, lt=1e12)] | None = None


class Token(Shape):
    """A token, without itself. `used` is when it was last shown, to the hour."""

    id: str
    name: str
    grants: list[GrantShape]
    teams: list[str]
    emails: list[str]
    created_at: Time
    created_by: str
    expires: Time | None
    used: Time | None


class MadeToken(Token):
    """A token just made: `token` is told this once and kept nowhere."""

    token: str


class Self(Shape):
    """Who asks. `csrf` is what a page sends as X-CSRF-Token when it changes something; empty without a session."""

    name: str
    via: Literal["token", "oidc", "page"]
    grants: list[GrantShape]
    teams: list[str]
    csrf: str


class LoginWays(BaseModel):
    """How to log in: null where only tokens open this hub. `clientId` is the public client of command lines."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    issuer: str | None
    client_id: str | None
    scopes: list[str]


class Revoked(Shape):
    """The token that opens nothing any more."""

    id: str
