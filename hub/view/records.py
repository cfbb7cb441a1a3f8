"""What the view remembers of a unit and of a cluster.

Mutable on purpose, and compact: there may be a million units. A report's lists stay as compressed bytes and are
decoded only when somebody looks at the unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import msgspec
import zstandard

from hub.domain.records import ClusterInfo
from hub.domain.rollup import FLEET, Scope
from hub.domain.status import Have, Reach, Shown, Want
from shared.messages import Heartbeat, Phase, Report, decode, encode, states_digest
from shared.model import Value

Key = tuple[str, str, str]
"""(cluster, namespace, application): sorts as units are listed."""

PAST = 3
"""Earlier generations whose times a unit remembers, for `trace` of a revision that has just been superseded."""

_COMPRESSOR = zstandard.ZstdCompressor(level=1)
_DECOMPRESSOR = zstandard.ZstdDecompressor()


class Passage(Value, frozen=True, gc=False):
    """When one generation of a unit passed each point; unix seconds, None where it never came."""

    generation: int
    digest: str
    commit: str
    revision: str
    traceparent: str
    published: float
    delivered: float | None = None
    fetched: float | None = None
    applied: float | None = None
    healthy: float | None = None


class UnitRecord:
    """One unit. `shown` is None while nothing is assigned to it: then it is not counted and not listed."""

    __slots__ = ("announced", "body", "environment", "have", "key", "past", "queued", "scopes", "shown", "want")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.want: Want | None = None
        self.have: Have | None = None
        self.body = b""
        """The last report, compressed."""
        self.shown: Shown | None = None
        self.environment = ""
        self.scopes: tuple[Scope, ...] = ()
        """Where it is counted."""
        self.past: tuple[Passage, ...] = ()
        self.queued: float | None = None
        """The earliest time at which it will be judged again by itself."""
        self.announced: tuple[int, str] = (0, "")
        """Generation and state of the last event made about it."""

    def scopes_in(self, environment: str) -> tuple[Scope, ...]:
        """The roll-ups it belongs to."""
        cluster, _, application = self.key
        home = (FLEET, ("cluster", cluster), ("application", application))
        return (*home, ("environment", environment)) if environment else home

    def keep_report(self, report: Report) -> None:
        """Stores the whole report."""
        self.body = _COMPRESSOR.compress(encode(report))

    def report(self) -> Report | None:
        """The whole last report."""
        return decode(_DECOMPRESSOR.decompress(self.body), Report) if self.body else None


class ClusterRecord:
    """One cluster: what the fleet says of it, and how its agent is heard."""

    __slots__ = ("beat", "digest", "heard", "info", "name", "queued", "silent", "since", "skew", "units", "unlike")

    def __init__(self, name: str) -> None:
        self.name = name
        self.info: ClusterInfo | None = None
        self.beat: Heartbeat | None = None
        self.heard: float | None = None
        self.since = 0.0
        self.silent = False
        self.skew = 0.0
        self.units: dict[Key, UnitRecord] = {}
        self.queued = False
        """Whether its staleness is being waited for."""
        self.digest: str | None = None
        """`states_digest` of its reports, None after a change."""
        self.unlike = False
        """Whether the last heartbeat's digest was another than ours."""

    @property
    def environment(self) -> str:
        """The environment it counts for."""
        return self.info.environment if self.info is not None else ""

    @property
    def reach(self) -> Reach:
        """As far as judging units needs it."""
        paused = self.info is not None and self.info.paused
        return Reach(self.heard, self.since, self.silent, paused, self.skew)

    @property
    def connection(self) -> str:
        """`connected`, `stale`, or `waiting` while its agent has never been heard."""
        if self.heard is None:
            return "waiting"
        return "stale" if self.silent else "connected"

    def states(self) -> str:
        """The digest over the last reports of its units, to be compared with the agent's."""
        if self.digest is None:
            self.digest = states_digest(cast("Iterable[Report]", list(self._told())))
        return self.digest

    def _told(self) -> Iterable[Told]:
        for key, record in self.units.items():
            have = record.have
            if have is not None and have.phase is not Phase.REMOVED:
                yield Told(key[1], key[2], have.generation, have.at)


class Told(msgspec.Struct, frozen=True):
    """The part of a report that `states_digest` reads: decoding whole reports for it would be waste."""

    namespace: str
    application: str
    generation: int
    at: float
