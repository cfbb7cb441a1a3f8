"""One trace per commit, over two processes, as a real collector receives it; and nothing at all when none is named."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import CLUSTERS, application, configmap

ROOT = Path(__file__).parents[2]


class Collector:
    """Takes spans as OTLP over HTTP. `spans` are (service, span)."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, object]] = []

    async def _take(self, request: web.Request) -> web.Response:
        body = ExportTraceServiceRequest.FromString(await request.read())
        for resource in body.resource_spans:
            service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@pytest.fixture
def repo(tmp_path) -> GitRepo:
    repo = GitRepo(tmp_path / "fleet")
    repo.write("clusters.yaml", CLUSTERS)
    repo.write("fleet/web.yaml", application("web"))
    repo.write("apps/web/cm.yaml", configmap("web"))
    repo.commit("start")
    return repo


async def asked(info: dict, path: str) -> dict:
    headers = {"Authorization": f"Bearer {info['token']}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{info['url']}/api/v1/{path}", headers=headers) as answer,
    ):
        return await answer.json()


async def when_healthy(info: dict, sha: str) -> dict:
    """The trace of `web` once this commit is healthy everywhere."""
    async with asyncio.timeout(60):
        while True:
            found = await asked(info, "applications/web/trace")
            healthy = [c for c in found.get("clusters", ()) if (c.get("times") or c).get("healthy")]
            if (found.get("commit") or {}).get("sha") == sha and len(healthy) == 2:
                return found
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def demo(tmp_path: Path, repo: GitRepo, **environment: str) -> AsyncIterator[dict]:
    info, log = tmp_path / "info.json", tmp_path / "demo.log"
    command = [
        sys.executable,
        "-m",
        "hub",
        "demo",
        "--repo",
        str(repo.path),
        "--info",
        str(info),
        "--dir",
        str(tmp_path / "demo"),
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
    } | environment
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=output, stderr=output, cwd=tmp_path
        )
    try:
        async with asyncio.timeout(60):
            while not info.exists():
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        yield json.loads(info.read_text())
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert await process.wait() == 0, log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_commit_is_one_trace_from_git_to_healthy_across_processes(tmp_path, repo):
    collector = Collector()
    async with collector.served() as endpoint, demo(tmp_path, repo, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as info:
        await when_healthy(info, repo.head)
        repo.write("apps/web/cm.yaml", configmap("web", "2"))
        sha = repo.commit("web: 2")
        shown = await when_healthy(info, sha)
    # Both processes have ended, and with that exported everything.
    spans = [(s, span) for s, span in collector.spans if span.trace_id.hex() == shown["trace"]]

    named: dict[str, list] = {}
    for service, span in spans:
        named.setdefault(span.name, []).append((service, span))
    counts = {name: len(found) for name, found in named.items()}
    assert counts["commit"] == counts["render"] == counts["publish"] == 1
    assert {name: counts.get(name) for name in ("agent.fetch", "agent.apply", "agent.healthy")} == {
        "agent.fetch": 2, "agent.apply": 2, "agent.healthy": 2,
    }  # fmt: skip
    ((_, root),) = named["commit"]
    assert not root.parent_span_id
    assert {a.key: a.value.string_value for a in root.attributes}["yardarm.commit"] == sha
    assert all(span.parent_span_id == root.span_id for _, span in spans if span is not root)
    assert all(0 < span.start_time_unix_nano <= span.end_time_unix_nano for _, span in spans)
    assert {service for service, _ in spans} == {"yardarm-hub", "yardarm-agent"}
    first = min(span.start_time_unix_nano for _, span in spans)
    assert first == root.start_time_unix_nano
    for (_, apply), (_, healthy) in zip(named["agent.apply"], named["agent.healthy"], strict=True):
        assert named["publish"][0][1].start_time_unix_nano <= apply.start_time_unix_nano
        assert apply.end_time_unix_nano <= healthy.end_time_unix_nano

    records = [
        json.loads(line)
        for name in ("hub.log", "sandbox.log")
        for line in (tmp_path / "demo" / name).read_text().splitlines()
    ]
    assert [r["message"] for r in records if r.get("trace") == shown["trace"]]


async def test_without_an_endpoint_nothing_is_exported_and_the_sdk_is_not_even_imported(tmp_path):
    program = (
        "import sys, hub.app, agent.loop, agent.__main__\n"
        "from shared.telemetry import configure_tracing, begin_trace, record_span\n"
        "assert configure_tracing('x', '') is None\n"
        "record_span('a', begin_trace('commit', 1.0, 2.0), 1.0, 2.0)\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
