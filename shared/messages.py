"""The wire: what hub and agent say to each other (DESIGN section 5), and nothing of how it travels.

JSON with camelCase names, decoded strictly: a wrong type is an error, never a guess. Unknown fields are ignored, so
that a newer hub can speak to an older agent; `v` changes when that is not enough. Times are unix seconds.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

from shared.errors import InvalidMessage
from shared.model import Health, ObjectRef, UnitKey, Value

VERSION = 1


class IgnoreRule(Value, frozen=True):
    """Differences that are not drift. Empty parts match everything.

    `fields` are JSON pointers, `*` for any one step; `managers` are field managers whose changes are accepted.
    """

    kind: str = ""
    group: str = ""
    name: str = ""
    namespace: str = ""
    fields: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()


class DeletionPolicy(Value, frozen=True):
    """How much may be deleted without a person's word. `budget` is a percentage or a number of objects."""

    budget: str = "50%"
    on_delete: Literal["delete", "orphan"] = "delete"


class HealthRule(Value, frozen=True):
    """When objects of a kind (`Kind` or `group/Kind`) are healthy or have failed: CEL over `object`."""

    kind: str
    healthy: str
    failed: str = ""


class Limits(Value, frozen=True):
    """What a project may have on a cluster, whatever a bundle holds: see `shared.limits`.

    `namespaces` may hold `*`; none means any. Kinds are `Kind`, `group/Kind`, with `*` for any: `kinds` are those with
    a namespace (none: any), `cluster_scoped` those without (none: none), and `denied` outweighs both.
    """

    project: str
    namespaces: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    cluster_scoped: tuple[str, ...] = ()


class Policy(Value, frozen=True):
    """How a bundle is applied and kept. Part of the bundle: a change of policy is a change of digest.

    What is not set (`limits`) is not written either, so that bundles without it are called what they always were.
    """

    drift: Literal["correct", "report"] = "correct"
    prune: bool = True
    ignore: tuple[IgnoreRule, ...] = ()
    timeout: float = 300.0
    """Seconds from assigned to healthy before the unit counts as failed."""
    create_namespace: bool = True
    adopt: Literal["ifUnowned", "always", "never"] = "ifUnowned"
    deletion: DeletionPolicy = DeletionPolicy()
    depends_on: tuple[str, ...] = ()
    health: tuple[HealthRule, ...] = ()
    service_account: str = ""
    """As whom everything is written: `name` in the unit's namespace, or `namespace/name`; empty: as the agent."""
    limits: Limits | msgspec.UnsetType = msgspec.UNSET
    """What of the bundle must not be applied, even if it is in it."""


class PackRef(Value, frozen=True):
    """A piece of a bundle body: zstd of JSON lines. `digest` and `size` are of the raw bytes, `chunks` as stored."""

    digest: str
    size: int
    chunks: int = 1


class Assignment(Value, frozen=True, omit_defaults=True):
    """Gives a unit its bundle. The body is `inline` (zstd) when small, else the `packs` in order.

    `removed` says that the application left this cluster: prune (or orphan) everything and forget the unit.
    `confirmed` are the tokens of deletions that a person has agreed to (`Awaiting.token`). `succeeds` names units of
    the same cluster (`namespace/application`) whose place this one takes: what they hold it may take over.
    `signature` covers every other field; `key` names the hub key it was made with.
    """

    v: int
    cluster: str
    namespace: str
    application: str
    generation: int
    digest: str
    commit: str
    revision: str
    policy: Policy
    objects: int
    at: float
    rollout: str = ""
    packs: tuple[PackRef, ...] = ()
    inline: bytes = b""
    removed: bool = False
    confirmed: tuple[str, ...] = ()
    succeeds: tuple[str, ...] = ()
    traceparent: str = ""
    key: str = ""
    signature: bytes = b""

    @property
    def unit(self) -> UnitKey:
        """The unit this is for."""
        return UnitKey(self.cluster, self.namespace, self.application)


class RootEntry(Value, frozen=True):
    """One unit of a cluster, as far as an agent needs it to know what to ask for."""

    namespace: str
    application: str
    generation: int
    digest: str


class Root(Value, frozen=True, omit_defaults=True):
    """All units of a cluster. It only tells an agent what to ask for: nothing is deleted because it is not listed.

    A long list travels as `packed` in place of `units`: see `shared.bundle.listed`.
    """

    v: int
    cluster: str
    generation: int
    units: tuple[RootEntry, ...]
    packed: bytes = b""
    key: str = ""
    signature: bytes = b""


class Phase(enum.StrEnum):
    """What an agent is doing with a unit's newest assignment."""

    APPLYING = "Applying"
    APPLIED = "Applied"
    FAILED = "Failed"
    """Some objects could not be applied, or health did not come within the timeout; it is being retried."""
    BLOCKED = "Blocked"
    """Waits for something only a person or another unit can give; `reason` says for what."""
    REMOVED = "Removed"


class Action(enum.StrEnum):
    """What the last apply did to an object."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"
    PRUNED = "pruned"
    SKIPPED = "skipped"
    FAILED = "failed"
    PENDING = "pending"


class ObjectStatus(Value, frozen=True, omit_defaults=True):
    """One object of a unit. `reason` explains a health that is not Healthy, or why `action` is failed or skipped."""

    ref: ObjectRef
    health: Health = Health.UNKNOWN
    reason: str = ""
    action: Action = Action.UNCHANGED


class FieldDrift(Value, frozen=True):
    """One field that differs. `manager` set the live value at `at`, as far as managedFields tell."""

    path: str
    want: Any
    have: Any
    manager: str = ""
    at: float | None = None


class Drift(Value, frozen=True, omit_defaults=True):
    """An object that differs from its bundle: edited, or `deleted` as a whole."""

    ref: ObjectRef
    since: float
    mode: Literal["correct", "report"]
    fields: tuple[FieldDrift, ...] = ()
    deleted: bool = False
    corrected: float | None = None
    """When it was put right; None while it stands."""
    attempts: int = 0
    fight: str = ""
    """`fights with MANAGER over FIELD` once somebody keeps changing it back; corrections then come ever more slowly."""
    suggestion: IgnoreRule | None = None
    """The rule for `sync.ignore` that would accept exactly this."""


class Timeline(Value, frozen=True, omit_defaults=True):
    """When the newest assignment reached each point, on the agent's clock."""

    received: float | None = None
    fetched: float | None = None
    applied: float | None = None
    healthy: float | None = None


class Awaiting(Value, frozen=True, omit_defaults=True):
    """Deletions that wait for a person's word.

    `token` stands for exactly these `count` objects of this unit: one more and it is another. `objects` are the first
    of them, at most `MAX_AWAITING`.
    """

    token: str
    count: int
    objects: tuple[ObjectRef, ...]
    reason: str
    since: float


MAX_AWAITING = 100


class Blocker(Value, frozen=True, omit_defaults=True):
    """What keeps a unit from being applied and healthy: an object of it, or an application that it depends on.

    `unblock` says what would let it go on, `waiting` how many objects wait for it.
    """

    reason: str
    since: float
    unblock: str = ""
    object: ObjectRef | None = None
    unit: str = ""
    waiting: int = 0


MAX_BLOCKERS = 20


class Report(Value, frozen=True, omit_defaults=True):
    """The agent's account of one unit. `digest`, `commit`, `revision` are of the generation it speaks of.

    `objects` holds at most `MAX_OBJECTS` entries, unhealthy ones first; `counts` always counts all of them by health.
    """

    v: int
    cluster: str
    namespace: str
    application: str
    generation: int
    digest: str
    commit: str
    revision: str
    phase: Phase
    health: Health
    at: float
    reason: str = ""
    since: float = 0.0
    """When phase or health last changed."""
    counts: dict[str, int] = {}
    objects: tuple[ObjectStatus, ...] = ()
    drift: tuple[Drift, ...] = ()
    timeline: Timeline = Timeline()
    warnings: tuple[str, ...] = ()
    awaiting: Awaiting | None = None
    blockers: tuple[Blocker, ...] = ()
    """At most `MAX_BLOCKERS`, those that need a person first."""
    traceparent: str = ""

    @property
    def unit(self) -> UnitKey:
        """The unit this is about."""
        return UnitKey(self.cluster, self.namespace, self.application)


MAX_OBJECTS = 500


class Heartbeat(Value, frozen=True, omit_defaults=True):
    """Sign of life of an agent, every `interval` seconds.

    `states` is `states_digest` over its units: where it differs from the hub's, the hub asks for all reports again. An
    agent that stands by, because another acts for the cluster, leaves it empty.
    """

    v: int
    cluster: str
    at: float
    interval: float
    agent: str
    boot: str
    """Changes with every start of the agent."""
    units: int
    states: str
    facts: dict[str, Any] = {}
    problems: tuple[str, ...] = ()
    """What keeps the agent itself from working: its disk, a second agent, missing permissions."""


class ServedApis(Value, frozen=True):
    """Every API that a cluster serves, `v1`, `v1/Pod`, `apps/v1/Deployment`, sorted: what charts may ask about.

    `digest` is `apis_digest` over them; a heartbeat's fact `apis` names it, so that the list travels only when it
    changes.
    """

    v: int
    cluster: str
    digest: str
    apis: tuple[str, ...]


class Severity(enum.StrEnum):
    """How much an event matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(Value, frozen=True, omit_defaults=True):
    """Something that happened, for the history. `id` is unique and makes repeats harmless."""

    id: str
    at: float
    type: str
    severity: Severity
    message: str
    cluster: str = ""
    namespace: str = ""
    application: str = ""
    object: ObjectRef | None = None
    actor: str = ""
    commit: str = ""
    trace: str = ""


T = TypeVar("T", bound=msgspec.Struct)

_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}


def encode(message: msgspec.Struct) -> bytes:
    """The wire form: JSON with sorted maps, so that equal messages are equal bytes."""
    return _ENCODER.encode(message)


def decode(data: bytes, kind: type[T]) -> T:
    """Reads a message strictly.

    Raises:
        InvalidMessage: not JSON, a field is missing or of the wrong type, or a version this build does not speak.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind, strict=True)
    try:
        message: T = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(f"not a {kind.__name__}: {error}") from error
    version = getattr(message, "v", VERSION)
    if version != VERSION:
        raise InvalidMessage(
            f"a {kind.__name__} of version {version}, this build speaks {VERSION}: upgrade the older of hub and agent"
        )
    return message


def states_digest(reports: Iterable[Report]) -> str:
    """What hub and agent compare to see whether the hub has the last report of every unit."""
    lines = sorted(f"{report.namespace}/{report.application} {report.generation} {report.at!r}" for report in reports)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def apis_digest(apis: Iterable[str]) -> str:
    """Names a list of APIs; short, because every heartbeat carries it."""
    return hashlib.sha256("\n".join(apis).encode()).hexdigest()[:16]


def to_json(value: Any) -> Any:
    """A value of this module (or of `shared.model`) as plain dicts and lists, for the API and `-o json`."""
    return msgspec.to_builtins(value)
