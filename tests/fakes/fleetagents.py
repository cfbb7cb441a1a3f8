"""The agents of many clusters, played over NATS: what the hub publishes is answered as real agents answer it.

    agents = await FleetAgents(bus).listen()
    await agents.join("dev-1", "prod-1")
    agents.content("2.0", Mood.DEGRADED)            # whatever contains this is degraded, everywhere
    await agents.mood("prod-1", Mood.PROGRESSING)   # stays so until told otherwise

`given` is everything that was published, in the order of the stream.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Iterable

from hub import streams
from shared import __version__, bundle, subjects
from shared.bus import Bus, Message
from shared.errors import Unavailable
from shared.messages import (
    VERSION,
    Assignment,
    Heartbeat,
    PackRef,
    Phase,
    Report,
    Timeline,
    decode,
    encode,
    states_digest,
)
from shared.model import Health, UnitKey

INTERVAL = 60.0
"""Seconds between signs of life, as they say: nobody is missed for three times as long."""


class Mood(enum.Enum):
    """How an agent answers."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    PROGRESSING = "progressing"
    FAILED = "failed"
    SILENT = "silent"


_SAID = {
    Mood.HEALTHY: (Phase.APPLIED, Health.HEALTHY, ""),
    Mood.DEGRADED: (Phase.APPLIED, Health.DEGRADED, "ImagePullBackOff: no such image"),
    Mood.PROGRESSING: (Phase.APPLIED, Health.PROGRESSING, "0 of 1 pods are ready"),
    Mood.FAILED: (Phase.FAILED, Health.UNKNOWN, "the API server refuses it"),
}


class FleetAgents:
    """One voice for all agents of a fleet. Clusters that have not joined are silent."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._moods: dict[str, Mood] = {}
        self._contents: list[tuple[str, Mood, frozenset[str]]] = []
        self._newest: dict[UnitKey, Assignment] = {}
        self._said: dict[UnitKey, Report] = {}
        self._packs: dict[str, bytes] = {}
        self.given: list[Assignment] = []

    async def listen(self) -> FleetAgents:
        """Hears whatever is published from now on."""
        await self._bus.wait_connected()
        await self._bus.subscribe(f"{subjects.NOTIFY_PREFIX}desired.>", self._heard)
        return self

    async def join(self, *clusters: str) -> None:
        """These are heard from now on, and healthy."""
        for cluster in clusters:
            await self.mood(cluster, Mood.HEALTHY)

    async def mood(self, cluster: str, mood: Mood) -> None:
        """What a cluster says of all it has, at once and until told otherwise. Who was silent is heard again."""
        before = self._moods.get(cluster, Mood.SILENT)
        self._moods[cluster] = mood
        if mood is Mood.SILENT:
            await self._beat(cluster, 1.0)  # its last word: from here on every second counts
            return
        if before is Mood.SILENT:
            await self._beat(cluster, INTERVAL)
        for unit, assignment in list(self._newest.items()):
            if unit.cluster == cluster:
                await self._answer(assignment)

    def content(self, text: str, mood: Mood, *clusters: str) -> None:
        """Whatever contains this text is so, on these clusters or (none named) everywhere, from its next answer on."""
        self._contents.insert(0, (text, mood, frozenset(clusters)))

    def of(self, application: str) -> list[Assignment]:
        """Everything that was published for an application."""
        return [each for each in self.given if each.application == application]

    async def _heard(self, message: Message) -> None:
        if not isinstance(subjects.parse_desired(message.subject), UnitKey):
            return
        assignment = decode(message.data, Assignment)
        for ref in assignment.packs:
            self._packs[ref.digest] = await self._fetched(ref)
        self.given.append(assignment)
        self._newest[assignment.unit] = assignment
        await self._answer(assignment)

    async def _fetched(self, ref: PackRef) -> bytes:
        """A piece of a bundle, from the stream: anew each time, as an agent that has forgotten it."""
        names = [f"{ref.digest}-{n}" for n in range(ref.chunks)] if ref.chunks > 1 else [ref.digest]
        stored = [await streams.last(self._bus, streams.BLOBS.name, subjects.blob(subjects.TENANT, n)) for n in names]
        assert None not in stored, f"a piece of a bundle that is assigned is not there: {names}"
        return bundle.unpack(ref, b"".join(filter(None, stored)))

    def text(self, assignment: Assignment) -> str:
        """The manifests that it means, as they are sent."""
        return b"\n".join(bundle.open_bundle(assignment, lambda ref: self._packs[ref.digest]).lines).decode()

    async def _answer(self, assignment: Assignment) -> None:
        mood = self._mood(assignment)
        if mood is Mood.SILENT:
            return
        phase, health, reason = _SAID[mood]
        if assignment.removed and mood is Mood.HEALTHY:
            phase = Phase.REMOVED
        unit, now = assignment.unit, time.time()
        report = Report(
            v=VERSION,
            cluster=unit.cluster,
            namespace=unit.namespace,
            application=unit.application,
            generation=assignment.generation,
            digest=assignment.digest,
            commit=assignment.commit,
            revision=assignment.revision,
            phase=phase,
            health=health,
            at=max(now, self._said[unit].at + 1e-6) if unit in self._said else now,
            reason=reason,
            since=now,
            timeline=Timeline(now, now, now, now if health is Health.HEALTHY else None),
            traceparent=assignment.traceparent,
        )
        self._said[unit] = report
        await self._tell(subjects.report(unit), encode(report))
        if phase is Phase.REMOVED:
            del self._said[unit]
            self._newest.pop(unit, None)

    def _mood(self, assignment: Assignment) -> Mood:
        mood = self._moods.get(assignment.cluster, Mood.SILENT)
        if mood is not Mood.HEALTHY:
            return mood
        content = self.text(assignment)
        for part, spoilt, clusters in self._contents:
            if part in content and assignment.cluster in (clusters or {assignment.cluster}):
                return spoilt
        return mood

    async def _beat(self, cluster: str, interval: float) -> None:
        reports: Iterable[Report] = [each for unit, each in self._said.items() if unit.cluster == cluster]
        beat = Heartbeat(
            v=VERSION,
            cluster=cluster,
            at=time.time(),
            interval=interval,
            agent=__version__,
            boot=cluster,
            units=sum(unit.cluster == cluster for unit in self._newest),
            states=states_digest(reports),
        )
        await self._tell(subjects.beat(cluster), encode(beat))

    async def _tell(self, subject: str, data: bytes) -> None:
        """As agents do it: again until it is stored, as the hub may still be making its streams."""
        while True:
            try:
                await self._bus.publish_stored(subject, data)
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                return
