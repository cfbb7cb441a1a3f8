"""Where a cluster's API is and how we prove who we are. It describes and opens; it sends nothing itself.

`kubernetes.aio` is imported only by `agent.kube.kubeconfig`, which runs as a process of its own when a kubeconfig file
is used: it costs about 25 MB.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.kube.errors import AccessError
from shared.tasks import Clock

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER_SERVER = "https://kubernetes.default.svc"

REREAD = 60.0
"""Seconds after which credentials are read again: service account tokens are rotated on disk."""


class Credentials(Protocol):
    """Says who we are, again and again: tokens expire."""

    async def authorization(self, *, refused: str | None = None) -> str:
        """Value of the Authorization header, empty for none; another one than `refused` if it can be had.

        Raises:
            AccessError: it cannot be had.
        """
        ...


@dataclass(frozen=True)
class Endpoint:
    """An API server that can be talked to. One TLS context, shared by all connections."""

    server: str
    tls: ssl.SSLContext | None
    credentials: Credentials
    proxy: str | None = None
    tls_server_name: str | None = None
    trust_env: bool = False


class Access:
    """How to reach a cluster: `Access.in_cluster()`, `Access.kubeconfig(…)` or `Access.url(…)`."""

    async def open(self, clock: Clock) -> Endpoint:
        """Reads files and runs plugins.

        Raises:
            AccessError: something needed is missing or failed.
        """
        raise NotImplementedError

    @staticmethod
    def in_cluster(server: str = IN_CLUSTER_SERVER, directory: Path = SERVICE_ACCOUNT) -> Access:
        """The service account of the pod we run in."""
        return InCluster(server, directory)

    @staticmethod
    def kubeconfig(path: str | Path, context: str | None = None) -> Access:
        """A context of a kubeconfig file; None is its current context."""
        return Kubeconfig(str(path), context)

    @staticmethod
    def url(url: str, token: str = "", ca: Path | None = None) -> Access:
        """A plain address with a fixed token, as the sandbox has."""
        return Url(url.rstrip("/"), token, ca)


@dataclass(frozen=True)
class InCluster(Access):
    """A mounted service account: `token` and `ca.crt` in `directory`."""

    server: str
    directory: Path

    async def open(self, clock: Clock) -> Endpoint:
        """See `Access.open`."""
        ca = self.directory / "ca.crt"
        credentials = TokenFile(self.directory / "token", clock)
        await credentials.authorization()
        return Endpoint(self.server.rstrip("/"), await asyncio.to_thread(_tls, ca), credentials)


@dataclass(frozen=True)
class Kubeconfig(Access):
    """A context of a kubeconfig file."""

    path: str
    context: str | None

    async def open(self, clock: Clock) -> Endpoint:
        """See `Access.open`."""
        from agent.kube.contexts import open_kubeconfig

        return await open_kubeconfig(self.path, self.context, clock)


@dataclass(frozen=True)
class Url(Access):
    """A plain address."""

    server: str
    token: str
    ca: Path | None

    async def open(self, clock: Clock) -> Endpoint:  # noqa: ARG002 - the base class's
        """See `Access.open`."""
        secure = self.server.startswith("https://")
        return Endpoint(self.server, await asyncio.to_thread(_tls, self.ca) if secure else None, FixedToken(self.token))


class FixedToken:
    """A bearer token that never changes; empty for no authentication."""

    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}" if token else ""

    async def authorization(self, *, refused: str | None = None) -> str:  # noqa: ARG002 - the protocol's
        """See `Credentials`."""
        return self._value


class TokenFile:
    """A bearer token in a file that others rotate; read again every `REREAD` seconds or when it was refused."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._value = ""
        self._read_at = float("-inf")

    async def authorization(self, *, refused: str | None = None) -> str:
        """See `Credentials`. A file that cannot be read for the moment leaves the token we have."""
        if refused == self._value or self._clock.monotonic() - self._read_at >= REREAD:
            try:
                # A token is 1 KB on tmpfs: a thread would cost more than the read.
                token = self._path.read_text(encoding="ascii").strip()
            except (OSError, ValueError) as error:
                if not self._value:
                    raise AccessError(
                        f"cannot read the service account token {self._path}: {error}; outside a cluster give a "
                        "kubeconfig file"
                    ) from error
            else:
                self._value = f"Bearer {token}"
                self._read_at = self._clock.monotonic()
        return self._value


def _tls(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca) if ca is not None else None)
    except (OSError, ssl.SSLError) as error:
        raise AccessError(f"cannot use the certificate authority {ca}: {error}") from error
