"""The clusters of a demo and their agents, as processes beside the hub: one for all sandboxes, or one per real cluster.

They are started as on any machine: with credentials that the hub's keys vouch for, over NATS, without a way back.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from hub.demo.child import Child
from hub.demo.clusters import DemoCluster
from hub.identity import Identity
from shared.errors import YardarmError
from shared.model import is_token
from shared.sops.ages import Identities
from shared.tasks import Clock

START_LIMIT = 120.0
"""Seconds until the sandbox's API servers must answer; hundreds of clusters take a while."""


def write_credentials(identity: Identity, clusters: Sequence[DemoCluster], folder: Path) -> None:
    """One file per cluster, readable by this user only; and an age key for each, which stays once it is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for cluster in clusters:
        file = folder / f"{cluster.name}.creds"
        file.touch(mode=0o600)
        file.write_text(str(identity.agent_credentials(cluster.name)), encoding="utf-8")
        key = age_key(folder, cluster.name)
        if not key.exists():
            key.touch(mode=0o600)
            key.write_text(Identities.new()[1], encoding="utf-8")


def age_key(folder: Path, cluster: str) -> Path:
    """The file that opens the secrets of a cluster."""
    return folder / f"{cluster}.agekey"


def sandbox(clusters: Sequence[DemoCluster], nats: str, folder: Path) -> Child:
    """A process that hosts all clusters with an agent each; writes `kubeconfig` in `folder`."""
    listing = folder / "clusters.json"
    entries = [{"name": cluster.name, "labels": cluster.labels} for cluster in clusters]
    listing.write_bytes(orjson.dumps({"clusters": entries}, option=orjson.OPT_INDENT_2))
    command: list[str | Path] = [
        *(sys.executable, "-m", "agent", "sandbox"),
        *("--clusters", listing, "--nats", nats, "--creds-dir", folder / "creds"),
        *("--kubeconfig-out", folder / "kubeconfig", "--port", "0"),
        *("--state", folder / "agents", "--log-style", "json"),
    ]
    return Child(command, folder / "sandbox.log")


def real(cluster: str, context: str, kubeconfig: Path, nats: str, folder: Path) -> Child:
    """An agent for a context of a kubeconfig."""
    command: list[str | Path] = [
        *(sys.executable, "-m", "agent", "--cluster", cluster, "--nats", nats),
        *("--creds", folder / "creds" / f"{cluster}.creds", "--kubeconfig", kubeconfig, "--context", context),
        *("--age-key", age_key(folder / "creds", cluster)),
        *("--state", folder / "agents" / cluster, "--log-style", "json"),
    ]
    return Child(command, folder / f"agent-{cluster}.log")


def cluster_name(context: str) -> str:
    """What the cluster behind a context is called: the context's name, made fit for a subject.

    Raises:
        YardarmError: nothing of it can be used.
    """
    name = re.sub(r"[^a-z0-9]+", "-", context.lower()).strip("-")[:63].strip("-")
    if not is_token(name):
        raise YardarmError(f"the context {context!r} cannot name a cluster: rename it with letters and digits")
    return name


async def kubeconfig_written(child: Child, file: Path, clock: Clock) -> None:
    """Returns once the sandbox is up.

    Raises:
        YardarmError: it ended, or takes too long.
    """
    deadline = clock.monotonic() + START_LIMIT
    while not file.exists():  # noqa: ASYNC240 - a look at a folder of our own
        try:
            async with asyncio.timeout(0.05):
                code = await child.ended()
        except TimeoutError:
            if clock.monotonic() > deadline:
                raise YardarmError(f"the sandbox does not come up:\n{child.last_lines()}") from None
            continue
        raise YardarmError(f"the sandbox ended with {code}:\n{child.last_lines()}")
