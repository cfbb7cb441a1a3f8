"""Hubs as processes that die, hang and take over: nothing is lost, nothing is published twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import msgspec
import pytest

from hub import streams
from hub.identity import Identity
from shared import subjects
from shared.bus import Bus
from shared.errors import Unavailable
from shared.messages import Assignment, Event, Health, Phase, Report, Root, Severity, decode, encode
from shared.model import UnitKey
from shared.signing import Trust
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, application, configmap, live_hub, settings, until
from tests.fakes.natshub import running

ROOT = Path(__file__).parents[2]
CLUSTER = "---\napiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: c-{}}}\n"


class HubProcess:
    """`yardarm hub` on a NATS that somebody else runs; `state` as a folder of its own, keys copied from `keys`."""

    def __init__(self, state: Path, repo: str, nats: str = "", keys: Path | None = None, **more: str) -> None:
        if keys is not None:
            shutil.copytree(keys / "keys", state / "keys")
        self.state = state
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "YARDARM_STATE": str(state),
            "YARDARM_NAME": state.name,
            "YARDARM_PORT": "0",
            "YARDARM_TOKEN": "t",
            "YARDARM_FLEET_REPO": repo,
            "YARDARM_LEASE": "3",
            "YARDARM_GIT__POLL_INTERVAL": "1",
            **({"YARDARM_NATS__URL": nats} if nats else {}),
            **more,
        }
        self.process: asyncio.subprocess.Process | None = None
        self.url = ""

    @property
    def log(self) -> Path:
        return self.state.with_suffix(".log")

    def records(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    async def start(self) -> HubProcess:
        seen = len(self.records()) if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hub", "hub", env=self.environment, stdout=log, stderr=log, cwd=self.state.parent
            )

        def urls() -> list[str]:
            return [r["url"] for r in self.records()[seen:] if r["message"] == "the API is being served"]

        await until(lambda: urls() or self.process.returncode is not None)
        assert self.process.returncode is None, self.log.read_text()
        self.url = urls()[0]
        await eventually(self.role)
        return self

    async def signal(self, number: int) -> None:
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            await self.process.wait()

    async def get(self, path: str):
        headers = {"Authorization": "Bearer t"}
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/{path}", headers=headers) as answer:
            return await answer.json()

    async def role(self) -> str:
        try:
            return (await self.get("readyz")).get("role", "")
        except (aiohttp.ClientError, OSError):
            return ""

    async def end(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@contextlib.asynccontextmanager
async def hubs(*given: HubProcess):
    try:
        yield
    finally:
        for each in given:
            await each.end()


async def eventually(check, seconds: float = 40):
    """The first truthy answer of an async question."""
    async with asyncio.timeout(seconds):
        while True:
            found = await check()
            if found:
                return found
            await asyncio.sleep(0.1)


class Wire:
    """Everything that was ever announced to agents."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.assignments: list[Assignment] = []
        self.roots: dict[str, Root] = {}

    async def listen(self) -> Wire:
        await self.bus.subscribe("notify.desired.>", self._take)
        return self

    async def read(self) -> None:
        """What is in the stream, instead of what was heard."""
        with contextlib.suppress(Unavailable):
            found = [item async for item in streams.last_per_subject(self.bus, "DESIRED", "desired.*.>")]
            self.assignments.clear()
            for subject, data, _ in found:
                self._keep(subject, data)

    async def _take(self, message) -> None:
        self._keep(message.subject, message.data)

    def _keep(self, subject: str, data: bytes) -> None:
        key = subjects.parse_desired(subject) if subject != subjects.EPOCH else None
        if isinstance(key, UnitKey):
            self.assignments.append(decode(data, Assignment))
        elif key == "_root":
            root = decode(data, Root)
            self.roots[root.cluster] = root

    def newest(self) -> dict[UnitKey, Assignment]:
        return {each.unit: each for each in self.assignments}

    def consistent(self) -> bool:
        """Whether the roots list exactly what was assigned last."""
        listed = {
            (UnitKey(root.cluster, entry.namespace, entry.application), entry.generation, entry.digest)
            for root in self.roots.values()
            for entry in root.units
        }
        return listed == {(unit, each.generation, each.digest) for unit, each in self.newest().items()}


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    for name in ("web", "api"):
        repo.write(f"fleet/{name}.yaml", application(name))
        repo.write(f"apps/{name}/cm.yaml", configmap(name))
    repo.commit("start")
    return repo


@pytest.fixture
async def wire(nats_server):
    async with running(Bus(nats_server.url, name="test")) as bus:
        yield await Wire(bus).listen()


def large(repo: GitRepo, clusters: int, applications: int) -> str:
    repo.write("clusters.yaml", "".join(CLUSTER.format(n) for n in range(clusters)))
    for name in ("web", "api"):
        repo.remove(f"fleet/{name}.yaml")
    for n in range(applications):
        repo.write(f"fleet/a{n}.yaml", application(f"a{n}"))
        repo.write(f"apps/a{n}/cm.yaml", configmap(f"a{n}"))
    return repo.commit("large")


async def test_killed_while_it_publishes_a_hub_goes_on_without_publishing_anything_twice(
    tmp_path, repo, nats_server, wire
):
    large(repo, 60, 100)
    hub = HubProcess(tmp_path / "a", str(repo.path), nats_server.url)
    async with hubs(hub):
        await hub.start()
        await until(lambda: len(wire.assignments) > 100)
        await hub.signal(signal.SIGKILL)
        before = len(wire.assignments)
        assert before < 6000, "it was killed too late for this test to say anything"
        await hub.start()
        await until(lambda: len(wire.newest()) == 6000 and wire.consistent(), 60)

        again = [unit for unit, times in Counter(each.unit for each in wire.assignments).items() if times > 1]
        assert not again
        repo.write("apps/a3/cm.yaml", configmap("a3", "2"))
        sha = repo.commit("one more")
        await until(lambda: len(wire.assignments) == 6060 and wire.consistent(), 60)
        assert {each.commit for each in wire.assignments[6000:]} == {sha}

        async def two_revisions():
            found = await hub.get("api/v1/applications/a3")
            return found if len(found.get("history", ())) == 2 else None

        assert (await eventually(two_revisions))["commit"]["sha"] == sha


async def test_nats_that_is_away_delays_a_commit_and_loses_nothing(tmp_path, repo, nats_server, wire):
    hub = HubProcess(tmp_path / "a", str(repo.path), nats_server.url)
    async with hubs(hub):
        await hub.start()
        await until(lambda: len(wire.newest()) == 4 and wire.consistent())
        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        repo.commit("just before")
        await nats_server.kill()
        for value in ("3", "4"):
            repo.write("apps/web/cm.yaml", configmap("web", value))
            sha = repo.commit(f"web: {value}")
            await asyncio.sleep(2)  # the outage itself: long enough for the hub to notice both
        assert (await hub.get("healthz"))["status"]
        await nats_server.start()

        async def caught_up() -> bool:
            await wire.read()  # announcements may have come before this connection was back
            newest = wire.newest()
            return {newest[UnitKey(c, "web", "web")].commit for c in ("dev-1", "prod-1")} == {sha} and wire.consistent()

        await eventually(caught_up, 60)
        assert hub.process.returncode is None


async def test_the_follower_answers_like_the_leader_and_takes_over(tmp_path, repo, nats_server, wire):
    Identity.load_or_create(tmp_path / "a")
    first = HubProcess(tmp_path / "a", str(repo.path), nats_server.url)
    second = HubProcess(tmp_path / "b", str(repo.path), nats_server.url, keys=tmp_path / "a")
    repo.write("fleet/bad.yaml", application("bad", "  plcement: {}\n"))
    repo.commit("a typo")
    async with hubs(first, second):
        await first.start()
        await until(lambda: len(wire.newest()) == 4 and wire.consistent())
        await second.start()

        different = []

        async def same():
            different.clear()
            for path in ("applications", "units", "clusters", "environments", "problems"):
                answers = [json.dumps(await hub.get(f"api/v1/{path}")) for hub in (first, second)]
                if answers[0] != answers[1]:
                    different.extend(answers)
            return not different

        await eventually(same)
        assert [await first.role(), await second.role()] == ["leader", "follower"]
        assert any("plcement" in p["message"] for p in (await second.get("api/v1/problems"))["items"])

        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        await first.signal(signal.SIGSTOP)  # hangs, and will wake up believing that it leads
        sha = repo.commit("web: 2")
        await until(lambda: {each.commit for each in wire.newest().values() if each.application == "web"} == {sha}, 60)
        await first.signal(signal.SIGCONT)

        async def swapped():
            return [await first.role(), await second.role()] == ["follower", "leader"]

        await eventually(swapped)
        repo.write("apps/api/cm.yaml", configmap("api", "2"))
        repo.commit("api: 2")
        await until(lambda: len(wire.assignments) >= 8 and wire.consistent(), 30)
        try:
            await eventually(same)
        except TimeoutError:
            raise AssertionError("\n".join(different)) from None
        counts = Counter(each.unit for each in wire.assignments)
        assert set(counts.values()) == {2}, counts


async def test_a_hub_killed_with_its_own_nats_comes_back_where_agents_look_for_it(tmp_path, repo):
    hub = HubProcess(tmp_path / "a", str(repo.path))
    async with hubs(hub):

        async def published():
            return (await hub.get("api/v1/summary"))["units"]["total"] == 4

        async def port() -> int:
            await until((hub.state / "nats" / "port").exists)
            return int((hub.state / "nats" / "port").read_text())

        await hub.start()
        await eventually(published)
        before = await port()
        await hub.signal(signal.SIGKILL)
        await hub.start()
        await eventually(published)

        assert await port() == before


async def test_units_removed_while_the_hub_was_down_are_forgotten_when_it_is_back(tmp_path, repo, nats_server, wire):
    given = settings(tmp_path / "state", str(repo.path), nats={"url": nats_server.url})
    async with live_hub(given) as live:
        await live.seen(repo.head)
        repo.remove("fleet/api.yaml")
        await live.seen(repo.commit("api is gone"))
        leaving = (await live.desired())[UnitKey("dev-1", "api", "api")]
    report = Report(
        v=1, cluster="dev-1", namespace="api", application="api", generation=leaving.generation, digest=leaving.digest,
        commit=leaving.commit, revision=leaving.revision, at=leaving.at + 1, phase=Phase.REMOVED, health=Health.HEALTHY,
    )  # fmt: skip
    await wire.bus.publish_stored(subjects.report(report.unit), encode(report))
    async with live_hub(given) as live:
        await live.seen(repo.head)
        desired = await live.desired()

        assert UnitKey("dev-1", "api", "api") not in desired
        assert desired[UnitKey("prod-1", "api", "api")].removed
        assert [entry.application for entry in (await live.roots())["dev-1"].units] == ["web"]


@pytest.mark.parametrize("when", ["while it runs", "while it is down"])
async def test_a_foreign_message_in_the_stream_is_replaced_once_an_agent_complains(
    tmp_path, repo, nats_server, wire, when
):
    given = settings(tmp_path / "state", str(repo.path), nats={"url": nats_server.url})
    unit = UnitKey("dev-1", "web", "web")

    async def forge(good: Assignment) -> Assignment:
        forged = msgspec.structs.replace(good, generation=good.generation + 10**9, digest="0" * 64, commit="evil")
        await wire.bus.publish_stored(subjects.desired(unit), encode(forged))
        event = Event("e1", good.at, "rejected", Severity.ERROR, "the signature does not fit", cluster="dev-1")
        await wire.bus.publish_stored(subjects.event("dev-1", "rejected"), encode(event))
        return forged

    async with live_hub(given) as live:
        await live.seen(repo.head)
        before = await live.desired()
        if when == "while it runs":
            forged = await forge(before[unit])
            await mended(live, wire, forged)
    if when == "while it is down":
        forged = await forge(before[unit])
        async with live_hub(given) as live:
            await mended(live, wire, forged)
    after = wire.newest()
    assert {u: a for u, a in after.items() if u != unit} == {u: a for u, a in before.items() if u != unit}
    assert (after[unit].digest, after[unit].commit) == (before[unit].digest, repo.head)


async def mended(live, wire: Wire, forged: Assignment) -> None:
    trust = Trust((live.hub.identity.signing_key.public,))

    def done() -> bool:
        newest = wire.newest()[forged.unit]
        return newest.generation > forged.generation and wire.consistent()

    await until(done)
    trust.open(encode(wire.newest()[forged.unit]), Assignment)
    shown = live.hub.view.clusters["dev-1"].units[("dev-1", "web", "web")]
    assert shown.want.generation > forged.generation
