"""What a branch would do on a cluster as it is: the hub asks, an agent on a sandbox cluster tries it by dry runs."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

import aiohttp
import pytest
import zstandard

from agent.kube.access import Access
from agent.kube.client import Kube
from agent.loop import run_agent
from agent.sandbox.server import Sandbox
from agent.settings import AgentSettings
from shared import subjects
from shared.asking import Answer, Question
from shared.messages import VERSION, Policy, decode, encode
from shared.model import ObjectRef
from shared.signing import SigningKey
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, application, configmap, live_hub, settings, until

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {password: %s}\n"
ROOT = Path(__file__).parents[2]
WEB = ObjectRef("v1", "ConfigMap", "web", "web")


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("fleet/web.yaml", application("web"))
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.write("apps/web/other.yaml", configmap("other"))
    repo.write("apps/web/secret.yaml", SECRET % "hunter2")
    repo.commit("start")
    return repo


def branch(repo: GitRepo, files: dict[str, str]) -> None:
    repo.git("checkout", "-q", "-b", "change")
    for path, text in files.items():
        repo.write(path, text)
    repo.commit("a change")
    repo.git("checkout", "-q", "main")


async def preview(live, **body):
    head = {"Authorization": f"Bearer {live.hub.token}"}
    async with (
        aiohttp.ClientSession(headers=head) as session,
        session.post(f"{live.hub.url}/api/v1/previews", json={"to": "change", "live": True, **body}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await (answer.json() if body.get("form", "json") == "json" else answer.text())


@contextlib.asynccontextmanager
async def agent_on(live, access: Access, cluster: str, folder):
    """An agent that runs until the block ends."""
    kube = await Kube.connect(access)
    given = AgentSettings(
        cluster=cluster, nats=live.hub.nats_url, creds=None, state=folder / cluster, heartbeat=1.0, report_interval=0.1
    )
    task = asyncio.ensure_future(run_agent(given, kube, live.hub.identity.agent_credentials(cluster)))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await kube.close()


@pytest.fixture
async def fleet(repo, tmp_path):
    """The hub, and the cluster dev-1 with its agent, once it has what the fleet says; prod-1 has no agent."""
    async with (
        live_hub(settings(tmp_path / "hub", str(repo.path))) as live,
        Sandbox(token="t") as sandbox,
        await Kube.connect(access := Access.url(sandbox.add_cluster("dev-1"), "t")) as kube,
        agent_on(live, access, "dev-1", tmp_path),
    ):
        await live.seen(repo.head)
        await until(lambda: live.hub.view.tally().by_state()["Ready"])
        yield live, kube


def of(told: dict, cluster: str) -> dict:
    (found,) = [each for each in told["preview"]["live"] if cluster in each["clusters"]]
    return found


async def test_a_cluster_says_what_would_become_of_every_object(fleet, repo):
    live, kube = fleet
    by_hand = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "byhand", "namespace": "web"}}
    await kube.apply({**by_hand, "data": {"value": "mine"}}, manager="somebody")
    branch(
        repo,
        {
            "apps/web/cm.yaml": configmap("web", "${tier}"),
            "apps/web/new.yaml": configmap("new"),
            "apps/web/byhand.yaml": configmap("byhand"),
            "apps/web/widget.yaml": "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n",
            "apps/web/secret.yaml": SECRET % "tr0ub4dor",
        },
    )
    before = await live.sequences()

    told = await preview(live)
    markdown = await preview(live, form="markdown")

    dev, prod = of(told, "dev-1"), of(told, "prod-1")
    found = {each["object"]["name"]: each for each in dev["objects"]}
    assert (dev["answered"], dev["unchanged"]) == (True, 1)
    assert {name: each["action"] for name, each in found.items()} == {
        "web": "changed", "new": "created", "byhand": "refused", "w": "refused", "keys": "changed"
    }  # fmt: skip
    assert found["web"]["fields"][0] | {"manager": ""} == {
        "path": "/data/value", "before": "1", "after": "bronze", "manager": ""
    }  # fmt: skip
    assert "/data/value by somebody" in found["byhand"]["reason"].replace(".data.value", "/data/value")
    assert "does not serve Widget" in found["w"]["reason"]
    assert not prod["answered"]
    assert "does not answer" in prod["reason"]
    assert "As the clusters say" in markdown
    for value in ("hunter2", "tr0ub4dor"):
        assert value not in markdown + str(told)
    assert await live.sequences() == before
    assert (await kube.get(WEB))["data"] == {"value": "1"}
    assert await kube.get(ObjectRef("v1", "ConfigMap", "web", "new")) is None


async def test_where_nothing_changes_nobody_is_asked(fleet, repo):
    live, _ = fleet
    branch(repo, {"README.md": "words"})

    assert (await preview(live))["preview"]["live"] == []


async def yardarm(url: str, token: str, *args: str) -> tuple[int, str, str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "YARDARM_HUB": url, "YARDARM_TOKEN": token}
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hub", *args, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await command.communicate()
    return command.returncode or 0, out.decode(), err.decode()


async def test_the_command_line_asks_the_hub(fleet, repo):
    live, _ = fleet
    branch(repo, {"apps/web/cm.yaml": configmap("web", "${tier}")})
    hub = (live.hub.url, live.hub.token)

    code, out, err = await yardarm(*hub, "diff", "--hub", "--to", "change", "--live")
    assert code == 1, err
    assert "+bronze" in out
    assert "live web: ConfigMap web/web changed on dev-1" in out
    code, out, err = await yardarm(*hub, "plan", "--hub", "--to", "change", "-o", "json")
    assert code == 1, err
    assert json.loads(out)["applications"][0]["waves"][0]["clusters"] == ["dev-1", "prod-1"]

    assert (await yardarm(*hub, "diff", "--hub", "--to", "main"))[0] == 0
    assert (await yardarm(*hub, "diff", "--hub", "--to", "chnage"))[0] == 2
    assert (await yardarm(*hub, "diff", "--hub"))[0] == 2
    assert (await yardarm(*hub, "diff", "--live"))[0] == 2
    assert (await yardarm("http://127.0.0.1:9", "t", "diff", "--hub", "--to", "change"))[0] == 3


def question(*lines: bytes, cluster: str = "dev-1", **more) -> Question:
    body = zstandard.ZstdCompressor().compress(b"\n".join(lines))
    return Question(VERSION, cluster, "web", "web", more.pop("policy", Policy()), body, more.pop("within", 10.0))


async def asked(live, given: Question, key: SigningKey | None = None) -> Answer:
    signed = (key or live.hub.identity.signing_key).sign(given)
    return decode((await live.bus.request(subjects.ask_diff("dev-1"), encode(signed), timeout=20)).data, Answer)


async def test_only_the_hub_may_ask_and_only_what_is_for_this_cluster(fleet):
    live, _ = fleet
    line = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"}}'

    stranger = await asked(live, question(line), SigningKey(bytes(32)))
    other = await asked(live, question(line, cluster="prod-1"))
    broken = await asked(live, question(b"{"))
    bomb = await asked(live, question(b" " * (17 * 2**20)))
    fine = await asked(live, question(line))

    assert not any(each.answered for each in (stranger, other, broken, bomb))
    assert "does not accept" in stranger.reason
    assert "for cluster prod-1" in other.reason
    assert "cannot be read" in broken.reason
    assert "unpacks to more" in bomb.reason
    assert [(each.ref.name, each.action) for each in fine.objects] == [("new", "created")]


async def test_what_comes_with_what_it_needs_is_not_refused(fleet):
    live, _ = fleet
    definition = (
        b'{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"widgets.example.com"},'
        b'"spec":{"group":"example.com","scope":"Namespaced","names":{"kind":"Widget","plural":"widgets"},"versions":[{"name":'
        b'"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}'
    )
    widget = b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w"}}'
    space = b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"next"}}'
    inside = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"in","namespace":"next"}}'
    lost = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"lost","namespace":"nowhere"}}'
    hook = (
        b'{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"h","annotations":{"helm.sh/hook":"pre-install"}}}'
    )

    answer = await asked(live, question(definition, widget, space, inside, lost, hook))

    found = {each.ref.name: (each.action, each.reason) for each in answer.objects}
    assert found["w"] == ("unknown", "its definition comes with it")
    assert found["in"][0] == "created"
    assert found["lost"][0] == "refused"
    assert "nowhere" in found["lost"][1]
    assert "h" not in found
    assert answer.reason == "1 hooks are not tried"
