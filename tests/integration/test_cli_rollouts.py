"""`yardarm rollout`, `hold` and `release` against the API: what a person reads, and what is asked in their name."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

from hub.cli.trouble import Trouble
from hub.commands import app
from hub.domain.requests import Verb
from hub.domain.rollout import step
from tests.fakes.webserver import serving
from tests.integration.test_api_rollouts import B, C, Hub

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def hub():
    hub = Hub()
    async with serving(hub.app) as hub.url, aiohttp.ClientSession() as hub.session:
        yield hub


async def yardarm(hub, *words, by="olga"):
    """The exit code and everything that is said, of a command in the name of somebody."""
    runner = CliRunner()
    env = {"YARDARM_HUB": hub.url, "YARDARM_TOKEN": by, "COLUMNS": "200"}
    result = await asyncio.to_thread(runner.invoke, app, list(words), env=env)
    error = result.exception
    if isinstance(error, Trouble):
        return error.code, f"{result.output}{error}"
    assert error is None or isinstance(error, SystemExit), error
    return result.exit_code, result.output


async def test_list_shows_the_newest_of_each_application(hub):
    code, said = await yardarm(hub, "rollout", "list")

    assert code == 0
    (_, line) = said.splitlines()
    assert line.split()[:3] == ["web", "Progressing", "dev"]
    assert "0/5 healthy, 2 in flight" in line
    assert C[:7] in line
    assert (await yardarm(hub, "get", "rollouts"))[1] == said
    assert (await yardarm(hub, "rollout", "list", "--phase", "Paused")) == (0, "no rollouts\n")
    assert "no environment is named 'moon'" in (await yardarm(hub, "rollout", "list", "--env", "moon"))[1]


async def test_show_tells_of_stages_gates_and_clusters(hub):
    hub.rolling.after(20)
    hub.rolling.healthy("dev-1", "dev-2")
    hub.rolling.after(60)
    hub.rolling.after(300)
    hub.show()

    code, said = await yardarm(hub, "rollout", "show", "web")

    assert code == 0
    assert "web: revision ccccccc “raise replicas” by Ada" in said
    assert "Progressing at stage prod for 6m20s · from 3f2b000 · 2/5 healthy · nobody can say how long yet" in said
    assert f"dev     Done      {'█' * 24}   2 healthy" in said
    prod = next(line for line in said.splitlines() if line.startswith("prod  "))
    assert prod.split("   ")[1:] == [" Waiting", "·" * 24, "3 to come", "2 at once", "waited 5m"]
    assert "rolled 20s, soaked 1m" in said
    assert "prod waits for approval for" in said
    assert "(1 more of sre): `yardarm rollout approve web`" in said


async def test_show_ends_with_1_where_somebody_has_to_look(hub):
    hub.rolling.failing("dev-1", reason="no such tag")
    hub.show()

    code, said = await yardarm(hub, "rollout", "show", "web")

    assert code == 1
    assert "why: 1 of 2 clusters failed in dev" in said
    assert "Failed" in said
    assert "no such tag" in said
    assert "✗" in said

    hub.rolling.ask(Verb.RETRY)
    hub.rolling.ask(Verb.RESUME)
    hub.rolling.ask(Verb.PAUSE, reason="lunch")
    hub.show()
    code, said = await yardarm(hub, "rollout", "show", "web")
    assert (code, "why: lunch (ann)" in said) == (0, True), "a person's pause is no trouble"


async def test_show_for_programs_and_of_earlier_ones(hub):
    _, said = await yardarm(hub, "rollout", "show", "web", "-o", "json")
    _, earlier = await yardarm(hub, "rollout", "show", "web", "--rollout", hub.history[0].id, "-o", "json")

    assert json.loads(said)["stages"][0]["waitsFor"] == []
    assert json.loads(earlier)["phase"] == "Completed"
    code, said = await yardarm(hub, "rollout", "show", "wep")
    assert (code, said) == (1, "no application is named 'wep'; did you mean web?")


async def test_watching_ends_with_the_rollout(hub):
    watching = asyncio.create_task(yardarm(hub, "rollout", "show", "web", "--watch"))
    one = {"method": "GET", "route": "/rollouts/{application}/{identity}", "status": "200"}
    async with asyncio.timeout(30):
        while not hub.metrics.registry.get_sample_value("yardarm_http_requests_total", one):  # until it has drawn
            await asyncio.sleep(0.02)
    hub.rolling.ask(Verb.ABORT, reason="wrong branch")
    hub.show()

    code, said = await watching

    assert code == 0
    assert "Progressing at stage dev" in said
    assert "Aborted" in said
    assert "does not start again by itself: commit, or `yardarm rollout release web`" in said


async def test_history_tells_how_long_everything_took(hub):
    code, said = await yardarm(hub, "rollout", "history", "web")

    assert code == 0
    _, newest, before, first = said.splitlines()
    assert (newest.split()[0], before.split()[0], first.split()[1]) == (C[:7], B[:7], "Completed")
    assert "dev 1m10s, prod 20s" in before


async def test_nothing_is_done_unless_somebody_agrees(hub):
    code, said = await yardarm(hub, "rollout", "pause", "web")

    assert code == 2
    assert "pauses web: 3 clusters that wait for ccccccc do not get it" in said
    assert "add --yes" in said
    assert hub.asked == []

    code, said = await yardarm(hub, "rollout", "pause", "web", "--yes", "--reason", "lunch")
    assert (code, said.startswith("web: pauses web")) == (0, True)
    assert [(each.verb, each.by, each.reason) for each in hub.asked] == [(Verb.PAUSE, "olga", "lunch")]


async def test_what_cannot_be_undone_wants_a_reason(hub):
    code, said = await yardarm(hub, "rollout", "abort", "web", "--yes")

    assert (code, hub.asked) == (2, [])
    assert "--reason" in said


async def test_a_refusal_says_why(hub):
    code, said = await yardarm(hub, "rollout", "resume", "web", "--yes")
    assert (code, said) == (1, "the rollout is not paused: it is Progressing")

    code, said = await yardarm(hub, "rollout", "approve", "web", "--yes")
    assert (code, said) == (1, "not allowed: this is for sre to approve; olga has operator")

    words = ("rollout", "rollback", "web", "--yes", "--reason", "x", "--to", "3f2")
    code, said = await yardarm(hub, *words)
    assert code == 2
    assert "'3f2' is the beginning of several: 3f2b000" in said


async def test_a_person_at_a_terminal_sees_it_first_and_is_asked_why(hub):
    inside, outside = pty.openpty()
    env = {**os.environ, "YARDARM_HUB": hub.url, "YARDARM_TOKEN": "olga", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "hub", "rollout", "rollback", "web"]
    process = await asyncio.create_subprocess_exec(*command, stdin=outside, stdout=outside, stderr=outside, env=env)
    os.close(outside)
    os.write(inside, b"y\nerrors in checkout\n")
    assert await process.wait() == 0
    said = os.read(inside, 65536).decode()
    os.close(inside)

    assert "rolls back 2 clusters to 3f2b000" in said
    assert "Do that?" in said
    assert [(each.verb, each.reason) for each in hub.asked] == [(Verb.ROLLBACK, "errors in checkout")]


async def test_waiting_for_a_rollback_ends_when_everybody_is_back(hub):
    words = ("rollout", "rollback", "web", "--yes", "--reason", "errors", "--wait")
    waiting = asyncio.create_task(yardarm(hub, *words))
    async with asyncio.timeout(30):
        while not hub.asked:
            await asyncio.sleep(0.02)
    hub.rolling.rollout, _ = step(hub.rolling.newest, hub.asked[0], hub.rolling.now)
    hub.show()
    hub.rolling.healthy("dev-1", "dev-2")
    hub.show()

    code, said = await waiting

    assert code == 0, said
    assert "RolledBack" in said
    assert "2/2 back" in said


async def test_holds_and_releases(hub):
    code, said = await yardarm(hub, "hold", "web", "--yes", "--reason", "sales weekend")
    assert (code, said) == (0, "nothing new goes to web anywhere until it is released\n")
    assert hub.held[0][1].reason == "sales weekend"

    _, listed = await yardarm(hub, "get", "apps")
    assert "Progressing at dev 0/5, held by olga" in listed
    _, status = await yardarm(hub, "status")
    assert "1 rollout under way:" in status
    assert "web Progressing at dev, 0/5 healthy, 2 in flight" in status

    hub.rolling.ask(Verb.ABORT, reason="no")
    hub.show()
    code, said = await yardarm(hub, "release", "web", "--yes")
    assert code == 0
    assert said.splitlines() == [
        "lets go of web anywhere (held by olga: sales weekend): what waits there goes on",
        "lets ccccccc start again",
    ]
    assert hub.gone == [("web", "olga", "", "")]
    assert hub.asked[-1].verb is Verb.RELEASE


async def test_sync_needs_no_word(hub):
    assert await yardarm(hub, "sync", "web") == (0, "web is looked at\n")
