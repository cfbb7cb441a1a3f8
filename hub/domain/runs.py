"""A rollout as values: what it was to do when it began, and how far it has come. `hub.domain.rollout` moves it on.

A rollout takes one application from what its clusters have to a new revision, stage by stage. What it is to do is
pinned in its `Plan`: the revision, the strategy, and for every cluster what it had, what it gets, and what it goes
back to. The rest of a `Rollout` is how far it has come. Times are unix seconds on the hub's clock.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from hub.domain.approvals import Approval
from hub.domain.checks import Standing
from hub.domain.records import Commit
from hub.domain.staging import Stage, Strategy
from shared.model import Value


class Phase(enum.StrEnum):
    """Where a rollout is. The second group are ends."""

    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    ROLLING_BACK = "RollingBack"

    COMPLETED = "Completed"
    FAILED = "Failed"
    """It went through all stages although more clusters failed than may (`onFailure: continue`)."""
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"


ENDS = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK, Phase.ABORTED, Phase.SUPERSEDED})
REJECTED = frozenset({Phase.ROLLED_BACK, Phase.ABORTED})
"""After these the revision is held: it does not start again until somebody releases it, or Git moves on."""


class StagePhase(enum.StrEnum):
    """Where a stage is."""

    PENDING = "Pending"
    """The one before it is not done."""
    WAITING = "Waiting"
    """Its turn, but something has to be given first: an approval, a window, another application."""
    PROGRESSING = "Progressing"
    SOAKING = "Soaking"
    CHECKING = "Checking"
    DONE = "Done"
    FAILED = "Failed"
    """More of its clusters failed than may, or its checks do not hold."""


class SlotState(enum.StrEnum):
    """Where one cluster of a rollout is."""

    PENDING = "Pending"
    ASSIGNED = "Assigned"
    """In flight: it was given the revision and has not said that it is healthy with it."""
    HEALTHY = "Healthy"
    FAILED = "Failed"
    OFFLINE = "Offline"
    """Nothing is heard of it: it leaves its slot to others, and catches up when it is back."""
    SKIPPED = "Skipped"
    """A person left it out, or it is not among the application's clusters any more."""
    RESTORING = "Restoring"
    RESTORED = "Restored"
    KEPT = "Kept"
    """It has the rejected revision still: there is nothing that it could go back to."""


class Target(Value, frozen=True, omit_defaults=True, gc=False):
    """What a cluster has or gets of the application: a bundle, by digest, in a namespace. No digest: it leaves."""

    namespace: str
    digest: str = ""


class Pinned(Value, frozen=True, omit_defaults=True, gc=False):
    """What a rollout means for one cluster.

    `previous` is what it had when the rollout began, `restore` what it goes back to: what the last completed rollout
    gave it. None where there was nothing. `changes` is false for a cluster that has the target since the last
    completed rollout: it takes no part, and is listed so that every cluster's part in the revision is known.
    """

    target: Target
    previous: Target | None = None
    restore: Target | None = None
    changes: bool = True
    environments: tuple[str, ...] = ()

    @property
    def environment(self) -> str:
        """The one that the cluster counts for: the first by order; empty if it is in none."""
        return self.environments[0] if self.environments else ""


class PlannedStage(Value, frozen=True, omit_defaults=True):
    """A stage and its clusters, in the order in which they are given the revision.

    `at_once` may be between assigned and healthy at the same time, `max_failures` may fail. `spec` is what the
    document says; None for a stage that no document names.
    """

    name: str
    clusters: tuple[str, ...]
    at_once: int
    max_failures: int = 0
    spec: Stage | None = None


class Plan(Value, frozen=True, omit_defaults=True):
    """What a rollout is to do; does not change, except that clusters may join or leave.

    `others` are the clusters of the fleet that had no part in it when it was made: a cluster that is in neither list
    has joined the fleet since. `back` is true when every target is what the last completed rollout gave: Git itself
    takes the change back, and nothing has to be asked for that.
    """

    id: str
    application: str
    revision: str
    commit: Commit
    strategy: Strategy
    stages: tuple[PlannedStage, ...]
    clusters: dict[str, Pinned]
    at: float
    others: tuple[str, ...] = ()
    traceparent: str = ""
    from_: str = ""
    """The revision that the clusters had, as far as it has a name."""
    back: bool = False


LEFT = "nothing can be given to it: it has left the application, is paused, or could not be worked out"
"""Why a cluster is skipped that no person left out. What it should have is not for the rollout to say any more."""


class Slot(Value, frozen=True, omit_defaults=True, gc=False):
    """How far one cluster is. Since `released` it is to have the target, before that what it had.

    Since `back` it is to have again what the last completed rollout gave it. `seen`: since when its deadline runs.
    `failing` and `silent`: since when, without interruption, it is said to fail and is not heard.
    """

    state: SlotState = SlotState.PENDING
    released: float | None = None
    back: float | None = None
    seen: float | None = None
    healthy: float | None = None
    failing: float | None = None
    silent: float | None = None
    reason: str = ""

    @property
    def left(self) -> bool:
        """Whether it is skipped for that, and has not come back."""
        return self.state is SlotState.SKIPPED and self.reason == LEFT


class Wait(Value, frozen=True, omit_defaults=True):
    """Something a stage waits for: `kind` is approval, window, hold, release, dependency, clusters, soak or check.

    `since` is when it began to, `until` when it ends by itself, as far as that is known.
    """

    kind: str
    reason: str
    since: float = 0.0
    until: float | None = None


class StageRun(Value, frozen=True, omit_defaults=True):
    """How far a stage is: when it came to its turn, was started, was healthy as a whole, and was done.

    `allowed` is how many of its clusters may have failed: more than the plan says once a person has resumed it.
    `exceeded`: more failed than may, or its checks did not hold, and the strategy says to continue.
    """

    phase: StagePhase = StagePhase.PENDING
    turn: float | None = None
    started: float | None = None
    healthy: float | None = None
    soaked: float | None = None
    done: float | None = None
    allowed: int = 0
    exceeded: bool = False
    waived: bool = False
    """A person has resumed it although its checks do not hold."""
    waits: tuple[Wait, ...] = ()
    checks: tuple[Standing, ...] = ()


class Closed(Value, frozen=True):
    """Why nothing may be promoted now, and when that changes by itself."""

    reason: str
    until: float | None = None


class Hold(Value, frozen=True, omit_defaults=True):
    """A person's mark: nothing new there. Of an application, or only of a cluster or an environment of it."""

    by: str
    at: float
    reason: str = ""
    cluster: str = ""
    environment: str = ""

    def covers(self, cluster: str, environments: Iterable[str]) -> bool:
        """Whether it says so of this cluster."""
        return self.cluster in ("", cluster) and (not self.environment or self.environment in environments)


class Around(Value, frozen=True, omit_defaults=True):
    """What a rollout has to heed of the world around it, worked out by others.

    `closed` are environments into which nothing may be promoted now, `waits` what stages wait for apart from that, by
    name of the stage; `*` is every stage.
    """

    closed: dict[str, Closed] = msgspec.field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    waits: dict[str, tuple[Wait, ...]] = msgspec.field(default_factory=dict)


class Rollout(Value, frozen=True, omit_defaults=True):
    """A plan, and how far it has come. `slots` are the clusters that take part.

    `reason` and `by` say why it is paused, was rolled back or aborted, and who wanted it; empty `by`: the strategy.
    `asked` are the last requests of people that have been carried out. `troubled` is when it failed first.
    """

    plan: Plan
    phase: Phase
    stages: tuple[StageRun, ...]
    slots: dict[str, Slot]
    approvals: tuple[Approval, ...] = ()
    reason: str = ""
    by: str = ""
    bypass: str = ""
    """Who had all gates left out, and why; empty: nobody."""
    queued: str = ""
    """The revision that waits for this one to end."""
    freed: bool = False
    """A person has released the revision that was rejected here."""
    around: Around = Around()
    ended: float | None = None
    troubled: float | None = None
    asked: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The plan's."""
        return self.plan.id

    @property
    def application(self) -> str:
        """The plan's."""
        return self.plan.application

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.phase not in ENDS

    @property
    def current(self) -> int:
        """The number of the first stage that is not done; as many as there are stages when all are."""
        phases = enumerate(run.phase for run in self.stages)
        return next((number for number, phase in phases if phase is not StagePhase.DONE), len(self.stages))

    def positions(self) -> dict[str, Target]:
        """What every cluster should have now."""
        return {name: where for name, pinned in self.plan.clusters.items() if (where := self.position(name, pinned))}

    def position(self, cluster: str, pinned: Pinned | None = None) -> Target | None:
        """What a cluster should have now; None when that is not for this rollout to say."""
        pinned = pinned or self.plan.clusters[cluster]
        slot = self.slots.get(cluster)
        if slot is None:
            return pinned.target
        if slot.reason == LEFT and slot.left:
            return None
        if slot.back is not None:
            return pinned.restore
        return pinned.target if slot.released is not None else pinned.previous


class Verdict(enum.StrEnum):
    """What an agent says of exactly what is assigned to it; silence is none of these."""

    UNKNOWN = "Unknown"
    PROGRESSING = "Progressing"
    HEALTHY = "Healthy"
    FAILING = "Failing"


class Sight(Value, frozen=True, gc=False):
    """What can be seen of a cluster.

    `target` is assigned to it, as far as that is stored, and `verdict` is what its agent says of exactly that. `silent`
    is since when nothing is heard of it; None: it is heard.
    """

    target: Target | None
    verdict: Verdict = Verdict.UNKNOWN
    reason: str = ""
    silent: float | None = None


def tally(rollout: Rollout, stage: int) -> Mapping[SlotState, int]:
    """How many clusters of a stage are in each state; states without any are left out."""
    slots = rollout.slots
    return Counter([slots[name].state for name in rollout.plan.stages[stage].clusters])
