"""APIServices: available when local, or when the service behind has a ready endpoint. Nothing is ever proxied."""

from __future__ import annotations

from typing import Any

from agent.sandbox.controllers.conditions import condition, settled
from agent.sandbox.controllers.endpoints import SERVICE, SERVICES, SLICES
from agent.sandbox.controllers.loop import Context
from agent.sandbox.store import NameKey

Object = dict[str, Any]
API_SERVICES = ("apiregistration.k8s.io", "apiservices")
FAIL = "sandbox.yardarm.dev/fail"


def backends_changed(context: Context) -> None:
    """Looks at every APIService."""
    bucket = context.cluster.store.buckets.get(API_SERVICES)
    for key in bucket.order if bucket else ():
        context.enqueue(reconcile, key)


def reconcile(context: Context, key: NameKey) -> None:
    """One APIService."""
    found = context.get(API_SERVICES, key)
    if found is None or "deletionTimestamp" in found["metadata"]:
        return
    reason, message = _state(context, found)
    ok = reason in ("Local", "Passed")
    status = found.get("status") or {}
    wanted = condition("Available", context.cluster.now(), ok=ok, reason=reason, message=message)
    found["status"] = {"conditions": settled(status.get("conditions"), wanted)}
    context.write(API_SERVICES, found, manager="kube-apiserver")


def _state(context: Context, found: Object) -> tuple[str, str]:
    backend = found["spec"].get("service")
    if not backend:
        return "Local", "Local APIServices are always available"
    name, namespace, port = backend["name"], backend["namespace"], backend.get("port", 443)
    service = context.get(SERVICES, (namespace, name))
    if service is None:
        return "ServiceNotFound", f'service/{name} in "{namespace}" is not present'
    wanted = next((p for p in service["spec"].get("ports") or () if p["port"] == port), None)
    if service["spec"].get("type") == "ExternalName":
        return "Passed", "all checks passed"
    if wanted is None:
        return "ServicePortError", f'service/{name} in "{namespace}" is not listening on port {port}'
    if not _reachable(context, namespace, name):
        text = f'endpointslices for service/{name} in "{namespace}" have no addresses with port name'
        return "MissingEndpoints", f'{text} "{wanted.get("name", "")}"'
    if (found["metadata"].get("annotations") or {}).get(FAIL) == "FailedDiscoveryCheck":
        where = f"https://{service['spec'].get('clusterIP')}:{port}/apis/{found['spec']['group']}"
        where += f"/{found['spec']['version']}"
        text = f"failing or missing response from {where}: bad status from {where}: 503"
        return "FailedDiscoveryCheck", text
    return "Passed", "all checks passed"


def _reachable(context: Context, namespace: str, name: str) -> bool:
    for record in context.cluster.store.bucket(SLICES).scan(namespace):
        if record.labels.get(SERVICE) == name:
            slice_ = record.decoded()
            if any((e.get("conditions") or {}).get("ready", True) for e in slice_.get("endpoints") or ()):
                return True
    return False
