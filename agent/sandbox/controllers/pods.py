"""Scheduler and kubelets: pods get a node, become ready after a while, fail when told to, and end when deleted.

Annotations on the pod (through its template): `sandbox.yardarm.dev/ready-after: "1.5"` seconds, and
`sandbox.yardarm.dev/fail`, whose values are in `controllers.failures` (and Unschedulable here). An image with the tag
`broken` is one that cannot be pulled. Pods that run to completion (restartPolicy other than Always) succeed
when others become ready.
"""

from __future__ import annotations

import zlib
from typing import Any

from agent.sandbox.controllers import failures
from agent.sandbox.controllers.events import KUBELET, SCHEDULER
from agent.sandbox.controllers.loop import Context
from agent.sandbox.store import NameKey

Object = dict[str, Any]
PODS = ("", "pods")
READY_AFTER = "sandbox.yardarm.dev/ready-after"
TERMINATION = 0.05
"""Seconds that containers take to stop."""


def reconcile(context: Context, key: NameKey) -> None:
    """One pod."""
    pod = context.get(PODS, key)
    if pod is None:
        return
    if "deletionTimestamp" in pod["metadata"]:
        _end(context, key, pod)
    elif not pod["spec"].get("nodeName"):
        _bind(context, pod)
    elif pod["status"].get("phase") == "Pending" and "startTime" not in pod["status"]:
        _start(context, key, pod)


def _end(context: Context, key: NameKey, pod: Object) -> None:
    if not pod["metadata"].get("deletionGracePeriodSeconds"):
        return
    uid = pod["metadata"]["uid"]
    for container in pod["spec"].get("containers") or ():
        _say(context, pod, "Killing", f"Stopping container {container['name']}")

    def gone() -> None:
        found = context.get(PODS, key)
        if found is not None and found["metadata"]["uid"] == uid:
            context.delete(PODS, key, propagation="", grace=0)

    context.cluster.after(TERMINATION, gone)


def _bind(context: Context, pod: Object) -> None:
    bucket = context.cluster.store.bucket(("", "nodes"))
    names = [record.key[1] for record in bucket.records.values() if _fits(pod, record.decoded()["spec"])]
    now = context.cluster.now()
    if not names or failures.of(pod) == "Unschedulable":
        message = _unschedulable(len(bucket.order), len(names))
        condition = {
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastProbeTime": None, "lastTransitionTime": now,
        }  # fmt: skip
        pod["status"]["conditions"] = [condition]
        known = (context.get(PODS, (pod["metadata"]["namespace"], pod["metadata"]["name"])) or pod)["status"]
        if [(c["type"], c.get("message")) for c in known.get("conditions") or ()] != [("PodScheduled", message)]:
            context.write(PODS, pod, manager="kube-scheduler")
            context.events.say(pod, "FailedScheduling", message, source=SCHEDULER, warning=True)
        return
    pod["spec"]["nodeName"] = names[zlib.crc32(pod["metadata"]["name"].encode()) % len(names)]
    pod["status"]["conditions"] = [_condition("PodScheduled", now, ok=True)]
    context.write(PODS, pod, manager="kube-scheduler")
    where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} to {pod['spec']['nodeName']}"
    context.events.say(pod, "Scheduled", f"Successfully assigned {where}", source=SCHEDULER)


def _unschedulable(nodes: int, fitting: int) -> str:
    if not fitting:
        return f"0/{nodes} nodes are available: no nodes available to schedule pods."
    return (
        f"0/{nodes} nodes are available: {nodes} Insufficient cpu. preemption: 0/{nodes} nodes are available: "
        f"{nodes} No preemption victims found for incoming pod."
    )


def _say(context: Context, pod: Object, reason: str, message: str, *, warning: bool = False) -> None:
    host = pod["spec"].get("nodeName", "")
    context.events.say(pod, reason, message, source=KUBELET, warning=warning, host=host)


def _fits(pod: Object, node: Object) -> bool:
    taints = [t for t in node.get("taints") or () if t["effect"] != "PreferNoSchedule"]
    tolerations = pod["spec"].get("tolerations") or ()
    tolerated = all(any(t.get("key") in (None, taint["key"]) and t.get("effect") in (None, taint["effect"])
                        for t in tolerations) for taint in taints)  # fmt: skip
    return tolerated and not node.get("unschedulable")


def _condition(kind: str, now: str, *, ok: bool, reason: str = "", message: str = "") -> Object:
    out = {"type": kind, "status": "True" if ok else "False", "lastProbeTime": None, "lastTransitionTime": now}
    if reason:
        out |= {"reason": reason, "message": message}
    return out


def _delay(context: Context, pod: Object) -> float:
    try:
        return float((pod["metadata"].get("annotations") or {})[READY_AFTER])
    except (KeyError, ValueError):
        return context.settings.ready_after


def _start(context: Context, key: NameKey, pod: Object) -> None:
    failure = failures.of(pod)
    delay = _delay(context, pod)
    if failure or delay > 0:
        running = failure not in failures.NOT_STARTED
        _report(context, pod, ready=False, failure=failure, running=running)
    for reason, message, warning in failures.told(pod, failure):
        _say(context, pod, reason, message, warning=warning)
    uid = pod["metadata"]["uid"]

    def ready() -> None:
        found = context.get(PODS, key)
        if found is None or found["metadata"]["uid"] != uid or "deletionTimestamp" in found["metadata"]:
            return
        _report(context, found, ready=True, failure="", running=True)

    def failed() -> None:
        found = context.get(PODS, key)
        if found is not None and found["metadata"]["uid"] == uid:
            ended = failures.containers(found, failure, ready=False, over=True)
            found["status"] |= {"phase": "Failed", "containerStatuses": ended}
            context.write(PODS, found, manager="kubelet")

    if failure in failures.EXITS and pod["spec"].get("restartPolicy") == "Never":
        context.cluster.after(delay, failed)
    elif not failure and delay > 0:
        context.cluster.after(delay, ready)
    elif not failure:
        _report(context, pod, ready=True, failure="", running=True)


def _report(context: Context, pod: Object, *, ready: bool, failure: str, running: bool) -> None:
    now = context.cluster.now()
    status = pod["status"]
    status.setdefault("startTime", now)
    node = pod["spec"]["nodeName"]
    address = f"10.244.{zlib.crc32(node.encode()) & 255}.{zlib.crc32(pod['metadata']['uid'].encode()) & 255}"
    to_completion = ready and pod["spec"].get("restartPolicy") != "Always"
    unready = not ready or to_completion
    names = " ".join(c["name"] for c in pod["spec"].get("containers") or ())
    reason, message = (
        ("PodCompleted", "") if to_completion else ("ContainersNotReady", f"containers with unready status: [{names}]")
    )
    extra = {"reason": reason, "message": message} if unready else {"reason": "", "message": ""}
    status["conditions"] = [
        _condition("PodReadyToStartContainers", now, ok=running),
        _condition("Initialized", now, ok=True),
        _condition("Ready", now, ok=not unready, **extra),
        _condition("ContainersReady", now, ok=not unready, **extra),
        _condition("PodScheduled", now, ok=True),
    ]
    status["phase"] = "Succeeded" if to_completion else "Running" if running else "Pending"
    status["containerStatuses"] = failures.containers(pod, failure, ready=not unready, over=to_completion)
    status |= {"hostIP": "10.0.0.1", "podIP": address, "podIPs": [{"ip": address}], "hostIPs": [{"ip": "10.0.0.1"}]}
    context.write(PODS, pod, manager="kubelet")


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is true."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ())


def is_active(pod: Object) -> bool:
    """Whether the pod counts: neither finished nor being deleted."""
    return pod["status"].get("phase") not in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]


def from_template(owner: Object, template: Object, reference: Object) -> Object:
    """A pod for `owner` by its template."""
    metadata = template.get("metadata") or {}
    kept = {k: dict(metadata[k]) for k in ("labels", "annotations") if metadata.get(k)}
    return {
        "metadata": {
            **kept, "namespace": owner["metadata"]["namespace"], "generateName": owner["metadata"]["name"] + "-",
            "ownerReferences": [reference],
        },
        "spec": template["spec"],
    }  # fmt: skip
