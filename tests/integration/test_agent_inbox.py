"""What an agent is told while it asks: over a real nats-server, with notices lost on purpose."""

import asyncio

import pytest

from agent.inbox import Inbox
from agent.settings import AgentSettings
from shared import bundle
from shared.bus import Bus
from shared.signing import Trust
from shared.tasks import Clock
from tests.fakes.agenthub import agent_hub


class Deaf(Bus):
    """Hears of lists of units only, and is told of a newer one just before it gets the one that it has asked for."""

    meanwhile = None

    async def subscribe(self, subject, callback):
        async def lists(message):
            if message.subject.endswith("._root"):
                await callback(message)
                self.heard.set()

        self.heard = asyncio.Event()
        return await super().subscribe(subject, lists)

    async def get_last(self, subject, *, timeout=5.0):
        answer = await super().get_last(subject, timeout=timeout)
        if subject.endswith("._root") and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            self.heard.clear()
            await meanwhile()
            await self.heard.wait()
        return answer


class Receiver:
    def __init__(self):
        self.delivered = asyncio.Queue()

    def deliver(self, delivery):
        self.delivered.put_nowait(delivery.assignment.application)

    def reject(self, subject, error):
        raise AssertionError(f"{subject}: {error}")

    def report_all(self):
        pass


@pytest.fixture
async def hub(tmp_path):
    async with agent_hub(tmp_path) as running:
        yield running


@pytest.mark.parametrize("long", [1000, 1], ids=["as it is", "packed"])
async def test_a_list_that_comes_while_an_older_one_is_on_its_way_is_not_forgotten(hub, monkeypatch, long):
    monkeypatch.setattr(bundle, "LONG_LIST", long)
    await hub.assign("c1", "first", [])
    bus = Deaf(hub.nats.server.url, name="agent", credentials=hub.credentials("c1"), inbox="_INBOX.c1")
    bus.meanwhile = lambda: hub.assign("c1", "second", [])
    receiver = Receiver()
    settings = AgentSettings(cluster="c1", nats=hub.nats.server.url, creds=None, resync=3600)
    inbox = Inbox(bus, settings, Trust((hub.key.public,)), Clock(), receiver)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        loops = [group.create_task(run) for run in (bus.run(), inbox.run())]
        told = {await receiver.delivered.get(), await receiver.delivered.get()}
        for loop in loops:
            loop.cancel()

    assert told == {"first", "second"}
