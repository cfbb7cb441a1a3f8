"""Kubeconfig files, by the official client's loader: contexts, certificates, tokens, exec plugins, OIDC.

Imported only when such a file is given. Where that loader merely logs that a plugin failed and goes on as nobody, this
raises; where it waits for a plugin for ever, this stops it after `PLUGIN_TIMEOUT`. A client certificate that a plugin
renews is picked up at the next start, a token at once.
"""

# The official client has no type hints; what it hands over is checked here.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from kubernetes.aio.client import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.dateutil import parse_rfc3339
from kubernetes.aio.config.exec_provider import ExecProvider
from kubernetes.aio.config.kube_config import FileOrData, KubeConfigLoader, KubeConfigMerger

from agent.kube.access import REREAD, Endpoint
from agent.kube.errors import AccessError
from shared.tasks import Clock

log = logging.getLogger(__name__)

PLUGIN_TIMEOUT = 60.0
MIN_RENEWAL = 5.0
"""Seconds between two runs of a plugin whose credentials are refused."""

EXPIRY_MARGIN = 60.0
"""Seconds before a plugin's token expires that it is asked for a new one."""


class _Loader(KubeConfigLoader):
    """The official loader, with exec plugins that fail loudly and in time, and run again only when they must."""

    def __init__(self, *args: Any, clock: Clock, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock
        self._valid_until = float("-inf")
        self.renew = False
        """Run the plugin even if what it gave has not expired: the server refused it."""

    async def load_from_exec_plugin(self) -> bool:
        """Sets `token`, or `cert_file` and `key_file`, from the plugin's answer."""
        if not self.renew and self._clock.now() < self._valid_until - EXPIRY_MARGIN:
            return True
        status = await _run_plugin(ExecProvider((self._user or {})["exec"]))
        if token := status.get("token"):
            self.token = f"Bearer {token}"
        elif not self._take_certificate(status):
            raise ConfigException("exec: the plugin answered with neither a token nor a certificate and its key")
        expiry = status.get("expirationTimestamp")
        self._valid_until = parse_rfc3339(expiry).timestamp() if expiry else float("inf")
        return True

    def _take_certificate(self, status: Mapping[str, Any]) -> bool:
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        if not certificate or not key:
            return False
        pair = {"certificate-data": certificate, "key-data": key}
        self.cert_file = FileOrData(pair, "certificate", base64_file_content=False).as_file()
        self.key_file = FileOrData(pair, "key", base64_file_content=False).as_file()
        return True


class KubeconfigCredentials:
    """The user of one context, loaded again every `REREAD` seconds or when it was refused."""

    def __init__(self, loader: _Loader, configuration: Any, origin: str, clock: Clock) -> None:
        self._loader = loader
        self._configuration = configuration
        self._origin = origin
        self._clock = clock
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()

    async def authorization(self, *, refused: str | None = None) -> str:
        """See `agent.kube.access.Credentials`. One plugin runs at a time, and not at every refusal.

        What cannot be renewed is used until the server refuses it.
        """
        if self._due(REREAD) or refused == self._value():
            async with self._loading:
                if self._due(REREAD) or (refused == self._value() and self._due(MIN_RENEWAL)):
                    await self._renew(refused)
        return self._value()

    async def _renew(self, refused: str | None) -> None:
        try:
            await self.load(renew=refused is not None)
        except AccessError as error:
            if refused is not None or not self._value():
                raise
            log.warning("credentials cannot be renewed", extra={"error": str(error)})

    async def load(self, *, renew: bool = False) -> None:
        """Reads what the context names and runs its plugin if it must.

        Raises:
            AccessError: names the file and the context.
        """
        self._loaded_at = self._clock.monotonic()
        self._loader.renew = renew
        try:
            await self._loader.load_and_set(self._configuration)
        except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
            raise AccessError(f"{self._origin}: {error}") from error

    def _value(self) -> str:
        return str(self._configuration.api_key.get("BearerToken") or "").strip()

    def _due(self, seconds: float) -> bool:
        return self._clock.monotonic() - self._loaded_at >= seconds


async def open_kubeconfig(path: str, context: str | None, clock: Clock) -> Endpoint:
    """Opens a context of the file, or of several files joined by `:`.

    Raises:
        AccessError: a file, the context, or its credentials are not usable.
    """
    origin = f"kubeconfig {path}" + (f", context {context}" if context else "")
    try:
        merged = await asyncio.to_thread(_read, path)
        loader = _Loader(merged, active_context=context, config_base_path=None, clock=clock)
    except ConfigException as error:
        raise AccessError(f"{origin}: {error}{_known_contexts(path, context)}") from error
    configuration = Configuration()
    credentials = KubeconfigCredentials(loader, configuration, origin, clock)
    await credentials.load()
    if "host" not in loader.__dict__:
        raise AccessError(f"{origin}: its cluster has no server address")
    server = str(loader.host)
    tls = await asyncio.to_thread(_tls, configuration, origin) if server.startswith("https://") else None
    return Endpoint(
        server,
        tls,
        credentials,
        proxy=loader.__dict__.get("proxy"),
        tls_server_name=loader.__dict__.get("tls_server_name"),
        trust_env=True,
    )


def _read(path: str) -> Any:
    if not any(Path(part).expanduser().is_file() for part in path.split(os.pathsep) if part):
        raise AccessError(f"kubeconfig {path}: there is no such file")
    try:
        merged = KubeConfigMerger(path).config
    except Exception as error:  # YAML of all sorts; the loader does not wrap its errors
        raise AccessError(f"kubeconfig {path}: cannot be read: {error}") from error
    return merged


def _known_contexts(path: str, context: str | None) -> str:
    if context is None:
        return ""
    names = [str(item["name"]) for item in KubeConfigMerger(path).config.value.get("contexts") or () if "name" in item]
    return f"; it has the contexts {', '.join(names)}" if names else ""


def _tls(configuration: Any, origin: str) -> ssl.SSLContext:
    try:
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise AccessError(f"{origin}: cannot use its certificates: {error}") from error
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


async def _run_plugin(provider: Any) -> Mapping[str, Any]:
    """The plugin's `status`. `provider` only says what to run: its own `run` has no deadline."""
    info = {"apiVersion": provider.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {**provider.env, "KUBERNETES_EXEC_INFO": orjson.dumps(info).decode()}
    command = provider.args[0]
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *provider.args, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        raise ConfigException(f"exec: cannot run {command}: {error.strerror}; is it installed?") from error
    try:
        async with asyncio.timeout(PLUGIN_TIMEOUT):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise ConfigException(f"exec: {command} gave no credentials within {PLUGIN_TIMEOUT:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = err.decode("utf-8", "replace").strip()[-500:]
        raise ConfigException(f"exec: {command} ended with code {process.returncode}: {said}")
    try:
        status = orjson.loads(out)["status"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigException(f"exec: {command} did not answer with an ExecCredential: {error}") from error
    return status if isinstance(status, dict) else {}
