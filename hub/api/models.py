"""The shapes of the API's answers, for its OpenAPI document and the tests that hold answers to it.

Answers are written straight from the view's dicts; nothing is validated on the way out.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from hub.domain.status import State
from shared.messages import Action, Severity
from shared.model import Health

T = TypeVar("T")

Time = float


class Shape(BaseModel):
    """Base: camelCase outside, nothing undocumented."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class Page(Shape, Generic[T]):
    """One page of a list. `next` is the `cursor` of the next page."""

    items: list[T]
    next: str | None


class Signature(Shape):
    """Who signed a commit, as the list of allowed signers calls them; `key` is the fingerprint."""

    by: str
    key: str
    method: Literal["ssh", "openpgp"]


class Commit(Shape):
    """A commit. `signed` is null where nobody looks, or where nobody signed it who may."""

    sha: str
    subject: str
    author: str
    at: Time
    signed: Signature | None


class Counts(Shape):
    """Units by shown state."""

    model_config = ConfigDict(alias_generator=None)

    total: int
    Failed: int
    Blocked: int
    Drifted: int
    Stale: int
    Progressing: int
    Waiting: int
    Paused: int
    Ready: int


class Reason(Shape):
    """A reason that units give, and how many give it."""

    state: State
    reason: str
    units: int


class ClusterCounts(Shape):
    """Clusters by how their agent is heard."""

    total: int
    stale: int
    waiting: int


class ProblemCounts(Shape):
    """Problems by severity."""

    error: int
    warning: int


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
    """A cluster. `heard` is its agent's last sign of life, `since` when its connection began."""

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


class Place(Shape):
    """Where in a file."""

    file: str
    line: int
    field: str


class Problem(Shape):
    """A finding about what a person wrote."""

    severity: Literal["error", "warning"]
    message: str
    place: Place | None
    hint: str
    application: str


class Source(Shape):
    """Where an application comes from."""

    repo: str
    ref: str
    path: str
    chart: str
    version: str


class PathTimes(Shape):
    """When a revision passed each step in the hub."""

    committed: Time | None
    detected: Time | None
    planned: Time | None
    rendered: Time | None
    published: Time | None


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
    problems: list[Problem]
    problem_counts: ProblemCounts
    history: list[Revision]
    units: Counts
    drifted: int
    reasons: list[Reason]


class ApplicationDetail(Application):
    """An application with all problems and revisions, and the clusters it is placed on."""

    cluster_names: list[str]


class Want(Shape):
    """What is assigned."""

    generation: int
    digest: str
    commit: str
    revision: str
    objects: int
    removed: bool
    at: Time


class Have(Shape):
    """What the agent said last; empty strings before it said anything."""

    generation: int
    digest: str
    commit: str
    revision: str
    phase: str
    health: Health
    at: Time | None
    received: Time | None
    applied: Time | None
    healthy: Time | None


class Unit(Shape):
    """One application on one cluster. `since` is when its state began."""

    cluster: str
    namespace: str
    application: str
    environment: str
    state: State
    reason: str
    since: Time
    flags: list[str]
    want: Want
    have: Have
    trace: str


class ObjectRef(Shape):
    """Names a Kubernetes object."""

    api_version: str
    kind: str
    namespace: str
    name: str


class ObjectStatus(Shape):
    """An object of a unit."""

    object: ObjectRef
    health: Health
    reason: str
    action: Action


class FieldDrift(Shape):
    """A field that differs, and who changed it when."""

    path: str
    want: Any
    have: Any
    manager: str
    at: Time | None


class Drift(Shape):
    """An object that differs from Git. `corrected` is when it was put right.

    `suggestion` is the rule for `sync.ignore` that would accept this; `fight` names who keeps changing it back.
    """

    cluster: str
    namespace: str
    application: str
    object: ObjectRef
    fields: list[FieldDrift]
    deleted: bool
    since: Time
    mode: Literal["correct", "report"]
    corrected: Time | None
    attempts: int
    fight: str
    suggestion: dict[str, Any] | None


class Condition(Shape):
    """A step on a unit's way: Scheduled, Delivered, Applied, Healthy, Verified."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    at: Time | None


class Timeline(Shape):
    """When the unit's newest assignment reached each point, on the agent's clock."""

    received: Time | None
    fetched: Time | None
    applied: Time | None
    healthy: Time | None


class Passage(Shape):
    """An earlier generation of a unit."""

    generation: int
    digest: str
    commit: str
    revision: str
    traceparent: str
    published: Time
    delivered: Time | None
    fetched: Time | None
    applied: Time | None
    healthy: Time | None


class Event(Shape):
    """Something that happened."""

    id: str
    at: Time
    type: str
    severity: Severity
    cluster: str
    namespace: str
    application: str
    object: ObjectRef | None
    message: str
    actor: str
    commit: str
    trace: str


class Blocker(Shape):
    """What keeps a unit from being applied and healthy: an object of it, or an application that it depends on.

    `unblock` says what would let it go on; `waiting` counts the objects that wait for it.
    """

    object: ObjectRef | None
    application: str
    reason: str
    since: Time
    unblock: str
    waiting: int


class UnitDetail(Unit):
    """A unit with everything its agent said."""

    conditions: list[Condition]
    heard: Time | None
    counts: dict[str, int] = Field(description="Objects by health.")
    objects: list[ObjectStatus]
    drift: list[Drift]
    warnings: list[str]
    blockers: list[Blocker]
    timeline: Timeline
    past: list[Passage]
    events: list[Event]


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


class AwaitingUnit(Shape):
    """A unit that waits, and the token that confirms exactly what it waits with."""

    cluster: str
    namespace: str
    application: str
    token: str


class Confirmation(Shape):
    """Deletions (`kind` objects) or removals that wait for a person's word. `objects` are the first of `count`."""

    kind: Literal["objects", "applications", "clusters", "moves"]
    application: str
    namespace: str
    count: int
    objects: list[ObjectRef]
    items: list[str]
    reason: str
    since: Time
    token: str | None
    units: list[AwaitingUnit]


class Confirm(BaseModel):
    """What to let go ahead: every token of what was shown, limited to an application or to units if need be."""

    model_config = ConfigDict(extra="forbid")

    tokens: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]], Field(min_length=1, max_length=10_000)]
    application: Annotated[str, Field(max_length=63)] = ""
    units: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=10_000)] = []
    reason: Annotated[str, Field(max_length=1000)] = ""


class PreviewRequest(BaseModel):
    """Two refs of the fleet repository: branches, tags or commits. Without `from` it is what counts now."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[str, Field(alias="from", max_length=250)] = ""
    to: Annotated[str, Field(min_length=1, max_length=250)]
    applications: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=1000)] = []
    form: Literal["json", "text", "markdown"] = "json"
    live: bool = False


class PreviewAnswer(Shape):
    """What changes (`yardarm diff -o json`), and in which waves it would go out (`yardarm plan -o json`).

    `changes` says whether anything does, `errors` whether something new cannot be used as it is.
    """

    preview: dict[str, Any]
    plan: dict[str, Any]
    changes: bool
    errors: bool


class Confirmed(Shape):
    """What goes ahead now."""

    items: list[Confirmation]


class Accepted(Shape):
    """A webhook was taken."""

    accepted: bool
    message: str


class Alive(Shape):
    """The process answers."""

    status: str
    version: str


class Ready(Shape):
    """Whether the hub can work; `missing` says per part what it waits for."""

    ready: bool
    role: str
    missing: dict[str, str]
