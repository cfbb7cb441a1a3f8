"""An outside edit of a managed object: how long until the API shows it as drift, and until it is put right.

Sixty objects in six applications on one cluster are edited one after the other, as `kubectl edit` does. All times
count from sending the edit. The floor is a bare watch that sees the same edit.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.bench.figures import Figure, percentile
from tests.bench.rig import HubProcess, SandboxProcess, hub_process, sandbox_process, say, until, workspace
from tests.bench.workload import application_document, cluster_documents, write_application
from tests.fakes.gitrepo import GitRepo

APPLICATIONS = 7
EDITS = 60
CLUSTER = "c0"
POLL = 0.01
"""Seconds between looks at the list of drift."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind that is edited: where its collection is, and what an edit of it changes."""

    collection: str
    edit: Callable[[int], Object]
    changed: Callable[[Object], object]


KINDS = {
    "ConfigMap": Kind(
        "api/v1/{}configmaps", lambda n: {"data": {"value": f"edited {n}"}}, lambda o: o["data"]["value"]
    ),
    "Service": Kind(
        "api/v1/{}services",
        lambda n: {"spec": {"selector": {"app": f"edited-{n}"}}},
        lambda o: o["spec"]["selector"]["app"],
    ),
    "Deployment": Kind(
        "apis/apps/v1/{}deployments", lambda n: {"spec": {"replicas": 3 + n % 2}}, lambda o: o["spec"]["replicas"]
    ),
    "PodDisruptionBudget": Kind(
        "apis/policy/v1/{}poddisruptionbudgets",
        lambda n: {"spec": {"minAvailable": 2}},
        lambda o: o["spec"]["minAvailable"],
    ),
    "Secret": Kind("api/v1/{}secrets", lambda n: {"data": {"password": "ZWRpdGVk"}}, lambda o: o["data"]["password"]),
}


@dataclass
class Edit:
    """One edit. Times are of `time.monotonic`, 0 until reached."""

    kind: str
    namespace: str
    name: str
    number: int
    before: object = None
    sent: float = 0.0
    answered: float = 0.0
    watched: float = 0.0
    told: float = 0.0
    shown: float = 0.0
    corrected: float = 0.0
    manager: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.namespace, self.name

    @property
    def done(self) -> bool:
        return bool(self.watched and self.told and self.shown and self.corrected)


@dataclass
class Witness:
    """Sees what a bare watch, the event stream and the list of drift say about the edit under way."""

    edit: Edit | None = None
    live: dict[tuple[str, str, str], Object] = field(default_factory=dict)

    def watched(self, live: Object) -> None:
        key = live["kind"], live["metadata"]["namespace"], live["metadata"]["name"]
        self.live[key] = live
        edit = self.edit
        if edit is None or edit.key != key:
            return
        same = KINDS[edit.kind].changed(live) == edit.before
        if not same and not edit.watched:
            edit.watched = time.monotonic()
        if same and edit.watched and not edit.corrected:
            edit.corrected = time.monotonic()

    def event(self, item: Object) -> None:
        about, edit = item.get("object") or {}, self.edit
        if edit is not None and (about.get("kind"), about.get("namespace"), about.get("name")) == edit.key:
            edit.told = edit.told or time.monotonic()

    def drift(self, items: list[Object]) -> None:
        edit = self.edit
        if edit is None or edit.shown:
            return
        for item in items:
            about = item["object"]
            if (about["kind"], about["namespace"], about["name"]) == edit.key:
                edit.shown = time.monotonic()
                edit.manager = next((each["manager"] for each in item["fields"] if each["manager"]), "")


async def measure() -> list[Figure]:
    with workspace("drift") as folder:
        repo = GitRepo(folder / "fleet")
        apps = [f"app-{number}" for number in range(APPLICATIONS)]
        repo.write("fleet/clusters.yaml", cluster_documents([CLUSTER]))
        for app in apps:
            repo.write(f"fleet/{app}.yaml", application_document(app, f"apps/{app}"))
            write_application(repo, app, f"apps/{app}")
        repo.commit("the fleet")
        async with (
            hub_process(folder / "hub", str(repo.path)) as hub,
            sandbox_process(folder / "sandbox", hub.nats, hub.identity, [CLUSTER]) as sandbox,
            hub.session() as session,
            aiohttp.ClientSession() as cluster,
        ):
            await until(lambda: _ready(session), 60, "all units are ready")
            edits = await _edits(hub, sandbox, session, cluster, apps)
    return _figures(edits)


async def _ready(session: aiohttp.ClientSession) -> bool:
    async with session.get("/api/v1/summary") as answer:
        return bool((await answer.json())["units"].get("Ready") == APPLICATIONS)


async def _edits(
    hub: HubProcess,
    sandbox: SandboxProcess,
    session: aiohttp.ClientSession,
    cluster: aiohttp.ClientSession,
    apps: list[str],
) -> list[Edit]:
    server, witness = sandbox.servers[CLUSTER], Witness()
    async with _listening(server, session, cluster, witness):
        names = [key for key in witness.live if key[1] in apps and key[2].startswith(key[1])]
        random.Random(1).shuffle(names)
        turns = sorted(names, key=lambda key: _turn(key, names))
        edits = [Edit(*key, number) for number, key in enumerate(turns[:EDITS])]
        for edit in edits:
            sandbox.program.alive()
            await _one(edit, server, session, cluster, witness)
            if edit.number % 15 == 14:
                say(
                    f"{edit.number + 1} edits, the last ({edit.kind}) shown after {(edit.shown - edit.sent) * 1000:.0f} ms"
                )
    return edits


def _turn(key: tuple[str, str, str], names: list[tuple[str, str, str]]) -> tuple[int, str]:
    """Applications take turns, as edits of one unit are reported at most once a second."""
    return [other for other in names if other[1] == key[1]].index(key), key[1]


async def _one(
    edit: Edit, server: str, session: aiohttp.ClientSession, cluster: aiohttp.ClientSession, witness: Witness
) -> None:
    kind = KINDS[edit.kind]
    edit.before = kind.changed(witness.live[edit.key])
    witness.edit = edit
    url = f"{server}/{kind.collection.format(f'namespaces/{edit.namespace}/')}/{edit.name}"
    headers = {"Content-Type": "application/merge-patch+json"}
    edit.sent = time.monotonic()
    body = orjson.dumps(kind.edit(edit.number))
    async with cluster.patch(url, data=body, headers=headers, params={"fieldManager": "kubectl-edit"}) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{edit.key}: {answer.status} {await answer.text()}")
        await answer.read()
    edit.answered = time.monotonic()

    async def done() -> bool:
        if not edit.shown:
            async with session.get("/api/v1/drift", params={"application": edit.namespace}) as shown:
                witness.drift((await shown.json())["items"])
        return edit.done

    await until(done, 30, f"{edit} is shown and put right", step=POLL)


@asynccontextmanager
async def _listening(
    server: str, session: aiohttp.ClientSession, cluster: aiohttp.ClientSession, witness: Witness
) -> AsyncIterator[None]:
    """The bare watches and the event stream, until the block ends."""
    ready = [asyncio.Event() for _ in range(len(KINDS) + 1)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_stream(session, witness, ready[-1]))]
        for number, kind in enumerate(KINDS):
            tasks.append(group.create_task(_watch(server, kind, cluster, witness, ready[number])))
        for each in ready:
            await asyncio.wait_for(each.wait(), 20)
        yield
        for task in tasks:
            task.cancel()


FOREVER = aiohttp.ClientTimeout(total=None)


async def _watch(
    server: str, kind: str, cluster: aiohttp.ClientSession, witness: Witness, ready: asyncio.Event
) -> None:
    """A list, then a watch from there."""
    url = f"{server}/{KINDS[kind].collection.format('')}"
    async with cluster.get(url) as answer:
        listed = await answer.json()
    for item in listed["items"]:
        witness.watched({"kind": kind, **item})
    query = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
    async with cluster.get(url, params=query, timeout=FOREVER) as answer:
        ready.set()
        async for line in answer.content:
            event = orjson.loads(line)
            if event["type"] in ("ADDED", "MODIFIED"):
                witness.watched(event["object"])


async def _stream(session: aiohttp.ClientSession, witness: Witness, ready: asyncio.Event) -> None:
    name = ""
    async with session.get("/api/v1/stream", timeout=FOREVER) as answer:
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
                if name == "ready":
                    ready.set()
            elif line.startswith("data: ") and name == "event":
                witness.event(orjson.loads(line[6:]))


def _figures(edits: list[Edit]) -> list[Figure]:
    def after(point: str) -> list[float]:
        return [(getattr(edit, point) - edit.sent) * 1000 for edit in edits]

    watched, shown, told, corrected = after("watched"), after("shown"), after("told"), after("corrected")
    named = sum(edit.manager == "kubectl-edit" for edit in edits)
    what = f"{len(edits)} outside edits"
    return [
        Figure(f"{what}: shown as drift by the API, p50", percentile(shown, 0.5), "ms", percentile(watched, 0.5)),
        Figure(f"{what}: shown as drift by the API, p99", percentile(shown, 0.99), "ms", percentile(watched, 0.99),
               limit=1000, note=f"{named} of {len(edits)} with the manager kubectl-edit named"),
        Figure(f"{what}: told by the event stream, p50", percentile(told, 0.5), "ms", percentile(watched, 0.5)),
        Figure(f"{what}: told by the event stream, p99", percentile(told, 0.99), "ms", percentile(watched, 0.99),
               limit=1000),
        Figure(f"{what}: put right in the cluster, p50", percentile(corrected, 0.5), "ms", percentile(watched, 0.5)),
        Figure(f"{what}: put right in the cluster, p99", percentile(corrected, 0.99), "ms", percentile(watched, 0.99)),
    ]  # fmt: skip
