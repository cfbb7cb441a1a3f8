"""Events as controllers, the scheduler and kubelets write them: counted when they repeat, and few per cluster.

Written past admission and without managed fields; a real server expires them after an hour, here the oldest go.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from agent.sandbox.cluster import Cluster
from agent.sandbox.store import NameKey

Object = dict[str, Any]
EVENTS = ("", "events")
KEPT = 200
"""Events per cluster."""
KEPT_PER_OBJECT = 20

SCHEDULER = "default-scheduler"
KUBELET = "kubelet"

_Said = tuple[str, str]
"""(reason, message)."""


class Recorder:
    """Writes the events of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._said: dict[str, OrderedDict[_Said, NameKey]] = {}
        self._order: OrderedDict[tuple[str, _Said], None] = OrderedDict()
        self._number = 0

    def say(
        self, about: Object, reason: str, message: str, *, source: str, warning: bool = False, host: str = ""
    ) -> None:
        """Records what happened to `about`, an object. Nothing is recorded in a namespace that is going."""
        metadata = about["metadata"]
        space = self._cluster.store.get(("", "namespaces"), ("", metadata.get("namespace") or "default"))
        if space is None or space.deleting:
            return
        uid, said = metadata["uid"], (reason, message)
        known = self._said.setdefault(uid, OrderedDict())
        key = known.get(said)
        record = self._cluster.store.get(EVENTS, key) if key else None
        self._touch(uid, said)
        if record is not None:
            self._again(record.decoded())
            return
        known[said] = self._new(about, said, source, warning=warning, host=host)
        if len(known) > KEPT_PER_OBJECT:
            self._forget(uid, next(iter(known)))
        while len(self._order) > KEPT:
            self._forget(*next(iter(self._order)))

    def _touch(self, uid: str, said: _Said) -> None:
        self._order[(uid, said)] = None
        self._order.move_to_end((uid, said))

    def _again(self, event: Object) -> None:
        before = {**event, "metadata": dict(event["metadata"])}
        event["count"] += 1
        event["lastTimestamp"] = self._cluster.now()
        self._cluster.store.put(EVENTS, event, before)

    def _new(self, about: Object, said: _Said, source: str, *, warning: bool, host: str) -> NameKey:
        metadata, now = about["metadata"], self._cluster.now()
        self._number += 1
        namespace = metadata.get("namespace") or "default"
        name = f"{metadata['name']}.{int(self._cluster.clock() * 1e9) + self._number:x}"
        involved = {
            "apiVersion": about["apiVersion"], "kind": about["kind"], "name": metadata["name"],
            "namespace": metadata.get("namespace", ""), "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }  # fmt: skip
        event = {
            "metadata": {"name": name, "namespace": namespace, "uid": self._cluster.uid(), "creationTimestamp": now},
            "involvedObject": {k: v for k, v in involved.items() if v}, "reason": said[0], "message": said[1],
            "source": {"component": source, **({"host": host} if host else {})}, "firstTimestamp": now,
            "lastTimestamp": now, "count": 1, "type": "Warning" if warning else "Normal", "eventTime": None,
            "reportingComponent": source, "reportingInstance": host,
        }  # fmt: skip
        self._cluster.store.put(EVENTS, event, None)
        return (namespace, name)

    def _forget(self, uid: str, said: _Said) -> None:
        self._order.pop((uid, said), None)
        key = self._said[uid].pop(said, None)
        if not self._said[uid]:
            del self._said[uid]
        record = self._cluster.store.get(EVENTS, key) if key else None
        if record is not None:
            self._cluster.store.drop(EVENTS, record.decoded())
