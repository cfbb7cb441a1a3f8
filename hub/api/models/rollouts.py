"""Shapes of rollouts, and of what people ask of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hub.api.models.common import Commit, Hold, Shape, Time
from hub.api.models.history import Event
from hub.domain.runs import Phase, SlotState, StagePhase


class ClustersByProgress(Shape):
    """Clusters by where they are; the parts add up to `total`. `done` are healthy with the revision.

    `inFlight` were given the revision, or sent back, and have not said that they are healthy with it. `kept` could not
    go back: they had nothing before.
    """

    total: int
    done: int
    in_flight: int
    failed: int
    offline: int
    pending: int
    skipped: int
    restored: int
    kept: int


class Wait(Shape):
    """Something that a stage waits for: approval, window, hold, release, dependency, clusters, soak or check.

    `until` is when it ends by itself, as far as that is known.
    """

    kind: str
    reason: str
    since: Time | None
    until: Time | None


class RolloutStage(Shape):
    """A stage as it is listed."""

    name: str
    phase: StagePhase
    clusters: ClustersByProgress
    waits_for: list[Wait]


class Durations(Shape):
    """Seconds that a stage waited, gave the revision to its clusters, soaked and was checked; null: not begun."""

    waited: float | None
    rolled: float | None
    soaked: float | None
    checked: float | None


class PastStage(RolloutStage):
    """A stage with how long it took; what is not over yet counts up to now."""

    durations: Durations


class StageApproval(Shape):
    """Who may approve, how many have to, whose approvals count, and what is missing (empty: nothing)."""

    by: list[str]
    needed: int
    given: list[str]
    missing: str
    expires_at: Time | None


class StageCheck(Shape):
    """A check, what was measured last, and since when it has held, or failed, without interruption."""

    title: str
    for_: Annotated[float, Field(alias="for")]
    ok: bool | None
    value: str
    detail: str
    at: Time | None
    since: Time | None
    failed_since: Time | None


class StageDetail(PastStage):
    """A stage with everything there is to say of it. `maxFailures` is what may fail now, after people resumed it."""

    max_concurrent: int
    max_failures: int
    exceeded: bool
    waived: bool
    turn_at: Time | None
    started_at: Time | None
    healthy_at: Time | None
    soaked_at: Time | None
    done_at: Time | None
    soak: float
    approval: StageApproval | None
    checks: list[StageCheck]


class Approval(Shape):
    """Somebody's word that a stage may start."""

    stage: str
    by: str
    at: Time
    comment: str


class Estimate(Shape):
    """When the rollout will have ended, if all goes well, and the seconds per cluster that this is worked out from."""

    ends_at: Time
    per_cluster: float


class Rollout(Shape):
    """A rollout. `from` is the revision before, `back` says that Git itself takes a change back.

    `rejected`: the revision does not start again before somebody releases it, or Git moves on. `queued` is the
    revision that waits for this one to end. `estimate` is null when nobody can say.
    """

    id: str
    application: str
    phase: Phase
    active: bool
    revision: str
    from_: Annotated[str, Field(alias="from")]
    commit: Commit
    back: bool
    stage: str
    stages: list[RolloutStage]
    clusters: ClustersByProgress
    environments: list[str]
    started_at: Time
    ended_at: Time | None
    troubled_at: Time | None
    reason: str
    by: str
    approvals: list[Approval]
    bypass: str
    queued: str
    rejected: bool
    holds: list[Hold]
    estimate: Estimate | None
    trace: str


class PastRollout(Rollout):
    """A rollout with how long it and its stages took, in seconds; up to now while it goes on."""

    stages: list[PastStage]  # type: ignore[assignment]  # each of them is a RolloutStage
    seconds: float


class StateReason(Shape):
    """What is said of clusters, and the first of them."""

    reason: str
    count: int
    clusters: list[str]


class ClustersInState(Shape):
    """The clusters in one state, by the most frequent reasons."""

    state: SlotState
    count: int
    reasons: list[StateReason]


class RolloutDetail(PastRollout):
    """A rollout with its stages, its clusters by state, and the newest events of its history, newest first.

    `requests` are the last ones of people that have been carried out.
    """

    stages: list[StageDetail]  # type: ignore[assignment]  # each of them is a PastStage
    states: list[ClustersInState]
    on_failure: str
    on_newer: str
    deadline: float
    requests: list[str]
    events: list[Event]


class RolloutCluster(Shape):
    """One cluster of a rollout. `from`, `to` and `backTo` are bundles; `seconds` is from assigned to healthy.

    `stage` is empty for a cluster that takes no part, and is only sent back with the others.
    """

    cluster: str
    stage: str
    environments: list[str]
    state: SlotState
    reason: str
    assigned_at: Time | None
    healthy_at: Time | None
    back_at: Time | None
    silent_since: Time | None
    seconds: float | None
    from_: Annotated[str, Field(alias="from")]
    to: str
    back_to: str


Short = Annotated[str, Field(max_length=253)]


class Asking(BaseModel):
    """Base of what people ask for. With `dryRun` the answer says what it would do, and nothing is done."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    reason: Annotated[str, Field(max_length=1000)] = ""
    dry_run: Annotated[bool, Field(alias="dryRun")] = False


class Steer(Asking):
    """What is asked of a rollout.

    `stage` is for approve, `clusters` for retry and skip (left out: those that failed), `to` for rollback (a revision
    or commit of the history, or how one begins; left out: what the last completed rollout gave). With `rollout`, an id,
    it is refused when another one has begun meanwhile.
    """

    stage: Short = ""
    clusters: Annotated[list[Short], Field(max_length=10_000)] = []
    to: Short = ""
    rollout: Short = ""


class Scope(Asking):
    """What a hold is, or was, about: a cluster or an environment; neither is the application everywhere."""

    cluster: Short = ""
    environment: Short = ""


class Effect(Shape):
    """What will happen (or, with `dryRun`, would), in words.

    `rollout` is the id of the one it is about, `request` what the request is called among those that it has carried
    out; empty where it is not about a rollout.
    """

    effect: str
    application: str
    rollout: str
    request: str
    dry_run: bool
