"""Commit statuses over real HTTP: told once, in order, again when a host was away, and never in anybody's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from aiohttp import web

from hub import statuses
from hub.domain.egress import Egress
from hub.domain.statuses import StageCount, Summary
from hub.statuses import Host, Statuses
from shared.tasks import Clock
from tests.fakes.httpserver import listening

SHA = "3f2a91c" + "0" * 33
BEGUN = Summary("web", "https://git.example.com/team/fleet", SHA, "Progressing", (StageCount("all", 0, 3),))


class Impatient(Clock):
    """Waits for nobody, and remembers for how long it was asked to."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


class GitHost:
    """Records what it is told; `answers` are given first, in turn, then 201."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)
        self.told: list[dict[str, str]] = []
        self.shown: list[str] = []
        self.heard = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.Response:
        async with self.heard:
            self.told.append(await request.json())
            self.shown.append(request.headers.get("Authorization", ""))
            self.heard.notify_all()
        status, text = self.answers.pop(0) if self.answers else (201, "{}")
        headers = (
            {"Location": "http://127.0.0.1:1/"} if status == 302 else {"Retry-After": "77"} if status == 429 else {}
        )
        return web.Response(status=status, text=text, headers=headers)

    async def requests(self, count: int) -> list[dict[str, str]]:
        async with self.heard:
            await self.heard.wait_for(lambda: len(self.told) >= count)
        return self.told


@contextlib.asynccontextmanager
async def telling(host: GitHost, clock: Clock, **given: str) -> AsyncIterator[Statuses]:
    app = web.Application()
    app.router.add_post("/{rest:.*}", host.answer)
    async with listening(app) as origin:
        told = Host(given.get("provider", "github"), given.get("api", origin), "s3cret", "git.statuses.git.example.com")
        made = Statuses(lambda _repo: told, Egress(["127.0.0.1"]), "https://hub.example.com", clock)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(made.run())
            yield made
            task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


async def test_the_way_of_a_rollout_is_told_once_each():
    host = GitHost()
    async with telling(host, Impatient()) as made:
        for count, done in enumerate((1, 2, 3), 1):
            made.put(replace(BEGUN, stages=(StageCount("all", done, 3),)))
            made.put(replace(BEGUN, stages=(StageCount("all", done, 3),)))
            await host.requests(count)
        made.put(replace(BEGUN, phase="Completed", stages=(StageCount("all", 3, 3),)))
        told = await host.requests(4)
        made.put(replace(BEGUN, phase="Completed", stages=(StageCount("all", 3, 3),)))
        made.put(replace(BEGUN, application="other"))
        await host.requests(5)
    assert [(each["context"], each["state"], each["description"]) for each in told] == [
        ("yardarm/web", "pending", "all 1/3"),
        ("yardarm/web", "pending", "all 2/3"),
        ("yardarm/web", "pending", "all 3/3"),
        ("yardarm/web", "success", "all 3/3"),
        ("yardarm/other", "pending", "all 0/3"),
    ]
    assert {each["target_url"] for each in told} == {"https://hub.example.com"}
    assert set(host.shown) == {"Bearer s3cret"}


async def test_a_host_that_is_away_hears_the_newest_when_it_is_back():
    host, clock = GitHost((503, "busy"), (429, "slower")), Impatient()
    async with telling(host, clock) as made:
        made.put(BEGUN)
        await host.requests(1)
        made.put(replace(BEGUN, phase="Completed"))
        told = await host.requests(3)
        await until(lambda: len(made._told) == 1)
        assert made.problems() == ()
    assert told[-1]["state"] == "success"
    assert 77 in clock.asked


@pytest.mark.parametrize(("code", "said"), [(401, "Bad credentials"), (404, "Not Found"), (302, "")])
async def test_a_host_that_refuses_is_asked_once_and_a_finding_says_why(code, said):
    host = GitHost((code, said))
    async with telling(host, Impatient()) as made:
        made.put(BEGUN)
        await until(lambda: bool(made.problems()))
        (problem,) = made.problems()
        assert (problem.severity, len(host.told)) == ("warning", 1)
        assert f"answers {code}" in problem.message
        assert said in problem.message
        assert "git.statuses.git.example.com" in problem.hint
        assert "s3cret" not in str(problem)

        made.put(replace(BEGUN, phase="Completed"))
        await until(lambda: not made.problems())


async def test_gitlab_takes_no_state_twice_and_that_is_no_trouble():
    host = GitHost((400, '{"message":"Cannot transition status via :run from :running"}'))
    async with telling(host, Impatient(), provider="gitlab") as made:
        made.put(BEGUN)
        await until(lambda: len(made._told) == 1)
        assert made.problems() == ()


async def test_nothing_listens_there():
    host, clock = GitHost(), Impatient()
    async with telling(host, clock, api="http://127.0.0.1:1") as made:
        made.put(BEGUN)
        await until(lambda: bool(made.problems()))
        assert "cannot be reached" in made.problems()[0].message
    assert len(clock.asked) == statuses.ATTEMPTS
