"""`yardarm-agent sandbox`: clusters in memory with an agent each, all in one process.

The agents are the same as in real clusters and reach their cluster over HTTP; only process and event loop are shared.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import orjson

from agent.evaluator import Evaluator
from agent.kube.access import Access
from agent.kube.client import Kube
from agent.loop import read_credentials, run_agent
from agent.sandbox.server import Sandbox
from agent.settings import AgentSettings, SandboxSettings, UsageError
from shared.credentials import Credentials
from shared.errors import YardarmError
from shared.tasks import Backoff, Clock

log = logging.getLogger(__name__)

COLLECT = (50_000, 20, 100)
"""Objects made and not freed until the young are looked through; how often until those that lasted, and until all."""


class HostedCluster(msgspec.Struct, frozen=True):
    """One entry of the clusters file. `labels` are for the hub; nothing here reads them."""

    name: str
    labels: dict[str, str] = {}
    kubernetes: str = "v1.36.2"
    nodes: int = 1


class _File(msgspec.Struct, frozen=True):
    clusters: list[HostedCluster]


def read_clusters(path: Path) -> list[HostedCluster]:
    """The clusters to host.

    Raises:
        UsageError: the file cannot be read; says where it is wrong.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File).clusters
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        shape = '{"clusters": [{"name": "dev-1", "labels": {}, "kubernetes": "v1.36.2", "nodes": 3}]}'
        raise UsageError(f"{path}: {error}; expected {shape}") from error
    names = [each.name for each in found]
    if len(set(names)) != len(names):
        raise UsageError(f"{path}: a cluster is named twice")
    return found


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop to host on: uvloop where it is installed, otherwise Python's own (None)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def collect_rarely() -> None:
    """Lets Python look for garbage in cycles less often: with hundreds of clusters in memory each look takes a second.

    Almost everything here is freed without it.
    """
    gc.set_threshold(*COLLECT)


async def host(settings: SandboxSettings) -> None:
    """Hosts until cancelled.

    Raises:
        UsageError: the clusters file or a credentials file is not usable.
    """
    clusters = read_clusters(settings.clusters)
    each = {cluster.name: _settings_of(cluster.name, settings) for cluster in clusters}
    credentials = {name: read_credentials(own) for name, own in each.items()}
    collect_rarely()
    with Evaluator() as evaluator:
        async with Sandbox(port=settings.port, token=secrets.token_hex(16)) as sandbox, asyncio.TaskGroup() as group:
            for cluster in clusters:
                sandbox.add_cluster(cluster.name, kubernetes=cluster.kubernetes, nodes=cluster.nodes)
            if settings.kubeconfig_out is not None:
                _write_private(settings.kubeconfig_out, orjson.dumps(sandbox.kubeconfig(), option=orjson.OPT_INDENT_2))
            for name, own in each.items():
                kube = await Kube.connect(Access.url(sandbox.url(name), sandbox.token))
                group.create_task(_keep_agent(own, kube, credentials[name], evaluator), name=name)
            log.info(
                "sandbox clusters are up", extra={"clusters": len(clusters), "kubeconfig": settings.kubeconfig_out}
            )


async def _keep_agent(settings: AgentSettings, kube: Kube, credentials: Credentials, evaluator: Evaluator) -> None:
    clock, backoff = Clock(), Backoff(1, 30)
    async with kube:
        while True:
            try:
                await run_agent(settings, kube, credentials, clock, evaluator)
            except YardarmError as error:
                log.error("an agent ended", extra={"cluster": settings.cluster, "error": str(error)})
            except Exception:
                log.exception("an agent crashed", extra={"cluster": settings.cluster})
            await clock.sleep(backoff.next())


def _settings_of(name: str, settings: SandboxSettings) -> AgentSettings:
    age_key = settings.creds_dir / f"{name}.agekey"
    return AgentSettings(
        cluster=name,
        nats=settings.nats,
        creds=settings.creds_dir / f"{name}.creds",
        age_key=age_key if age_key.exists() else None,
        state=settings.state / name if settings.state is not None else None,
        heartbeat=settings.heartbeat,
        # Clusters and agents come and go together here: with hundreds of them, renewing often is most of the load.
        lease=90.0,
    )


def _write_private(path: Path, content: bytes) -> None:
    """The kubeconfig holds the token: for its owner only, and never half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
