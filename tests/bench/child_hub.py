"""A hub as `yardarm hub` runs it, that also tells on `bench.hub` what it has counted, on `bench.rollouts` how
far rollouts are, and on `bench.late` how late a 10 ms timer of its event loop was since that was last asked.

python -m tests.bench.child_hub FILE
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import orjson

from hub.app import Hub
from hub.settings import load
from shared.bus import Bus, Message
from shared.telemetry import configure_logging
from tests.bench.figures import percentile

TICK = 0.01


async def main(file: Path) -> None:
    hub = Hub(load(orjson.loads(file.read_bytes()), str(file)))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        late: list[float] = []
        running = hub.run(), _answer(hub, late), tick(late)
        tasks = [group.create_task(each) for each in running]
        await stop.wait()
        for task in tasks:
            task.cancel()


async def tick(late: list[float]) -> None:
    """Notes how late a timer is, each time it comes."""
    while True:
        due = time.monotonic() + TICK
        await asyncio.sleep(TICK)
        late.append(time.monotonic() - due)


async def _answer(hub: Hub, late: list[float]) -> None:
    await hub.ready.wait()
    bus = Bus(hub.nats_url, name="bench-child", credentials=hub.identity.hub_credentials())

    async def answer(message: Message) -> None:
        await bus.publish(message.reply, orjson.dumps(_counts(hub)))

    async def answer_late(message: Message) -> None:
        found = {"p99": percentile(late, 0.99), "most": max(late)}
        late.clear()
        await bus.publish(message.reply, orjson.dumps(found))

    async def answer_rollouts(message: Message) -> None:
        await bus.publish(message.reply, orjson.dumps(_counts(hub) | _rollouts(hub)))

    await bus.subscribe("bench.hub", answer)
    await bus.subscribe("bench.rollouts", answer_rollouts)
    await bus.subscribe("bench.late", answer_late)
    await bus.run()


def _counts(hub: Hub) -> dict[str, object]:
    lead = hub._lead
    if lead is None:
        return {"looked": "", "busy": True}
    renders = hub.metrics.renders.labels  # asked for many times a second: collecting all metrics for it would be felt
    return {
        "looked": lead.fleet.looked,
        "busy": bool(lead.applications.pending) or not lead.publisher.idle,
        "evaluated": lead.fleet.evaluated,
        "rendered": renders("ok")._value.get(),
        "failed": renders("error")._value.get(),
    }


def _rollouts(hub: Hub) -> dict[str, object]:
    """The rollouts of the commit that was looked at last, by phase; `stepping` while any has something to take in."""
    lead = hub._lead
    if lead is None:
        return {"rollouts": {}, "underway": 0, "stepping": True}
    rollouts = lead.rolling.rollouts
    newest = [each for name in lead.applications.infos if (each := rollouts.newest(name)) is not None]
    found = Counter(str(each.phase) for each in newest if each.plan.commit.sha == lead.fleet.looked)
    return {"rollouts": found, "underway": len(rollouts.active()), "stepping": not rollouts.idle}


if __name__ == "__main__":
    configure_logging(level="warning", style="json")
    asyncio.run(main(Path(sys.argv[1])))
