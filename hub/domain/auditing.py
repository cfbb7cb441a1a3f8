"""Who did what, when, from where, and what came of it: one entry of the audit trail, and what the trail is about.

An entry holds no body of a request and no secret: names, addresses, and the words of who asked. Everything in it may
come from a stranger, so it is made fit to be stored and shown in one place (`fit`).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.errors import InvalidMessage
from shared.messages import Event
from shared.model import Value

SUBJECTS = "audit.>"
"""Where entries are kept, by what they are about. Nothing of it is exported to the account of the agents."""

LONGEST = 1000
"""Characters of one text of an entry; what is longer is cut."""

_ACTION = re.compile(r"[a-z][a-z-]{0,40}(\.[a-z][a-z-]{0,40})?")


class Result(enum.StrEnum):
    """What became of it."""

    OK = "ok"
    REFUSED = "refused"
    """It was not done, because it may not be or cannot be."""
    FAILED = "failed"
    """It was allowed, and did not work."""


class Via(enum.StrEnum):
    """Which way it came. Of API, command line and page it is what the caller says, which proves nothing."""

    API = "api"
    CLI = "cli"
    PAGE = "page"
    OIDC = "oidc"
    JOIN = "join"
    """From an agent, over NATS: its joining, and what it says."""
    GIT = "git"
    """From a Git host, by webhook."""
    HUB = "hub"
    """The hub itself."""


class Entry(Value, frozen=True, omit_defaults=True):
    """Something that somebody did, or tried. `id` is unique and makes repeats harmless; `at` is unix seconds.

    `action` is `noun.verb`, and `target` what it was done to: an application, a cluster, a token's name. `actor` is
    empty for whoever showed nothing that the hub knows. `source` is a network address.
    """

    id: str
    at: float
    action: str
    actor: str = ""
    roles: tuple[str, ...] = ()
    source: str = ""
    via: Via = Via.HUB
    target: str = ""
    result: Result = Result.OK
    reason: str = ""
    """Why it was done, in the words of who did it."""
    detail: str = ""
    """What came of it: the effect, or why it was refused or failed."""
    trace: str = ""
    """The 32 hex digits of a trace, where there is one."""
    count: int = 1
    """How many this stands for: refusals that repeat are counted together (`hub.domain.folding`)."""
    hub: str = ""
    """Which of several hubs noted it."""


class Wanted(Value, frozen=True):
    """Which entries: empty parts match all. `action` may be a noun alone; times are unix seconds, `until` excluded."""

    since: float = 0.0
    until: float = 0.0
    actor: str = ""
    action: str = ""
    target: str = ""
    result: Result | None = None
    via: Via | None = None
    source: str = ""

    def accepts(self, entry: Entry) -> bool:
        """Whether an entry matches."""
        return (
            entry.at >= self.since
            and (not self.until or entry.at < self.until)
            and (not self.actor or entry.actor == self.actor)
            and self.action in ("", entry.action, category(entry))
            and (not self.target or entry.target == self.target)
            and self.result in (None, entry.result)
            and self.via in (None, entry.via)
            and (not self.source or entry.source == self.source)
        )


class Stored(Value, frozen=True):
    """An entry and its place in the trail: numbers grow, and have gaps where entries were kept for a time only."""

    number: int
    entry: Entry


def told(action: str, event: Event) -> Entry:
    """The entry for a message that hub or agent would not believe, from the event that tells of it.

    It has the event's own id, so that several hubs which hear of it make one entry.
    """
    return Entry(
        id=f"event-{event.id}"[:200],
        at=event.at,
        action=action,
        actor=event.cluster,
        via=Via.JOIN,
        target="/".join(part for part in (event.cluster, event.namespace, event.application) if part),
        result=Result.REFUSED,
        detail=event.message,
        trace=event.trace,
    )


def category(entry: Entry) -> str:
    """What an entry is about: the noun of its action."""
    return entry.action.partition(".")[0]


def subject(entry: Entry) -> str:
    """Where an entry is kept.

    Raises:
        InvalidMessage: its action is no `noun.verb`.
    """
    if _ACTION.fullmatch(entry.action) is None:
        raise InvalidMessage(f"{entry.action[:80]!r} is no action: write noun.verb, in a-z and '-'")
    return f"audit.{category(entry)}"


def fit(entry: Entry) -> Entry:
    """The entry as it can be stored and shown anywhere: every text of bounded length and in one printable line."""
    texts = {
        name: _clean(getattr(entry, name)) for name in ("actor", "source", "target", "reason", "detail", "trace", "hub")
    }
    roles = tuple(_clean(role) for role in entry.roles[:_MOST_ROLES])
    return msgspec.structs.replace(entry, roles=roles, **texts)


_MOST_ROLES = 100


def cloudevent(stored: Mapping[str, Any], hub: str) -> dict[str, Any]:
    """An entry, as the API gives it, as a CloudEvent (1.0, structured JSON). `hub` is the address it was read from."""
    moment = datetime.fromtimestamp(stored["at"], UTC)
    event = {
        "specversion": "1.0",
        "id": stored["id"],
        "source": hub or "yardarm",
        "type": f"dev.yardarm.audit.{stored['action']}",
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": dict(stored),
    }
    return event | ({"subject": stored["target"]} if stored["target"] else {})


def _clean(text: str) -> str:
    """One line of what can be printed: no control character, no change of writing direction, no half of a pair."""
    return "".join(each if each.isprintable() else " " for each in text[:LONGEST])
