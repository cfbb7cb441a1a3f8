"""All settings of a hub together, and what is wrong with them in words."""

from __future__ import annotations

import difflib
import ipaddress
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pydantic
from pydantic import AliasChoices, BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from hub.settings.access import ApiToken, LimitSettings, LoginSettings
from hub.settings.git import GitSettings
from hub.settings.outside import ChartSettings, CheckSettings, EgressSettings
from hub.settings.running import NatsSettings, RenderSettings, RolloutSettings, TelemetrySettings
from shared.errors import DocumentError
from shared.model import Place


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
    """Where people reach the hub (`https://yardarm.example.com`), for links in commit statuses and for logins. Where it
    is https, browsers are told to use nothing else. Default empty: no links, no logins."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies in front of the hub, which are believed about whom they ask for: limits and the
    audit trail go by that. Default none: whoever connects is who asks."""
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
    login: LoginSettings = LoginSettings()
    limits: LimitSettings = LimitSettings()

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
        if self.login.issuer and not self.url:
            raise ValueError("`login` needs `url`, where people reach the hub: the provider sends them back there")
        return self

    @property
    def https(self) -> bool:
        """Whether people reach the hub by https."""
        return self.url.startswith("https://")

    @field_validator("tokens")
    @classmethod
    def _persons(cls, tokens: tuple[ApiToken, ...]) -> tuple[ApiToken, ...]:
        first: dict[str, ApiToken] = {}
        for token in tokens:
            other = first.setdefault(token.name, token)
            if other.known.holder != token.known.holder:
                raise ValueError(f"the tokens of {token.name} differ in roles, grants or emails: give both the same")
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
        message = f"there is no such setting{_close(first['loc'])}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return DocumentError(f"{message}{more}", Place(file, field=".".join(map(str, first["loc"]))), hint)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _close(where: tuple[int | str, ...]) -> str:
    """What was probably meant: a name of the same section, else of any."""
    section: type[BaseModel] = HubSettings
    every = dict.fromkeys(section.model_fields)
    for part in where[:-1]:
        field = section.model_fields.get(str(part))
        section = next(_sections_in(field.annotation), section) if field is not None else section
    for each in _sections():
        every |= dict.fromkeys(each.model_fields)
    near = (difflib.get_close_matches(str(where[-1]), names, 1) for names in (section.model_fields, every))
    return next((f"; did you mean {close[0]}?" for close in near if close), "")


def _sections(section: type[BaseModel] | None = None) -> Iterator[type[BaseModel]]:
    """All groups of settings, at any depth."""
    for field in (section or HubSettings).model_fields.values():
        for inner in _sections_in(field.annotation):
            yield inner
            yield from _sections(inner)


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a setting's type has in it: itself, or the entries of a map or list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _sections_in(each)
