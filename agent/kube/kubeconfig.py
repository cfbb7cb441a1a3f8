"""Reads a kubeconfig file by the official client's loader: contexts, certificates, tokens, exec plugins, OIDC.

    python -m agent.kube.kubeconfig FILE [CONTEXT]

Prints an `agent.kube.contexts.Loaded` as JSON and ends; standard input holds the `memory` of the run before. A process
of its own, because that loader costs 20 MB. Where it merely logs that a plugin failed and goes on as nobody, this
says what is wrong; where it waits for a plugin for ever, this stops it after `PLUGIN_TIMEOUT`.
"""

# The official client has no type hints; what it hands over is checked here.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
from kubernetes.aio.client import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.dateutil import parse_rfc3339
from kubernetes.aio.config.exec_provider import ExecProvider
from kubernetes.aio.config.kube_config import FileOrData, KubeConfigLoader, KubeConfigMerger

from agent.kube.contexts import Loaded, origin
from agent.kube.errors import AccessError

PLUGIN_TIMEOUT = 60.0


class _Loader(KubeConfigLoader):
    """The official loader, with exec plugins that fail loudly and in time."""

    expires: float | None = None
    """Unix seconds."""

    async def load_from_exec_plugin(self) -> bool:
        """Sets `token`, or `cert_file` and `key_file`, from the plugin's answer."""
        status = await _run_plugin(ExecProvider((self._user or {})["exec"]))
        if token := status.get("token"):
            self.token = f"Bearer {token}"
        elif not self._take_certificate(status):
            raise ConfigException("exec: the plugin answered with neither a token nor a certificate and its key")
        expiry = status.get("expirationTimestamp")
        self.expires = parse_rfc3339(expiry).timestamp() if expiry else None
        return True

    def _take_certificate(self, status: Mapping[str, Any]) -> bool:
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        if not certificate or not key:
            return False
        pair = {"certificate-data": certificate, "key-data": key}
        self.cert_file = FileOrData(pair, "certificate", base64_file_content=False).as_file()
        self.key_file = FileOrData(pair, "key", base64_file_content=False).as_file()
        return True

    def remember(self, memory: Mapping[str, str]) -> None:
        """What an identity provider gave before takes the place of what the file says."""
        if memory and self._provider_settings() is not None:
            self._user["auth-provider"].value["config"] = dict(memory)  # type: ignore[index]

    def memory(self) -> dict[str, str]:
        """What the next run has to know."""
        settings = self._provider_settings() or {}
        return {name: value for name, value in settings.items() if isinstance(value, str)}

    def valid_until(self) -> float | None:
        """When the token has to be renewed, in unix seconds; None when nobody says."""
        settings = self._provider_settings() or {}
        if self.provider == "oidc":
            return _expiry_of(settings.get("id-token", ""))
        expiry = settings.get("expiry")
        return parse_rfc3339(expiry).timestamp() if expiry else self.expires

    def _provider_settings(self) -> dict[str, Any] | None:
        if self.provider is None or self._user is None or "config" not in self._user["auth-provider"]:
            return None
        return dict(self._user["auth-provider"]["config"].value)

    def token_file(self) -> str:
        """The file that others keep the token in; empty when it comes from elsewhere."""
        user = self._user
        if user is None or self.provider in ("gcp", "oidc") or "exec" in user or user.safe_get("token"):
            return ""
        file = user.safe_get("tokenFile")
        return str(Path(self._get_base_path(user.path), file).absolute()) if file else ""


async def load(path: str, context: str | None, memory: Mapping[str, str]) -> Loaded:
    """Reads a context of the file, or of several files joined by `:`, and runs its plugin.

    Raises:
        AccessError: a file, the context, or its credentials are not usable.
    """
    name = origin(path, context)
    merged = _read(path)
    try:
        loader = _Loader(merged, active_context=context, config_base_path=None)
    except ConfigException as error:
        raise AccessError(f"{name}: {error}{_known_contexts(path, context)}") from error
    configuration = Configuration()
    try:
        loader.remember(memory)
        await loader.load_and_set(configuration)
        if "host" not in loader.__dict__:
            raise ConfigException("its cluster has no server address")
        return Loaded(
            server=str(loader.host),
            authority=_content(configuration.ssl_ca_cert),
            certificate=_content(configuration.cert_file),
            key=_content(configuration.key_file),
            verify=bool(configuration.verify_ssl),
            tls_server_name=loader.__dict__.get("tls_server_name"),
            proxy=loader.__dict__.get("proxy"),
            authorization=str(configuration.api_key.get("BearerToken") or "").strip(),
            token_file=loader.token_file(),
            expires=loader.valid_until(),
            memory=loader.memory(),
        )
    except (ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise AccessError(f"{name}: {error}") from error


def _content(file: str | None) -> str:
    return Path(file).read_text(encoding="utf-8") if file else ""


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


def _expiry_of(token: str) -> float | None:
    """When a JWT expires, unverified: it is not us whom it has to convince."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    expiry = claims.get("exp")
    return float(expiry) if expiry is not None else None


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


def main() -> int:
    """Answers on standard output, also with what is wrong."""
    memory = msgspec.json.decode(sys.stdin.buffer.read() or b"{}", type=dict[str, str])
    path, context = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    try:
        loaded = asyncio.run(load(path, context, memory))
    except AccessError as error:
        loaded = Loaded(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(loaded))
    return 1 if loaded.error else 0


if __name__ == "__main__":
    sys.exit(main())
