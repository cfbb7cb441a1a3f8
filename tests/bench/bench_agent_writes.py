"""How little an agent asks of its API server for what has not changed, and how much memory one large object costs it.

A proxy between the two counts the requests. The unchanged bundle comes three times: after a commit that is not about it,
with another policy, so that everything is looked at anew, and to an agent that has just been started.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence

from shared.messages import Assignment, Policy
from shared.model import ObjectRef
from tests.bench.alone import Alone, alone, configmap, writes
from tests.bench.figures import Figure
from tests.bench.rig import Program, say, until
from tests.fakes.faultproxy import FaultProxy

OBJECTS = 1000
SMALL = 100
CRD_BYTES = 1_000_000
SETTLED = 3.0
"""Seconds after each step, for what follows it."""
WORDS = ("volume", "claim", "selector", "replica", "endpoint", "label", "quota", "probe", "container", "secret")


async def measure() -> list[Figure]:
    async with alone("agent-writes") as place:
        return [*await small(place), *await unchanged(place), *await large(place)]


async def small(place: Alone) -> list[Figure]:
    """Memory of an agent with a hundred objects."""
    async with place.agent() as program:
        manifests = [configmap(f"c{n}") for n in range(SMALL)]
        given = await place.hub.assign(place.cluster, place.unit("small"), manifests)
        await place.hub.healthy(given, 60)
        await asyncio.sleep(SETTLED)
        program.alive()
        return [Figure(f"agent resident with {SMALL} objects", program.rss, "MB", limit=60)]


async def unchanged(place: Alone) -> list[Figure]:
    """Writes and times of bundles that say nothing new, and of one that changes one object."""
    space, manifests = place.unit("many"), [configmap(f"c{n}") for n in range(OBJECTS)]
    other = Policy(timeout=Policy().timeout + 1)
    figures = []
    async with place.proxy() as proxy:
        async with place.agent(proxy.url) as program:
            await place.hub.healthy(await _assign(place, space, manifests), 120)
            await asyncio.sleep(SETTLED)
            again, took = await _counted(place, proxy, program, space, manifests)
            figures += _nothing(f"the same {OBJECTS} objects again", again, took)
            again, took = await _counted(place, proxy, program, space, manifests, policy=other)
            figures += _nothing("… under another policy", again, took)
            manifests[OBJECTS // 2] = configmap(f"c{OBJECTS // 2}", key="new")
            asked, took = await _counted(place, proxy, program, space, manifests, policy=other)
            live = await place.kube.get(ObjectRef("v1", "ConfigMap", space, f"c{OBJECTS // 2}"))
            if live is None or live["data"] != {"key": "new"}:
                raise RuntimeError(f"reported healthy, but the changed object is {live}")
            applied = asked["patch", "configmaps"]
            figures += [
                Figure(f"one changed object of {OBJECTS}: applies", applied, "requests", limit=1),
                Figure("… all writes", writes(asked), "requests", limit=1),
                Figure("… until reported healthy", took, "s"),
            ]
        proxy.requests.clear()
        async with place.agent(proxy.url) as program:
            _, took = await _counted(place, proxy, program, space, manifests, policy=other)
            figures += _nothing("… to an agent that was just started", proxy.requests, took)
    return figures


async def _assign(place: Alone, space: str, manifests: Sequence[dict], policy: Policy | None = None) -> Assignment:
    return await place.hub.assign(place.cluster, space, [*manifests], as_packs=True, policy=policy or Policy())


async def _counted(
    place: Alone,
    proxy: FaultProxy,
    program: Program,
    space: str,
    manifests: Sequence[dict],
    policy: Policy | None = None,
) -> tuple[Counter[tuple[str, str]], float]:
    """What is asked of the server because of a new assignment, and the seconds until it is reported healthy."""
    before = Counter(proxy.requests)
    started = time.monotonic()
    await place.hub.healthy(await _assign(place, space, manifests, policy), 60)
    took = time.monotonic() - started
    await asyncio.sleep(SETTLED)
    program.alive()
    return proxy.requests - before, took


def _nothing(what: str, asked: Counter[tuple[str, str]], took: float) -> list[Figure]:
    return [
        Figure(f"{what}: writes", writes(asked), "requests", limit=0),
        Figure("… until reported healthy", took, "s"),
    ]


async def large(place: Alone) -> list[Figure]:
    """A definition of a megabyte, of which most is text, and an object of the kind that it defines."""
    group = f"{place.cluster}.example.com"
    definition = _definition(group)
    custom = {"apiVersion": f"{group}/v1", "kind": "Large", "metadata": {"name": "one"}, "spec": {"field0": "value"}}
    async with place.agent() as program:
        await asyncio.sleep(SETTLED)
        before = program.rss
        started = time.monotonic()
        given = await place.hub.assign(place.cluster, place.unit("large"), [definition, custom], as_packs=True)
        try:
            await place.hub.healthy(given, 120)
            took = time.monotonic() - started
            say(f"a definition of {CRD_BYTES / 1e6:g} MB and an object of its kind are healthy")
            await asyncio.sleep(SETTLED)
            program.alive()
            resident, peak = program.rss, program.peak
        finally:
            kind = ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", f"larges.{group}")
            await place.kube.delete(kind)
            await until(lambda: _gone(place, kind), 60, "the definition is gone")
    return [
        Figure("a definition of 1 MB and an object of its kind: until healthy", took, "s"),
        Figure("… agent resident afterwards", resident, "MB", note=f"{before:.1f} MB before, at most {peak:.1f} MB"),
    ]


async def _gone(place: Alone, ref: ObjectRef) -> bool:
    return await place.kube.get(ref) is None


def _definition(group: str) -> dict:
    """As they are found: some hundred fields, each with sentences about it."""
    chance = random.Random(1)
    fields = {}
    size = 0
    while size < CRD_BYTES:
        text = " ".join(chance.choice(WORDS) + str(chance.randrange(1000)) for _ in range(200))
        fields[f"field{len(fields)}"] = {"type": "string", "description": text}
        size += len(text)
    spec = {"type": "object", "properties": fields}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"larges.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Large", "plural": "larges", "singular": "large"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                }
            ],
        },
    }
