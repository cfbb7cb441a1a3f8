"""A hub's NATS as in production: operator mode, two accounts, an `EmbeddedServer`; and running buses on it.

async with hub_nats(tmp_path) as nats, nats.hub() as bus, nats.agent("c1") as agent: ...
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from hub.embedded import EmbeddedServer
from hub.identity import Identity
from shared.bus import Bus


@contextlib.asynccontextmanager
async def running(bus: Bus) -> AsyncIterator[Bus]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.run())
        try:
            await asyncio.wait_for(bus.wait_connected(), 20)
            yield bus
        finally:
            task.cancel()


class HubNats:
    def __init__(self, identity: Identity, server: EmbeddedServer) -> None:
        self.identity = identity
        self.server = server

    def hub(self) -> contextlib.AbstractAsyncContextManager[Bus]:
        return running(Bus(self.server.url, name="hub", credentials=self.identity.hub_credentials()))

    def agent(self, cluster: str, inbox: str = "") -> contextlib.AbstractAsyncContextManager[Bus]:
        credentials = self.identity.agent_credentials(cluster)
        return running(Bus(self.server.url, name=cluster, credentials=credentials, inbox=inbox or f"_INBOX.{cluster}"))


@contextlib.asynccontextmanager
async def hub_nats(folder: Path) -> AsyncIterator[HubNats]:
    identity = Identity.load_or_create(folder)
    async with EmbeddedServer(identity, folder / "nats") as server:
        yield HubNats(identity, server)
