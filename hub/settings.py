"""What an operator decides about a hub: environment variables (`YARDARM_…`) over a YAML file over these defaults.

Nested values are written with two underscores (`YARDARM_GIT__POLL_INTERVAL=5`). The only place of the hub that reads
the environment. Which clusters and applications there are is no setting: that stands in Git.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from hub.domain.egress import Rule
from hub.domain.principals import OWNER, PERSON, ROLE, KnownToken, Principal
from hub.domain.statuses import Provider, host_of, provider_of
from shared.errors import DocumentError
from shared.model import Place

_SHA256 = re.compile("[0-9a-f]{64}")


class Section(BaseModel):
    """A group of settings. Unknown names are errors, so that a misspelt one is not silently the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NatsSettings(Section):
    """The way to NATS."""

    url: str = ""
    """`nats://host:4222` or `tls://…`, several with commas. Default empty: the hub runs a server of its own on
    loopback, which is enough for one machine."""
    credentials: Path | None = None
    """A NATS credentials file for the account HUB. Default: minted from the hub's own keys, which is right whenever
    the servers run with the configuration that `Identity.server_config` makes."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port of the hub's own server. Default 0: a free one, kept over restarts so that agents find it again."""
    replicas: Literal[1, 3, 5] = 1
    """Copies of each stream. Default 1, as one server can hold no more; 3 where NATS is a cluster."""


class RepositoryAccess(Section):
    """What one Git server is shown."""

    username: str = ""
    """For https. Default empty: `git` where there is a token, which every large host accepts."""
    token: SecretStr = SecretStr("")
    """For https: an access token that can read, and write where the hub is to. Default empty: anonymous."""
    ssh_key: Path | None = None
    """For ssh: a private key file. Default: none, so ssh addresses cannot be read."""
    ssh_passphrase: SecretStr = SecretStr("")
    """Of `ssh_key`. Default empty: it has none."""


class SignaturePolicy(Section):
    """Who must have signed the commits of some repositories."""

    require: Literal["none", "warn", "enforce"] = "enforce"
    """`enforce` (the default): a commit that is not signed by one of the signers is not acted upon, the last good one
    stays. `warn`: it is, with a finding. `none`: nobody looks."""
    ssh: Path | None = None
    """A file of allowed signers, as for `gpg.ssh.allowedSignersFile` of Git. Default: nobody signs with SSH keys."""
    openpgp: tuple[Path, ...] = ()
    """Files with OpenPGP certificates (`gpg --export --armor`). Default: nobody signs with GnuPG."""

    @model_validator(mode="after")
    def _somebody(self) -> SignaturePolicy:
        if self.require != "none" and self.ssh is None and not self.openpgp:
            raise ValueError("nobody may sign: set `ssh` or `openpgp`, or `require: none`")
        return self


class RolloutSettings(Section):
    """What holds for all rollouts together."""

    rate: float = Field(default=0.0, ge=0)
    """Assignments a second over the whole fleet, so that a change to thousands of clusters does not ask the registries
    for everything at once. Default 0: no limit. Rolling back is never slowed down."""


class StatusAccess(Section):
    """How one Git host is told of rollouts, as statuses of their commits."""

    provider: Provider | None = None
    """`github`, `gitlab`, `gitea` (and Forgejo) or `bitbucket`. Default: told by the host's name, where it is known."""
    token: SecretStr = SecretStr("")
    """An access token that may write commit statuses. Default empty: nothing is shown."""
    api: str = Field(default="", pattern="^(https?://.+)?$")
    """The address of its API, where it is not the usual one: `https://github.example.com/api/v3`. Default: that."""


class GitSettings(Section):
    """How repositories are watched and read."""

    poll_interval: float = Field(default=15.0, ge=1.0)
    """Seconds between looks at a repository, jittered by a quarter. Default 15: one small request; a webhook makes it
    immediate."""
    access: dict[str, RepositoryAccess] = {}
    """Credentials by host (`github.com`) or by address prefix (`github.com/team/`); the longest that fits is used."""
    signatures: dict[str, SignaturePolicy] = {}
    """Who must have signed commits, by host or address prefix as in `access`, or `*` for all repositories; the longest
    that fits is used. Default none: commits count as they are."""
    statuses: dict[str, StatusAccess] = {}
    """Which repositories get commit statuses, by host or address prefix as in `access`; the longest that fits is used.
    Default none."""
    submodules: bool = False
    """Whether submodules are read. Default no: a repository then decides alone what is in it. If so, each is read from
    its own address with what `access` has for that, at the commit that is pinned."""
    local: bool = False
    """Whether documents may name folders of the hub's own machine as repositories. Default no: whoever writes documents
    could then read them. The fleet repository, which is named here, may always be one."""
    author: str = Field(default="Yardarm <yardarm@localhost>", pattern=r"^[^<>\n]*[^<>\s] <[^<>\s]*>$")
    """In whose name the hub commits, where it writes: `Name <mail>`. Default nobody's mail address."""
    signing_key: Path | None = None
    """An OpenSSH private key file, without passphrase, that signs what the hub commits. Default: it is not signed."""
    known_hosts: Path | None = None
    """SSH host keys that are believed. Default: ~/.ssh/known_hosts. An unknown host is refused."""
    connect_timeout: float = Field(default=10.0, gt=0)
    """Seconds to reach a server. Default 10: a server slower than that is down."""
    server_timeout: float = Field(default=30.0, gt=0)
    """Seconds without a byte. Default 30: large repositories think for a while before they send."""
    max_fetch_bytes: int = Field(default=2 * 1024**3, gt=0)
    """Bytes one fetch may bring. Default 2 GiB: more is no configuration."""
    max_file_bytes: int = Field(default=8 * 1024**2, gt=0)
    """Bytes of a manifest that is still read. Default 8 MiB: Kubernetes itself takes 1.5 MiB an object."""

    @field_validator("statuses")
    @classmethod
    def _providers(cls, entries: dict[str, StatusAccess]) -> dict[str, StatusAccess]:
        for prefix, entry in entries.items():
            if entry.provider is None and provider_of(host_of(prefix)) is None:
                raise ValueError(f"which kind of host {prefix} is cannot be told by its name: set `provider`")
        return entries


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


class RenderSettings(Section):
    """Rendering, which handles other people's input."""

    workers: int = Field(default=0, ge=0, le=64)
    """Processes. Default 0: as many as there are processor cores, at most 4."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds for one variant of one application. Default 60; a chart with 800 documents takes 0.02."""
    memory: int = Field(default=1024, ge=64)
    """MiB of address space for one worker. Default 1024: ten times what a large chart needs."""
    helm_binary: str = ""
    """A helm executable that renders charts, a path or a name on PATH. Default: Helm as a library, which is faster."""
    kustomize_binary: str = ""
    """The program that builds kustomizations: kustomize or kubectl, a path or a name on PATH. Default: kustomize, else
    kubectl."""
    kustomize_remotes: tuple[str, ...] = ()
    """Addresses outside their repository that kustomizations may name, by prefix (`github.com/team`). They are had
    through the hub's own mirrors. Default none: what a build reads is in the repository."""


class TelemetrySettings(Section):
    """Logs and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe records written. Default info: what an operator wants to know afterwards."""
    log_style: Literal["json", "text"] = "json"
    """`json` for machines (the default), `text` for a terminal."""


class ApiToken(Section):
    """A token with a name: what `yardarm token create` prints. The token itself is nowhere but with its holder."""

    name: str
    """Whose it is, as approvals and the history show it. Two entries of one name, while one is being replaced, have to
    agree in roles and emails."""
    sha256: str
    """The token's SHA-256, in hex."""
    roles: tuple[str, ...] = ()
    """`viewer` reads and previews, `operator` steers too, `admin` may do everything. Names of teams count for approvals
    only. Default none, which is a viewer."""
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
        holder = Principal(self.name, self.roles, self.emails)
        return KnownToken(self.sha256, holder, expires.timestamp() if expires is not None else None)


class HubSettings(BaseSettings):
    """All settings of `yardarm hub`."""

    model_config = SettingsConfigDict(
        env_prefix="YARDARM_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    state: Path = Path("yardarm-state")
    """Folder for keys, Git mirrors and the hub's own NATS store. Default beside where it is started; in a container
    a volume. The keys in it are the hub's identity: keep a backup."""
    name: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """Of this hub among several, shown as leader. Default host name and process id."""

    host: str = "127.0.0.1"
    """Address of the API and the console. Default loopback: reached from elsewhere only when somebody says so."""
    port: int = Field(default=8470, ge=0, le=65535)
    """Of the API and the console; 0 for a free one."""
    url: str = Field(default="", pattern="^(https?://.+)?$")
    """Where people reach the hub (`https://yardarm.example.com`), for links in commit statuses. Default: no links."""
    token: SecretStr = SecretStr("")
    """What API clients have to show, if they have no token of their own. It may do everything, in the name of `admin`.
    Default empty: one is made, and serves on loopback only."""
    tokens: tuple[ApiToken, ...] = ()
    """Tokens with names and roles, by their hashes; `yardarm token create` makes them. Default none."""
    webhook_secrets: tuple[SecretStr, ...] = ()
    """Any of these may sign a webhook; two while one is being replaced. Default none: webhooks are refused, because
    an open one lets anybody make the hub fetch."""

    fleet_repo: str = ""
    """The fleet repository: an https, ssh or git address, or a path. Must be given."""
    fleet_ref: str = ""
    """Branch, tag or commit of it. Default: the branch the repository itself names (HEAD)."""
    fleet_path: str = ""
    """Folder in it. Default: its root."""
    clusters_file: Path | None = None
    """YAML with Cluster documents for clusters that are not in the fleet repository. Default: none."""

    heartbeat_interval: float = Field(default=10.0, ge=1.0, le=300.0)
    """Seconds between agents' signs of life, as the hub expects them. Default 10: a cluster is Stale after 30."""
    lease: int = Field(default=10, ge=3, le=120)
    """Whole seconds after which another hub takes over from a silent leader. Default 10: longer than a pause of the
    process or a NATS election (5 to 7), short enough for people."""

    audit_retention: float = Field(default=0.0, ge=0)
    """Days for which entries of the audit trail are kept. Default 0: for ever; a year of a busy fleet is about a
    gigabyte."""

    otlp_endpoint: str = Field(
        default="", validation_alias=AliasChoices("YARDARM_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    """Where spans go, as OTLP over HTTP (`http://collector:4318`). Default empty: nowhere; `yardarm trace` works all
    the same. Also read from OTEL_EXPORTER_OTLP_ENDPOINT, as everywhere."""

    nats: NatsSettings = NatsSettings()
    git: GitSettings = GitSettings()
    charts: ChartSettings = ChartSettings()
    checks: CheckSettings = CheckSettings()
    egress: EgressSettings = EgressSettings()
    render: RenderSettings = RenderSettings()
    rollouts: RolloutSettings = RolloutSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which comes in as arguments."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _safe_to_serve(self) -> HubSettings:
        if not self.token.get_secret_value() and not _is_loopback(self.host):
            raise ValueError(f"`host` {self.host} can be reached from elsewhere: set `token` (YARDARM_TOKEN)")
        return self

    @field_validator("tokens")
    @classmethod
    def _persons(cls, tokens: tuple[ApiToken, ...]) -> tuple[ApiToken, ...]:
        first: dict[str, ApiToken] = {}
        for token in tokens:
            other = first.setdefault(token.name, token)
            if other.known.holder != token.known.holder:
                raise ValueError(f"the tokens of {token.name} differ in roles or emails: give both the same")
        if len({token.sha256 for token in tokens}) < len(tokens):
            raise ValueError("two entries have the same sha256: a token belongs to one holder")
        return tokens

    @property
    def embedded(self) -> bool:
        """Whether the hub runs a NATS server of its own."""
        return not self.nats.url


def load(document: Mapping[str, Any] | None = None, file: str = "") -> HubSettings:
    """The settings. `document` is the decoded YAML of `file`, if there is one.

    Raises:
        DocumentError: a value cannot be used; names the file or the environment, the field and what is allowed.
    """
    try:
        return HubSettings(**{str(key): value for key, value in (document or {}).items()})
    except pydantic.ValidationError as error:
        raise _readable(error, file or "settings", "the environment (YARDARM_…) wins over the file") from None


def api_token(entry: Mapping[str, Any]) -> ApiToken:
    """An entry of `tokens`.

    Raises:
        DocumentError: a value cannot be used; names the field and what is allowed.
    """
    try:
        return ApiToken(**entry)
    except pydantic.ValidationError as error:
        raise _readable(error, "tokens") from None


def _readable(error: pydantic.ValidationError, file: str, hint: str = "") -> DocumentError:
    """The first thing that is wrong, without the values: they may be secrets."""
    first = error.errors(include_url=False, include_input=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"there is no such setting{_close(str(first['loc'][-1]))}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return DocumentError(f"{message}{more}", Place(file, field=".".join(map(str, first["loc"]))), hint)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _close(name: str) -> str:
    """What was probably meant."""
    sections = (
        HubSettings, NatsSettings, GitSettings, RepositoryAccess, SignaturePolicy, StatusAccess, ChartSettings,
        ChartAccess, CheckSettings, CheckAccess, EgressSettings, RenderSettings, RolloutSettings, TelemetrySettings,
        ApiToken,
    )  # fmt: skip
    known = [field for section in sections for field in section.model_fields]
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""
