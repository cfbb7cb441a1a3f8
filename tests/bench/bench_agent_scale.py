"""An agent with many objects: a restart with 5,000, memory, the first apply of 1,000, and drift as NATS hears of it.

The floor of the first apply is a bare loop of the same requests with the same concurrency on the same server. Requests
are counted by a proxy in between in the restart only.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from agent.cache import PAGE
from agent.domain import applyset
from agent.settings import AgentSettings
from shared.model import UnitKey
from tests.bench.alone import Alone, alone, configmap, writes
from tests.bench.figures import Figure, percentile
from tests.bench.rig import say, until

MANY, UNITS = 5000, 10
FIRST = 1000
TURNS = 3
EDITS = 60


async def measure() -> list[Figure]:
    async with alone("agent-scale") as place:
        return [*await first_apply(place), *await drift(place), *await restart(place)]


async def first_apply(place: Alone) -> list[Figure]:
    """The bare loop and the agent take turns, each with new namespaces; the medians are compared."""
    bare: list[float] = []
    ours: list[float] = []
    async with place.agent() as program:
        warm = await place.hub.assign(place.cluster, place.unit("warm"), [configmap("a")])
        await place.hub.healthy(warm, 60)
        for turn in range(TURNS):
            bare.append(await _bare(place, f"bare{turn}"))
            manifests = [configmap(f"c{n}") for n in range(FIRST)]
            started = time.monotonic()
            given = await place.hub.assign(place.cluster, place.unit(f"first{turn}"), manifests, as_packs=True)
            await place.hub.healthy(given, 120)
            ours.append(time.monotonic() - started)
            say(f"first apply of {FIRST}: {ours[-1]:.2f} s, bare loop {bare[-1]:.2f} s")
            program.alive()
    took, floor = statistics.median(ours), statistics.median(bare)
    return [
        Figure(
            f"first apply of {FIRST} objects, until reported healthy",
            took,
            "s",
            floor,
            ratio_limit=1.25,
            note=f"{FIRST / took:.0f} objects a second, a bare loop {FIRST / floor:.0f}: {floor / took:.0%} of its rate",
        )
    ]


async def _bare(place: Alone, application: str) -> float:
    space = place.unit(application)
    await place.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
    unit = applyset.set_id(applyset.parent_ref(UnitKey(place.cluster, space, space)))
    gate = asyncio.Semaphore(AgentSettings(cluster="x", nats="", creds=None).concurrency)

    async def one(number: int) -> None:
        manifest = applyset.as_member(configmap(f"c{number}"), unit)
        manifest["metadata"]["namespace"] = space
        async with gate:
            await place.kube.apply(manifest)

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(FIRST):
            group.create_task(one(number))
    return time.monotonic() - started


async def drift(place: Alone) -> list[Figure]:
    """From the response to the edit until the report that names it has come over NATS."""
    took: list[float] = []
    apps = [place.unit(f"drift{n}") for n in range(6)]
    async with place.agent() as program:
        given = {a: await place.hub.assign(place.cluster, a, [configmap(f"c{n}") for n in range(10)]) for a in apps}
        for each in given.values():
            await place.hub.healthy(each, 60)
        for number in range(EDITS):
            space, name = apps[number % len(apps)], f"c{number // len(apps)}"
            manifest = configmap(name, key="edited")
            manifest["metadata"]["namespace"] = space
            await place.kube.apply(manifest, force=True, manager="somebody")
            answered = time.monotonic()
            await place.hub.report(given[space], lambda r, n=name: any(d.ref.name == n for d in r.drift), 30)
            took.append((time.monotonic() - answered) * 1000)
            program.alive()
            await asyncio.sleep(0.2)
        resident = program.rss
    return [
        Figure(f"{EDITS} outside edits: response to report on NATS, p50", percentile(took, 0.5), "ms"),
        Figure(f"{EDITS} outside edits: response to report on NATS, p99", percentile(took, 0.99), "ms", limit=500),
        Figure("agent resident after them", resident, "MB"),
    ]


async def restart(place: Alone) -> list[Figure]:
    """Requests and memory of a restart with many objects that are all as they should be."""
    each = MANY // UNITS
    given = []
    async with place.agent():
        for number in range(UNITS):
            manifests = [configmap(f"c{n}") for n in range(each)]
            given.append(await place.hub.assign(place.cluster, place.unit(f"many{number}"), manifests, as_packs=True))
        for assignment in given:
            await place.hub.healthy(assignment, 300)
        await asyncio.sleep(2)
    say(f"{MANY} objects are applied; now the restart")
    async with place.proxy() as proxy:
        count = {a.unit: len(place.hub.reports[a.unit]) for a in given}
        started = time.monotonic()
        async with place.agent(proxy.url) as program:
            await until(
                lambda: all(len(place.hub.reports[unit]) > n for unit, n in count.items()), 120, "all are reported"
            )
            ready = time.monotonic() - started
            await asyncio.sleep(5)
            program.alive()
            resident = program.rss
        asked = proxy.requests
    lists = sum(n for (verb, plural), n in asked.items() if verb == "list" and plural == "configmaps")
    gets = sum(n for (verb, plural), n in asked.items() if verb == "get" and plural not in ("", "leases"))
    resource = await place.kube.resource("v1", "ConfigMap")
    labelled, _ = await place.kube.list(resource, label_selector=applyset.PART_OF)
    pages = -(-len(labelled) // PAGE) + 1
    return [
        Figure(f"restart with {MANY} objects: until all are reported", ready, "s"),
        Figure(
            f"… pages of the one list of their kind ({PAGE} each), and of the inventories",
            lists,
            "requests",
            limit=pages,
        ),
        Figure("… objects asked for one by one", gets, "requests", limit=0),
        Figure("… writes", writes(asked), "requests", limit=0),
        Figure(f"agent resident with {MANY} objects after a restart", resident, "MB", limit=120),
    ]
