"""Endpoints and EndpointSlices of Services with a selector, from the pods that it picks."""

from __future__ import annotations

from typing import Any

from agent.sandbox.controllers import pods
from agent.sandbox.controllers.loop import Context, owner_of
from agent.sandbox.controllers.pods import PODS
from agent.sandbox.store import NameKey

Object = dict[str, Any]
SERVICES = ("", "services")
ENDPOINTS = ("", "endpoints")
SLICES = ("discovery.k8s.io", "endpointslices")
MANAGED = "endpoints.kubernetes.io/managed-by"
SLICE_MANAGED = "endpointslice.kubernetes.io/managed-by"
SERVICE = "kubernetes.io/service-name"


def service_changed(context: Context, key: NameKey, service: Object | None) -> None:
    """Remembers a service's selector (None: it is gone) and looks at its endpoints."""
    selector = (service or {}).get("spec", {}).get("selector")
    known = context.selectors.setdefault(key[0], {})
    had = known.pop(key[1], None)
    if selector:
        known[key[1]] = selector
    if not known:
        del context.selectors[key[0]]
    if selector or had:
        context.enqueue(reconcile, key)


def pod_changed(context: Context, pod: Object) -> None:
    """Looks at the services that pick this pod."""
    labels = pod["metadata"].get("labels") or {}
    namespace = pod["metadata"]["namespace"]
    for name, selector in context.selectors.get(namespace, {}).items():
        if selector.items() <= labels.items():
            context.enqueue(reconcile, (namespace, name))


def reconcile(context: Context, key: NameKey) -> None:
    """The endpoints of one service."""
    service = context.get(SERVICES, key)
    if service is None:
        old = context.get(ENDPOINTS, key)
        if old is not None and MANAGED in (old["metadata"].get("labels") or {}):
            context.delete(ENDPOINTS, key)
        return
    selector = service["spec"].get("selector")
    if not selector or "deletionTimestamp" in service["metadata"]:
        return
    bucket = context.cluster.store.bucket(PODS)
    picked = [record.key for record in bucket.scan(key[0]) if selector.items() <= record.labels.items()]
    found = [pod for k in picked if (pod := context.get(PODS, k)) is not None and _counts(pod)]
    _write_endpoints(context, service, found)
    _write_slice(context, service, found)


def _counts(pod: Object) -> bool:
    return bool(pod["status"].get("podIP")) and pod["status"].get("phase") not in ("Succeeded", "Failed")


def _ports(service: Object, pod: Object | None) -> list[Object]:
    out = []
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        if isinstance(target, str):
            target = next(
                (
                    p["containerPort"]
                    for c in (pod or {"spec": {}})["spec"].get("containers") or ()
                    for p in c.get("ports") or ()
                    if p.get("name") == target
                ),
                None,
            )
        if target is not None:
            name = {"name": port["name"]} if port.get("name") else {}
            out.append({**name, "port": target, "protocol": port.get("protocol", "TCP")})
    return out


def _target(pod: Object) -> Object:
    metadata = pod["metadata"]
    reference = {"kind": "Pod", "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
    return {"nodeName": pod["spec"]["nodeName"], "targetRef": reference}


def _labels(service: Object, **marks: str) -> Object:
    headless = {"service.kubernetes.io/headless": ""} if service["spec"].get("clusterIP") == "None" else {}
    return {**(service["metadata"].get("labels") or {}), **headless, **marks}


def _serves(service: Object, pod: Object) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    return pods.is_ready(pod) or bool(service["spec"].get("publishNotReadyAddresses"))


def _write_endpoints(context: Context, service: Object, found: list[Object]) -> None:
    key = (service["metadata"]["namespace"], service["metadata"]["name"])
    alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    subset: Object = {}
    for pod in alive:
        field = "addresses" if _serves(service, pod) else "notReadyAddresses"
        subset.setdefault(field, []).append({"ip": pod["status"]["podIP"], **_target(pod)})
    ports = _ports(service, alive[0] if alive else None)
    if subset and ports:
        subset["ports"] = ports
    subsets = {"subsets": [subset]} if subset else {}
    metadata = {"name": key[1], "namespace": key[0], "labels": _labels(service, **{MANAGED: "endpoint-controller"})}
    old = context.get(ENDPOINTS, key)
    if old is None:
        context.create(ENDPOINTS, {"metadata": metadata, **subsets})
        return
    old["metadata"]["labels"] = metadata["labels"]
    old.pop("subsets", None)
    context.write(ENDPOINTS, {**old, **subsets}, status=False)


def _endpoint(service: Object, pod: Object) -> Object:
    ending = "deletionTimestamp" in pod["metadata"]
    conditions = {"ready": _serves(service, pod), "serving": pods.is_ready(pod), "terminating": ending}
    return {"addresses": [pod["status"]["podIP"]], "conditions": conditions, **_target(pod)}


def _write_slice(context: Context, service: Object, found: list[Object]) -> None:
    metadata = service["metadata"]
    content: Object = {
        "endpoints": [_endpoint(service, pod) for pod in found] or None,
        "ports": (_ports(service, found[0]) if found else None) or None,
    }
    marks = {SLICE_MANAGED: "endpointslice-controller.k8s.io", SERVICE: metadata["name"]}
    labels = _labels(service, **marks)
    old = context.owned(metadata["uid"], SLICES)
    if not old:
        head = {"generateName": metadata["name"] + "-", "namespace": metadata["namespace"], "labels": labels}
        head["ownerReferences"] = [owner_of(service)]
        context.create(SLICES, {"metadata": head, "addressType": "IPv4", **content})
        return
    old[0]["metadata"]["labels"] = labels
    context.write(SLICES, {**old[0], **content}, status=False)
