"""Lists and watches: selection, pages, history, bookmarks, in each form of answer."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from agent.sandbox import problems, registry, selectors, tables
from agent.sandbox.cluster import Cluster
from agent.sandbox.kinds import Kind
from agent.sandbox.problems import ApiError, bad_request
from agent.sandbox.request import Form, Target
from agent.sandbox.store import Bucket, Change, NameKey, Record, Watcher

Object = dict[str, Any]
Query = dict[str, str]
BOOKMARK_EVERY = 60.0
"""Seconds between bookmarks; a real server sends one about as often."""

TOO_OLD = "too old resource version: {asked} ({oldest})"


@dataclass(slots=True)
class Selection:
    """Which objects of a resource are meant."""

    namespace: str
    labels: selectors.Matcher | None
    fields: selectors.FieldMatcher | None
    name: str = ""

    def takes(self, kind: Kind, record: Record) -> bool:
        """Whether a record is meant."""
        if self.namespace and record.key[0] != self.namespace:
            return False
        if self.name and record.key[1] != self.name:
            return False
        if self.labels is not None and not self.labels(record.labels):
            return False
        return self.fields is None or self.fields(registry.load(kind, record))


def selection(target: Target, query: Query) -> Selection:
    """The selection of a request.

    Raises:
        ApiError: 400, a selector cannot be parsed.
    """
    return Selection(
        target.namespace,
        selectors.labels(query.get("labelSelector", "")),
        selectors.fields(query.get("fieldSelector", ""), target.kind.storage),
        target.name,
    )


class Renderer:
    """Turns records into the bytes of one form of answer."""

    def __init__(self, cluster: Cluster, kind: Kind, form: Form, query: Query) -> None:
        self._cluster = cluster
        self._kind = kind
        self._form = form.name
        self._include = query.get("includeObject", "Metadata")
        self._headed = False

    def one(self, record: Record) -> bytes:
        """A single object."""
        if self._form == "object":
            return self._kind.head + record.body
        obj = registry.load(self._kind, record)
        return self.whole(obj, str(record.version))

    def whole(self, obj: Object, version: str) -> bytes:
        """A single decoded object."""
        if self._form == "Table":
            made = tables.table(self._kind, [obj], version, self._cluster.clock(), self._include)
            if self._headed:
                made["columnDefinitions"] = []
            self._headed = True
            return orjson.dumps(made)
        if self._form == "PartialObjectMetadata":
            return orjson.dumps(tables.partial(obj))
        head = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": obj["metadata"]}
        return orjson.dumps({**head, **obj})

    def many(self, records: list[Record], metadata: Object) -> bytes:
        """A list of objects."""
        kind = self._kind
        if self._form == "Table":
            objects = [registry.load(kind, r) for r in records]
            made = tables.table(kind, objects, metadata["resourceVersion"], self._cluster.clock(), self._include)
            made["metadata"] = metadata
            return orjson.dumps(made)
        if self._form == "PartialObjectMetadata":
            items = [tables.partial(registry.load(kind, r)) for r in records]
            head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            return orjson.dumps({**head, "items": items})
        head = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata}
        opening = kind.head if kind.custom else b"{"
        joined = b",".join([opening + record.body for record in records])
        return orjson.dumps(head)[:-1] + b',"items":[' + joined + b"]}"


def check_version(cluster: Cluster, asked: str) -> int:
    """A `resourceVersion` parameter as a number; 0 when not given.

    Raises:
        ApiError: 400 no number, 504 from the future.
    """
    if not asked:
        return 0
    if not asked.isdigit():
        raise bad_request(
            f'resourceVersion: Invalid value: "{asked}": strconv.ParseUint: parsing "{asked}": invalid syntax'
        )
    number = int(asked)
    if number > cluster.store.version:
        raise ApiError(
            504, "Timeout", f"Timeout: Too large resource version: {number}, current: {cluster.store.version}",
            details={
                "causes": [problems.cause("ResourceVersionTooLarge", "", "Too large resource version")],
                "retryAfterSeconds": 1,
            },
            retry_after=1,
        )  # fmt: skip
    return number


def page(cluster: Cluster, target: Target, query: Query) -> tuple[list[Record], Object]:
    """The records of a list request and the list's metadata.

    Raises:
        ApiError: 400, 410 (an old continue token), 504.
    """
    check_version(cluster, query.get("resourceVersion", ""))
    chosen = selection(target, query)
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 0
    bucket = cluster.store.bucket(target.kind.storage)
    version, after = cluster.store.version, None
    if query.get("continue"):
        version, after = _resume(bucket, query["continue"])
    scan = (r for r in bucket.scan(target.namespace, after) if chosen.takes(target.kind, r))
    records = list(itertools.islice(scan, limit) if limit else scan)
    metadata: Object = {"resourceVersion": str(version)}
    if limit and len(records) == limit:
        rest = sum(1 for _ in scan)
        if rest:
            metadata["continue"] = _token(version, records[-1].key)
            if chosen.labels is None and chosen.fields is None:
                metadata["remainingItemCount"] = rest
    return records, metadata


def _token(version: int, key: NameKey) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"v": "sandbox", "rv": version, "start": key})).decode().rstrip("=")


def _resume(bucket: Bucket, token: str) -> tuple[int, NameKey]:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, start = int(found["rv"]), (str(found["start"][0]), str(found["start"][1]))
    except (ValueError, KeyError, TypeError, IndexError):
        raise bad_request("invalid continue token: continue key is not valid") from None
    if version < bucket.oldest:
        raise problems.gone(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list "
            "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
            "the results. Continuing with the provided token results in an inconsistent list - objects that were "
            "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
            "list."
        )
    return version, start


class Watch:
    """One watch request: yields lines until its time is over or it fell behind."""

    def __init__(self, cluster: Cluster, target: Target, form: Form, query: Query) -> None:
        self._cluster = cluster
        self._kind = target.kind
        self._chosen = selection(target, query)
        self._render = Renderer(cluster, target.kind, form, query)
        self._bookmarks = query.get("allowWatchBookmarks", "") in ("1", "true")
        self._bucket = cluster.store.bucket(target.kind.storage)
        self._seconds = float(query["timeoutSeconds"]) if query.get("timeoutSeconds", "").isdigit() else 1800.0
        self._watcher = Watcher()
        self._sent = 0
        self._over = False
        self._backlog = self._start(query)
        # from here on nothing may be missed, however long it takes until the answer begins
        self._bucket.watchers.add(self._watcher)

    def _start(self, query: Query) -> list[bytes]:
        asked = query.get("resourceVersion", "")
        initial = query.get("sendInitialEvents", "") in ("1", "true")
        if initial and query.get("resourceVersionMatch") != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            cause = problems.cause("FieldValueForbidden", "resourceVersionMatch", f"Forbidden: {text}")
            raise problems.invalid("ListOptions", "meta.k8s.io", "", [cause])
        if asked and asked != "0" and not asked.isdigit():
            check_version(self._cluster, asked)
        if initial or asked in ("", "0"):
            records = [r for r in self._bucket.scan(self._chosen.namespace) if self._chosen.takes(self._kind, r)]
            lines = [self._line("ADDED", record) for record in records]
            self._sent = self._cluster.store.version
            if initial and self._bookmarks:
                lines.append(self._bookmark(end=True))
            return lines
        number = int(asked)
        self._sent = number
        changes = self._bucket.since(number)
        if changes is None:
            # once a watch is accepted, its errors are events, not answers
            self._over = True
            status = problems.gone(TOO_OLD.format(asked=number, oldest=self._bucket.oldest)).status()
            return [orjson.dumps({"type": "ERROR", "object": status}) + b"\n"]
        return [line for change in changes if (line := self._changed(change))]

    def _line(self, event: str, record: Record) -> bytes:
        return b'{"type":"' + event.encode() + b'","object":' + self._render.one(record) + b"}\n"

    def _changed(self, change: Change) -> bytes:
        if change.version <= self._sent:
            return b""
        now = change.type != "DELETED" and self._chosen.takes(self._kind, change.record)
        before = change.previous is not None and self._chosen.takes(self._kind, change.previous)
        self._sent = change.version
        if now:
            return self._line("MODIFIED" if before else "ADDED", change.record)
        return self._line("DELETED", change.record) if before else b""

    def _bookmark(self, *, end: bool = False) -> bytes:
        metadata: Object = {
            "resourceVersion": str(max(self._sent, self._cluster.store.version)),
            "creationTimestamp": None,
        }
        if end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        return orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"

    def close(self) -> None:
        """Stops receiving changes."""
        self._bucket.watchers.discard(self._watcher)

    def _drained(self) -> bytes:
        self._watcher.wake.clear()
        chunk = b"".join(map(self._changed, self._watcher.pending))
        self._watcher.pending.clear()
        return chunk

    async def lines(self) -> AsyncIterator[bytes]:
        """Chunks of whole lines; the first may be empty."""
        watcher, loop = self._watcher, asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        yield b"".join(self._backlog)
        self._backlog = []
        while not watcher.lagging and not self._over:
            left = deadline - loop.time()
            if left <= 0:
                # a bookmark promises that everything before it was sent
                yield self._drained() + (self._bookmark() if self._bookmarks else b"")
                return
            quiet = False
            try:
                async with asyncio.timeout(min(left, BOOKMARK_EVERY)):
                    await watcher.wake.wait()
            except TimeoutError:
                quiet = left > BOOKMARK_EVERY
            chunk = self._drained()
            if quiet and self._bookmarks:
                chunk += self._bookmark()
            if chunk:
                yield chunk
