"""The work loop that all controllers of a cluster share: changes put keys into one queue, a callback drains it.

Event-driven throughout: an idle cluster runs nothing. Controllers are plain functions of a context and a key; they
read and write the store directly, so that each run is atomic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.sandbox import deletion, managed, registry, strategies
from agent.sandbox.cluster import Cluster
from agent.sandbox.controllers.events import Recorder
from agent.sandbox.deletion import DeleteOptions
from agent.sandbox.managed import Writer
from agent.sandbox.problems import ApiError
from agent.sandbox.registry import Options
from agent.sandbox.store import NameKey, StorageKey

log = logging.getLogger(__name__)
Object = dict[str, Any]
BATCH = 100
"""Keys per turn of the event loop, so that a busy cluster does not hold up the others."""

MANAGER = "kube-controller-manager"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulation behaves: seconds until pods are ready, whether load balancers get an address."""

    ready_after: float
    load_balancers: bool


class Context:
    """What a controller works with."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self.cluster = cluster
        self.settings = settings
        self.events = Recorder(cluster)
        self.selectors: dict[str, dict[str, dict[str, str]]] = {}
        """Selectors of services: namespace -> name -> labels; kept by `controllers.endpoints`."""
        self._queue: dict[tuple[Controller, NameKey], None] = {}
        self._scheduled = False

    def enqueue(self, controller: Controller, key: NameKey) -> None:
        """Runs `controller` for `key` soon, once."""
        self._queue[(controller, key)] = None
        if not self._scheduled:
            self._scheduled = True
            self.cluster.after(0, self._drain)

    def later(self, seconds: float, controller: Controller, key: NameKey) -> None:
        """Runs `controller` for `key` after some seconds."""
        self.cluster.after(seconds, lambda: self.enqueue(controller, key))

    def _drain(self) -> None:
        for _ in range(min(BATCH, len(self._queue))):
            controller, key = next(iter(self._queue))
            del self._queue[(controller, key)]
            try:
                controller(self, key)
            except ApiError as error:
                log.debug(
                    "sandbox controller refused", extra={"controller": controller.__name__, "error": error.message}
                )
            except Exception:
                log.exception("sandbox controller failed", extra={"controller": controller.__name__, "object": key})
        if self._queue:
            self.cluster.after(0, self._drain)
        else:
            self._scheduled = False

    def get(self, storage: StorageKey, key: NameKey) -> Object | None:
        """A fresh copy of an object, or None."""
        record = self.cluster.store.get(storage, key)
        return registry.load(self.cluster.by_storage[storage], record) if record else None

    def owned(self, uid: str, storage: StorageKey) -> list[Object]:
        """The objects of a resource that name `uid` as owner, by name."""
        keys = sorted(key for found, key in self.cluster.store.dependents.get(uid, ()) if found == storage)
        return [obj for key in keys if (obj := self.get(storage, key)) is not None]

    def create(self, storage: StorageKey, obj: Object) -> Object:
        """Creates an object as the controller manager."""
        kind = self.cluster.by_storage[storage]
        namespace = obj["metadata"].get("namespace", "")
        return registry.create(self.cluster, kind, namespace, obj, Options(MANAGER, validation="Ignore"))

    def write(self, storage: StorageKey, obj: Object, *, status: bool = True, manager: str = MANAGER) -> bool:
        """Writes a changed object if it differs; says whether it did. Not validated: controllers know their fields."""
        kind = self.cluster.by_storage[storage]
        metadata = obj["metadata"]
        record = self.cluster.store.get(storage, (metadata.get("namespace", ""), metadata["name"]))
        if record is None:
            return False
        before = registry.load(kind, record)
        if before == obj:
            return False
        if not status and strategies.intent_changed(kind, obj, before) and "generation" in metadata:
            metadata["generation"] += 1
        writer = Writer(manager, kind.api_version, "status" if status else "", self.cluster.now(), {})
        obj = managed.update(before, obj, kind.node, writer, created=False)
        if registry.finished(kind, obj):
            self.cluster.store.drop(storage, obj)
        else:
            self.cluster.store.put(storage, obj, before)
        return True

    def delete(
        self, storage: StorageKey, key: NameKey, *, propagation: str = "Background", grace: int | None = None
    ) -> None:
        """Deletes an object if it is there."""
        if self.cluster.store.get(storage, key) is not None:
            kind = self.cluster.by_storage[storage]
            deletion.delete(self.cluster, kind, *key, DeleteOptions(propagation=propagation, grace=grace))


Controller = Callable[[Context, NameKey], None]


def controlled_by(obj: Object, api_version: str, kind: str) -> str:
    """The name of the controlling owner of that kind, or empty."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and (owner["apiVersion"], owner["kind"]) == (api_version, kind):
            name: str = owner["name"]
            return name
    return ""


def owner_of(obj: Object) -> Object:
    """The controller reference to `obj` that its dependents carry."""
    metadata = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": metadata["name"], "uid": metadata["uid"],
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def start(cluster: Cluster, *, nodes: int, ready_after: float, load_balancers: bool) -> Context:
    """Wires the controllers of a cluster and makes what every cluster has."""
    from agent.sandbox.controllers import bootstrap, wiring

    asyncio.get_running_loop()
    context = Context(cluster, Settings(ready_after, load_balancers))
    cluster.store.listeners.append(wiring.Wiring(context).changed)
    bootstrap.fill(context, nodes)
    return context
