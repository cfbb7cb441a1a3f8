"""A context of a kubeconfig file: who we are and whom we talk to, as a process that ends at once has read it.

The official client's loader costs an agent 20 MB for as long as it runs, so it is run apart (`agent.kube.kubeconfig`);
what it found comes over a pipe. It runs again when a token expires or is refused. A client certificate that a plugin
renews is picked up at the next start, a token at once.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
import tempfile
from pathlib import Path

import msgspec

from agent.kube.access import REREAD, Credentials, Endpoint, TokenFile
from agent.kube.errors import AccessError
from shared.tasks import Clock

log = logging.getLogger(__name__)

LOADING = 90.0
"""Seconds for reading the file, with a plugin that takes its time."""

MIN_RENEWAL = 5.0
"""Seconds between two runs of a plugin whose credentials are refused."""

EXPIRY_MARGIN = 60.0
"""Seconds before a token expires that another one is asked for."""


class Loaded(msgspec.Struct, frozen=True):
    """What a context comes to. Certificates and keys are PEM; an empty string is none.

    `memory` is what the next run has to know: an identity provider takes each refresh token only once.
    """

    error: str = ""
    server: str = ""
    authority: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True
    tls_server_name: str | None = None
    proxy: str | None = None
    authorization: str = ""
    token_file: str = ""
    expires: float | None = None
    """Unix seconds."""
    memory: dict[str, str] = {}


class KubeconfigCredentials:
    """The user of one context, loaded again when its token expires or was refused."""

    def __init__(self, path: str, context: str | None, clock: Clock) -> None:
        self._path = path
        self._context = context
        self._clock = clock
        self._loaded = Loaded()
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()

    async def authorization(self, *, refused: str | None = None) -> str:
        """See `agent.kube.access.Credentials`. One plugin runs at a time, and not at every refusal.

        What cannot be renewed is used until the server refuses it.
        """
        if self._expired() or refused == self._loaded.authorization:
            async with self._loading:
                if self._expired() or (refused == self._loaded.authorization and self._is_old(MIN_RENEWAL)):
                    await self._renew(refused)
        return self._loaded.authorization

    async def load(self) -> Loaded:
        """Reads the file and runs what its user names.

        Raises:
            AccessError: names the file and the context.
        """
        self._loaded_at = self._clock.monotonic()
        self._loaded = await _load(self._path, self._context, self._loaded.memory)
        return self._loaded

    async def _renew(self, refused: str | None) -> None:
        try:
            await self.load()
        except AccessError as error:
            if refused is not None or not self._loaded.authorization:
                raise
            log.warning("credentials cannot be renewed", extra={"error": str(error)})

    def _expired(self) -> bool:
        expires = self._loaded.expires
        return expires is not None and self._clock.now() >= expires - EXPIRY_MARGIN and self._is_old(REREAD)

    def _is_old(self, seconds: float) -> bool:
        return self._clock.monotonic() - self._loaded_at >= seconds


async def open_kubeconfig(path: str, context: str | None, clock: Clock) -> Endpoint:
    """Opens a context of the file, or of several files joined by `:`.

    Raises:
        AccessError: a file, the context, or its credentials are not usable.
    """
    renewed = KubeconfigCredentials(path, context, clock)
    loaded = await renewed.load()
    credentials: Credentials = TokenFile(Path(loaded.token_file), clock) if loaded.token_file else renewed
    secure = loaded.server.startswith("https://")
    tls = await asyncio.to_thread(_tls, loaded, origin(path, context)) if secure else None
    return Endpoint(
        loaded.server,
        tls,
        credentials,
        proxy=loaded.proxy,
        tls_server_name=loaded.tls_server_name,
        trust_env=True,
    )


def origin(path: str, context: str | None) -> str:
    """How errors name the context."""
    return f"kubeconfig {path}" + (f", context {context}" if context else "")


async def _load(path: str, context: str | None, memory: dict[str, str]) -> Loaded:
    """Runs the loader. What it must not forget goes in, and secrets come back, over pipes."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "agent.kube.kubeconfig", path, *([context] if context else [])]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(LOADING):
            out, err = await process.communicate(msgspec.json.encode(memory))
    except TimeoutError as error:
        raise AccessError(f"{origin(path, context)}: not read within {LOADING:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        loaded = msgspec.json.decode(out, type=Loaded)
    except msgspec.DecodeError as error:
        said = err.decode("utf-8", "replace").strip()[-500:]
        raise AccessError(f"{origin(path, context)}: its loader ended with {process.returncode}: {said}") from error
    if loaded.error:
        raise AccessError(loaded.error)
    return loaded


def _tls(loaded: Loaded, name: str) -> ssl.SSLContext:
    try:
        with tempfile.TemporaryDirectory(prefix="yardarm-") as folder:  # OpenSSL reads keys from files only
            files = {each: _private(Path(folder, each), getattr(loaded, each)) for each in ("certificate", "key")}
            authority = _private(Path(folder, "authority"), loaded.authority)
            tls = ssl.create_default_context(cafile=authority)
            if (certificate := files["certificate"]) is not None:
                tls.load_cert_chain(certificate, files["key"])
    except (OSError, ssl.SSLError) as error:
        raise AccessError(f"{name}: cannot use its certificates: {error}") from error
    if not loaded.verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _private(path: Path, content: str) -> Path | None:
    if not content:
        return None
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")
    return path
