"""A hub as `yardarm hub` runs it, that also tells on `bench.hub` what it has counted.

python -m tests.bench.child_hub FILE
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import orjson

from hub.app import Hub
from hub.settings import load
from shared.bus import Bus, Message
from shared.telemetry import configure_logging


async def main(file: Path) -> None:
    hub = Hub(load(orjson.loads(file.read_bytes()), str(file)))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hub.run()), group.create_task(_answer(hub))]
        await stop.wait()
        for task in tasks:
            task.cancel()


async def _answer(hub: Hub) -> None:
    await hub.ready.wait()
    bus = Bus(hub.nats_url, name="bench-child", credentials=hub.identity.hub_credentials())

    async def answer(message: Message) -> None:
        await bus.publish(message.reply, orjson.dumps(_counts(hub)))

    await bus.subscribe("bench.hub", answer)
    await bus.run()


def _counts(hub: Hub) -> dict[str, object]:
    lead = hub._lead
    if lead is None:
        return {"looked": "", "busy": True}
    pool = lead.fleet._pool.statistics
    return {
        "looked": lead.fleet.looked,
        "busy": bool(lead.applications.pending) or not lead.publisher.idle,
        "evaluated": lead.fleet.evaluated,
        "rendered": pool.rendered,
        "failed": pool.failed,
    }


if __name__ == "__main__":
    configure_logging(level="warning", style="json")
    asyncio.run(main(Path(sys.argv[1])))
