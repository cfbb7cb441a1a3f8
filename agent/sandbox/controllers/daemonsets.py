"""DaemonSets: a pod on every node, replaced one after the other when the template changes."""

from __future__ import annotations

from typing import Any

from agent.sandbox.controllers import pods
from agent.sandbox.controllers.deployments import template_hash
from agent.sandbox.controllers.loop import Context, owner_of
from agent.sandbox.controllers.pods import PODS
from agent.sandbox.store import NameKey

Object = dict[str, Any]
SETS = ("apps", "daemonsets")
REVISION = "controller-revision-hash"


def nodes_changed(context: Context) -> None:
    """Wakes every DaemonSet."""
    for key in context.cluster.store.bucket(SETS).order:
        context.enqueue(reconcile, key)


def reconcile(context: Context, key: NameKey) -> None:
    """One DaemonSet."""
    owner = context.get(SETS, key)
    if owner is None or "deletionTimestamp" in owner["metadata"]:
        return
    revision = template_hash(owner["spec"]["template"])
    nodes = [name for _, name in context.cluster.store.bucket(("", "nodes")).order]
    mine = {pod["spec"].get("nodeName"): pod for pod in context.owned(owner["metadata"]["uid"], PODS)}
    for node in nodes:
        if node not in mine:
            pod = pods.from_template(owner, owner["spec"]["template"], owner_of(owner))
            pod["metadata"]["labels"] = {**pod["metadata"].get("labels", {}), REVISION: revision}
            pod["spec"] = {**pod["spec"], "nodeName": node}
            context.create(PODS, pod)
    for node, pod in mine.items():
        if node not in nodes:
            context.delete(PODS, (pod["metadata"]["namespace"], pod["metadata"]["name"]))
    if owner["spec"]["updateStrategy"]["type"] == "RollingUpdate" and len(mine) == len(nodes):
        _replace_one(context, mine, revision)
    _count(context, owner, nodes, revision)


def _replace_one(context: Context, mine: dict[str, Object], revision: str) -> None:
    stale = [p for p in mine.values() if p["metadata"]["labels"].get(REVISION) != revision]
    others_ready = all(pods.is_ready(p) and pods.is_active(p) for p in mine.values() if p not in stale[:1])
    if stale and (others_ready or not pods.is_ready(stale[0])) and pods.is_active(stale[0]):
        context.delete(PODS, (stale[0]["metadata"]["namespace"], stale[0]["metadata"]["name"]))


def _count(context: Context, owner: Object, nodes: list[str], revision: str) -> None:
    mine = [pod for pod in context.owned(owner["metadata"]["uid"], PODS) if pods.is_active(pod)]
    ready = sum(map(pods.is_ready, mine))
    fresh = sum(pod["metadata"]["labels"].get(REVISION) == revision for pod in mine)
    counts = {"updatedNumberScheduled": fresh, "numberAvailable": ready, "numberUnavailable": len(nodes) - ready}
    owner["status"] = {
        **{k: v for k, v in counts.items() if v}, "currentNumberScheduled": len(mine), "numberMisscheduled": 0,
        "desiredNumberScheduled": len(nodes), "numberReady": ready,
        "observedGeneration": owner["metadata"]["generation"],
    }  # fmt: skip
    context.write(SETS, owner)
