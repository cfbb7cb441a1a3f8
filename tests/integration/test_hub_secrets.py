"""Encrypted secrets from Git to a cluster, over a whole hub: as a plain file, through Kustomize, and as a chart's values."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sys
from pathlib import Path

import orjson

from agent.kube.access import Access
from agent.kube.client import Kube
from agent.loop import run_agent
from agent.sandbox.server import Sandbox
from agent.settings import AgentSettings
from shared.model import ObjectRef
from shared.sops.ages import Identities
from shared.sops.closing import closed
from tests.fakes.gitrepo import GitRepo
from tests.fakes.kustomize import either
from tests.fakes.livehub import CLUSTERS, application, configmap, live_hub, settings, until

DATA = Path(__file__).parents[1] / "data" / "sops"
PASSWORD = "correct-horse-battery-staple"
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: database, namespace: shop}
stringData: {password: %s}
---
"""
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: shop}\ndata: {password: %s}\n"
FIRST = Identities.read((DATA / "first.agekey").read_text())


def fleet_of(folder: Path) -> GitRepo:
    repo = GitRepo(folder)
    repo.write("clusters.yaml", CLUSTERS)
    for name in ("shop", "kustomized"):
        repo.write(f"fleet/{name}.yaml", application(name, "  placement: {clusters: [dev-1]}\n"))
    charted = "  placement: {clusters: [dev-1]}\n  render: {helm: {secretValues: [secrets.enc.yaml]}}\n"
    repo.write("fleet/charted.yaml", application("charted", charted))
    repo.write("apps/shop/secret.enc.yaml", (DATA / "secret.enc.yaml").read_text())
    repo.write("apps/shop/settings.yaml", configmap("settings"))
    repo.write(
        "apps/kustomized/kustomization.yaml",
        "namespace: kustomized\nsecretGenerator: [{name: env, envs: [db.enc.env], options: {disableNameSuffixHash: true}}]\n",
    )
    repo.write("apps/kustomized/db.enc.env", (DATA / "db.enc.env").read_text())
    repo.write("apps/charted/Chart.yaml", "apiVersion: v2\nname: charted\nversion: 1.0.0\n")
    repo.write(
        "apps/charted/templates/secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: made}\ndata: {url: '{{ printf \"db://%s\" .Values.password | b64enc }}'}\n",
    )
    secret = closed({"password": PASSWORD}, FIRST.recipients, 0.0)
    repo.write("apps/charted/secrets.enc.yaml", orjson.dumps(secret).decode())
    repo.commit("start")
    return repo


async def yardarm(live, *args: str, code: int = 0) -> str:
    """What the command says, as somebody uses it who has a token of the hub."""
    env = {**os.environ, "YARDARM_HUB": live.hub.url, "YARDARM_TOKEN": live.hub.token}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hub", *args, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaint = await process.communicate()
    assert process.returncode == code, complaint.decode()
    return (complaint if code else said).decode()


@either
async def test_secrets_reach_the_cluster_and_the_hub_never_reads_them(tmp_path, caplog):
    repo = fleet_of(tmp_path / "fleet")
    async with contextlib.AsyncExitStack() as stack:
        live = await stack.enter_async_context(live_hub(settings(tmp_path / "hub", str(repo.path))))
        sandbox = await stack.enter_async_context(Sandbox(token="t"))
        access = Access.url(sandbox.add_cluster("dev-1"), "t")
        kube = await stack.enter_async_context(await Kube.connect(access))
        inside = await stack.enter_async_context(await Kube.connect(access))
        given = AgentSettings(
            cluster="dev-1", nats=live.hub.nats_url, creds=None, heartbeat=1.0, report_interval=0.1,
            age_key=DATA / "first.agekey", state=tmp_path / "agent",
        )  # fmt: skip
        task = asyncio.ensure_future(run_agent(given, inside, live.hub.identity.agent_credentials("dev-1")))
        try:
            await live.seen(repo.head)
            await until(lambda: live.hub.view.tally().by_state()["Ready"] == 3)

            async def value(namespace: str, name: str, key: str) -> str:
                secret = await kube.get(ObjectRef("v1", "Secret", namespace, name))
                return base64.b64decode(secret["data"][key]).decode()

            assert await value("shop", "database", "password") == PASSWORD
            assert await value("kustomized", "env", "DB_PASSWORD") == "env-hunter2=with-equals"
            assert await value("charted", "made", "url") == f"db://{PASSWORD}"

            # Another password, encrypted by who knows only the hub.
            repo.write("apps/shop/secret.enc.yaml", (SECRET % "changed") + (CONFIG % "seen"))
            secret = repo.path / "apps/shop/secret.enc.yaml"
            await yardarm(live, "secret", "encrypt", str(secret), "--env", "dev", "--in-place")
            assert "changed" not in secret.read_text()
            assert "seen" in secret.read_text()
            assert json.loads(await yardarm(live, "secret", "recipients", "-o", "json")) == [
                {"cluster": "dev-1", "environment": "dev", "recipient": FIRST.recipients[0]},
                {"cluster": "prod-1", "environment": "prod", "recipient": ""},
            ]
            assert "prod-1: no public key" in await yardarm(live, "secret", "encrypt", str(secret), "--all", code=1)
            repo.commit("another password")
            await live.seen(repo.head)

            async def changed() -> bool:
                return await value("shop", "database", "password") == "changed"

            async with asyncio.timeout(20):
                while not await changed():
                    await asyncio.sleep(0.05)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    for path in (tmp_path / "hub").rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    assert PASSWORD not in caplog.text
    assert live.problems() == []
