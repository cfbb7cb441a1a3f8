"""PodDisruptionBudgets and HorizontalPodAutoscalers: their status; nothing is evicted, and there are no metrics."""

from __future__ import annotations

import math
from typing import Any

from agent.sandbox import selectors
from agent.sandbox.controllers import pods
from agent.sandbox.controllers.conditions import condition, settled
from agent.sandbox.controllers.loop import Context
from agent.sandbox.controllers.pods import PODS
from agent.sandbox.store import NameKey

Object = dict[str, Any]
BUDGETS = ("policy", "poddisruptionbudgets")
SCALERS = ("autoscaling", "horizontalpodautoscalers")
OWNERS = {"ReplicaSet": ("apps", "replicasets"), "StatefulSet": ("apps", "statefulsets")}
TARGETS = {"Deployment": ("apps", "deployments"), **OWNERS}
NO_METRICS = (
    "the HPA was unable to compute the replica count: failed to get {name} utilization: unable to get metrics for "
    "resource {name}: unable to fetch metrics from resource metrics API: the server could not find the requested "
    "resource (get pods.metrics.k8s.io)"
)


def pod_changed(context: Context, namespace: str) -> None:
    """Looks at the budgets of a namespace."""
    bucket = context.cluster.store.buckets.get(BUDGETS)
    for record in bucket.scan(namespace) if bucket else ():
        context.enqueue(reconcile, record.key)


def target_changed(context: Context, namespace: str) -> None:
    """Looks at the autoscalers of a namespace."""
    bucket = context.cluster.store.buckets.get(SCALERS)
    for record in bucket.scan(namespace) if bucket else ():
        context.enqueue(scaler, record.key)


def reconcile(context: Context, key: NameKey) -> None:
    """One budget."""
    budget = context.get(BUDGETS, key)
    if budget is None:
        return
    selector = budget["spec"].get("selector")
    records = [r for r in context.cluster.store.bucket(PODS).scan(key[0]) if selectors.matches(selector, r.labels)]
    active = [pod for record in records if pods.is_active(pod := record.decoded())]
    expected, desired = _desired(context, budget["spec"], active)
    healthy = sum(map(pods.is_ready, active))
    allowed = max(healthy - desired, 0) if expected else 0
    generation = budget["metadata"]["generation"]
    reason = "SufficientPods" if allowed else "InsufficientPods"
    wanted = condition("DisruptionAllowed", context.cluster.now(), ok=bool(allowed), reason=reason, message="")
    wanted["observedGeneration"] = generation
    budget["status"] = {
        "conditions": settled((budget.get("status") or {}).get("conditions"), wanted), "currentHealthy": healthy,
        "desiredHealthy": desired, "disruptionsAllowed": allowed, "expectedPods": expected,
        "observedGeneration": generation,
    }  # fmt: skip
    context.write(BUDGETS, budget)


def _desired(context: Context, spec: Object, active: list[Object]) -> tuple[int, int]:
    minimum, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if isinstance(minimum, int):
        return len(active), minimum
    owners = {
        (OWNERS[o["kind"]], (pod["metadata"]["namespace"], o["name"]))
        for pod in active
        for o in pod["metadata"].get("ownerReferences") or ()
        if o["kind"] in OWNERS
    }
    expected = sum(o["spec"].get("replicas", 1) for place in owners if (o := context.get(*place)) is not None)
    if minimum is not None:
        return expected, _share(minimum, expected)
    return expected, max(expected - _share(most if most is not None else 0, expected), 0)


def _share(value: int | str, of: int) -> int:
    return value if isinstance(value, int) else math.ceil(int(value.rstrip("%")) * of / 100)


def scaler(context: Context, key: NameKey) -> None:
    """One autoscaler."""
    found = context.get(SCALERS, key)
    if found is None:
        return
    reference = found["spec"]["scaleTargetRef"]
    storage = TARGETS.get(reference["kind"])
    target = context.get(storage, (key[0], reference["name"])) if storage else None
    now = context.cluster.now()
    before = found.get("status") or {}
    if target is None:
        group = reference.get("apiVersion", "").rpartition("/")[0]
        what = f"{reference['kind'].lower()}s{'.' if group else ''}{group}"
        text = (
            f'the HPA controller was unable to get the target\'s current scale: {what} "{reference["name"]}" not found'
        )
        wanted = [condition("AbleToScale", now, ok=False, reason="FailedGetScale", message=text)]
        status: Object = {"currentMetrics": None, "desiredReplicas": 0}
    else:
        text = "the HPA controller was able to get the target's current scale"
        wanted = [
            condition("AbleToScale", now, ok=True, reason="SucceededGetScale", message=text),
            _active(found, target, now),
        ]
        status = {"currentMetrics": [{"type": ""}], "desiredReplicas": 0}
        if target["spec"].get("replicas"):
            status["currentReplicas"] = target["spec"]["replicas"]
    found["status"] = {**status, "conditions": settled(before.get("conditions"), *wanted)}
    context.write(SCALERS, found)


def _active(found: Object, target: Object, now: str) -> Object:
    if target["spec"].get("replicas") == 0:
        text = "scaling is disabled since the replica count of the target is zero"
        return condition("ScalingActive", now, ok=False, reason="ScalingDisabled", message=text)
    metrics: list[Object] = found["spec"].get("metrics") or [{}]
    name = (metrics[0].get("resource") or {}).get("name", "cpu")
    text = NO_METRICS.format(name=name)
    return condition("ScalingActive", now, ok=False, reason="FailedGetResourceMetric", message=text)
