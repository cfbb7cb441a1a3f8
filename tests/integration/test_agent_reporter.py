"""The agent's voice before the hub has made its streams."""

from __future__ import annotations

import asyncio
import pathlib

from agent.reporter import Reporter
from agent.settings import AgentSettings
from hub import streams
from shared import subjects
from shared.tasks import Clock
from tests.fakes.natshub import hub_nats

DEADLINE = 20.0


class Noting(Clock):
    """Notes when somebody waits."""

    def __init__(self) -> None:
        self.slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.set()
        await super().sleep(seconds)


async def test_a_heartbeat_without_a_stream_is_tried_again_soon(tmp_path: pathlib.Path) -> None:
    async with hub_nats(tmp_path) as nats, nats.hub() as bus, asyncio.TaskGroup() as group, asyncio.timeout(DEADLINE):
        settings = AgentSettings(
            cluster="c1", nats="nats://unused", creds=None, state=tmp_path / "state", heartbeat=3600.0
        )
        clock = Noting()
        task = group.create_task(Reporter(bus, settings, clock, lambda: ({}, ())).run())
        await clock.slept.wait()  # the first one was refused: there is no stream yet
        await streams.ensure(bus)
        while await streams.last(bus, streams.REPORTS.name, subjects.beat("c1")) is None:
            await asyncio.sleep(0.05)
        task.cancel()
