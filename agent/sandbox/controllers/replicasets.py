"""ReplicaSets: as many pods as wanted, and a status that counts them."""

from __future__ import annotations

from agent.sandbox.controllers import pods
from agent.sandbox.controllers.conditions import condition, settled
from agent.sandbox.controllers.loop import Context, owner_of
from agent.sandbox.controllers.pods import PODS, Object
from agent.sandbox.problems import ApiError
from agent.sandbox.store import NameKey

SETS = ("apps", "replicasets")
SOURCE = "replicaset-controller"


def reconcile(context: Context, key: NameKey) -> None:
    """One ReplicaSet."""
    owner = context.get(SETS, key)
    if owner is None:
        return
    mine = context.owned(owner["metadata"]["uid"], PODS)
    active = [pod for pod in mine if pods.is_active(pod)]
    refusal = ""
    if "deletionTimestamp" not in owner["metadata"]:
        refusal = _adjust(context, owner, active)
        active = [pod for pod in context.owned(owner["metadata"]["uid"], PODS) if pods.is_active(pod)]
    _count(context, owner, mine, active, refusal)


def refused_again(context: Context, namespace: str) -> None:
    """Looks again at the ReplicaSets of a namespace that miss pods: a quota changed."""
    for record in context.cluster.store.bucket(SETS).scan(namespace):
        if b'"ReplicaFailure"' in record.body:
            context.enqueue(reconcile, record.key)


def _adjust(context: Context, owner: Object, active: list[Object]) -> str:
    """Creates and deletes pods; returns why one was refused, or nothing."""
    wanted = owner["spec"].get("replicas", 1)
    for _ in range(wanted - len(active)):
        try:
            pod = context.create(PODS, pods.from_template(owner, owner["spec"]["template"], owner_of(owner)))
        except ApiError as error:
            text = f"Error creating: {error.message}"
            context.events.say(owner, "FailedCreate", text, source=SOURCE, warning=True)
            return error.message
        context.events.say(owner, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", source=SOURCE)
    surplus = len(active) - wanted
    if surplus > 0:
        for pod in sorted(active, key=pods.is_ready)[:surplus]:
            context.delete(PODS, (pod["metadata"]["namespace"], pod["metadata"]["name"]))
            context.events.say(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}", source=SOURCE)
    return ""


def _count(context: Context, owner: Object, mine: list[Object], active: list[Object], refusal: str) -> None:
    ready = sum(map(pods.is_ready, active))
    ending = sum("deletionTimestamp" in pod["metadata"] for pod in mine)
    counts = {"fullyLabeledReplicas": len(active), "readyReplicas": ready, "availableReplicas": ready}
    status: Object = {k: v for k, v in counts.items() if v}
    known = (owner.get("status") or {}).get("conditions")
    if refusal:
        told = next((c["message"] for c in known or () if c["type"] == "ReplicaFailure"), refusal)
        failure = condition("ReplicaFailure", context.cluster.now(), ok=True, reason="FailedCreate", message=told)
        status["conditions"] = settled(known, failure)
    owner["status"] = {
        **status, "replicas": len(active), "terminatingReplicas": ending,
        "observedGeneration": owner["metadata"]["generation"],
    }  # fmt: skip
    context.write(SETS, owner)
