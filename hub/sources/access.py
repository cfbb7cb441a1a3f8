"""How a remote repository is reached: credentials, limits, and libgit2's errors in words a person can act on.

Secrets are handed to libgit2 on request and stand nowhere else: not in addresses, configuration files or messages.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pygit2
from pygit2.enums import CredentialType

from hub.domain import urls
from shared.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Credentials:
    """What may be shown to one repository's server.

    `token` (with `username`) serves http(s); `ssh_key` names a private key file, with `ssh_passphrase` when it has one.
    `entry` is where an operator wrote them, for messages: `git.access.github.com`.
    """

    username: str = ""
    token: str = field(default="", repr=False)
    ssh_key: Path | None = None
    ssh_passphrase: str = field(default="", repr=False)
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one repository may cost."""

    connect_timeout: float = 10.0
    """Seconds to reach the server. libgit2 keeps it per process: the last mirror made decides."""
    server_timeout: float = 30.0
    """Seconds without a byte from the server. Per process, as above."""
    fetch_bytes: int = 2 * 1024**3
    """Bytes one fetch may download."""
    file_bytes: int = 8 * 1024**2
    """A manifest larger than this is refused, not read."""
    source_files: int = 20_000
    """Files below one application's path."""
    source_bytes: int = 64 * 1024**2
    """Bytes of manifests below one application's path."""


def configure(limits: Limits, known_hosts: Path | None = None, home: Path | None = None) -> None:
    """Set libgit2's process-wide options: timeouts, and where SSH host keys are looked up.

    Without `known_hosts` it is ~/.ssh/known_hosts. libgit2 only knows that name below a home directory, so `home`, a
    directory of ours, gets a link to the file.
    """
    pygit2.settings.server_connect_timeout = int(limits.connect_timeout * 1000)
    pygit2.settings.server_timeout = int(limits.server_timeout * 1000)
    if known_hosts is not None and home is not None:
        link = home / ".ssh" / "known_hosts"
        link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        link.unlink(missing_ok=True)
        link.symlink_to(known_hosts.resolve())
        pygit2.settings.homedir = str(home)


class Stopped(Exception):
    """The mirror was closed while it fetched."""


class Callbacks(pygit2.RemoteCallbacks):
    """Answers libgit2's questions during one connection."""

    def __init__(
        self, location: urls.Location, credentials: Credentials, limits: Limits, stop: threading.Event
    ) -> None:
        super().__init__()
        self._location = location
        self._credentials = credentials
        self._limits = limits
        self._stop = stop
        self._asked: set[CredentialType] = set()

    def credentials(
        self, url: str, username_from_url: str | None, allowed_types: CredentialType
    ) -> pygit2.Username | pygit2.UserPass | pygit2.Keypair | pygit2.KeypairFromAgent:
        """Each kind is offered once: libgit2 would ask again and again for what the server refuses.

        `url` is who asks: the address, or where its server has redirected to.
        """
        self._same_server(url)
        user = username_from_url or self._location.user or self._credentials.username or "git"
        if allowed_types & CredentialType.USERNAME:
            return pygit2.Username(user)
        if allowed_types & CredentialType.SSH_KEY:
            none = "its server wants an SSH key: none is set for it, and no SSH agent offers one that it takes"
            self._once(CredentialType.SSH_KEY, "its server refused the SSH key" if self._credentials.ssh_key else none)
            return self._ssh(user)
        if allowed_types & CredentialType.USERPASS_PLAINTEXT:
            return self._password()
        raise Unavailable("its server asks for credentials of a kind that is not supported")

    def certificate_check(self, certificate: None, valid: bool, host: bytes) -> bool:  # noqa: FBT001
        """Believe a server only when libgit2 does. Without this, pygit2 lets every SSH host key pass."""
        del certificate
        if valid:
            return True
        name = host.decode(errors="replace")
        if self._location.transport == "ssh":
            raise Unavailable(
                f"the SSH host key of {name} is not in known_hosts, or is another one there "
                f"(ssh-keyscan {name} shows it: compare it with what its operator publishes)"
            )
        raise Unavailable(
            f"the certificate of {name} is not trusted here (add its authority to the system's, or set SSL_CERT_FILE)"
        )

    def transfer_progress(self, stats: pygit2.remotes.TransferProgress) -> None:
        """Abort what is too large, and what nobody waits for any more."""
        if self._stop.is_set():
            raise Stopped
        if stats.received_bytes > self._limits.fetch_bytes:
            raise Unavailable(f"it is larger than the limit of {self._limits.fetch_bytes // 1024**2} MB for one fetch")

    def sideband_progress(self, string: str) -> None:
        """A server may talk for ever without sending data."""
        del string
        if self._stop.is_set():
            raise Stopped

    def _same_server(self, url: str) -> None:
        """Secrets are for the server that was named, not for another one that it refers to."""
        asking, named = urls.parse(url), self._location
        upgraded = (named.url.startswith("http:"), named.port, asking.port) == (True, 80, 443)
        if asking.host != named.host or not (asking.port == named.port or upgraded):
            raise Unavailable(
                f"its server redirects to {asking.host}:{asking.port}, which is not shown the credentials for "
                f"{named.host}: where that is the right place, write its address instead"
            )

    def _ssh(self, user: str) -> pygit2.Keypair | pygit2.KeypairFromAgent:
        key = self._credentials.ssh_key
        if key is None:
            return pygit2.KeypairFromAgent(user)
        if not key.is_file():
            raise Unavailable(f"the SSH key file {key} does not exist")
        public = key.with_name(key.name + ".pub")
        return pygit2.Keypair(
            user, str(public) if public.is_file() else None, str(key), self._credentials.ssh_passphrase
        )

    def _password(self) -> pygit2.UserPass:
        token = self._credentials.token or self._location.password
        # GitHub, GitLab, Gitea and Bitbucket take any user name beside a token.
        user = self._credentials.username or self._location.user or "git"
        if not token:
            raise Unavailable("its server asks for credentials, and none are set for it")
        self._once(CredentialType.USERPASS_PLAINTEXT, "its server refused the token")
        return pygit2.UserPass(user, token)

    def _once(self, kind: CredentialType, refusal: str) -> None:
        if kind in self._asked:
            raise Unavailable(refusal)
        self._asked.add(kind)


REDIRECTS = "http.followRedirects"
"""libgit2 follows a redirect to another host, unless this is false in a repository's configuration."""


def explain(location: urls.Location, error: Exception, done: str = "read") -> Unavailable:
    """What libgit2 said, as one sentence about this repository with what to do. `done` is what could not be done."""
    text = urls.redact(str(error.args[0] if isinstance(error, KeyError) and error.args else error))
    hint = _hint(location, text.lower())
    return Unavailable(f"{urls.redact(location.url)} cannot be {done}: {text}{f' ({hint})' if hint else ''}")


_HINTS = (
    ("cannot redirect from", "where that is the right place, write its address instead"),
    ("not owned by", "run `git config --global --add safe.directory {path}`, or make the hub's user its owner"),
    ("unsupported url protocol", "there is no such directory on this machine"),
    ("could not find repository", "the directory is not a Git repository"),
    ("object not found", "the repository is incomplete: a partial clone, or damaged"),
    ("404", "the address is wrong, or its server hides it from these credentials"),
    ("not found", "the address is wrong, or its server hides it from these credentials"),
)


def _hint(location: urls.Location, text: str) -> str:
    if location.transport != "file" and "unsupported url protocol" in text:
        return ""
    found = next((hint for mark, hint in _HINTS if mark in text), "")
    return found.replace("{path}", location.key.removeprefix("file:"))
