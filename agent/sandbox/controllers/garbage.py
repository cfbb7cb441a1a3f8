"""The garbage collector: dependents go with their owners, or stay, as the deletion said."""

from __future__ import annotations

from typing import Any

from agent.sandbox import deletion
from agent.sandbox.controllers.loop import Context
from agent.sandbox.store import NameKey, StorageKey

Object = dict[str, Any]


def deleted(context: Context, obj: Object) -> None:
    """An object is gone: what only it owned goes too."""
    uid = obj["metadata"]["uid"]
    if uid in context.cluster.store.dependents:
        context.enqueue(_collect, ("", uid))
    for owner in obj["metadata"].get("ownerReferences") or ():
        place = context.cluster.store.uids.get(owner["uid"])
        if place is not None:
            _revisit(context, *place)


def look_at(context: Context, storage: StorageKey, key: NameKey, obj: Object) -> None:
    """An object appeared with owners, or is being deleted."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner["uid"] not in context.cluster.store.uids:
            context.enqueue(_collect, ("", owner["uid"]))
    if "deletionTimestamp" in obj["metadata"]:
        _revisit(context, storage, key)


def _revisit(context: Context, storage: StorageKey, key: NameKey) -> None:
    record = context.cluster.store.get(storage, key)
    if record is not None and record.deleting:
        context.enqueue(_finalize, ("", record.uid))


def _collect(context: Context, key: NameKey) -> None:
    """Deletes the dependents of an owner that is gone, unless another owner is left."""
    store = context.cluster.store
    uid = key[1]
    if uid in store.uids:
        return
    for storage, name in sorted(store.dependents.get(uid, ())):
        record = store.get(storage, name)
        if record is None:
            continue
        if any(owner in store.uids for owner in record.owners):
            obj = context.get(storage, name)
            if obj is not None:
                _disown(context, storage, obj, uid)
        elif not record.deleting:
            context.delete(storage, name)


def _disown(context: Context, storage: StorageKey, obj: Object, uid: str) -> None:
    kept = [owner for owner in obj["metadata"].get("ownerReferences") or () if owner["uid"] != uid]
    if kept:
        obj["metadata"]["ownerReferences"] = kept
    else:
        obj["metadata"].pop("ownerReferences", None)
    context.write(storage, obj, status=False)


def _finalize(context: Context, key: NameKey) -> None:
    """Works off the finalizers that propagation policies set."""
    place = context.cluster.store.uids.get(key[1])
    obj = context.get(*place) if place else None
    if obj is None or place is None:
        return
    finalizers = obj["metadata"].get("finalizers") or []
    if deletion.ORPHAN in finalizers:
        for storage, name in sorted(context.cluster.store.dependents.get(key[1], ())):
            dependent = context.get(storage, name)
            if dependent is not None:
                _disown(context, storage, dependent, key[1])
        _release(context, place[0], obj, deletion.ORPHAN)
    elif deletion.FOREGROUND in finalizers and _drained(context, key[1]):
        _release(context, place[0], obj, deletion.FOREGROUND)


def _drained(context: Context, uid: str) -> bool:
    blocking = False
    for storage, name in sorted(context.cluster.store.dependents.get(uid, ())):
        dependent = context.get(storage, name)
        if dependent is None:
            continue
        references = dependent["metadata"].get("ownerReferences") or ()
        if "deletionTimestamp" not in dependent["metadata"]:
            context.delete(storage, name, propagation="Foreground")
        still = context.cluster.store.get(storage, name) is not None
        blocking |= still and any(o["uid"] == uid and o.get("blockOwnerDeletion") for o in references)
    return not blocking


def _release(context: Context, storage: StorageKey, obj: Object, finalizer: str) -> None:
    fresh = context.get(storage, (obj["metadata"].get("namespace", ""), obj["metadata"]["name"]))
    if fresh is not None:
        kept = [f for f in fresh["metadata"].get("finalizers") or () if f != finalizer]
        if kept:
            fresh["metadata"]["finalizers"] = kept
        else:
            fresh["metadata"].pop("finalizers", None)
        context.write(storage, fresh, status=False)
