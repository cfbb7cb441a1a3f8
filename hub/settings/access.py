"""Who may use the API: tokens, the login provider, and how much is let through."""

from __future__ import annotations

import re
import urllib.parse
from datetime import UTC, datetime

from pydantic import Field, SecretStr, field_validator, model_validator

from hub.domain.limiting import Limits, Rate
from hub.domain.logins import Membership, Reading
from hub.domain.principals import EVERY, OWNER, PERSON, ROLE, ROLES, Grant, KnownToken, Principal, Role
from hub.settings.section import Section

_SHA256 = re.compile("[0-9a-f]{64}")
_SCOPE = re.compile(r"\*|[a-z0-9-]{1,63}")


class GrantSettings(Section):
    """A role in some projects and environments."""

    role: Role
    """`viewer` reads, `operator` steers too, `admin` may do everything, there."""
    projects: tuple[str, ...] = (EVERY,)
    """Names of projects. Default `*`: all."""
    environments: tuple[str, ...] = (EVERY,)
    """Names of environments. Default `*`: all, and clusters in none."""

    @field_validator("projects", "environments")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or not all(_SCOPE.fullmatch(name) for name in names):
            raise ValueError(f"names of a-z, 0-9 and `-`, or `{EVERY}` for all; leave it out for all")
        return names

    @property
    def grant(self) -> Grant:
        """As decisions know it."""
        return Grant(self.role, self.projects, self.environments)


class ApiToken(Section):
    """A token with a name: what `yardarm token create` prints. The token itself is nowhere but with its holder."""

    name: str
    """Whose it is, as approvals and the history show it. Two entries of one name, while one is being replaced, have to
    agree in roles, grants and emails."""
    sha256: str
    """The token's SHA-256, in hex."""
    roles: tuple[str, ...] = ()
    """`viewer` reads and previews, `operator` steers too, `admin` may do everything: everywhere. Names of teams count
    for approvals only. Default none: a viewer of everything, unless there are `grants`."""
    grants: tuple[GrantSettings, ...] = ()
    """Roles in some projects and environments only. Default none."""
    emails: tuple[str, ...] = ()
    """The holder's addresses in commits: who wrote a commit may be kept from approving it. Default none."""
    expires: datetime | None = None
    """When it ends, as a date or date-time (UTC where no zone is given). Default never."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if name == OWNER:
            raise ValueError(f"{OWNER} is who holds the hub's own `token`: choose another name")
        if not PERSON.fullmatch(name):
            raise ValueError(
                "a name is at most 64 letters, digits and `.`, `_`, `@`, `-`, with a letter or digit at both ends"
            )
        return name

    @field_validator("sha256")
    @classmethod
    def _hash(cls, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256 in hex: take what `yardarm token create` prints, never the token itself")
        return sha256

    @field_validator("roles")
    @classmethod
    def _roles(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        if not all(ROLE.fullmatch(role) for role in roles):
            raise ValueError("a role is at most 63 of a-z, 0-9 and `-`, and neither begins nor ends with `-`")
        return roles

    @field_validator("emails")
    @classmethod
    def _emails(cls, emails: tuple[str, ...]) -> tuple[str, ...]:
        if not all("@" in email.strip("@") for email in emails):
            raise ValueError("an address in commits is written like ann@example.com")
        return emails

    @property
    def known(self) -> KnownToken:
        """As the API knows it."""
        expires = self.expires
        if expires is not None and expires.tzinfo is None:
            expires = expires.replace(tzinfo=UTC)
        roles = self.roles
        if not self.grants and not set(roles) & set(ROLES):
            roles = (*roles, ROLES[0])
        holder = Principal(self.name, roles, self.emails, tuple(each.grant for each in self.grants))
        return KnownToken(self.sha256, holder, expires.timestamp() if expires is not None else None)


class GroupSettings(Section):
    """What the members of one of the provider's groups are given."""

    grants: tuple[GrantSettings, ...] = ()
    """Roles, each in some projects and environments. Default none: members may do nothing by this group."""
    teams: tuple[str, ...] = ()
    """Names of teams, for approvals. Default none."""

    @field_validator("teams")
    @classmethod
    def _teams(cls, teams: tuple[str, ...]) -> tuple[str, ...]:
        if not all(ROLE.fullmatch(team) and team not in ROLES for team in teams):
            raise ValueError(f"a team is at most 63 of a-z, 0-9 and `-`, and none of {', '.join(ROLES)}")
        return teams


class LoginSettings(Section):
    """The login provider (OpenID Connect)."""

    issuer: str = Field(default="", pattern="^(https?://.+)?$")
    """Its address, exactly as it calls itself (`https://login.example.com/realms/main`); https, but on this machine.
    Default empty: only tokens open the hub."""
    client_id: str = ""
    """What the provider calls this hub. Its redirect address is `<url>/login/callback`. Must be given with `issuer`."""
    client_secret: SecretStr = SecretStr("")
    """What the hub shows the provider. All hubs of a fleet have the same. Must be given with `issuer`."""
    cli_client_id: str = ""
    """What the provider calls `yardarm login`: a public client, with loopback redirect addresses or the device flow.
    Default empty: command lines use tokens of the hub."""
    audiences: tuple[str, ...] = ()
    """For whom else the provider's tokens may be made out (`aud`) to be taken here. Default: these clients only."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """What is asked for; some providers tell groups only for a scope of their own. Default: openid, profile, email."""
    name_claim: str = "email"
    """The claim that somebody is called by, in approvals and in the history: choose one that nobody can change for
    themselves. Default `email`, which then has to be verified by the provider."""
    groups_claim: str = "groups"
    """The claim with the names of somebody's groups. Default `groups`."""
    groups: dict[str, GroupSettings] = {}
    """What groups are given, by the provider's name for them. Who is in none of them may do nothing. Default none."""
    session_hours: float = Field(default=12.0, gt=0, le=24 * 30)
    """Hours until a browser has to log in again; groups are as they were when it did. Default 12: a working day."""

    @model_validator(mode="after")
    def _complete(self) -> LoginSettings:
        if not self.issuer:
            return self
        parts = urllib.parse.urlsplit(self.issuer)
        if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("`issuer` has to be https: whoever is on the way could log in as anybody")
        if not self.client_id or not self.client_secret.get_secret_value():
            raise ValueError("`issuer` needs `client_id` and `client_secret` as well")
        if "openid" not in self.scopes:
            raise ValueError("`scopes` has to have `openid` in it: that is what asks for an ID token")
        return self

    @property
    def reading(self) -> Reading:
        """How claims are read."""
        groups = {
            name: Membership(tuple(each.grant for each in group.grants), group.teams)
            for name, group in self.groups.items()
        }
        return Reading(self.name_claim, self.groups_claim, groups)


class LimitSettings(Section):
    """How much the API lets through; more is answered with 429, 413 or 408."""

    per_caller: float = Field(default=200.0, gt=0)
    """Requests a second of one caller, ten times as many at once. Default 200: a page asks for ten things at a time."""
    per_address: float = Field(default=400.0, gt=0)
    """Requests a second of one address, ten times as many at once. Default 400: several people may be behind one."""
    failures: float = Field(default=30.0, ge=1)
    """Wrong tokens and failed logins of one address in a minute. Default 30; right ones are taken all the same."""
    body: int = Field(default=1024 * 1024, ge=1024)
    """Bytes of a request's body; webhooks may have 5 MiB. Default 1 MiB."""
    patience: float = Field(default=15.0, gt=0, le=300)
    """Seconds in which a body has to come. Default 15."""

    @property
    def limits(self) -> Limits:
        """As the API knows them."""
        return Limits(
            caller=Rate(self.per_caller, 10 * self.per_caller),
            address=Rate(self.per_address, 10 * self.per_address),
            failures=Rate(self.failures / 60, self.failures),
            body=self.body,
            patience=self.patience,
        )
