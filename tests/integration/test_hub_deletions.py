"""Deletions through everything: a commit, the hub, NATS, agents on sandbox clusters, the API and the command line."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from agent.kube.access import Access
from agent.kube.client import Kube
from agent.loop import run_agent
from agent.sandbox.server import Sandbox
from agent.settings import AgentSettings
from shared.model import ObjectRef, UnitKey
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import application, configmap, live_hub, settings

ROOT = Path(__file__).parents[2]
CLUSTERS = ("dev-1", "dev-2", "prod-1")


def cluster(name):
    return f"apiVersion: yardarm.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {name}}}\n---\n"


@pytest.fixture
def repo(tmp_path):
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", "".join(map(cluster, CLUSTERS)))
    return repo


class Fleet:
    """A hub, and agents with sandbox clusters."""

    def __init__(self, live, kubes):
        self.live, self.kubes = live, kubes

    async def names(self, cluster, namespace):
        kube = self.kubes[cluster]
        found, _ = await kube.list(await kube.resource("v1", "ConfigMap"), namespace=namespace)
        return sorted(each["metadata"]["name"] for each in found if each["metadata"]["name"] != "kube-root-ca.crt")

    async def until(self, met, seconds=30):
        try:
            async with asyncio.timeout(seconds):
                while not (found := await met()):
                    await asyncio.sleep(0.05)
                return found
        except TimeoutError:
            units = self.live.hub.view.index.units
            shown = {key: (one.shown.state, one.shown.reason) for key, one in units.items() if one.shown}
            raise AssertionError(f"did not come about: {shown} {self.live.problems()}") from None

    async def settled(self, repo, *units):
        """The newest commit is out, and these units (`cluster/namespace/application`) are Ready."""
        await self.live.seen(repo.head)
        await self.ready(*units)

    async def ready(self, *units):
        async def met():
            return all(self.state(unit) == "Ready" for unit in units)

        await self.until(met)

    def state(self, unit):
        record = self.live.hub.view.index.units.get(tuple(unit.split("/")))
        return str(record.shown.state) if record is not None and record.shown is not None else ""

    async def waiting(self, count=1):
        async def met():
            items = (await self.ask("GET", "confirmations"))[1]["items"]
            return items if len(items) >= count else None

        return await self.until(met)

    async def ask(self, method, path, body=None):
        hub = self.live.hub
        headers = {"Authorization": f"Bearer {hub.token}"}
        async with aiohttp.request(method, f"{hub.url}/api/v1/{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def yardarm(self, *args):
        hub = self.live.hub
        env = {**os.environ, "YARDARM_HUB": hub.url, "YARDARM_TOKEN": hub.token, "PYTHONPATH": str(ROOT)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hub", *args, env=env,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def running(given, folder, clusters=CLUSTERS):
    async with contextlib.AsyncExitStack() as stack:
        live = await stack.enter_async_context(live_hub(given))
        sandbox = await stack.enter_async_context(Sandbox(token="t"))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        kubes, tasks = {}, []
        for name in clusters:
            access = Access.url(sandbox.add_cluster(name), "t")
            kubes[name] = await stack.enter_async_context(await Kube.connect(access))
            agent_kube = await stack.enter_async_context(await Kube.connect(access))
            told = AgentSettings(
                cluster=name, nats=live.hub.nats_url, creds=None, state=folder / name, heartbeat=1.0,
                report_interval=0.1,
            )  # fmt: skip
            credentials = live.hub.identity.agent_credentials(name)
            tasks.append(group.create_task(run_agent(told, agent_kube, credentials)))
        try:
            yield Fleet(live, kubes)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=10)


def many(*numbers):
    return "---\n".join(configmap(f"c{number}") for number in numbers)


def on(*clusters):
    return f"  placement: {{clusters: [{', '.join(clusters)}]}}\n"


async def test_deletions_are_listed_confirmed_and_carried_out(repo, tmp_path):
    units = ("dev-1/web/web", "dev-2/web/web")
    repo.write("fleet/web.yaml", application("web", on("dev-1", "dev-2")))
    repo.write("apps/web/all.yaml", many(*range(10)))
    repo.commit("start")
    async with running(settings(tmp_path / "state", str(repo.path)), tmp_path) as fleet:
        await fleet.settled(repo, *units)
        repo.write("apps/web/all.yaml", many(0, 1))
        repo.commit("cut")
        await fleet.live.seen(repo.head)

        async def both():
            items = (await fleet.ask("GET", "confirmations"))[1]["items"]
            return items[0] if items and len(items[0]["units"]) == 2 else None

        item = await fleet.until(both)
        assert (item["kind"], item["count"], len(item["objects"])) == ("objects", 8, 8)
        assert fleet.state(units[0]) == "Blocked"

        code, out, _ = await fleet.yardarm("confirm")
        assert code == 0
        assert "delete 8 objects on 2 clusters" in out
        assert "ConfigMap web/c2" in out
        code, out, err = await fleet.yardarm("confirm", "web")
        assert code == 2
        assert "add --yes" in err
        code, out, err = await fleet.yardarm("confirm", "web", "--yes")
        assert code == 2
        assert "--all-clusters" in err
        status, body = await fleet.ask("POST", "confirmations", {"tokens": ["0" * 32], "application": "web"})
        assert status == 409
        assert body["items"][0]["count"] == 8
        assert len(await fleet.names("dev-1", "web")) == 10

        code, out, err = await fleet.yardarm("confirm", units[0], "--yes", "--reason", "cleaning up")
        assert code == 0, err
        await fleet.ready(units[0])
        assert await fleet.names("dev-1", "web") == ["c0", "c1"]
        assert len(await fleet.names("dev-2", "web")) == 10
        events = (await fleet.ask("GET", "events?application=web"))[1]["items"]
        told = next(each for each in events if each["type"] == "confirmed")
        assert told["actor"]
        assert "cleaning up" in told["message"]

        code, out, err = await fleet.yardarm("confirm", "web", "--yes", "-o", "json")
        assert code == 0, err
        assert json.loads(out)["items"]
        await fleet.ready(*units)
        assert await fleet.names("dev-2", "web") == ["c0", "c1"]
        assert (await fleet.ask("GET", "confirmations"))[1]["items"] == []


async def test_a_word_survives_a_hub_and_dies_with_the_bundle_it_was_about(repo, tmp_path):
    unit = "dev-1/web/web"
    repo.write("fleet/web.yaml", application("web", on("dev-1")))
    repo.write("apps/web/all.yaml", many(*range(10)))
    repo.commit("start")
    given = settings(tmp_path / "state", str(repo.path))
    async with running(given, tmp_path, ("dev-1",)) as fleet:
        await fleet.settled(repo, unit)
        repo.write("apps/web/all.yaml", many(0))
        repo.commit("cut")
        item = (await fleet.waiting())[0]
        body = {"tokens": [item["units"][0]["token"]], "reason": "yes"}
        assert (await fleet.ask("POST", "confirmations", body))[0] == 202
        await fleet.ready(unit)
        confirmed = (await fleet.live.desired())[UnitKey("dev-1", "web", "web")]
        assert confirmed.confirmed == (body["tokens"][0],)
    async with live_hub(given) as live:
        await live.seen(repo.head)
        assert (await live.desired())[UnitKey("dev-1", "web", "web")] == confirmed
        repo.write("apps/web/all.yaml", many(0, 1))
        await live.seen(repo.commit("more"))
        assert (await live.desired())[UnitKey("dev-1", "web", "web")].confirmed == ()


async def test_leaving_most_clusters_at_once_waits(repo, tmp_path):
    repo.write("fleet/web.yaml", application("web"))
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.commit("start")
    async with running(settings(tmp_path / "state", str(repo.path)), tmp_path) as fleet:
        units = [f"{name}/web/web" for name in CLUSTERS]
        await fleet.settled(repo, *units)
        repo.write("fleet/web.yaml", application("web", on("prod-1")))
        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        repo.commit("one cluster")
        item = (await fleet.waiting())[0]

        assert (item["kind"], item["items"]) == ("clusters", ["dev-1", "dev-2"])
        await fleet.settled(repo, "prod-1/web/web")
        assert await fleet.names("dev-1", "web") == ["web"]
        assert any("waits to be confirmed" in problem for problem in fleet.live.problems())

        code, _, err = await fleet.yardarm("confirm", "web", "--yes")
        assert code == 0, err

        async def gone():
            return not await fleet.names("dev-1", "web") and not await fleet.names("dev-2", "web")

        await fleet.until(gone)
        assert await fleet.names("prod-1", "web") == ["web"]
        assert (await fleet.ask("GET", "confirmations"))[1]["items"] == []


async def test_on_leave_orphan_leaves_the_objects(repo, tmp_path):
    repo.write("fleet/web.yaml", application("web", "  placement: {clusters: [dev-1, dev-2], onLeave: orphan}\n"))
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.commit("start")
    async with running(settings(tmp_path / "state", str(repo.path)), tmp_path) as fleet:
        await fleet.settled(repo, "dev-1/web/web", "dev-2/web/web")
        repo.write("fleet/web.yaml", application("web", "  placement: {clusters: [dev-2], onLeave: orphan}\n"))
        repo.commit("leave dev-1")
        await fleet.live.seen(repo.head)

        async def left():
            return fleet.state("dev-1/web/web") == ""

        await fleet.until(left)
        live = await fleet.kubes["dev-1"].get(ObjectRef("v1", "ConfigMap", "web", "web"))
        assert live["data"] == {"value": "1"}
        assert "labels" not in live["metadata"]


async def test_most_applications_at_once_wait_and_one_does_not(repo, tmp_path):
    for name in ("a", "b", "c", "d"):
        repo.write(f"fleet/{name}.yaml", application(name, on("dev-1")))
        repo.write(f"apps/{name}/cm.yaml", configmap(name))
    repo.commit("start")
    async with running(settings(tmp_path / "state", str(repo.path)), tmp_path, ("dev-1",)) as fleet:
        await fleet.settled(repo, *(f"dev-1/{name}/{name}" for name in "abcd"))
        for name in ("a", "b", "c"):
            (repo.path / f"fleet/{name}.yaml").unlink()
        repo.commit("oops")
        await fleet.live.seen(repo.head)
        item = (await fleet.waiting())[0]
        assert (item["kind"], item["items"]) == ("applications", ["a", "b", "c"])
        assert await fleet.names("dev-1", "a") == ["a"]

        for name in ("a", "b"):
            repo.write(f"fleet/{name}.yaml", application(name, on("dev-1")))
        repo.commit("only one")
        await fleet.live.seen(repo.head)

        async def gone():
            return not await fleet.names("dev-1", "c")

        await fleet.until(gone)
        assert await fleet.names("dev-1", "a") == ["a"]
        assert (await fleet.ask("GET", "confirmations"))[1]["items"] == []


async def test_an_application_that_moves_stays_until_its_new_place_stands(repo, tmp_path):
    late = configmap("web") + "---\n" + PENDING
    repo.write("fleet/web.yaml", application("web", on("dev-1")))
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.commit("start")
    async with running(settings(tmp_path / "state", str(repo.path)), tmp_path, ("dev-1",)) as fleet:
        await fleet.settled(repo, "dev-1/web/web")
        moved = application("web", on("dev-1")).replace("namespace: web", "namespace: shop")
        repo.write("fleet/web.yaml", moved)
        repo.write("apps/web/cm.yaml", late)
        repo.commit("move")
        await fleet.live.seen(repo.head)

        async def there():
            return await fleet.names("dev-1", "shop")

        await fleet.until(there)
        assert await fleet.names("dev-1", "web") == ["web"]
        assert any("dev-1/web/web stays until dev-1/shop/web is healthy" in each for each in fleet.live.problems())

        repo.write("apps/web/cm.yaml", configmap("web"))
        repo.commit("without what never comes up")

        async def gone():
            return not await fleet.names("dev-1", "web")

        await fleet.until(gone)
        assert await fleet.names("dev-1", "shop") == ["web"]
        assert not any("stays until" in each for each in fleet.live.problems())


PENDING = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: "example.com/api:broken"}]}
"""


async def test_a_move_that_takes_too_long_is_for_a_person_to_decide(repo, tmp_path):
    patient = on("dev-1") + "  sync: {timeout: 2s}\n"
    repo.write("fleet/web.yaml", application("web", patient))
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.commit("start")
    async with running(settings(tmp_path / "state", str(repo.path)), tmp_path, ("dev-1",)) as fleet:
        await fleet.settled(repo, "dev-1/web/web")
        repo.write("fleet/web.yaml", application("web", patient).replace("namespace: web", "namespace: shop"))
        repo.write("apps/web/cm.yaml", configmap("web") + "---\n" + PENDING)
        repo.commit("move")
        await fleet.live.seen(repo.head)
        item = (await fleet.waiting())[0]

        assert (item["kind"], item["items"]) == ("moves", ["dev-1/web/web"])
        assert await fleet.names("dev-1", "web") == ["web"]

        code, _, err = await fleet.yardarm("confirm", "web", "--yes")
        assert code == 0, err

        async def gone():
            return not await fleet.names("dev-1", "web")

        await fleet.until(gone)
        assert (await fleet.ask("GET", "confirmations"))[1]["items"] == []


async def test_a_renamed_application_hands_over_its_objects(repo, tmp_path):
    spec = application("web", on("dev-1"))
    repo.write("fleet/web.yaml", spec)
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.commit("start")
    async with running(settings(tmp_path / "state", str(repo.path)), tmp_path, ("dev-1",)) as fleet:
        await fleet.settled(repo, "dev-1/web/web")
        ref = ObjectRef("v1", "ConfigMap", "web", "web")
        before = await fleet.kubes["dev-1"].get(ref)
        repo.write("fleet/web.yaml", spec.replace("{name: web}", "{name: store}"))
        repo.commit("rename")
        await fleet.live.seen(repo.head)
        await fleet.ready("dev-1/web/store")

        async def gone():
            return fleet.state("dev-1/web/web") == "" and "web" not in fleet.live.hub.view.applications

        await fleet.until(gone)
        after = await fleet.kubes["dev-1"].get(ref)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["metadata"]["labels"] != before["metadata"]["labels"]
