"""Shapes of applications, their revisions, and the way a revision took."""

from __future__ import annotations

from hub.api.models.common import Commit, Counts, Hold, PathTimes, Problem, ProblemCounts, Reason, Shape, Time
from hub.domain.status import State


class Source(Shape):
    """Where an application comes from."""

    repo: str
    ref: str
    path: str
    chart: str
    version: str


class Revision(Shape):
    """A revision of an application; `published` counts the units that got it."""

    revision: str
    commit: Commit
    trace: str
    times: PathTimes
    published: int


class Application(Shape):
    """An application. In lists it has its first problems and its current revision only."""

    name: str
    namespace: str
    project: str
    labels: dict[str, str]
    source: Source
    clusters: int
    state: State
    commit: Commit | None
    revision: str
    trace: str
    holds: list[Hold]
    problems: list[Problem]
    problem_counts: ProblemCounts
    history: list[Revision]
    units: Counts
    drifted: int
    reasons: list[Reason]


class ApplicationDetail(Application):
    """An application with all problems and revisions, and the clusters it is placed on."""

    cluster_names: list[str]


class TraceRow(Shape):
    """How far a revision came on one cluster. `seconds` is from the commit's being seen to healthy."""

    cluster: str
    namespace: str
    environment: str
    state: str
    reason: str
    published: Time
    delivered: Time | None
    fetched: Time | None
    applied: Time | None
    healthy: Time | None
    seconds: float | None


class Quantiles(Shape):
    """Over the clusters where it is healthy."""

    p50: float | None
    p99: float | None
    max: float | None


class Trace(Shape):
    """A revision's way: failed clusters first, then unfinished ones, then the slowest."""

    application: str
    revision: str
    commit: Commit
    trace: str
    times: PathTimes
    clusters: list[TraceRow]
    total: int
    healthy: int
    seconds: Quantiles
