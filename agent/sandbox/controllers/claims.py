"""PersistentVolumeClaims: bound at once to a volume made for them."""

from __future__ import annotations

from agent.sandbox.controllers.loop import MANAGER, Context
from agent.sandbox.store import NameKey

CLAIMS = ("", "persistentvolumeclaims")
VOLUMES = ("", "persistentvolumes")


def reconcile(context: Context, key: NameKey) -> None:
    """One claim."""
    claim = context.get(CLAIMS, key)
    if claim is None or claim["status"].get("phase") == "Bound" or "deletionTimestamp" in claim["metadata"]:
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
