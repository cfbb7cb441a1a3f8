"""Rollouts for tests, made by the state machine itself: planned, begun, and moved on by what clusters say."""

from __future__ import annotations

from typing import Any

from hub.domain.checks import Measurement
from hub.domain.plans import Proposal, planned
from hub.domain.records import Commit
from hub.domain.requests import Asked, Verb
from hub.domain.rollout import step
from hub.domain.runs import Around, Rollout, Sight, StagePhase, Target, Verdict
from hub.domain.selectors import Candidate
from hub.domain.staging import Strategy
from hub.domain.steps import Measured, Observed, Proposed, Surrounded, Tick
from tests.fakes.fleetview import START

CLUSTERS = {"dev-1": "dev", "dev-2": "dev", "prod-1": "prod", "prod-2": "prod", "prod-3": "prod"}
STAGED = {
    "stages": [
        {"name": "dev", "environments": ["dev"], "soak": "60s"},
        {"name": "prod", "environments": ["prod"], "maxConcurrent": 2, "approve": {"by": ["sre"]}},
    ]
}


class Rolling:
    """One application's rollouts, on a clock that the test moves. `rollout` is the newest."""

    def __init__(self, strategy: dict[str, Any] | None = None, clusters: dict[str, str] | None = None) -> None:
        self.clusters = clusters or CLUSTERS
        self.strategy = Strategy.model_validate(strategy or STAGED, strict=False)
        self.now = START
        self.given: dict[str, Target] = {}
        self.rollout: Rollout | None = None
        self.told: list[Any] = []

    @property
    def newest(self) -> Rollout:
        assert self.rollout is not None
        return self.rollout

    def commit(self, sha: str, subject: str = "raise replicas", author: str = "Ada") -> Rollout:
        """A commit that changes what every cluster should have."""
        proposal = Proposal(
            "web", f"{sha[:12]}-{sha[:4] * 3}", Commit(sha, subject, author, self.now - 5), self.strategy,
            {name: Target("web", sha * 2) for name in self.clusters}, self.given, tuple(self.clusters),
        )  # fmt: skip
        plan = planned(proposal, self.rollout, self.candidate, f"web-{sha[:7]}-{int(self.now)}", self.now)
        return self._take(Proposed(plan))

    def candidate(self, name: str) -> Candidate:
        return Candidate(name, {}, (self.clusters[name],))

    def healthy(self, *names: str) -> Rollout:
        """These clusters say that they are healthy with what they should have."""
        return self.seen(Verdict.HEALTHY, names)

    def failing(self, *names: str, reason: str = "ImagePullBackOff: no such tag") -> Rollout:
        """These clusters fail for long enough to count as failed."""
        self.seen(Verdict.FAILING, names, reason)
        return self.after(6)

    def seen(self, verdict: Verdict, names: tuple[str, ...], reason: str = "") -> Rollout:
        return self._take(Observed({name: Sight(self.newest.position(name), verdict, reason) for name in names}))

    def silent(self, *names: str) -> Rollout:
        """Nothing is heard of these clusters any more."""
        return self._take(Observed({name: Sight(self.newest.position(name), silent=self.now) for name in names}))

    def measured(self, stage: str, check: int, ok: bool | None, detail: str = "") -> Rollout:
        """One measurement of a check, now."""
        return self._take(Measured(stage, check, Measurement(ok, "", detail, self.now)))

    def around(self, around: Around) -> Rollout:
        return self._take(Surrounded(around))

    def after(self, seconds: float) -> Rollout:
        self.now += seconds
        return self._take(Tick())

    def ask(self, verb: Verb, by: str = "ann", **other: Any) -> Rollout:
        return self._take(Asked(f"{verb}-{self.now}", verb, by, self.now, **other))

    def complete(self, sha: str) -> Rollout:
        """A commit that goes all the way, each cluster in ten seconds."""
        self.commit(sha)
        for _ in range(20):
            if not self.newest.active:
                break
            self.ask(Verb.APPROVE, "sue", roles=("sre",))
            self.after(10)
            self.healthy(*(name for name, slot in self.newest.slots.items() if slot.released is not None))
            if any(run.phase is StagePhase.SOAKING for run in self.newest.stages):
                self.after(60)
        return self.newest

    def _take(self, event: Any) -> Rollout:
        self.rollout, commands = step(self.rollout, event, self.now)
        self.told += commands
        self.given = dict(self.newest.positions())
        return self.newest
