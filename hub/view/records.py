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
from hub.domain.rollup import FLEET, Scope, part
from hub.domain.status import Have, Reach, Shown, State, Want
from shared.messages import Blocker, Drift, Heartbeat, ObjectStatus, Phase, Report, encode, states_digest
from shared.model import Health, ObjectRef, Value

Key = tuple[str, str, str]
"""(cluster, namespace, application): sorts as units are listed."""

PAST = 3
"""Earlier generations whose times a unit remembers, for `trace` of a revision that has just been superseded."""


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


class Details(Value, frozen=True, omit_defaults=True):
    """The lists of a report: what is looked at one unit at a time."""

    counts: dict[str, int] = msgspec.field(default_factory=dict)
    objects: tuple[ObjectStatus, ...] = ()
    drift: tuple[Drift, ...] = ()
    warnings: tuple[str, ...] = ()
    blockers: tuple[Blocker, ...] = ()


def _dictionary() -> zstandard.ZstdCompressionDict:
    """What all reports have in common, so that it is not kept with each of them."""
    kinds = (("v1", "ConfigMap"), ("v1", "ServiceAccount"), ("v1", "Service"), ("apps/v1", "Deployment"))
    objects = tuple(ObjectStatus(ObjectRef(version, kind, "", ""), Health.HEALTHY) for version, kind in kinds)
    common = encode(Details({"Healthy": 4}, objects))
    return zstandard.ZstdCompressionDict(common, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


_DICTIONARY = _dictionary()
_COMPRESSOR = zstandard.ZstdCompressor(level=1, dict_data=_DICTIONARY, write_checksum=False, write_dict_id=False)
_DECOMPRESSOR = zstandard.ZstdDecompressor(dict_data=_DICTIONARY)
_DETAILS = msgspec.json.Decoder(Details)


class UnitRecord:
    """One unit. `shown` is None while nothing is assigned to it: then it is not counted and not listed."""

    __slots__ = ("announced", "body", "environment", "have", "key", "marked", "past", "queued", "shown", "want")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.want: Want | None = None
        self.have: Have | None = None
        self.body = b""
        """The lists of the last report, compressed."""
        self.shown: Shown | None = None
        self.environment = ""
        self.marked: tuple[str, State | None, bool] | None = None
        """Environment, state and drift as its index knows them."""
        self.past: tuple[Passage, ...] = ()
        self.queued: float | None = None
        """The earliest time at which it will be judged again by itself."""
        self.announced: tuple[int, str] | None = None
        """Generation and state of the last event made about it."""

    def scopes(self) -> tuple[Scope, ...]:
        """The roll-ups it is counted in."""
        cluster, _, application = self.key
        home = (FLEET, ("cluster", cluster), ("application", application), part(application, self.environment))
        return (*home, ("environment", self.environment)) if self.environment else home

    def keep(self, report: Report) -> None:
        """Stores a report's lists."""
        details = Details(report.counts, report.objects, report.drift, report.warnings, report.blockers)
        self.body = _COMPRESSOR.compress(encode(details))

    def details(self) -> Details:
        """The lists of the last report, empty without one."""
        return _DETAILS.decode(_DECOMPRESSOR.decompress(self.body)) if self.body else Details()


class ClusterRecord:
    """One cluster: what the fleet says of it, and how its agent is heard."""

    __slots__ = (
        "apis", "beat", "digest", "heard", "info", "name", "queued", "silent", "since", "skew", "units", "unlike",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.info: ClusterInfo | None = None
        self.beat: Heartbeat | None = None
        self.apis = ""
        """The digest of the list of APIs that its agent sent last."""
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
