"""A live hub with played agents, and scenes on it: an application of its own on clusters of its own, stage by stage.

    async with staged_hub(folder) as hub:
        scene = await hub.scene("shop", "dev-1", "prod-1", "prod-2")
        await scene.value("2")
        await scene.phase("Completed")
        assert scene.story() == ["dev-1: 2", "prod-1: 2", "prod-2: 2"]

A cluster `dev-1` of scene `shop` is called `shop-dev-1`; it is in the environment `dev`, and labelled `scene: shop`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from hub.domain.runs import Rollout
from hub.settings import ApiToken, EgressSettings, HubSettings, NatsSettings
from shared.messages import Assignment
from shared.tasks import Clock
from tests.fakes.fleetagents import FleetAgents, Mood
from tests.fakes.gitrepo import GitRepo
from tests.fakes.livehub import LiveHub, configmap, live_hub, settings, until

API = "yardarm.dev/v1alpha1"
STAGES = [{"name": "dev", "environments": ["dev"]}, {"name": "prod", "environments": ["prod"]}]
ENVIRONMENTS = ("dev", "canary", "prod")
LONGER_THAN_GRACE = 6.0
"""Seconds for which a cluster must be said to fail before it counts as failed, and one more."""


def person(name: str, *roles: str, emails: tuple[str, ...] = ()) -> ApiToken:
    """Somebody whose token is `token-<name>`."""
    return ApiToken(name=name, sha256=hashlib.sha256(f"token-{name}".encode()).hexdigest(), roles=roles, emails=emails)


def document(kind: str, name: str, spec: Mapping[str, Any] | None = None, **labels: str) -> str:
    metadata = {"name": name} | ({"labels": labels} if labels else {})
    return yaml.safe_dump({"apiVersion": API, "kind": kind, "metadata": metadata, "spec": dict(spec or {})})


class JumpingClock(Clock):
    """Real time that can be put forward; durations go on as they are, so that leases and delays do."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class StagedHub:
    """A hub that leads, its repository, and the agents of its fleet."""

    def __init__(self, live: LiveHub, repo: GitRepo, agents: FleetAgents, clock: JumpingClock) -> None:
        self.live = live
        self.repo = repo
        self.agents = agents
        self.clock = clock
        self.session = aiohttp.ClientSession()

    def pass_time(self, seconds: float) -> None:
        """As if so much time had gone by. Agents that are heard would be missed after three minutes of it."""
        self.clock.ahead += seconds
        assert self.clock.ahead < 150, "start another hub: soon all agents would count as silent"

    async def commit(self, message: str = "change") -> str:
        """Commits what was written, and waits until the hub has worked it out."""
        sha = self.repo.commit(message)
        await self.live.seen(sha)
        return sha

    async def scene(self, name: str, *clusters: str, stages: Any = STAGES, **strategy: Any) -> Scene:
        """An application with a completed rollout of value 1; its strategy has these stages and whatever else."""
        scene = Scene(self, name, clusters)
        scene.strategy = {"stages": stages, **strategy}
        self.repo.write(f"fleet/{name}/clusters.yaml", "---\n".join(map(scene.cluster, clusters)))
        scene.write()
        await self.agents.join(*map(scene.full, clusters))
        await self.commit(f"{name}: 1")
        await scene.phase("Completed")
        scene.seen = len(self.agents.of(name))
        return scene

    async def get(self, path: str, by: str = "") -> Any:
        """What the API answers."""
        async with self.session.get(f"{self.live.hub.url}/api/v1/{path}", headers=self._head(by)) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def post(self, path: str, by: str = "", status: int = 202, **body: Any) -> Any:
        """What the API answers to somebody who wants something; `by` nobody: the hub's own token."""
        url = f"{self.live.hub.url}/api/v1/{path}"
        async with self.session.post(url, json=body, headers=self._head(by)) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    def _head(self, by: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {f'token-{by}' if by else self.live.hub.token}"}


class Scene:
    """One application on its clusters. Clusters are named without the scene's name in front."""

    def __init__(self, hub: StagedHub, name: str, clusters: tuple[str, ...]) -> None:
        self.hub = hub
        self.name = name
        self.clusters = clusters
        self.strategy: dict[str, Any] = {}
        self.spec: dict[str, Any] = {}
        self.content = configmap(name, "1")
        self.seen = 0
        """Assignments that are not part of the story."""

    def full(self, cluster: str) -> str:
        return f"{self.name}-{cluster}"

    def cluster(self, cluster: str, **spec: Any) -> str:
        """The document of a cluster."""
        return document("Cluster", self.full(cluster), spec, scene=self.name, env=cluster.partition("-")[0])

    def write(self, **spec: Any) -> None:
        """Writes the application as it is now, with this in its `spec` too."""
        self.spec |= spec
        given = {
            "source": {"path": f"apps/{self.name}"},
            "namespace": self.name,
            "placement": {"where": [{"labels": {"scene": self.name}}]},
            "rollout": self.strategy,
            **self.spec,
        }
        self.hub.repo.write(f"fleet/{self.name}/application.yaml", document("Application", self.name, given))
        self.hub.repo.write(f"apps/{self.name}/cm.yaml", self.content)

    async def value(self, value: str) -> str:
        """Commits another value."""
        self.content = configmap(self.name, value)
        self.write()
        return await self.hub.commit(f"{self.name}: {value}")

    async def when(self, value: str, mood: Mood, *clusters: str) -> None:
        """What agents say of a value from now on: those of these clusters, or (none named) all."""
        names = [self.full(each) for each in clusters or self.clusters]
        self.hub.agents.content(f'"value":"{value}"', mood, *names)
        for name in names:
            await self.hub.agents.mood(name, Mood.HEALTHY)

    async def mood(self, cluster: str, mood: Mood) -> None:
        await self.hub.agents.mood(self.full(cluster), mood)

    # What came of it.

    @property
    def rollout(self) -> Rollout:
        """The newest one."""
        found = self.hub.live.hub.view.rollouts.newest(self.name)
        assert found is not None, f"{self.name} has had no rollout"
        return found

    async def phase(self, phase: str, stage: str = "") -> Rollout:
        """Waits until the newest rollout is there, `stage` its current one (or that it waits for, `prod Waiting`)."""

        def there() -> bool:
            found = self.hub.live.hub.view.rollouts.newest(self.name)
            if found is None or found.phase != phase:
                return False
            if not stage:
                return True
            at = found.current
            return at < len(found.stages) and stage in (
                found.plan.stages[at].name, f"{found.plan.stages[at].name} {found.stages[at].phase}"
            )  # fmt: skip

        try:
            await until(there, 30)
        except AssertionError:
            raise AssertionError(f"not {phase} {stage}: {self.told()}") from None
        return self.rollout

    def told(self) -> str:
        """How it stands, for a test that fails."""
        found = self.hub.live.hub.view.rollouts.newest(self.name)
        if found is None:
            return f"no rollout; {self.hub.live.problems()}"
        stages = [
            f"{stage.name} {run.phase} {[wait.reason for wait in run.waits]}"
            for stage, run in zip(found.plan.stages, found.stages, strict=True)
        ]
        slots = {name: f"{slot.state} {slot.reason}" for name, slot in found.slots.items()}
        return f"{found.phase} {found.reason} {stages} {slots} {self.story()} {self.hub.live.problems()}"

    def story(self) -> list[str]:
        """What was published since the scene was set, in the order of the stream: `cluster: value`."""
        return [f"{self._short(each.cluster)}: {self._value(each)}" for each in self._since()]

    def has(self) -> dict[str, str]:
        """The value that each cluster was given last."""
        newest = {each.cluster: each for each in self.hub.agents.of(self.name)}
        return {self._short(name): self._value(each) for name, each in sorted(newest.items())}

    async def has_got(self, **values: str) -> None:
        """Waits until clusters (`dev_1`) were given these values."""
        wanted = {name.replace("_", "-"): value for name, value in values.items()}
        try:
            await until(lambda: wanted.items() <= self.has().items())
        except AssertionError:
            raise AssertionError(f"not {wanted}: {self.has()} {self.told()}") from None

    def digests(self) -> dict[str, str]:
        """The digest that each cluster was given last."""
        return {self._short(each.cluster): each.digest for each in self.hub.agents.of(self.name)}

    async def waits(self, kind: str, text: str = "") -> None:
        """Waits until the current stage waits for a thing of this kind, with this text in what is said of it."""

        def said() -> bool:
            at = self.rollout.current
            waits = self.rollout.stages[at].waits if at < len(self.rollout.stages) else ()
            return any(wait.kind == kind and text in wait.reason for wait in waits)

        try:
            await until(said)
        except AssertionError:
            raise AssertionError(f"it does not wait for {kind} {text}: {self.told()}") from None

    async def ask(self, verb: str, by: str = "", status: int = 202, **body: Any) -> Any:
        """What somebody asks of the rollout over HTTP."""
        return await self.hub.post(f"rollouts/{self.name}/{verb}", by, status, **body)

    async def fails(self) -> None:
        """Lets what is said to fail fail for as long as it takes to count."""

        def failing() -> bool:
            return any(slot.failing is not None for slot in self.rollout.slots.values())

        await until(failing)
        self.hub.pass_time(LONGER_THAN_GRACE)

    def _since(self) -> list[Assignment]:
        return self.hub.agents.of(self.name)[self.seen :]

    def _short(self, cluster: str) -> str:
        return cluster.removeprefix(f"{self.name}-")

    def _value(self, assignment: Assignment) -> str:
        if assignment.removed:
            return "gone"
        objects = [json.loads(line) for line in self.hub.agents.text(assignment).splitlines()]
        return "+".join(str(each.get("data", {}).get("value", each["kind"])) for each in objects)


def environments() -> str:
    documents = [
        document("Environment", name, {"order": number, "where": [{"labels": {"env": name}}]})
        for number, name in enumerate(ENVIRONMENTS, 1)
    ]
    return "---\n".join(documents)


PEOPLE = (
    person("olga", "operator"),
    person("sam", "sre"),
    person("ada", "sre", emails=("ada@example.com",)),  # who writes the commits
)


def staged_settings(folder: Path, repo: GitRepo, nats: str = "", **more: Any) -> HubSettings:
    """As every hub of these tests has them."""
    given: dict[str, Any] = {
        "tokens": PEOPLE, "egress": EgressSettings(allow=("127.0.0.1",)), "nats": NatsSettings(url=nats), **more
    }  # fmt: skip
    return settings(folder, str(repo.path), **given)


def staged_repo(folder: Path) -> GitRepo:
    """A fleet repository with environments and nothing else."""
    repo = GitRepo(folder)
    repo.write("fleet/environments.yaml", environments())
    repo.commit("environments")
    return repo


@contextlib.asynccontextmanager
async def staged_hub(folder: Path, **more: Any) -> AsyncIterator[StagedHub]:
    """A hub with a NATS and a repository of its own."""
    repo, clock = staged_repo(folder / "fleet"), JumpingClock()
    async with live_hub(staged_settings(folder / "state", repo, **more), clock) as live:
        hub = StagedHub(live, repo, await FleetAgents(live.bus).listen(), clock)
        try:
            yield hub
        finally:
            await hub.session.close()
