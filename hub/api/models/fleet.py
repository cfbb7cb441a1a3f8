"""Shapes of the fleet as a whole: summary, clusters, environments, repositories."""

from __future__ import annotations

from typing import Any, Literal

from hub.api.models.common import Commit, Counts, ProblemCounts, Reason, Shape, Time
from hub.domain.status import State


class ClusterCounts(Shape):
    """Clusters by how their agent is heard."""

    total: int
    stale: int
    waiting: int


class Summary(Shape):
    """The fleet in a few numbers. `commit` is the fleet repository's."""

    commit: str
    head: Commit | None
    repo: str
    clusters: ClusterCounts
    environments: int
    applications: int
    units: Counts
    drifted: int
    reasons: list[Reason]
    problems: ProblemCounts


class Repository(Shape):
    """A repository that the fleet is made of. `moved` is when its newest commit was noticed.

    While `error` is set, the last good state stays in force; it may be out of date since `since`.
    """

    name: str
    available: bool
    moved: Time
    error: str
    since: Time


class Cluster(Shape):
    """A cluster. `heard` is its agent's last sign of life, `since` when its connection began.

    `age_recipient` is the public key that secrets for it are encrypted with, empty while none is known.
    """

    name: str
    environment: str
    environments: list[str]
    labels: dict[str, str]
    paused: bool
    origin: str
    state: State
    connection: Literal["connected", "stale", "waiting"]
    heard: Time | None
    since: Time | None
    stale: bool
    agent: str
    boot: str
    interval: float | None
    facts: dict[str, Any]
    age_recipient: str
    problems: list[str]
    units: Counts
    drifted: int
    reasons: list[Reason]


class Environment(Shape):
    """An environment."""

    name: str
    order: int
    clusters: int
    state: State
    units: Counts
    drifted: int
    reasons: list[Reason]
