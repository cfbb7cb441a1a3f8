"""How repositories are watched and read, and whose commits count."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from hub.domain.statuses import Provider, host_of, provider_of
from hub.settings.section import Section


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
