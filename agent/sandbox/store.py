"""Where a cluster's objects are: encoded bytes, one counter of versions, a bounded history, and watchers.

Objects are kept as the JSON that is sent, without `kind` and `apiVersion` (which depend on how they are asked for);
who wants to work with one decodes it. Everything here is synchronous: a write is seen by lists, watchers and
listeners before the call returns.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import orjson

Object = dict[str, Any]
StorageKey = tuple[str, str]
NameKey = tuple[str, str]
"""(namespace, name); the namespace of a cluster-scoped object is empty."""

HISTORY = 400
"""Events that each resource keeps at most for watches that start in the past; older ones answer 410."""

HISTORY_BYTES = 256 * 1024
"""Bytes of events that each resource keeps, once it has more than `HISTORY_LEAST` of them."""

HISTORY_LEAST = 50

WATCH_BUFFER = 10_000
"""Events a watcher may fall behind before it is cut off, as a real server does."""


class Record:
    """One object at one version. `body` is its JSON without the opening brace, kind and apiVersion."""

    __slots__ = ("body", "deleting", "key", "labels", "owners", "uid", "version")

    def __init__(self, obj: Object, version: int) -> None:
        metadata = obj["metadata"]
        self.key: NameKey = (metadata.get("namespace", ""), metadata["name"])
        self.version = version
        self.uid: str = metadata["uid"]
        self.labels: dict[str, str] = metadata.get("labels") or {}
        self.owners: tuple[str, ...] = tuple(o["uid"] for o in metadata.get("ownerReferences") or ())
        self.deleting = "deletionTimestamp" in metadata
        rest = {k: v for k, v in obj.items() if k not in ("kind", "apiVersion")}
        self.body = orjson.dumps(rest)[1:]

    def decoded(self) -> Object:
        """A fresh copy of the object, without kind and apiVersion."""
        obj: Object = orjson.loads(b"{" + self.body)
        return obj


class Change:
    """One write. `previous` is what was there before; `record` of a deletion holds the last state."""

    __slots__ = ("previous", "record", "type", "version")

    def __init__(self, kind: str, record: Record, previous: Record | None) -> None:
        self.type = kind
        self.record = record
        self.previous = previous
        self.version = record.version


class Watcher:
    """Receives the changes of one bucket; `lagging` is set when it fell too far behind."""

    def __init__(self) -> None:
        self.pending: deque[Change] = deque()
        self.wake = asyncio.Event()
        self.lagging = False

    def push(self, change: Change) -> None:
        """Queues a change."""
        if len(self.pending) >= WATCH_BUFFER:
            self.lagging = True
        else:
            self.pending.append(change)
        self.wake.set()


class Bucket:
    """All objects of one resource, in the order of their keys."""

    __slots__ = ("history", "history_bytes", "oldest", "order", "records", "watchers")

    def __init__(self, oldest: int) -> None:
        self.records: dict[NameKey, Record] = {}
        self.order: list[NameKey] = []
        self.history: deque[Change] = deque()
        self.history_bytes = 0
        self.oldest = oldest
        self.watchers: set[Watcher] = set()

    def remember(self, change: Change) -> None:
        """Adds to the history and lets the oldest go."""
        self.history.append(change)
        self.history_bytes += len(change.record.body)
        while len(self.history) > HISTORY or (self.history_bytes > HISTORY_BYTES and len(self.history) > HISTORY_LEAST):
            oldest = self.history.popleft()
            self.oldest = oldest.version
            self.history_bytes -= len(oldest.record.body)

    def since(self, version: int) -> list[Change] | None:
        """Changes after `version`; None when the history no longer reaches there."""
        if version < self.oldest:
            return None
        recent = itertools.takewhile(lambda change: change.version > version, reversed(self.history))
        return list(recent)[::-1]

    def scan(self, namespace: str, after: NameKey | None = None) -> Iterator[Record]:
        """Records in order, of one namespace or all (empty), starting behind `after`."""
        start = bisect.bisect_right(self.order, after) if after else 0
        if namespace:
            start = max(start, bisect.bisect_left(self.order, (namespace, "")))
        for key in self.order[start:]:
            if namespace and key[0] != namespace:
                return
            yield self.records[key]


Listener = Callable[[StorageKey, str, Object, Object | None], None]
"""Called after each write: (storage, ADDED/MODIFIED/DELETED, object, object before or None)."""


class Store:
    """Buckets by (group, plural) and one version counter for all."""

    def __init__(self) -> None:
        self.version = 1
        self.buckets: dict[StorageKey, Bucket] = {}
        self.dependents: dict[str, set[tuple[StorageKey, NameKey]]] = {}
        self.uids: dict[str, tuple[StorageKey, NameKey]] = {}
        self.listeners: list[Listener] = []

    def bucket(self, storage: StorageKey) -> Bucket:
        """The bucket of a resource, made when first asked for."""
        found = self.buckets.get(storage)
        if found is None:
            found = self.buckets[storage] = Bucket(self.version)
        return found

    def get(self, storage: StorageKey, key: NameKey) -> Record | None:
        """One object, or None."""
        found = self.buckets.get(storage)
        return found.records.get(key) if found else None

    def put(self, storage: StorageKey, obj: Object, before: Object | None) -> Record:
        """Writes an object (its `metadata.resourceVersion` is set here)."""
        bucket = self.bucket(storage)
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        record = Record(obj, self.version)
        previous = bucket.records.get(record.key)
        if previous is None:
            bisect.insort(bucket.order, record.key)
        bucket.records[record.key] = record
        self.uids[record.uid] = (storage, record.key)
        self._index(storage, record, previous)
        self._publish(bucket, Change("MODIFIED" if previous else "ADDED", record, previous))
        self._tell(storage, "MODIFIED" if previous else "ADDED", obj, before)
        return record

    def drop(self, storage: StorageKey, obj: Object) -> Record:
        """Removes an object; the event carries its last state at a new version."""
        bucket = self.bucket(storage)
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        record = Record(obj, self.version)
        previous = bucket.records.pop(record.key)
        del bucket.order[bisect.bisect_left(bucket.order, record.key)]
        self.uids.pop(record.uid, None)
        self._index(storage, None, previous)
        self._publish(bucket, Change("DELETED", record, previous))
        self._tell(storage, "DELETED", obj, obj)
        return record

    def forget(self, storage: StorageKey) -> None:
        """Ends a resource: its watches end and its history goes."""
        bucket = self.buckets.pop(storage, None)
        for watcher in bucket.watchers if bucket else ():
            watcher.lagging = True
            watcher.wake.set()

    def _index(self, storage: StorageKey, record: Record | None, previous: Record | None) -> None:
        old = previous.owners if previous else ()
        new = record.owners if record else ()
        if old == new:
            return
        key = (previous or record).key  # type: ignore[union-attr]  # one of the two is always given
        for uid in old:
            entries = self.dependents.get(uid)
            if entries is not None and uid not in new:
                entries.discard((storage, key))
                if not entries:
                    del self.dependents[uid]
        for uid in new:
            self.dependents.setdefault(uid, set()).add((storage, key))

    def _publish(self, bucket: Bucket, change: Change) -> None:
        bucket.remember(change)
        for watcher in bucket.watchers:
            watcher.push(change)

    def _tell(self, storage: StorageKey, change: str, obj: Object, before: Object | None) -> None:
        for listener in self.listeners:
            listener(storage, change, obj, before)
