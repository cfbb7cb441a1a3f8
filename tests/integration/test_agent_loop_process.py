"""The `yardarm-agent` command as a process: sandbox clusters, orderly ends, sudden ends, exit codes."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from agent.kube.access import Access
from agent.kube.client import Kube
from shared.model import ObjectRef
from tests.fakes.agenthub import agent_hub

ROOT = Path(__file__).parents[2]


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "b"}}


@contextlib.asynccontextmanager
async def agent(*args, env=None):
    command = [sys.executable, "-m", "agent", *map(str, args)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process, seconds=15):
    async with asyncio.timeout(seconds):
        _, err = await process.communicate()
    return process.returncode, err.decode()


async def exists(path, seconds=15):
    async with asyncio.timeout(seconds):
        while not path.exists():
            await asyncio.sleep(0.05)


def sandbox_files(folder, hub, *clusters):
    for name in clusters:
        (folder / f"{name}.creds").write_text(str(hub.credentials(name)))
    listed = [{"name": name, "labels": {"env": "dev"}, "kubernetes": "v1.35.1", "nodes": 2} for name in clusters]
    (folder / "clusters.json").write_text(json.dumps({"clusters": listed}))
    return [
        "sandbox", "--clusters", folder / "clusters.json", "--nats", hub.nats.server.url, "--creds-dir", folder,
        "--kubeconfig-out", folder / "kubeconfig", "--state", folder / "state", "--heartbeat", "0.5",
    ]  # fmt: skip


async def test_sandbox_clusters_follow_the_hub_and_end_in_order(tmp_path):
    async with agent_hub(tmp_path) as hub, agent(*sandbox_files(tmp_path, hub, "c1", "c2")) as process:
        for cluster in ("c1", "c2"):
            await hub.healthy(await hub.assign(cluster, "shop", [configmap("a")]), 30)
        await hub.until(
            lambda: {b.cluster for b in hub.beats if b.facts.get("kubernetes") == "v1.35.1"} == {"c1", "c2"}
        )
        kubeconfig = json.loads((tmp_path / "kubeconfig").read_text())

        process.send_signal(signal.SIGTERM)

        assert (await ended(process))[0] == 0
        assert [context["name"] for context in kubeconfig["contexts"]] == ["c1", "c2"]
        assert (tmp_path / "kubeconfig").stat().st_mode & 0o077 == 0


async def test_the_sandbox_is_reached_by_its_kubeconfig(tmp_path):
    async with agent_hub(tmp_path) as hub, agent(*sandbox_files(tmp_path, hub, "c1")):
        await hub.healthy(await hub.assign("c1", "shop", [configmap("a")]), 30)

        async with await Kube.connect(Access.kubeconfig(tmp_path / "kubeconfig", "c1")) as kube:
            assert await kube.get(ObjectRef("v1", "ConfigMap", "shop", "a"))


async def test_killed_in_the_middle_of_an_apply_it_converges_and_loses_nothing(tmp_path):
    """The cluster outlives the agent here: the sandbox is ours, the agent is the process that dies."""
    from agent.sandbox.server import Sandbox

    async with agent_hub(tmp_path) as hub, Sandbox(token="t") as sandbox:
        sandbox.add_cluster("c1")
        (tmp_path / "c1.creds").write_text(str(hub.credentials("c1")))
        (tmp_path / "kubeconfig").write_text(json.dumps(sandbox.kubeconfig()))
        args = [
            "--cluster", "c1", "--nats", hub.nats.server.url, "--creds", tmp_path / "c1.creds",
            "--kubeconfig", tmp_path / "kubeconfig", "--state", tmp_path / "state",
        ]  # fmt: skip
        old = [configmap(f"c{n}", v="1") for n in range(300)]
        new = [configmap(f"c{n}", v="2") for n in range(100, 350)]
        async with agent(*args):
            await hub.healthy(await hub.assign("c1", "shop", old), 40)
        given = await hub.assign("c1", "shop", new)
        async with await Kube.connect(Access.url(sandbox.url("c1"), "t")) as kube:
            resource = await kube.resource("v1", "ConfigMap")

            async def versions():
                listed, _ = await kube.list(resource, namespace="shop")
                return {each["metadata"]["name"]: each["data"]["v"] for each in listed if "v" in each.get("data", {})}

            async with agent(*args):
                async with asyncio.timeout(30):
                    while "2" not in (await versions()).values():
                        await asyncio.sleep(0.01)
            async with agent(*args):
                await hub.healthy(given, 40)

                assert await versions() == {f"c{n}": "2" for n in range(100, 350)}


async def test_two_agents_with_one_state_do_not_both_act(tmp_path):
    async with agent_hub(tmp_path) as hub:
        args = sandbox_files(tmp_path, hub, "c1")
        single = [
            "--cluster", "c1", "--nats", hub.nats.server.url, "--creds", tmp_path / "c1.creds",
            "--kubeconfig", tmp_path / "kubeconfig", "--state", tmp_path / "state" / "c1",
        ]  # fmt: skip
        async with agent(*args):
            await hub.until(lambda: hub.beats, 30)
            await exists(tmp_path / "kubeconfig")
            async with agent(*single) as second:
                code, err = await ended(second, 30)

        assert code == 1
        assert "in use by another agent" in err


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ((), 2, "--cluster"),
        (("--cluster", "c1", "--nats", "nats://127.0.0.1:1", "--kubeconfig", "k"), 1, "yardarm keys agent"),
        (("--cluster", "c1", "--nats", "n", "--kubeconfig", "k", "--creds", "no-such-file"), 1, "no-such-file"),
        (("sandbox", "--clusters", "no-such-file", "--nats", "n", "--creds-dir", "."), 2, "no-such-file"),
        (("--no-such-option",), 2, "--no-such-option"),
    ],
)
async def test_what_cannot_work_ends_with_a_code_and_a_reason(args, code, says):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("YARDARM_", "KUBERNETES_"))}
    async with agent(*args, env=env) as process:
        ended_with, err = await ended(process)

    assert ended_with == code
    assert says in err
    assert "Traceback" not in err
