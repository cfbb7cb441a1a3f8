"""CustomResourceDefinitions: accepted, established, then served; deleted with their objects."""

from __future__ import annotations

from typing import Any

from agent.sandbox import kinds
from agent.sandbox.controllers.loop import Context
from agent.sandbox.store import NameKey, StorageKey

Object = dict[str, Any]
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
ESTABLISHING = 0.05
"""Seconds from creation to Established."""
SERVING = 0.01
"""Seconds from Established to being served: on a real server too, a client may be faster than the handler."""


def reconcile(context: Context, key: NameKey) -> None:
    """One definition."""
    crd = context.get(CRDS, key)
    if crd is None:
        _end(context, key[1])
    elif "deletionTimestamp" in crd["metadata"]:
        _empty(context, crd)
    elif not (crd.get("status") or {}).get("conditions"):
        context.cluster.after(ESTABLISHING, lambda: _establish(context, key, crd["metadata"]["uid"]))
    else:
        served = kinds.from_definition(crd)
        context.cluster.after(SERVING, lambda: _serve(context, key, crd["metadata"]["uid"], served))


def _establish(context: Context, key: NameKey, uid: str) -> None:
    crd = context.get(CRDS, key)
    if crd is None or crd["metadata"]["uid"] != uid or (crd.get("status") or {}).get("conditions"):
        return
    crd["metadata"].setdefault("finalizers", [])
    if CLEANUP not in crd["metadata"]["finalizers"]:
        crd["metadata"]["finalizers"].append(CLEANUP)
    now = context.cluster.now()
    crd["status"] = {
        "acceptedNames": crd["spec"]["names"],
        "storedVersions": [v["name"] for v in crd["spec"]["versions"] if v.get("storage")],
        "conditions": [
            {"type": "NamesAccepted", "status": "True", "lastTransitionTime": now, "reason": "NoConflicts",
             "message": "no conflicts found"},
            {"type": "Established", "status": "True", "lastTransitionTime": now, "reason": "InitialNamesAccepted",
             "message": "the initial names have been accepted"},
        ],
    }  # fmt: skip
    context.write(CRDS, crd, manager="kube-apiserver")


def _serve(context: Context, key: NameKey, uid: str, served: list[kinds.Kind]) -> None:
    record = context.cluster.store.get(CRDS, key)
    if record is not None and record.uid == uid:
        context.cluster.serve(key[1], served)


def _storage(crd: Object) -> StorageKey:
    return crd["spec"]["group"], crd["spec"]["names"]["plural"]


def _empty(context: Context, crd: Object) -> None:
    storage = _storage(crd)
    bucket = context.cluster.store.buckets.get(storage)
    for record in list(bucket.records.values()) if bucket else ():
        if not record.deleting:
            context.delete(storage, record.key)
    if not bucket or not bucket.records:
        crd["metadata"]["finalizers"] = [f for f in crd["metadata"].get("finalizers") or () if f != CLEANUP]
        context.write(CRDS, crd, status=False, manager="kube-apiserver")


def _end(context: Context, name: str) -> None:
    gone = context.cluster.custom.get(name, [])
    storages = {kind.storage for kind in gone}
    context.cluster.serve(name, [])
    for storage in storages:
        context.cluster.store.forget(storage)


def content_gone(context: Context, storage: StorageKey) -> None:
    """Looks again at a definition that is being emptied."""
    kind = context.cluster.by_storage.get(storage)
    if kind is not None and kind.custom:
        context.enqueue(reconcile, ("", f"{kind.plural}.{kind.group}"))
