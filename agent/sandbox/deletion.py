"""Deleting: preconditions, grace, finalizers, propagation. The garbage collector itself is a controller."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from agent.sandbox import problems, registry
from agent.sandbox.cluster import Cluster
from agent.sandbox.kinds import Kind
from agent.sandbox.problems import bad_request

Object = dict[str, Any]
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(slots=True, frozen=True)
class DeleteOptions:
    """`DeleteOptions` of a request. `grace` is in seconds, None when not said."""

    propagation: str = ""
    grace: int | None = None
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def options(body: Object, query: dict[str, str]) -> DeleteOptions:
    """Options from body and query.

    Raises:
        ApiError: 400 or 422, they make no sense.
    """
    preconditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy", "")
    if body.get("orphanDependents") is not None:
        propagation = "Orphan" if body["orphanDependents"] else "Background"
    if propagation not in ("", "Background", "Foreground", "Orphan"):
        allowed = '"Background", "Foreground", "Orphan"'
        cause = problems.cause(
            "FieldValueNotSupported", "propagationPolicy",
            f'Unsupported value: "{propagation}": supported values: {allowed}',
        )  # fmt: skip
        raise problems.invalid("DeleteOptions", "meta.k8s.io", "", [cause])
    try:
        seconds = None if grace is None else int(grace)
    except (TypeError, ValueError):
        raise bad_request(f"gracePeriodSeconds must be a number, not {grace!r}") from None
    return DeleteOptions(
        propagation, seconds, preconditions.get("uid") or "", preconditions.get("resourceVersion") or "",
        "All" in (body.get("dryRun") or []) or query.get("dryRun") == "All",
    )  # fmt: skip


def delete(cluster: Cluster, kind: Kind, namespace: str, name: str, how: DeleteOptions) -> tuple[Object, bool]:
    """Deletes an object or marks it; returns its last state and whether it is gone at once.

    Raises:
        ApiError: 404, 409 by a precondition.
    """
    record = registry.live(cluster, kind, namespace, name)
    obj = registry.load(kind, record)
    _check(kind, obj, how)
    before = registry.load(kind, record)
    metadata = obj["metadata"]
    grace = _grace(kind, obj, how)
    finalizers = _finalizers(kind, metadata.get("finalizers") or [], how)
    held = bool(finalizers) or grace > 0 or (kind.storage == ("", "namespaces") and obj["spec"].get("finalizers"))
    if not held:
        if not how.dry_run:
            cluster.store.drop(kind.storage, obj)
        return obj, True
    if finalizers != (metadata.get("finalizers") or []):
        metadata["finalizers"] = finalizers
    first = "deletionTimestamp" not in metadata
    if first or grace < metadata.get("deletionGracePeriodSeconds", 0):
        moment = datetime.datetime.fromtimestamp(cluster.clock() + grace, datetime.UTC)
        metadata["deletionTimestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata["deletionGracePeriodSeconds"] = grace
    if first and "generation" in metadata:
        metadata["generation"] += 1
    if kind.storage == ("", "namespaces"):
        obj.setdefault("status", {})["phase"] = "Terminating"
    if obj != before and not how.dry_run:
        cluster.store.put(kind.storage, obj, before)
    return obj, False


def _check(kind: Kind, obj: Object, how: DeleteOptions) -> None:
    metadata = obj["metadata"]
    if how.uid and how.uid != metadata["uid"]:
        raise problems.conflict(
            kind.kind, kind.group, metadata["name"],
            f"the UID in the precondition ({how.uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated",
        )  # fmt: skip
    if how.version and how.version != metadata["resourceVersion"]:
        raise problems.conflict(
            kind.kind, kind.group, metadata["name"],
            f"the ResourceVersion in the precondition ({how.version}) does not match the ResourceVersion in record "
            f"({metadata['resourceVersion']}). The object might have been modified",
        )  # fmt: skip


def _grace(kind: Kind, obj: Object, how: DeleteOptions) -> int:
    if kind.storage != ("", "pods"):
        return 0
    finished = (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    if finished or not obj["spec"].get("nodeName"):
        return 0
    if how.grace is not None:
        return max(how.grace, 0)
    return int(obj["spec"].get("terminationGracePeriodSeconds", 30))


def _finalizers(kind: Kind, current: list[str], how: DeleteOptions) -> list[str]:
    policy = how.propagation
    if not policy and kind.storage in registry.ORPHANS_BY_DEFAULT and FOREGROUND not in current:
        policy = "Orphan"
    if not policy:
        return current
    out = [name for name in current if name not in (FOREGROUND, ORPHAN)]
    if policy == "Foreground":
        out.append(FOREGROUND)
    elif policy == "Orphan":
        out.append(ORPHAN)
    return out
