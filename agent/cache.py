"""The live cache: what the cluster holds of the objects we manage, kept current by one watch per kind in use.

Only objects that carry the selector's label are seen, so its size follows what is managed, not the cluster. Bodies are
kept as compressed JSON and decoded when asked for: a Deployment is 25 KB as a dict and half a kilobyte like this.
A watch that breaks resumes where it was; only when the server has forgotten that version everything is listed again.
What the cache holds stays readable meanwhile; `stale` says since when it may be old, and why.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from agent.kube.client import EventType, Kube, Resource, WatchEvent
from agent.kube.errors import Gone
from shared.diff import LAST_APPLIED
from shared.errors import Unavailable, YardarmError
from shared.model import Manifest, ObjectRef
from shared.tasks import Backoff, Clock, Mailbox

log = logging.getLogger(__name__)

PART_OF = "applyset.kubernetes.io/part-of"
PAGE = 250
"""Objects per page of a list: what is decoded at one time decides the peak of memory."""

UNPACKED = 16
"""Decoded objects that are kept at hand: a pass looks at the same few again and again."""

SHORT = 5.0
"""Seconds; a watch that ends sooner without a word counts as failed, lest a broken proxy makes us spin."""


class Change(NamedTuple):
    """An object came, changed or went. `part_of` is the ApplySet it belongs or belonged to."""

    ref: ObjectRef
    part_of: str
    deleted: bool


@dataclass(frozen=True)
class Stale:
    """A watch is broken: what the cache says of this kind was true at `since` (unix seconds)."""

    since: float
    reason: str


@dataclass(frozen=True)
class Statistics:
    """Numbers for metrics. `restarts` counts lists after the first of each watch, `bytes` the bodies as kept."""

    objects: int
    bytes: int
    watches: int
    broken: int
    restarts: int
    events: int


class _Entry(NamedTuple):
    body: bytes
    digest: bytes
    part_of: str
    version: str


_Name = tuple[str, str]
"""(namespace, name)"""


class LiveCache:
    """Live objects by reference. `run` must be running for `ensure` to get anywhere."""

    def __init__(
        self, kube: Kube, clock: Clock | None = None, *, namespaces: Sequence[str] = (), selector: str = PART_OF
    ) -> None:
        """`namespaces` limits what is seen of namespaced kinds; none means all."""
        self._kube = kube
        self._clock = clock or Clock()
        self._namespaces = tuple(namespaces)
        self._selector = selector
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._starting: asyncio.Queue[_Watch] = asyncio.Queue()
        self._subscribers: list[Mailbox[tuple[str, ...], Change]] = []
        self._unpack = functools.lru_cache(UNPACKED)(_unpacked)

    async def run(self) -> None:
        """Runs the watches until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                watch = await self._starting.get()
                tasks.create_task(watch.run(), name=f"watch {watch.resource.group_kind}")

    async def ensure(self, resource: Resource) -> None:
        """Starts watching the kind if need be and returns when everything of it is known.

        Raises:
            ApiError: the first attempt to list failed (403, unreachable, …). It is tried again in the background;
                calling again waits for the outcome of the next attempt.
        """
        kind = self._kinds.get((resource.api_version, resource.kind))
        if kind is None:
            kind = _Kind(resource, self._publish)
            self._kinds[resource.api_version, resource.kind] = kind
            for namespace in self._namespaces if resource.namespaced and self._namespaces else ("",):
                watch = _Watch(self._kube, self._clock, kind, namespace, self._selector)
                kind.watches.append(watch)
                self._starting.put_nowait(watch)
        for watch in kind.watches:
            await watch.settled()

    def get(self, ref: ObjectRef) -> Manifest | None:
        """The live object as of the last event, without what nothing here needs; None when there is none.

        Only objects that carry our label are known, and only of kinds that `ensure` was called for.
        """
        kind = self._kinds.get((ref.api_version, ref.kind))
        entry = kind.entries.get((ref.namespace, ref.name)) if kind is not None else None
        return self._unpack(entry.body) if entry is not None else None

    def version(self, ref: ObjectRef) -> str | None:
        """The resourceVersion of what `get` would return, without decoding it; None when there is nothing."""
        kind = self._kinds.get((ref.api_version, ref.kind))
        entry = kind.entries.get((ref.namespace, ref.name)) if kind is not None else None
        return entry.version if entry is not None else None

    def part_of(self, applyset: str) -> tuple[ObjectRef, ...]:
        """References of all known objects that say they belong to this ApplySet."""
        return tuple(ref for kind in self._kinds.values() for ref in kind.members(applyset))

    def synced(self, resource: Resource) -> bool:
        """Whether everything of the kind has been listed at least once."""
        kind = self._kinds.get((resource.api_version, resource.kind))
        return kind is not None and all(watch.synced for watch in kind.watches)

    def unseen(self, ref: ObjectRef) -> str:
        """Why nothing is known of the kind: then that `get` has no object means nothing. Empty when all is known."""
        kind = self._kinds.get((ref.api_version, ref.kind))
        blind = [watch for watch in kind.watches if not watch.synced] if kind is not None else []
        return next((watch.stale.reason for watch in blind if watch.stale), "it is being asked for") if blind else ""

    def stale(self, resource: Resource) -> Stale | None:
        """Since when and why the cache may be behind; None while all is well. The oldest of its watches counts."""
        kind = self._kinds.get((resource.api_version, resource.kind))
        broken = [watch.stale for watch in kind.watches if watch.stale is not None] if kind is not None else []
        return min(broken, key=lambda stale: stale.since) if broken else None

    def subscribe(self) -> Mailbox[tuple[str, ...], Change]:
        """A mailbox that gets every change from now on, the newest per object and ApplySet.

        Both, since an object that moves to another set is gone for one and new for the other.
        """
        mailbox: Mailbox[tuple[str, ...], Change] = Mailbox()
        self._subscribers.append(mailbox)
        return mailbox

    def statistics(self) -> Statistics:
        """Numbers for metrics."""
        kinds = self._kinds.values()
        watches = [watch for kind in kinds for watch in kind.watches]
        return Statistics(
            objects=sum(len(kind.entries) for kind in kinds),
            bytes=sum(len(entry.body) for kind in kinds for entry in kind.entries.values()),
            watches=len(watches),
            broken=sum(watch.stale is not None for watch in watches),
            restarts=sum(max(0, watch.lists - 1) for watch in watches),
            events=sum(watch.events for watch in watches),
        )

    def _publish(self, change: Change) -> None:
        for mailbox in self._subscribers:
            mailbox.put((*change.ref.key, change.part_of), change)


class _Kind:
    """The objects of one kind, whatever the number of watches that feed it."""

    def __init__(self, resource: Resource, publish: Callable[[Change], None]) -> None:
        self.resource = resource
        self.entries: dict[_Name, _Entry] = {}
        self.watches: list[_Watch] = []
        self._members: dict[str, set[_Name]] = {}
        self._publish = publish

    def members(self, applyset: str) -> Iterator[ObjectRef]:
        for namespace, name in self._members.get(applyset, ()):
            yield self._ref((namespace, name))

    def put(self, manifest: Manifest) -> _Name:
        """Keeps the object; says so if anything but its version changed."""
        metadata = manifest.get("metadata") or {}
        name = (sys.intern(metadata.get("namespace") or ""), metadata["name"])
        entry = _packed(manifest)
        before = self.entries.get(name)
        self.entries[name] = entry
        if before is not None and before.part_of != entry.part_of:
            self._leave(before.part_of, name)
            self._publish(Change(self._ref(name), before.part_of, deleted=True))
        self._members.setdefault(entry.part_of, set()).add(name)
        if before is None or before.digest != entry.digest:
            self._publish(Change(self._ref(name), entry.part_of, deleted=False))
        return name

    def drop(self, name: _Name) -> None:
        """Forgets the object; says so if it was known."""
        entry = self.entries.pop(name, None)
        if entry is not None:
            self._leave(entry.part_of, name)
            self._publish(Change(self._ref(name), entry.part_of, deleted=True))

    def _leave(self, applyset: str, name: _Name) -> None:
        members = self._members.get(applyset, set())
        members.discard(name)
        if not members:
            self._members.pop(applyset, None)

    def _ref(self, name: _Name) -> ObjectRef:
        return ObjectRef(self.resource.api_version, self.resource.kind, *name)


class _Watch:
    """Keeps one kind (in one namespace or all) current: list, watch, resume, list again when too old."""

    def __init__(self, kube: Kube, clock: Clock, kind: _Kind, namespace: str, selector: str) -> None:
        self._kube = kube
        self._clock = clock
        self._kind = kind
        self._namespace = namespace
        self._selector = selector
        self._version = ""
        self._backoff = Backoff(first=0.5, limit=30.0)
        self._attempted = asyncio.Event()
        self._failure: YardarmError | None = None
        self._idle = True
        self.resource = kind.resource
        self.synced = False
        self.stale: Stale | None = None
        self.lists = 0
        self.events = 0

    async def settled(self) -> None:
        """Returns when listed; raises what the next attempt that fails raises."""
        while not self.synced:
            self._attempted.clear()
            await self._attempted.wait()
            if self._failure is not None and not self.synced:
                raise self._failure

    async def run(self) -> None:
        """For ever. A failure is noted and tried again after a growing delay."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._follow()
            except Gone as error:
                # Normal after a long break: list again at once. Not if it keeps happening right after a list.
                self._version = ""
                if self._idle:
                    await self._pause(error)
            except YardarmError as error:
                await self._pause(error)

    async def _list(self) -> None:
        seen: set[_Name] = set()
        version = ""
        pages = self._kube.pages(self.resource, namespace=self._namespace, label_selector=self._selector, limit=PAGE)
        async with aclosing(pages):
            async for items, version in pages:  # noqa: B007 - the last one counts
                seen.update(self._kind.put(item) for item in items)
        for name in [name for name in self._kind.entries if name not in seen and self._namespace in ("", name[0])]:
            self._kind.drop(name)
        self.lists += 1
        self._version = version
        self._idle = True
        self.synced = True
        self._working()

    async def _follow(self) -> None:
        """One watch request, until the server ends it."""
        started = self._clock.monotonic()
        self._idle = True
        watch = self._kube.watch(
            self.resource,
            resource_version=self._version,
            namespace=self._namespace,
            label_selector=self._selector,
            on_open=self._working,
        )
        async with aclosing(watch):
            async for event in watch:
                self._take(event)
        if self._idle and self._clock.monotonic() - started < SHORT:
            raise Unavailable(f"the watch of {self.resource.plural} was ended at once")
        self._backoff.reset()

    def _take(self, event: WatchEvent) -> None:
        metadata = event.object.get("metadata") or {}
        self._idle = False
        self.events += 1
        if event.type is EventType.DELETED:
            self._kind.drop((metadata.get("namespace") or "", metadata["name"]))
        elif event.type is not EventType.BOOKMARK:
            self._kind.put(event.object)
        self._version = event.resource_version or self._version

    def _working(self) -> None:
        if self.stale is not None:
            log.info("watch restored", extra={"kind": self.resource.group_kind, "broken_since": self.stale.since})
        self.stale = None
        self._failure = None
        self._attempted.set()

    async def _pause(self, error: YardarmError) -> None:
        if self.stale is None:
            log.warning("watch broken", extra={"kind": self.resource.group_kind, "error": str(error)})
        self.stale = Stale(self.stale.since if self.stale is not None else self._clock.now(), str(error))
        self._failure = error
        self._attempted.set()
        await self._clock.sleep(self._backoff.next(error.retry_after if isinstance(error, Unavailable) else None))


def _unpacked(body: bytes) -> Manifest:
    manifest: Manifest = orjson.loads(zlib.decompress(body))
    return manifest


def _compressed(raw: bytes) -> bytes:
    """As `zlib.compress` does, in less room: objects are small, and clearing the room takes most of the time."""
    packer = zlib.compressobj(1, zlib.DEFLATED, wbits=14, memLevel=7)
    return packer.compress(raw) + packer.flush()


def _packed(manifest: Manifest) -> _Entry:
    """The object as it is kept. Its digest tells whether more changed than its version and who owns what."""
    metadata = dict(manifest.get("metadata") or {})
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        metadata["annotations"] = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
    body = _compressed(orjson.dumps({**manifest, "metadata": metadata}))
    version = str(metadata.pop("resourceVersion", None) or "")
    metadata.pop("managedFields", None)
    digest = hashlib.blake2b(orjson.dumps({**manifest, "metadata": metadata}), digest_size=12).digest()
    labels = metadata.get("labels")
    part_of = labels.get(PART_OF) if isinstance(labels, dict) else None
    return _Entry(body, digest, sys.intern(part_of) if isinstance(part_of, str) else "", version)
