"""What follows from rollouts in Git and at Git hosts: promotions, branches that revert, commit statuses."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator

from aiohttp import web

from hub.settings import EgressSettings, GitSettings, RepositoryAccess, StatusAccess
from hub.view.history import EventFilter
from tests.fakes.fleetagents import FleetAgents, Mood
from tests.fakes.gitrepo import GitRepo
from tests.fakes.httpserver import listening
from tests.fakes.livehub import CLUSTERS, LiveHub, application, configmap, live_hub, settings, until

PROMOTED = "  rollout: {promotion: {environments: [dev, prod]}}\n"
REVERTED = "  rollout: {onFailure: rollback, deadline: 2s, revert: branch}\n"


class Scene:
    """A hub, the remote repository that it reads and writes, a place where people work, and what a Git host is told."""

    def __init__(self, live: LiveHub, remote: GitRepo, people: GitRepo, agents: FleetAgents, told: list[dict]) -> None:
        self.live = live
        self.remote = remote
        self.people = people
        self.agents = agents
        self.told = told

    def commit(self, message: str) -> str:
        """Something people do, and push."""
        self.people.git("pull", "--quiet", "--rebase", "--autostash", "origin", "main")
        sha = self.people.commit(message)
        self.people.git("push", "--quiet", "origin", "main")
        self.live.hub.wake()
        return sha

    def phase(self) -> str:
        """That of the newest rollout of web."""
        newest = self.live.hub.view.rollouts.newest("web")
        return str(newest.phase) if newest is not None else ""


@contextlib.asynccontextmanager
async def scene(folder, rollout: str) -> AsyncIterator[Scene]:
    people = GitRepo(folder / "people")
    people.write("clusters.yaml", CLUSTERS)
    people.write("web.yaml", application("web", rollout))
    people.write("apps/web/cm.yaml", configmap("web", "first"))
    people.commit("first")
    remote = GitRepo(folder / "served" / "fleet.git", bare=True)
    remote.git("config", "http.receivepack", "true")
    people.git("remote", "add", "origin", str(remote.path))
    people.git("push", "--quiet", "origin", "main")
    told: list[dict] = []

    async def status(request: web.Request) -> web.Response:
        told.append(json.loads(await request.text()) | {"path": request.path})
        return web.Response(status=201, text="{}")

    app = web.Application()
    app.router.add_post("/{rest:.*}", status)
    async with listening(app) as origin:
        with remote.serve_http(user="bot", password="s3cret") as address:
            host = address.split("/")[2]
            git = GitSettings(
                poll_interval=1.0,
                access={host: RepositoryAccess(username="bot", token="s3cret")},
                statuses={host: StatusAccess(provider="gitea", token="t0ken", api=origin)},
            )
            egress = EgressSettings(allow=("127.0.0.1",))
            async with live_hub(settings(folder / "state", address, git=git, egress=egress)) as live:
                agents = await FleetAgents(live.bus).listen()
                await agents.join("dev-1", "prod-1")
                yield Scene(live, remote, people, agents, told)


async def test_what_dev_is_done_with_is_pinned_for_prod_by_a_commit_that_brings_it_there(tmp_path):
    async with scene(tmp_path, PROMOTED) as on:
        first = on.people.git("rev-parse", "main")

        def promoted() -> bool:
            return any(each.cluster == "prod-1" and each.commit for each in on.agents.of("web"))

        await until(promoted)
        log = on.remote.git("log", "-1", "--format=%an%n%B", "main")
        assert log.startswith(f"Yardarm\npromote web to prod: {first[:7]} first")
        assert "Yardarm-Rollout: web-" in log
        assert first in on.remote.git("show", "main:promotions/web.yaml")
        await until(lambda: on.phase() == "Completed")
        (event,) = on.live.hub.view.events.newest(EventFilter(type="rollout.promoted"))
        assert f"{first[:7]} is promoted to prod" in event.message

        on.agents.content("second", Mood.PROGRESSING, "dev-1")
        on.people.write("apps/web/cm.yaml", configmap("web", "second"))
        second = on.commit("second")
        await until(lambda: any(each.commit == second for each in on.agents.of("web")))
        assert second not in on.remote.git("show", "main:promotions/web.yaml")
        on.agents.content("second", Mood.HEALTHY, "dev-1")
        await on.agents.mood("dev-1", Mood.HEALTHY)
        await until(lambda: second in on.remote.git("show", "main:promotions/web.yaml"))
        await until(lambda: on.phase() == "Completed" and on.agents.of("web")[-1].cluster == "prod-1")

        on.people.write("README.md", "nothing of web")
        on.commit("words")
        on.people.write("apps/web/cm.yaml", configmap("web", "third"))
        third = on.commit("third")
        await until(lambda: third in on.remote.git("show", "main:promotions/web.yaml"))
        promotions = on.remote.git("log", "--format=%s", "--grep=^promote web", "main").splitlines()
        assert [each.rpartition(": ")[2][8:] for each in promotions] == ["third", "second", "first"]


async def test_a_rollback_leaves_a_branch_that_takes_the_change_out_and_the_git_host_is_told(tmp_path):
    async with scene(tmp_path, REVERTED) as on:
        await until(lambda: on.phase() == "Completed")
        first = on.people.git("rev-parse", "main")
        on.agents.content("second", Mood.PROGRESSING)
        on.people.write("apps/web/cm.yaml", configmap("web", "second"))
        second = on.commit("second")
        await until(lambda: on.phase() == "RolledBack")

        branch = f"yardarm/revert-web-{second[:7]}"
        await until(lambda: branch in on.remote.git("branch", "--list", "--format=%(refname:short)"))
        assert "value: 'first'" in on.remote.git("show", f"{branch}:apps/web/cm.yaml")
        assert on.remote.git("rev-parse", f"{branch}^") == second

        def states(sha: str) -> list[str]:
            return [each["state"] for each in on.told if each["path"].endswith(sha)]

        await until(lambda: "failure" in states(second))
        assert states(first)[-1] == "success"
        (last,) = [each for each in on.told if each["path"].endswith(second) and each["state"] == "failure"]
        assert last["context"] == "yardarm/web"
        assert f"rolled back to {first[:7]}" in last["description"]
