"""What the benches start: the hub, NATS and the sandbox as processes of their own, on loopback, in a folder that goes away.

Everything started here ends with its block, however that ends. Nothing is measured here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from hub.demo.child import Child
from hub.identity import Identity
from hub.sources.webhooks import sign
from shared.bus import Bus, acknowledged
from tests.bench.figures import cpu, rss
from tests.fakes.natshub import running
from tests.fakes.natsserver import free_port

SECRET = "bench"
PYTHON = sys.executable


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(f"  {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def workspace(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"yardarm-bench-{name}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


async def until(
    condition: Callable[[], object | Awaitable[object]], seconds: float, what: str, step: float = 0.02
) -> None:
    """Waits for a condition.

    Raises:
        TimeoutError: it did not come true; says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(step)


class Program(Child):
    """A program in a process of its own; it ends with the block, and with this process."""

    def __init__(self, command: Sequence[str | Path], log: Path, **environment: str) -> None:
        # The command becomes the program itself: env replaces itself by it, so that the pid stays.
        settings = [f"{name}={value}" for name, value in environment.items()]
        super().__init__(["env", *settings, *command], log)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("it has not been started")
        return self._process.pid

    @property
    def rss(self) -> float:
        """Resident memory in MB."""
        return rss(self.pid)

    @property
    def peak(self) -> float:
        """The most memory it has had resident so far, in MB."""
        return rss(self.pid, peak=True)

    @property
    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return cpu(self.pid)

    def kill(self) -> None:
        """Ends it at once, as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def alive(self) -> None:
        """Raises when it has ended by itself, with the end of what it said."""
        if self._process is not None and self._process.returncode is not None:
            raise RuntimeError(f"a program ended with {self._process.returncode}:\n{self.last_lines()}")

    async def answers(self, ask: Callable[[], Awaitable[object]], seconds: float, what: str) -> None:
        """Waits until `ask` gives something true, or the program has ended."""

        async def asked() -> object:
            self.alive()
            return await ask()

        try:
            await until(asked, seconds, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it said:\n{self.last_lines()}") from None


@dataclass(frozen=True)
class HubProcess:
    """`yardarm hub` with its own nats-server."""

    program: Program
    folder: Path
    repo: str
    url: str
    token: str
    nats: str
    identity: Identity

    def bus(self) -> contextlib.AbstractAsyncContextManager[Bus]:
        """A connection with the rights of a hub."""
        return running(Bus(self.nats, name="bench", credentials=self.identity.hub_credentials()))

    def session(self) -> aiohttp.ClientSession:
        """A client of the API."""
        return aiohttp.ClientSession(self.url, headers={"Authorization": f"Bearer {self.token}"})

    async def push(self, session: aiohttp.ClientSession) -> None:
        """What a Git host sends after a push."""
        body = orjson.dumps({"repository": self.repo})
        headers = {"X-Yardarm-Signature": sign(body, SECRET)}
        async with session.post("/api/v1/hooks/generic", data=body, headers=headers) as answer:
            if answer.status != 202:
                raise RuntimeError(f"the webhook was answered with {answer.status}: {await answer.text()}")


async def counted(bus: Bus, of: str = "hub") -> dict[str, Any]:
    """What a `COUNTING_HUB` has counted; of `rollouts`, which takes longer, too."""
    counts: dict[str, Any] = orjson.loads((await bus.request(f"bench.{of}")).data)
    return counts


async def stream_state(bus: Bus, stream: str) -> dict[str, Any]:
    """JetStream's own account of a stream: `messages`, `last_seq`, `bytes`."""
    subject = f"$JS.API.STREAM.INFO.{stream}"
    state: dict[str, Any] = acknowledged(await bus.request(subject), subject)["state"]
    return state


def write_settings(folder: Path, repo: str, **more: Any) -> Path:
    """A settings file for a hub that looks at its repository only when told to."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "state": str(folder / "state"),
        "port": 0,
        "fleet_repo": repo,
        "webhook_secrets": [SECRET],
        "git": {"poll_interval": 3600},
        "telemetry": {"log_level": "warning"},
        **more,
    }
    path = folder / "hub.yaml"
    path.write_bytes(orjson.dumps(settings))
    return path


HUB = ("hub", "hub", "--config")
COUNTING_HUB = ("tests.bench.child_hub",)
"""The same, and it tells what it has counted."""


@contextlib.asynccontextmanager
async def hub_process(
    folder: Path, repo: str, *, ready: float = 60, module: Sequence[str] = HUB, **more: Any
) -> AsyncIterator[HubProcess]:
    """Runs a hub until the block ends; it answers as ready when the block begins."""
    port = free_port()
    settings = write_settings(folder, repo, port=port, **more)
    state = folder / "state"
    identity = Identity.load_or_create(state)
    async with Program([PYTHON, "-m", *module, settings], folder / "hub.log") as program:
        url = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession(url) as session:
            await program.answers(lambda: is_ready(session), ready, "the hub is ready")
        nats = f"nats://127.0.0.1:{(state / 'nats' / 'port').read_text().strip()}"
        yield HubProcess(program, folder, repo, url, (state / "token").read_text().strip(), nats, identity)


async def is_ready(session: aiohttp.ClientSession) -> bool:
    """Whether the hub at the other end leads and is ready."""
    try:
        async with session.get("/readyz") as answer:
            return answer.status == 200 and (await answer.json())["role"] == "leader"
    except (aiohttp.ClientError, OSError):
        return False


@dataclass(frozen=True)
class SandboxProcess:
    """`yardarm-agent sandbox`: clusters in memory with an agent each."""

    program: Program
    kubeconfig: Path
    servers: dict[str, str]
    """Base URL by cluster; the token is part of it."""


@contextlib.asynccontextmanager
async def sandbox_process(
    folder: Path, nats: str, identity: Identity, clusters: Iterable[str]
) -> AsyncIterator[SandboxProcess]:
    """Runs the clusters and their agents until the block ends; the API servers answer when it begins."""
    creds, listing, kubeconfig = folder / "creds", folder / "clusters.json", folder / "kubeconfig"
    creds.mkdir(parents=True, exist_ok=True)
    names = list(clusters)
    for name in names:
        (creds / f"{name}.creds").write_text(str(identity.agent_credentials(name)))
    listing.write_bytes(orjson.dumps({"clusters": [{"name": name} for name in names]}))
    command = [
        *(PYTHON, "-m", "agent", "sandbox", "--clusters", listing, "--nats", nats, "--creds-dir", creds),
        *("--kubeconfig-out", kubeconfig, "--state", folder / "agents", "--log-level", "warning"),
    ]
    async with Program(command, folder / "sandbox.log") as program:

        async def written() -> bool:
            return kubeconfig.exists()

        await program.answers(written, 120, "the sandbox is up")
        config = orjson.loads(kubeconfig.read_bytes())
        servers = {each["name"]: each["cluster"]["server"] for each in config["clusters"]}
        yield SandboxProcess(program, kubeconfig, servers)
