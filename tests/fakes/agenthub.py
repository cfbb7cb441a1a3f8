"""A hub reduced to what an agent sees of it: signed assignments on a real NATS as in production, and what comes back.

async with agent_hub(tmp_path) as hub:
    await hub.assign("c1", "shop", [manifest, …])
    report = await hub.report("c1", "shop", lambda report: report.phase == "Applied")
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from hub import streams
from shared import bundle, subjects
from shared.bus import Bus, Message
from shared.messages import Assignment, Event, Heartbeat, Policy, Report, Root, RootEntry, ServedApis, decode, encode
from shared.model import UnitKey
from shared.tasks import Clock
from tests.fakes.natshub import HubNats, hub_nats


class AgentHub:
    def __init__(self, nats: HubNats, bus: Bus) -> None:
        self.nats = nats
        self.bus = bus
        self.key = nats.identity.signing_key
        self.given: dict[UnitKey, Assignment] = {}
        self.reports: dict[UnitKey, list[Report]] = {}
        self.events: list[Event] = []
        self.beats: list[Heartbeat] = []
        self._changed = asyncio.Condition()
        self._generation = int(Clock().now() * 1000)

    async def start(self) -> None:
        await streams.ensure(self.bus)
        await self.bus.subscribe(subjects.REPORTS_ALL, self._take)
        await self.bus.subscribe(subjects.EVENTS_ALL, self._take)

    async def _take(self, message: Message) -> None:
        if message.subject.startswith("events."):
            self.events.append(decode(message.data, Event))
        elif message.subject.endswith("._apis"):
            self.served = decode(message.data, ServedApis)
        elif message.subject.endswith("._beat"):
            self.beats.append(decode(message.data, Heartbeat))
        else:
            report = decode(message.data, Report)
            self.reports.setdefault(report.unit, []).append(report)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, met: Callable[[], object], seconds: float = 20, about: str = "") -> None:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(met)
        except TimeoutError:
            last = {str(unit): reports[-1] for unit, reports in self.reports.items()}
            raise AssertionError(
                f"did not come about: {about or met}; last reports {last}; events {self.events}"
            ) from None

    def assignment(self, cluster: str, application: str, manifests: list, *, namespace: str = "", **more) -> Assignment:
        policy = more.pop("policy", Policy())
        content = bundle.Bundle(policy, tuple(map(bundle.canonical_line, manifests)))
        self._generation += 1
        inline = None if more.get("packs") else bundle.inline(content.lines)
        fields = {
            "v": 1, "cluster": cluster, "namespace": namespace or application, "application": application,
            "generation": self._generation, "digest": content.digest, "commit": f"commit-{self._generation}",
            "revision": "r", "policy": policy, "objects": len(manifests), "at": Clock().now(),
            "inline": inline or b"", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        }  # fmt: skip
        return Assignment(**(fields | more))

    async def assign(self, cluster: str, application: str, manifests: list, **more) -> Assignment:
        """Publishes as the hub does: blobs, assignment, root."""
        if more.pop("as_packs", False):
            packs = bundle.packs([bundle.canonical_line(each) for each in manifests])
            for pack in packs:
                for name, data in pack.blobs():
                    with contextlib.suppress(Exception):
                        await self.bus.publish_stored(subjects.blob(subjects.TENANT, name), data)
            more["packs"] = tuple(pack.ref for pack in packs)
        assignment = self.key.sign(self.assignment(cluster, application, manifests, **more))
        await self.publish(assignment)
        return assignment

    async def publish(self, assignment: Assignment) -> None:
        await self.bus.publish_stored(subjects.desired(assignment.unit), encode(assignment))
        self.given[assignment.unit] = assignment
        await self.publish_root(assignment.cluster)

    async def publish_root(self, cluster: str) -> None:
        entries = tuple(
            RootEntry(unit.namespace, unit.application, each.generation, each.digest)
            for unit, each in sorted(self.given.items())
            if unit.cluster == cluster
        )
        root = Root(v=1, cluster=cluster, generation=max((e.generation for e in entries), default=0), units=entries)
        root = bundle.packed_list(root)
        await self.bus.publish_stored(subjects.desired_root(cluster), encode(self.key.sign(root)))

    async def report(self, assignment: Assignment, met: Callable[[Report], object], seconds: float = 20) -> Report:
        """The first report of this generation of which `met` holds."""

        def found() -> Report | None:
            all_of = self.reports.get(assignment.unit, [])
            return next((r for r in all_of if r.generation == assignment.generation and met(r)), None)

        await self.until(found, seconds, f"a report of {assignment.unit}")
        report = found()
        assert report is not None
        return report

    async def healthy(self, assignment: Assignment, seconds: float = 20) -> Report:
        return await self.report(assignment, lambda r: r.phase == "Applied" and r.health == "Healthy", seconds)

    def credentials(self, cluster: str):
        return self.nats.identity.agent_credentials(cluster)


def resigned(hub: AgentHub, assignment: Assignment, **changes) -> Assignment:
    return hub.key.sign(msgspec.structs.replace(assignment, **changes))


@contextlib.asynccontextmanager
async def agent_hub(folder: Path) -> AsyncIterator[AgentHub]:
    async with hub_nats(folder / "hub") as nats, nats.hub() as bus:
        hub = AgentHub(nats, bus)
        await hub.start()
        yield hub
