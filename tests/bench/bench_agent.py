"""What one agent costs in a cluster with 100 objects: memory after it has connected, and when it has nothing to do.

Two agents run beside each other, each a process of its own against its own sandbox cluster over TLS: one with a pod's
service account, one with a kubeconfig file. Both limits are from the design.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from hub.domain.yamldoc import load_documents
from tests.bench.certificate import write_certificate
from tests.bench.figures import Figure
from tests.bench.rig import PYTHON, Program, say, until, workspace
from tests.bench.workload import write_application
from tests.fakes.agenthub import AgentHub, agent_hub
from tests.fakes.gitrepo import GitRepo

UNITS = 10
"""Of ten objects each."""
IDLE = 20.0
TOKEN = "bench"
IN_CLUSTER, KUBECONFIG = "in-cluster", "kubeconfig"
LIMITS = {IN_CLUSTER: 50.0, KUBECONFIG: 65.0}


@dataclass
class Reading:
    """Resident megabytes of one agent, and seconds of processor time it took while idle."""

    connected: float = 0.0
    applied: float = 0.0
    idle: float = 0.0
    seconds: float = 0.0


async def measure() -> list[Figure]:
    with workspace("agent") as folder:
        async with agent_hub(folder) as hub, _sandbox(folder) as urls, AsyncExitStack() as stack:
            agents = {
                name: await stack.enter_async_context(Program(command, folder / f"{name}.log", **environment))
                for name, (command, environment) in _commands(folder, hub, urls).items()
            }
            readings = await _readings(hub, agents, _units(folder))
    return [figure for name, reading in readings.items() for figure in _figures(name, reading)]


async def _readings(hub: AgentHub, agents: dict[str, Program], units: dict[str, list]) -> dict[str, Reading]:
    readings = {name: Reading() for name in agents}
    for name, agent in agents.items():
        await until(lambda name=name: any(beat.cluster == name for beat in hub.beats), 60, f"{name} is heard")
        agent.alive()
    await asyncio.sleep(3)
    for name, agent in agents.items():
        readings[name].connected = agent.rss
    for name in agents:
        given = [await hub.assign(name, unit, manifests) for unit, manifests in units.items()]
        for assignment in given:
            await hub.healthy(assignment, 60)
    for name, agent in agents.items():
        readings[name].applied = agent.rss
    say(f"{sum(map(len, units.values()))} objects are healthy in each cluster; now idle for {IDLE:g} s")
    used = {name: agent.cpu for name, agent in agents.items()}
    start = time.monotonic()
    await asyncio.sleep(IDLE)
    for name, agent in agents.items():
        readings[name].idle = agent.rss
        readings[name].seconds = (agent.cpu - used[name]) / (time.monotonic() - start)
    return readings


def _figures(name: str, reading: Reading) -> list[Figure]:
    return [
        Figure(f"agent resident, {name}, connected, nothing assigned", reading.connected, "MB"),
        Figure(f"agent resident, {name}, {UNITS * 10} objects just applied", reading.applied, "MB"),
        Figure(f"agent resident, {name}, {UNITS * 10} objects, idle", reading.idle, "MB", limit=LIMITS[name]),
        Figure(f"agent processor time, {name}, {UNITS * 10} objects, idle", reading.seconds * 1000, "ms/s"),
    ]


def _units(folder: Path) -> dict[str, list]:
    """The manifests of each unit."""
    repo = GitRepo(folder / "manifests")
    units = {}
    for number in range(UNITS):
        write_application(repo, f"app-{number}", f"app-{number}")
        files = sorted((repo.path / f"app-{number}").iterdir())
        units[f"app-{number}"] = [doc.value for f in files for doc in load_documents(f.read_bytes(), file=f.name)]
    return units


@asynccontextmanager
async def _sandbox(folder: Path) -> AsyncIterator[dict[str, dict[str, str]]]:
    certificate, key = write_certificate(folder)
    out = folder / "urls.json"
    setup = {
        "clusters": [IN_CLUSTER, KUBECONFIG],
        "token": TOKEN,
        "certificate": str(certificate),
        "key": str(key),
        "out": str(out),
    }
    (folder / "setup.json").write_bytes(orjson.dumps(setup))
    command = [PYTHON, "-m", "tests.bench.child_sandbox", folder / "setup.json"]
    async with Program(command, folder / "sandbox.log") as program:

        async def up() -> bool:
            return out.exists()

        await program.answers(up, 30, "the sandbox is up")
        yield orjson.loads(out.read_bytes())


def _commands(
    folder: Path, hub: AgentHub, urls: dict[str, dict[str, str]]
) -> dict[str, tuple[list[str | Path], dict[str, str]]]:
    """The command and the environment of each agent."""
    certificate = (folder / "server.crt").read_bytes()
    account = folder / "serviceaccount"
    account.mkdir()
    (account / "token").write_text(TOKEN)
    (account / "ca.crt").write_bytes(certificate)
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {
            "server": urls["https"][KUBECONFIG],
            "certificate-authority-data": base64.b64encode(certificate).decode(),
        }}],
        "users": [{"name": "bench", "user": {"token": TOKEN}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }  # fmt: skip
    (folder / "kubeconfig").write_bytes(orjson.dumps(config))
    own: list[str | Path] = [PYTHON, "-m", "tests.bench.child_incluster", urls["https"][IN_CLUSTER], account]
    return {
        IN_CLUSTER: ([*own, *_options(folder, hub, IN_CLUSTER)], {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}),
        KUBECONFIG: (
            [PYTHON, "-m", "agent", *_options(folder, hub, KUBECONFIG), "--kubeconfig", folder / "kubeconfig"],
            {},
        ),
    }


def _options(folder: Path, hub: AgentHub, name: str) -> list[str | Path]:
    creds = folder / f"{name}.creds"
    creds.write_text(str(hub.credentials(name)))
    nats = hub.nats.server.url
    return ["--cluster", name, "--nats", nats, "--creds", creds, "--state", folder / "state" / name]
