"""A fleet in memory for the state machine of rollouts: clusters, what they were given, and a hub around `step`.

Nothing happens by itself: a test commits, lets agents say how they fare, lets time pass, and asks for things as people
do. Environments are in the names: `prod-eu-1` is in `prod`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.domain.checks import Measurement
from hub.domain.plans import Proposal, planned
from hub.domain.records import Commit
from hub.domain.requests import Asked, Verb
from hub.domain.rollout import due, step
from hub.domain.runs import Around, Closed, Hold, Phase, Plan, Rollout, Sight, StagePhase, Target, Verdict, Wait
from hub.domain.selectors import Candidate
from hub.domain.staging import Strategy
from hub.domain.steps import Again, Command, Ended, Event, Measured, Move, Observed, Proposed, Surrounded, Tell, Tick

START = 1_790_000_000.0
APPLICATION = "web"
NAMESPACE = "shop"
BY_STAGE = {
    "stages": [
        {"name": "dev", "environments": ["dev"]},
        {"name": "prod", "environments": ["prod"], "maxConcurrent": 1},
    ],
    "onFailure": "rollback",
}
"""First dev, then prod one by one, and back if one fails."""


def strategy(document: Mapping[str, Any]) -> Strategy:
    """As a document says it: lists where the model has tuples."""
    return Strategy.model_validate(document, strict=False)


def bundle(digest: str) -> Target:
    """What a cluster has that was given this digest. No digest: it leaves."""
    return Target(NAMESPACE, digest)


@dataclass
class Cluster:
    """What the hub knows of a cluster, and `given`, which it has stored for it."""

    name: str
    environments: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    given: Target | None = None
    silent: float | None = None
    paused: bool = False
    placed: bool = True
    wanted: str = ""
    """The digest that Git has for it."""


def cluster(name: str) -> Cluster:
    """One as its name says."""
    environment, *region = name.split("-")
    return Cluster(name, (environment,), {"region": region[0]} if region else {})


class Fleet:
    """Clusters and the newest rollout of one application.

    `published` is every change of what a cluster is given: (time, cluster, digest). `ended` are rollouts that others
    have followed.
    """

    def __init__(self, *names: str, strategy: Mapping[str, Any] | None = None) -> None:
        self.now = START
        self.clusters = {name: cluster(name) for name in names}
        self.strategy = strategy
        self.revision = ""
        self.author = "dev@example.com"
        self.around = Around()
        self.rollout: Rollout | None = None
        self.published: list[tuple[float, str, str]] = []
        self.told: list[Tell] = []
        self.again: list[str] = []
        self.ended: list[Rollout] = []
        self._numbers = itertools.count(1)

    # The hub.

    def send(self, event: Event) -> tuple[Command, ...]:
        """One event, and what follows from it."""
        self.rollout, commands = step(self.rollout, event, self.now)
        for command in commands:
            self.carry_out(command)
        return commands

    def carry_out(self, command: Command) -> None:
        match command:
            case Move():
                for name in command.clusters:
                    self.align(name)
            case Again():
                self.again += command.clusters
            case Tell():
                self.told.append(command)
            case Ended():
                self.ended.append(command.rollout)
                self.told += command.told

    def align(self, name: str) -> None:
        """Gives a cluster what it should have, unless it has; not one that is gone or paused."""
        found, target = self.clusters.get(name), self.rollout.position(name)
        if found is not None and not found.paused and target is not None and found.given != target:
            found.given = target
            self.published.append((self.now, name, target.digest))

    def proposal(self) -> Proposal:
        """What Git amounts to now."""
        targets = {}
        for name, each in self.clusters.items():
            if each.paused:
                continue
            if each.placed:
                targets[name] = bundle(each.wanted)
            elif each.given is not None and each.given.digest:
                targets[name] = bundle("")
        return Proposal(
            application=APPLICATION,
            revision=self.revision,
            commit=Commit(self.revision, author=self.author),
            strategy=strategy(self.strategy) if self.strategy is not None else None,
            targets=targets,
            given={name: each.given for name, each in self.clusters.items() if each.given is not None},
            fleet=tuple(self.clusters),
        )

    def plan(self) -> Plan:
        number = int(self.rollout.id.removeprefix("run-")) + 1 if self.rollout is not None else 1
        return planned(self.proposal(), self.rollout, self.candidate, f"run-{number}", self.now)

    def propose(self) -> None:
        """Has the hub look at Git and at the fleet."""
        self.send(Proposed(self.plan(), self.around))

    def candidate(self, name: str) -> Candidate:
        return Candidate(name, self.clusters[name].labels, self.clusters[name].environments)

    # Git and the fleet.

    def commit(self, revision: str, *names: str, **changes: Any) -> None:
        """A new revision, for all or only for some clusters. `changes`: `strategy`, or `digest` if it has another name."""
        self.revision = revision
        if "strategy" in changes:
            self.strategy = changes["strategy"]
        for name in names or self.clusters:
            self.clusters[name].wanted = changes.get("digest", revision)
        self.propose()

    def join(self, *names: str) -> None:
        """Clusters come into the fleet."""
        newest = next(each.wanted for each in self.clusters.values())
        for name in names:
            self.clusters[name] = cluster(name)
            self.clusters[name].wanted = newest
        self.propose()

    def leave(self, *names: str) -> None:
        """Clusters are taken out of the fleet altogether."""
        for name in names:
            del self.clusters[name]
        self.propose()

    def displace(self, *names: str) -> None:
        """Clusters are not among those of the application any more."""
        for name in names:
            self.clusters[name].placed = False
        self.propose()

    def pause_clusters(self, *names: str, paused: bool = True) -> None:
        """Nothing at all is given to a cluster that is paused."""
        for name in names:
            self.clusters[name].paused = paused
        self.propose()

    # Agents.

    def say(self, verdict: Verdict, names: Iterable[str], reason: str = "", target: Target | None = None) -> None:
        """Agents say how they fare with what they were given, or with something else."""
        sights = {
            name: Sight(target or self.clusters[name].given, verdict, reason, self.clusters[name].silent)
            for name in names
        }
        self.send(Observed(sights))

    def healthy(self, *names: str) -> None:
        self.say(Verdict.HEALTHY, names)

    def failing(self, *names: str, reason: str = "CrashLoopBackOff") -> None:
        self.say(Verdict.FAILING, names, reason)

    def fail(self, *names: str, reason: str = "CrashLoopBackOff") -> None:
        """They fail, and go on failing for long enough to count."""
        self.failing(*names, reason=reason)
        self.wait(5)

    def progressing(self, *names: str) -> None:
        self.say(Verdict.PROGRESSING, names)

    def silence(self, *names: str, lasting: float = 0.0) -> None:
        """Nothing is heard of them, and has not been for some seconds."""
        for name in names:
            self.clusters[name].silent = self.now - lasting
        self.say(Verdict.UNKNOWN, names)

    def heard(self, *names: str) -> None:
        """They are back, and have not said yet how they fare."""
        for name in names:
            self.clusters[name].silent = None
        self.say(Verdict.UNKNOWN, names)

    def settle(self, *names: str) -> None:
        """Everybody (or only these) becomes healthy with what it is given, until nothing follows from that any more."""
        for _ in range(100):
            before = self.rollout
            self.healthy(*(names or self.clusters))
            if self.rollout is before:
                return
        raise AssertionError("it does not come to rest")

    # Time, the world around, people.

    def wait(self, seconds: float) -> None:
        """Time passes; the hub wakes up when it said that it has to."""
        end = self.now + seconds
        while (at := due(self.rollout, self.now)) is not None and at <= end:
            self.now = at
            self.send(Tick())
        self.now = end
        self.send(Tick())

    def surround(self, **changes: Any) -> None:
        parts = {name: getattr(self.around, name) for name in ("closed", "holds", "waits")}
        self.around = Around(**(parts | changes))
        self.send(Surrounded(self.around))

    def close(self, environment: str, reason: str = "nights only", until: float | None = None) -> None:
        self.surround(closed={environment: Closed(reason, until)})

    def open(self) -> None:
        self.surround(closed={})

    def hold(self, cluster: str = "", environment: str = "") -> None:
        self.surround(holds=(Hold("ann", self.now, "look first", cluster, environment),))

    def unhold(self) -> None:
        self.surround(holds=())

    def need(self, stage: str, *waits: Wait) -> None:
        self.surround(waits={stage: waits})

    def measure(self, stage: str, ok: bool | None, check: int = 0, detail: str = "7 errors") -> None:
        """A check is measured; `ok` None: it could not be."""
        self.send(Measured(stage, check, Measurement(ok, "7", detail, self.now)))

    def ask(self, verb: Verb | str, by: str = "ann", **more: Any) -> None:
        """A person asks for something."""
        self.send(self.request(verb, by, **more))

    def request(self, verb: Verb | str, by: str = "ann", **more: Any) -> Asked:
        identity = more.pop("id", None) or f"ask-{next(self._numbers)}"
        return Asked(identity, Verb(verb), by, self.now, **more)

    # What tests look at.

    @property
    def phase(self) -> Phase:
        return self.rollout.phase

    def stage(self, name: str) -> StagePhase:
        return self.run(name).phase

    def run(self, name: str) -> Any:
        names = [each.name for each in self.rollout.plan.stages]
        return self.rollout.stages[names.index(name)]

    def waits(self, name: str) -> list[str]:
        """The kinds of things that a stage waits for."""
        return [wait.kind for wait in self.run(name).waits]

    def states(self) -> dict[str, str]:
        return {name: str(slot.state) for name, slot in self.rollout.slots.items()}

    def has(self) -> dict[str, str]:
        """The digest that each cluster was given."""
        return {name: each.given.digest for name, each in self.clusters.items() if each.given is not None}

    def tells(self, kind: str) -> list[str]:
        """What the history says of one kind of event."""
        return [each.message for each in self.told if each.type == f"rollout.{kind}"]


def rolled_out(*names: str, strategy: Mapping[str, Any] | None = BY_STAGE, revision: str = "v1") -> Fleet:
    """A fleet whose first revision has been completed everywhere; its rollout was not in stages."""
    fleet = Fleet(*names)
    fleet.commit(revision)
    fleet.settle()
    fleet.strategy = strategy
    fleet.published.clear()
    fleet.told.clear()
    return fleet
