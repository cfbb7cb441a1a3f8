"""Deployments: a ReplicaSet per template, rolled over within maxSurge and maxUnavailable, with the real conditions."""

from __future__ import annotations

import datetime
import hashlib
import math
from typing import Any

import orjson

from agent.sandbox.cluster import SUFFIX
from agent.sandbox.controllers.loop import Context, owner_of
from agent.sandbox.controllers.replicasets import SETS
from agent.sandbox.store import NameKey

Object = dict[str, Any]
DEPLOYMENTS = ("apps", "deployments")
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"


def template_hash(template: Object) -> str:
    """A short name for a pod template."""
    digest = hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).digest()
    return "".join(SUFFIX[byte % len(SUFFIX)] for byte in digest[:10])


def reconcile(context: Context, key: NameKey) -> None:
    """One Deployment."""
    deployment = context.get(DEPLOYMENTS, key)
    if deployment is None or "deletionTimestamp" in deployment["metadata"]:
        return
    sets = context.owned(deployment["metadata"]["uid"], SETS)
    name = f"{key[1]}-{template_hash(deployment['spec']['template'])}"
    current = next((s for s in sets if s["metadata"]["name"] == name), None)
    old = [s for s in sets if s["metadata"]["name"] != name]
    if not deployment["spec"].get("paused"):
        revision = _next_revision(current, old)
        if current is None and (_strategy(deployment) != "Recreate" or not _pods_of(old)):
            current = _created(context, deployment, name, revision)
        elif current is not None and current["metadata"]["annotations"].get(REVISION) != str(revision):
            current["metadata"]["annotations"][REVISION] = str(revision)
            context.write(SETS, current, status=False)
        _roll(context, deployment, current, old)
        deployment["metadata"].setdefault("annotations", {})[REVISION] = str(revision)
    elif current is not None and not old:
        _scale(context, current, deployment["spec"]["replicas"])
    _status(context, deployment, name)
    _clean(context, deployment, old)


def _strategy(deployment: Object) -> str:
    kind: str = deployment["spec"]["strategy"]["type"]
    return kind


def _pods_of(sets: list[Object]) -> int:
    return sum((s.get("status") or {}).get("replicas", 0) + s["status"].get("terminatingReplicas", 0) for s in sets)


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, "0"))


def _next_revision(current: Object | None, old: list[Object]) -> int:
    highest = max(map(_revision, old), default=0)
    return max(highest + 1, _revision(current) if current else 0)


def _created(context: Context, deployment: Object, name: str, revision: int) -> Object:
    template = deployment["spec"]["template"]
    mark = {HASH: name.rsplit("-", 1)[-1]}
    metadata = {**template.get("metadata", {}), "labels": {**(template["metadata"].get("labels") or {}), **mark}}
    selector = deployment["spec"]["selector"]
    wanted = deployment["spec"]["replicas"]
    return context.create(
        SETS,
        {
            "metadata": {
                "name": name, "namespace": deployment["metadata"]["namespace"], "labels": metadata["labels"],
                "ownerReferences": [owner_of(deployment)],
                "annotations": {
                    REVISION: str(revision), "deployment.kubernetes.io/desired-replicas": str(wanted),
                    "deployment.kubernetes.io/max-replicas": str(wanted + _bounds(deployment)[0]),
                },
            },
            "spec": {
                "replicas": 0, "template": {**template, "metadata": metadata},
                "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **mark}},
            },
        },
    )  # fmt: skip


def _share(value: int | str, of: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    part = int(value.rstrip("%")) * of / 100
    return math.ceil(part) if up else math.floor(part)


def _bounds(deployment: Object) -> tuple[int, int]:
    """(surge, unavailable): how many pods above and below the wanted number there may be."""
    wanted = deployment["spec"]["replicas"]
    rolling = deployment["spec"]["strategy"].get("rollingUpdate")
    if rolling is None:
        return 0, wanted
    surge = _share(rolling["maxSurge"], wanted, up=True)
    unavailable = _share(rolling["maxUnavailable"], wanted, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _tell_of_scaling(context: Context, replica_set: Object, replicas: int) -> None:
    metadata, now = replica_set["metadata"], replica_set["spec"]["replicas"]
    owner = metadata["ownerReferences"][0]
    about = {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "metadata": {"name": owner["name"], "namespace": metadata["namespace"], "uid": owner["uid"]},
    }  # fmt: skip
    text = f"Scaled {'up' if replicas > now else 'down'} replica set {metadata['name']} from {now} to {replicas}"
    context.events.say(about, "ScalingReplicaSet", text, source="deployment-controller")


def _scale(context: Context, replica_set: Object, replicas: int) -> None:
    if replica_set["spec"]["replicas"] != replicas:
        _tell_of_scaling(context, replica_set, replicas)
        replica_set["spec"]["replicas"] = replicas
        context.write(SETS, replica_set, status=False)
        fresh = context.get(SETS, (replica_set["metadata"]["namespace"], replica_set["metadata"]["name"]))
        if fresh is not None:
            replica_set.clear()
            replica_set.update(fresh)


def _roll(context: Context, deployment: Object, current: Object | None, old: list[Object]) -> None:
    wanted = deployment["spec"]["replicas"]
    if _strategy(deployment) == "Recreate":
        for one in old:
            _scale(context, one, 0)
        if current is not None:
            _scale(context, current, wanted)
        return
    if current is None:
        return
    surge, unavailable = _bounds(deployment)
    live = [one for one in old if one["spec"]["replicas"]]
    if not live:
        _scale(context, current, wanted)
        return
    total = current["spec"]["replicas"] + sum(one["spec"]["replicas"] for one in live)
    room = wanted + surge - total
    if current["spec"]["replicas"] > wanted:
        _scale(context, current, wanted)
    elif room > 0:
        _scale(context, current, min(wanted, current["spec"]["replicas"] + room))
    _shrink(context, current, live, wanted - unavailable)


def _available(replica_set: Object) -> int:
    count: int = (replica_set.get("status") or {}).get("availableReplicas", 0)
    return count


def _shrink(context: Context, current: Object, live: list[Object], minimum: int) -> None:
    for one in live:  # pods that are not available go first: nobody misses them
        dead = one["spec"]["replicas"] - _available(one)
        if dead > 0 and one["status"].get("replicas", 0) == one["spec"]["replicas"]:
            _scale(context, one, one["spec"]["replicas"] - dead)
    spare = _available(current) + sum(min(_available(one), one["spec"]["replicas"]) for one in live) - minimum
    for one in sorted(live, key=_revision):
        step = min(spare, one["spec"]["replicas"])
        if step > 0:
            _scale(context, one, one["spec"]["replicas"] - step)
            spare -= step


def _clean(context: Context, deployment: Object, old: list[Object]) -> None:
    keep = deployment["spec"].get("revisionHistoryLimit", 10)
    empty = [s for s in old if not s["spec"]["replicas"] and not s["status"].get("replicas")]
    for one in sorted(empty, key=_revision)[: max(len(empty) - keep, 0)]:
        context.delete(SETS, (one["metadata"]["namespace"], one["metadata"]["name"]))


def _status(context: Context, deployment: Object, name: str) -> None:
    sets = context.owned(deployment["metadata"]["uid"], SETS)
    current = next((s for s in sets if s["metadata"]["name"] == name), None)

    def total(field: str) -> int:
        return sum((s.get("status") or {}).get(field, 0) for s in sets)

    replicas, available = total("replicas"), total("availableReplicas")
    updated = current["status"].get("replicas", 0) if current else 0
    wanted = deployment["spec"]["replicas"]
    unavailable = max(sum(s["spec"]["replicas"] for s in sets) - available, 0)
    counts = {
        "replicas": replicas, "updatedReplicas": updated, "readyReplicas": total("readyReplicas"),
        "availableReplicas": available, "unavailableReplicas": unavailable,
    }  # fmt: skip
    before = deployment.get("status") or {}
    status = {k: v for k, v in counts.items() if v}
    status |= {
        "observedGeneration": deployment["metadata"]["generation"],
        "terminatingReplicas": total("terminatingReplicas"),
    }
    conditions = list(before.get("conditions") or ())
    now = context.cluster.now()
    enough = available >= wanted - _bounds(deployment)[1]
    conditions = _set(conditions, _available_condition(now, enough=enough))
    complete = updated == wanted == replicas == available
    conditions = _set(conditions, _progressing(context, deployment, current, before, status, complete=complete))
    failure = next((c for one in sets for c in one["status"].get("conditions") or ()), None)
    if failure is not None:
        conditions = _set(conditions, {**failure, "lastUpdateTime": now})
    else:
        conditions = [c for c in conditions if c["type"] != "ReplicaFailure"]
    deployment["status"] = {**status, "conditions": conditions}
    context.write(DEPLOYMENTS, deployment)


def _available_condition(now: str, *, enough: bool) -> Object:
    return {
        "type": "Available", "status": "True" if enough else "False", "lastUpdateTime": now, "lastTransitionTime": now,
        "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "message": f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    }  # fmt: skip


def _set(conditions: list[Object], new: Object) -> list[Object]:
    old = next((c for c in conditions if c["type"] == new["type"]), None)
    if old is not None:
        if (old["status"], old["reason"], old["message"]) == (new["status"], new["reason"], new["message"]):
            if new.pop("moved", False):
                old = {**old, "lastUpdateTime": new["lastUpdateTime"]}
            return [old if c["type"] == new["type"] else c for c in conditions]
        if old["status"] == new["status"]:
            new["lastTransitionTime"] = old["lastTransitionTime"]
    new.pop("moved", None)
    return [c for c in conditions if c["type"] != new["type"]] + [new]


def _progressing(
    context: Context, deployment: Object, current: Object | None, before: Object, status: Object, *, complete: bool
) -> Object:
    now = context.cluster.now()
    name = current["metadata"]["name"] if current else ""
    condition = {"type": "Progressing", "status": "True", "lastUpdateTime": now, "lastTransitionTime": now}
    if deployment["spec"].get("paused"):
        return {**condition, "status": "Unknown", "reason": "DeploymentPaused", "message": "Deployment is paused"}
    if current is None:
        return {**condition, "reason": "ReplicaSetUpdated", "message": "Deployment is progressing."}
    if complete:
        message = f'ReplicaSet "{name}" has successfully progressed.'
        return {**condition, "reason": "NewReplicaSetAvailable", "message": message}
    old = next((c for c in before.get("conditions") or () if c["type"] == "Progressing"), None)
    counts = ("updatedReplicas", "readyReplicas", "availableReplicas")
    moved = old is None or any(status.get(c, 0) > before.get(c, 0) for c in counts)
    moved = moved or before.get("observedGeneration") != deployment["metadata"]["generation"]
    limit = deployment["spec"].get("progressDeadlineSeconds", 600)
    if not moved and old is not None:
        if old["reason"] in ("ProgressDeadlineExceeded", "NewReplicaSetAvailable"):
            return dict(old)
        quiet = context.cluster.clock() - datetime.datetime.fromisoformat(old["lastUpdateTime"]).timestamp()
        if quiet >= limit:
            message = f'ReplicaSet "{name}" has timed out progressing.'
            return {**condition, "status": "False", "reason": "ProgressDeadlineExceeded", "message": message}
    key = (deployment["metadata"]["namespace"], deployment["metadata"]["name"])
    context.later(limit + 1, reconcile, key)
    return {
        **condition,
        "reason": "ReplicaSetUpdated",
        "message": f'ReplicaSet "{name}" is progressing.',
        "moved": moved,
    }
