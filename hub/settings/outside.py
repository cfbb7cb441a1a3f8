"""Where the hub may connect to, and what chart repositories and the servers of checks are shown."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from hub.domain.egress import Rule
from hub.settings.section import Section


class EgressSettings(Section):
    """Where the hub may connect to because a document names it: for Git, charts and checks.

    Rules are host names, `*.domain`, addresses or networks, each with or without `:port`. `deny` comes first, then
    `allow`, then the default: everything but loopback, link-local, multicast and cloud metadata addresses.
    """

    allow: tuple[str, ...] = ()
    """What may be reached although the default, or `deny: ["*"]`, refuses it. Default none."""
    deny: tuple[str, ...] = ()
    """What may not be reached. `*` stands for everything that `allow` does not name. Default none."""

    @field_validator("allow", "deny")
    @classmethod
    def _can_be_read(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            Rule.parse(rule)
        return rules


class ChartAccess(Section):
    """What one chart repository or registry is shown, and how it is reached."""

    username: str = ""
    """Default empty: the token is sent as it is, as a bearer token."""
    token: SecretStr = SecretStr("")
    """A token or password. Default empty: anonymous."""
    plain_http: bool = False
    """Reached without TLS, secrets included: for a registry on the same machine. Default no."""


class ChartSettings(Section):
    """How chart repositories and registries are watched and read."""

    poll_interval: float = Field(default=60.0, ge=1.0)
    """Seconds between looks at a chart repository, jittered by a quarter. Default 60: charts are released by the day,
    and an index is large."""
    access: dict[str, ChartAccess] = {}
    """Credentials by host (`charts.example.com`) or by address prefix (`charts.example.com/team/`); the longest that
    fits is used."""


class CheckAccess(Section):
    """What one server that checks ask is shown, and how it is reached."""

    username: str = ""
    """Default empty: the token is sent as it is, as a bearer token."""
    token: SecretStr = SecretStr("")
    """A token or password. Default empty: anonymous."""
    headers: dict[str, SecretStr] = {}
    """More headers that it is shown, such as `X-Scope-OrgID`. Default none."""
    plain_http: bool = False
    """Reached without TLS, secrets included: for a server in the same cluster. Default no."""


class CheckSettings(Section):
    """How the checks of rollouts are measured."""

    timeout: float = Field(default=10.0, gt=0, le=60)
    """Seconds for one measurement, redirects included. Default 10: a query that takes longer is none for a gate."""
    access: dict[str, CheckAccess] = {}
    """Credentials by host (`prometheus.example.com`) or by address prefix (`metrics.example.com/team/`); the longest
    that fits is used. Documents in Git carry none."""
