"""`yardarm demo --kubeconfig`: real API servers in place of sandboxes. What plays them here has no agent of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import aiohttp
import pytest

from agent.sandbox.server import Sandbox
from tests.fakes.demo import ROOT
from tests.fakes.gitrepo import GitRepo

pytestmark = pytest.mark.timeout(300)


async def demo(folder, *args):
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": str(ROOT),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hub", "demo", "--once", "-o", "json", *map(str, args),
        env=environment, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_agents_work_on_the_contexts_that_are_named_and_on_no_other(tmp_path):
    repo = GitRepo(tmp_path / "repo")
    repo.write("cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: from-git}\ndata: {a: b}\n")
    repo.commit()
    async with Sandbox() as servers, aiohttp.ClientSession() as session:
        urls = {name: servers.add_cluster(name) for name in ("one", "two", "untouched")}
        (tmp_path / "kubeconfig").write_text(json.dumps(servers.kubeconfig()))

        code, out, err = await demo(
            tmp_path, "--kubeconfig", tmp_path / "kubeconfig", "--contexts", "one,two", "--repo", repo.path
        )

        async def found(name):
            headers = {"Authorization": f"Bearer {servers.token}"}
            path = "/api/v1/namespaces/default/configmaps/from-git"
            async with session.get(f"{urls[name]}{path}", headers=headers) as answer:
                return (await answer.json()).get("data")

        assert code == 0, out + err
        assert json.loads(out)["clusters"] == 2
        assert [await found(name) for name in ("one", "two", "untouched")] == [{"a": "b"}, {"a": "b"}, None]


async def test_a_context_that_is_not_there_is_named(tmp_path):
    async with Sandbox() as servers:
        servers.add_cluster("one")
        (tmp_path / "kubeconfig").write_text(json.dumps(servers.kubeconfig()))

        code, _, err = await demo(tmp_path, "--kubeconfig", tmp_path / "kubeconfig", "--contexts", "nowhere")

    assert code == 1
    assert "nowhere" in err
    assert "Traceback" not in err
