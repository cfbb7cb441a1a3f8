"""PersistentVolumeClaims: bound at once to a volume made for them; protected while used, reclaimed afterwards."""

from __future__ import annotations

from typing import Any

from agent.sandbox import strategies
from agent.sandbox.controllers.loop import MANAGER, Context
from agent.sandbox.store import NameKey, StorageKey

Object = dict[str, Any]
CLAIMS = ("", "persistentvolumeclaims")
VOLUMES = ("", "persistentvolumes")


def reconcile(context: Context, key: NameKey) -> None:
    """One claim."""
    claim = context.get(CLAIMS, key)
    if claim is None:
        _reclaim(context, key)
        return
    if "deletionTimestamp" in claim["metadata"]:
        if not _used(context, key):
            _unprotect(context, CLAIMS, claim)
        return
    if claim["status"].get("phase") == "Bound":
        return
    name = claim["spec"].get("volumeName") or f"pvc-{claim['metadata']['uid']}"
    if context.cluster.store.get(VOLUMES, ("", name)) is None:
        volume = context.create(
            VOLUMES,
            {
                "metadata": {"name": name},
                "spec": {
                    "accessModes": claim["spec"]["accessModes"], "capacity": claim["spec"]["resources"]["requests"],
                    "persistentVolumeReclaimPolicy": "Delete",
                    "storageClassName": claim["spec"].get("storageClassName", ""),
                    "csi": {"driver": "sandbox.yardarm.dev", "volumeHandle": name},
                    "claimRef": {
                        "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": key[0], "name": key[1],
                        "uid": claim["metadata"]["uid"],
                    },
                },
            },
        )  # fmt: skip
        context.write(VOLUMES, {**volume, "status": {"phase": "Bound"}})
    claim["spec"]["volumeName"] = name
    context.write(CLAIMS, claim, status=False, manager=MANAGER)
    bound = context.get(CLAIMS, key)
    if bound is not None:
        bound["status"] = {
            "phase": "Bound", "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        }  # fmt: skip
        context.write(CLAIMS, bound)


def volume(context: Context, key: NameKey) -> None:
    """One volume: let go when it is deleted and its claim is gone."""
    found = context.get(VOLUMES, key)
    if found is None or "deletionTimestamp" not in found["metadata"]:
        return
    claim = found["spec"].get("claimRef") or {}
    if context.cluster.store.get(CLAIMS, (claim.get("namespace", ""), claim.get("name", ""))) is None:
        _unprotect(context, VOLUMES, found)


def pod_gone(context: Context, pod: Object) -> None:
    """Looks again at the claims of a pod that ended."""
    for mounted in pod["spec"].get("volumes") or ():
        name = (mounted.get("persistentVolumeClaim") or {}).get("claimName")
        if name:
            context.enqueue(reconcile, (pod["metadata"]["namespace"], name))


def _used(context: Context, key: NameKey) -> bool:
    bucket = context.cluster.store.bucket(("", "pods"))
    for record in bucket.scan(key[0]):
        for mounted in record.decoded()["spec"].get("volumes") or ():
            if (mounted.get("persistentVolumeClaim") or {}).get("claimName") == key[1]:
                return True
    return False


def _unprotect(context: Context, storage: StorageKey, obj: Object) -> None:
    finalizers = obj["metadata"].get("finalizers") or []
    kept = [name for name in finalizers if name != strategies.PROTECTED[storage]]
    if kept != finalizers:
        if kept:
            obj["metadata"]["finalizers"] = kept
        else:
            del obj["metadata"]["finalizers"]
        context.write(storage, obj, status=False)


def _reclaim(context: Context, key: NameKey) -> None:
    for record in list(context.cluster.store.bucket(VOLUMES).records.values()):
        spec = record.decoded()["spec"]
        claim = spec.get("claimRef") or {}
        if (claim.get("namespace"), claim.get("name")) == key and spec["persistentVolumeReclaimPolicy"] == "Delete":
            context.delete(VOLUMES, record.key)
            context.enqueue(volume, record.key)
