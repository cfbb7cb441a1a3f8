"""A whole hub in this process: its own nats-server, a real Git repository, and a look at what it publishes.

`LiveHub.settled()` waits until nothing is being worked on for the newest commit; `desired()` reads the stream itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from hub import streams
from hub.app import Hub
from hub.settings import GitSettings, HubSettings
from shared import subjects
from shared.bus import Bus
from shared.messages import Assignment, Root, decode
from shared.model import UnitKey
from shared.tasks import Clock

CLUSTERS = """\
apiVersion: yardarm.dev/v1alpha1
kind: Cluster
metadata: {name: dev-1, labels: {env: dev}}
---
apiVersion: yardarm.dev/v1alpha1
kind: Cluster
metadata: {name: prod-1, labels: {env: prod}}
---
apiVersion: yardarm.dev/v1alpha1
kind: Environment
metadata: {name: dev}
spec: {order: 1, where: [{labels: {env: dev}}], variables: {tier: bronze}}
---
apiVersion: yardarm.dev/v1alpha1
kind: Environment
metadata: {name: prod}
spec: {order: 2, where: [{labels: {env: prod}}], variables: {tier: gold}}
"""


def application(name: str, spec: str = "") -> str:
    return f"""\
apiVersion: yardarm.dev/v1alpha1
kind: Application
metadata: {{name: {name}}}
spec:
  source: {{path: apps/{name}}}
  namespace: {name}
{spec}"""


def configmap(name: str, value: str = "1") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: '{value}'}}\n"


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Waits for a condition, and says which one when it does not come."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"did not come true within {seconds} s: {condition}") from None


class LiveHub:
    """What a test asks and tells a running hub."""

    def __init__(self, hub: Hub, bus: Bus) -> None:
        self.hub = hub
        self.bus = bus

    async def seen(self, sha: str) -> None:
        """The hub has looked at this commit, and nothing is being worked on."""

        def done() -> bool:
            lead = self.hub._lead
            return (
                lead is not None and lead.fleet.looked == sha and not lead.applications.pending and lead.publisher.idle
            )

        self.hub.wake()
        await until(done)

    async def sweep(self) -> None:
        """Takes out of the store what nothing names any more, as two looks an hour apart would."""
        assert self.hub._lead is not None
        await self.hub._lead.sweeper.sweep()
        await self.hub._lead.sweeper.sweep()

    async def desired(self) -> dict[UnitKey, Assignment]:
        """All assignments in the stream."""
        return {item.unit: item for item in [decode(data, Assignment) for data, _ in await self._raw("desired.*.*.*")]}

    async def roots(self) -> dict[str, Root]:
        """All roots in the stream."""
        return {root.cluster: root for root in [decode(d, Root) for d, _ in await self._raw("desired.*._root")]}

    async def sequences(self) -> list[int]:
        """The stream sequences of everything desired: they change when anything is written."""
        return sorted(sequence for _, sequence in await self._raw("desired.*.>") if sequence)

    def problems(self) -> list[str]:
        """All findings that are shown."""
        view = self.hub.view
        found = [*view.fleet.problems, *(p for info in view.applications.values() for p in info.problems)]
        return [str(problem) for problem in found]

    async def _raw(self, filter_subject: str) -> list[tuple[bytes, int]]:
        return [
            (data, sequence)
            async for subject, data, sequence in streams.last_per_subject(self.bus, "DESIRED", filter_subject)
            if subject != subjects.EPOCH
        ]


def settings(folder: Path, repo: str, **more: object) -> HubSettings:
    more.setdefault("git", GitSettings(poll_interval=1.0))
    return HubSettings(state=folder, port=0, fleet_repo=repo, lease=3, **more).model_copy()


@contextlib.asynccontextmanager
async def live_hub(given: HubSettings, clock: Clock | None = None) -> AsyncIterator[LiveHub]:
    """Runs a hub until the block ends."""
    hub = Hub(given, clock)
    running = asyncio.ensure_future(hub.run())
    listening: asyncio.Future[None] | None = None
    try:
        await until(lambda: (hub.ready.is_set() and hub.nats_url) or running.done())
        bus = Bus(hub.nats_url, name="test", credentials=hub.identity.hub_credentials())
        listening = asyncio.ensure_future(bus.run())
        yield LiveHub(hub, bus)
    finally:
        for task in filter(None, (listening, running)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
