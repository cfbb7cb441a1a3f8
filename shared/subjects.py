"""Every NATS subject, built and parsed in one place (DESIGN section 5).

Tokens are checked here, so that no name can smuggle a wildcard or a second token into a subject.
"""

from __future__ import annotations

from shared.errors import InvalidMessage
from shared.model import UnitKey, is_token

EPOCH = "desired._hub.epoch"
"""Each leading hub writes it once; every batch is fenced by its sequence, so an older leader cannot write."""

DESIRED_ALL = "desired.>"
BLOBS_ALL = "blob.>"
REPORTS_ALL = "report.>"
EVENTS_ALL = "events.>"
NOTIFY_PREFIX = "notify."
ASK_ALL = "ask.*.*"
JOIN_ALL = "join.*"
RENEW_ALL = "renew.*"
ANCHORS = "desired._hub.anchors"
"""What every agent may believe: the hub's keys, each vouched for by the one before it. Signed; the same for all."""
TENANT = "default"
"""Whose blobs are shared with whom: agents of one tenant can fetch each other's packs by digest, no others."""


def token(text: str) -> str:
    """`text` itself when it is one safe subject token.

    Raises:
        InvalidMessage: it is not `[a-z0-9-]{1,63}`.
    """
    if not is_token(text):
        raise InvalidMessage(f"{text!r} cannot be used in a subject: only a-z, 0-9 and '-', at most 63 characters")
    return text


def desired(unit: UnitKey) -> str:
    """Where the assignment of a unit is kept."""
    return f"desired.{token(unit.cluster)}.{token(unit.namespace)}.{token(unit.application)}"


def desired_root(cluster: str) -> str:
    """Where the list of a cluster's units is kept."""
    return f"desired.{token(cluster)}._root"


def notify_all(cluster: str) -> str:
    """What an agent subscribes to: every change of its own desired state, with the body."""
    return f"notify.desired.{token(cluster)}.>"


def notify_report(cluster: str) -> str:
    """The hub's nudge to send all reports again, because its records differ from the heartbeat's digest."""
    return f"notify.desired.{token(cluster)}._report"


def get_desired(unit: UnitKey) -> str:
    """Where an agent asks for the last assignment of a unit (mapped onto JetStream's direct get)."""
    return f"get.{desired(unit)}"


def get_root(cluster: str) -> str:
    """Where an agent asks for the list of its units."""
    return f"get.{desired_root(cluster)}"


def blob(tenant: str, name: str) -> str:
    """Where a piece of a bundle body is kept. `name` is a digest, or `<digest>-<n>` for a chunk."""
    return f"blob.{token(tenant)}.{token_blob(name)}"


def get_blob(tenant: str, name: str) -> str:
    """Where an agent asks for a piece of a bundle body."""
    return f"get.{blob(tenant, name)}"


def token_blob(name: str) -> str:
    """A blob name: hexadecimal digest with an optional chunk number."""
    digest, _, chunk = name.partition("-")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef") or not (chunk.isdigit() or name == digest):
        raise InvalidMessage(f"{name!r} does not name a blob: expected a SHA-256 digest in hex")
    return name


def report(unit: UnitKey) -> str:
    """Where an agent puts the last report of a unit."""
    return f"report.{token(unit.cluster)}.{token(unit.namespace)}.{token(unit.application)}"


def beat(cluster: str) -> str:
    """Where an agent puts its heartbeat."""
    return f"report.{token(cluster)}._beat"


def apis(cluster: str) -> str:
    """Where an agent puts the list of what its cluster serves."""
    return f"report.{token(cluster)}._apis"


def ask_diff(cluster: str) -> str:
    """Where the hub asks an agent what applying something would do (a request; see `shared.asking`)."""
    return f"ask.{token(cluster)}.diff"


def join(code_id: str) -> str:
    """Where whoever holds a join code asks to become an agent. `code_id` names the code and is no secret."""
    return f"join.{token(code_id)}"


def renew(cluster: str) -> str:
    """Where an agent asks for a new user before its own expires."""
    return f"renew.{token(cluster)}"


def event(cluster: str, kind: str) -> str:
    """Where an agent (or the hub, for a cluster) puts an event; `kind` is e.g. `health`, `drift`, `apply`."""
    return f"events.{token(cluster)}.{token(kind)}"


def hub_event(kind: str) -> str:
    """Where the hub puts an event that belongs to no cluster. No agent may write there."""
    return f"events._hub.{token(kind)}"


def parse_desired(subject: str) -> UnitKey | str:
    """The unit of a `desired.…` (or `notify.desired.…`) subject, or its reserved last token.

    Reserved are `_root`, `_report` and `epoch`.

    Raises:
        InvalidMessage: it is not such a subject.
    """
    return _parse(subject.removeprefix(NOTIFY_PREFIX), "desired")


def parse_report(subject: str) -> UnitKey | str:
    """The unit of a `report.…` subject, or its reserved last token, `_beat` or `_apis`.

    Raises:
        InvalidMessage: it is not such a subject.
    """
    return _parse(subject, "report")


def cluster_of(subject: str) -> str:
    """The cluster token of any `desired`, `report` or `events` subject."""
    parts = subject.removeprefix(NOTIFY_PREFIX).split(".")
    if len(parts) < 3:
        raise InvalidMessage(f"{subject!r} names no cluster")
    return parts[1]


def _parse(subject: str, head: str) -> UnitKey | str:
    parts = subject.split(".")
    if parts[0] == head and len(parts) == 3:
        return parts[2]
    if parts[0] == head and len(parts) == 4 and all(map(is_token, parts[1:])):
        return UnitKey(*parts[1:])
    raise InvalidMessage(f"{subject!r} is not a {head} subject")
