"""Streams filled as a fleet would fill them: reports of healthy units, stored with an acknowledgement each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from shared import subjects
from shared.bus import Bus
from shared.messages import VERSION, Assignment, ObjectStatus, Phase, Report, Timeline, encode
from shared.model import Health, ObjectRef

IN_FLIGHT = 256


def healthy(unit: Assignment) -> Report:
    """What an agent says once the ten objects of a unit are applied and healthy."""
    kinds = ("ConfigMap", "ConfigMap", "ConfigMap", "Secret", "Service", "Service", "ServiceAccount")
    refs = [ObjectRef("v1", kind, unit.namespace, f"{unit.application}-{n}") for n, kind in enumerate(kinds)]
    refs += [ObjectRef("apps/v1", "Deployment", unit.namespace, f"{unit.application}-{n}") for n in range(3)]
    return Report(
        v=VERSION,
        cluster=unit.cluster,
        namespace=unit.namespace,
        application=unit.application,
        generation=unit.generation,
        digest=unit.digest,
        commit=unit.commit,
        revision=unit.revision,
        phase=Phase.APPLIED,
        health=Health.HEALTHY,
        at=unit.at + 2,
        since=unit.at + 2,
        counts={"Healthy": len(refs)},
        objects=tuple(ObjectStatus(ref, Health.HEALTHY) for ref in refs),
        timeline=Timeline(unit.at + 0.1, unit.at + 0.1, unit.at + 1, unit.at + 2),
        traceparent=unit.traceparent,
    )


async def store(bus: Bus, reports: Iterable[Report]) -> int:
    """Writes them into REPORTS; returns how many there were."""
    waiting, count = iter(reports), 0

    async def writer() -> None:
        nonlocal count
        for report in waiting:
            await bus.publish_stored(subjects.report(report.unit), encode(report), timeout=30)
            count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(writer())
    return count
