"""ReplicaSets: as many pods as wanted, and a status that counts them."""

from __future__ import annotations

from agent.sandbox.controllers import pods
from agent.sandbox.controllers.loop import Context, owner_of
from agent.sandbox.controllers.pods import PODS, Object
from agent.sandbox.store import NameKey

SETS = ("apps", "replicasets")


def reconcile(context: Context, key: NameKey) -> None:
    """One ReplicaSet."""
    owner = context.get(SETS, key)
    if owner is None:
        return
    mine = context.owned(owner["metadata"]["uid"], PODS)
    active = [pod for pod in mine if pods.is_active(pod)]
    if "deletionTimestamp" not in owner["metadata"]:
        _adjust(context, owner, active)
        active = [pod for pod in context.owned(owner["metadata"]["uid"], PODS) if pods.is_active(pod)]
    _count(context, owner, mine, active)


def _adjust(context: Context, owner: Object, active: list[Object]) -> None:
    wanted = owner["spec"].get("replicas", 1)
    for _ in range(wanted - len(active)):
        context.create(PODS, pods.from_template(owner, owner["spec"]["template"], owner_of(owner)))
    surplus = len(active) - wanted
    if surplus > 0:
        for pod in sorted(active, key=pods.is_ready)[:surplus]:
            context.delete(PODS, (pod["metadata"]["namespace"], pod["metadata"]["name"]))


def _count(context: Context, owner: Object, mine: list[Object], active: list[Object]) -> None:
    ready = sum(map(pods.is_ready, active))
    ending = sum("deletionTimestamp" in pod["metadata"] for pod in mine)
    counts = {"fullyLabeledReplicas": len(active), "readyReplicas": ready, "availableReplicas": ready}
    status = {k: v for k, v in counts.items() if v}
    owner["status"] = {
        **status, "replicas": len(active), "terminatingReplicas": ending,
        "observedGeneration": owner["metadata"]["generation"],
    }  # fmt: skip
    context.write(SETS, owner)
