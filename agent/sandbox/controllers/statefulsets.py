"""StatefulSets: numbered pods, started in order, replaced from the last to the first."""

from __future__ import annotations

from typing import Any

from agent.sandbox.controllers import pods
from agent.sandbox.controllers.deployments import template_hash
from agent.sandbox.controllers.loop import Context, owner_of
from agent.sandbox.controllers.pods import PODS
from agent.sandbox.store import NameKey

Object = dict[str, Any]
SETS = ("apps", "statefulsets")
REVISION = "controller-revision-hash"
CLAIMS = ("", "persistentvolumeclaims")


def reconcile(context: Context, key: NameKey) -> None:
    """One StatefulSet."""
    owner = context.get(SETS, key)
    if owner is None or "deletionTimestamp" in owner["metadata"]:
        return
    revision = f"{key[1]}-{template_hash(owner['spec']['template'])}"
    _adjust(context, owner, revision)
    _count(context, owner, revision)


def _number(pod: Object) -> int:
    return int(pod["metadata"]["name"].rsplit("-", 1)[-1])


def _adjust(context: Context, owner: Object, revision: str) -> None:
    mine = {_number(pod): pod for pod in context.owned(owner["metadata"]["uid"], PODS)}
    wanted = owner["spec"]["replicas"]
    parallel = owner["spec"]["podManagementPolicy"] == "Parallel"
    for number in sorted((n for n in mine if n >= wanted), reverse=True):
        _drop(context, mine[number])
        if not parallel:
            return
    for number in range(wanted):
        pod = mine.get(number)
        if pod is None:
            _make(context, owner, number, revision)
        elif parallel or pods.is_ready(pod):
            continue
        elif pod["metadata"]["labels"].get(REVISION) != revision:
            break
        if not parallel:
            return
    _replace(context, owner, mine, revision)


def _replace(context: Context, owner: Object, mine: dict[int, Object], revision: str) -> None:
    wanted = owner["spec"]["replicas"]
    partition = (owner["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("partition", 0)
    if owner["spec"]["updateStrategy"]["type"] != "RollingUpdate":
        return
    for number in range(wanted - 1, partition - 1, -1):
        pod = mine.get(number)
        if pod is None or "deletionTimestamp" in pod["metadata"]:
            return
        if pod["metadata"]["labels"].get(REVISION) != revision:
            _drop(context, pod)
            return
        if not pods.is_ready(pod):
            return


def _drop(context: Context, pod: Object) -> None:
    if "deletionTimestamp" not in pod["metadata"]:
        context.delete(PODS, (pod["metadata"]["namespace"], pod["metadata"]["name"]))


def _make(context: Context, owner: Object, number: int, revision: str) -> None:
    pod = pods.from_template(owner, owner["spec"]["template"], owner_of(owner))
    name = f"{owner['metadata']['name']}-{number}"
    pod["metadata"]["name"] = name
    pod["metadata"]["labels"] = {
        **pod["metadata"].get("labels", {}), REVISION: revision, "apps.kubernetes.io/pod-index": str(number),
        "statefulset.kubernetes.io/pod-name": name,
    }  # fmt: skip
    volumes = []
    for claim in owner["spec"].get("volumeClaimTemplates") or ():
        title = f"{claim['metadata']['name']}-{name}"
        place = (owner["metadata"]["namespace"], title)
        if context.cluster.store.get(CLAIMS, place) is None:
            metadata = {**claim["metadata"], "name": title, "namespace": place[0]}
            context.create(CLAIMS, {"metadata": metadata, "spec": claim["spec"]})
        volumes.append({"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": title}})
    if volumes:
        pod["spec"] = {**pod["spec"], "volumes": [*(pod["spec"].get("volumes") or []), *volumes]}
    context.create(PODS, pod)


def _count(context: Context, owner: Object, revision: str) -> None:
    mine = [pod for pod in context.owned(owner["metadata"]["uid"], PODS) if pods.is_active(pod)]
    fresh = [pod for pod in mine if pod["metadata"]["labels"].get(REVISION) == revision]
    ready = sum(map(pods.is_ready, mine))
    before = owner.get("status") or {}
    done = len(fresh) == owner["spec"]["replicas"] == len(mine) and all(map(pods.is_ready, fresh))
    current = revision if done else before.get("currentRevision", revision)
    counts = {
        "readyReplicas": ready, "updatedReplicas": len(fresh),
        "currentReplicas": sum(p["metadata"]["labels"].get(REVISION) == current for p in mine),
    }  # fmt: skip
    owner["status"] = {
        **{k: v for k, v in counts.items() if v}, "replicas": len(mine), "availableReplicas": ready,
        "observedGeneration": owner["metadata"]["generation"], "currentRevision": current, "updateRevision": revision,
        "collisionCount": 0,
    }  # fmt: skip
    context.write(SETS, owner)
