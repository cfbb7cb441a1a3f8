"""Which change wakes which controller."""

from __future__ import annotations

from typing import Any

from agent.sandbox.controllers import (
    apiservices,
    budgets,
    claims,
    crds,
    daemonsets,
    deployments,
    endpoints,
    garbage,
    jobs,
    namespaces,
    pods,
    quotas,
    replicasets,
    services,
    statefulsets,
)
from agent.sandbox.controllers.loop import Context, Controller, controlled_by
from agent.sandbox.store import NameKey, StorageKey

Object = dict[str, Any]

OWN: dict[StorageKey, Controller] = {
    ("apps", "deployments"): deployments.reconcile,
    ("apps", "replicasets"): replicasets.reconcile,
    ("apps", "statefulsets"): statefulsets.reconcile,
    ("apps", "daemonsets"): daemonsets.reconcile,
    ("batch", "jobs"): jobs.reconcile,
    ("", "pods"): pods.reconcile,
    ("", "namespaces"): namespaces.reconcile,
    ("", "persistentvolumeclaims"): claims.reconcile,
    ("", "persistentvolumes"): claims.volume,
    ("", "services"): services.reconcile,
    ("apiextensions.k8s.io", "customresourcedefinitions"): crds.reconcile,
    apiservices.API_SERVICES: apiservices.reconcile,
    budgets.BUDGETS: budgets.reconcile,
    budgets.SCALERS: budgets.scaler,
    quotas.QUOTAS: quotas.reconcile,
}
"""Controllers of the changed object itself."""

OWNERS: dict[StorageKey, tuple[tuple[str, str, Controller], ...]] = {
    ("apps", "replicasets"): (("apps/v1", "Deployment", deployments.reconcile),),
    ("", "pods"): (
        ("apps/v1", "ReplicaSet", replicasets.reconcile),
        ("apps/v1", "StatefulSet", statefulsets.reconcile),
        ("apps/v1", "DaemonSet", daemonsets.reconcile),
        ("batch/v1", "Job", jobs.reconcile),
    ),
}
"""Controllers of the changed object's owner."""


class Wiring:
    """Listens to one cluster's store."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def changed(self, storage: StorageKey, change: str, obj: Object, _: Object | None) -> None:
        """Puts the controllers that care about a change into the queue."""
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        key = (namespace, metadata["name"])
        context = self._context
        own = OWN.get(storage)
        if own is not None:
            context.enqueue(own, key)
        for api_version, kind, controller in OWNERS.get(storage, ()):
            name = controlled_by(obj, api_version, kind)
            if name:
                context.enqueue(controller, (namespace, name))
        if change == "DELETED":
            garbage.deleted(context, obj)
            if storage == ("", "pods"):
                claims.pod_gone(context, obj)
            if namespace:
                namespaces.content_gone(context, namespace)
            crds.content_gone(context, storage)
        elif "deletionTimestamp" in metadata or (change == "ADDED" and metadata.get("ownerReferences")):
            garbage.look_at(context, storage, key, obj)
        self._neighbours(storage, change, key, obj)

    def _neighbours(self, storage: StorageKey, change: str, key: NameKey, obj: Object) -> None:
        """Wakes what is bound to the changed object by selectors and names instead of owners."""
        context = self._context
        if storage == ("", "pods"):
            endpoints.pod_changed(context, obj)
            budgets.pod_changed(context, key[0])
            quotas.pods_changed(context, key[0])
        elif storage == ("", "services"):
            endpoints.service_changed(context, key, None if change == "DELETED" else obj)
            apiservices.backends_changed(context)
        elif storage == endpoints.SLICES:
            apiservices.backends_changed(context)
        elif storage in budgets.TARGETS.values():
            budgets.target_changed(context, key[0])
        elif storage == quotas.QUOTAS:
            replicasets.refused_again(context, key[0])
        elif storage == ("", "nodes"):
            daemonsets.nodes_changed(context)
