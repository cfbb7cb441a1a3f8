"""Namespaces: what each gets when it is made, and emptying it when it is deleted."""

from __future__ import annotations

from typing import Any

from agent.sandbox import problems
from agent.sandbox.controllers.loop import Context
from agent.sandbox.store import NameKey, StorageKey

Object = dict[str, Any]
NAMESPACES = ("", "namespaces")
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def reconcile(context: Context, key: NameKey) -> None:
    """One namespace."""
    namespace = context.get(NAMESPACES, key)
    if namespace is None:
        return
    name = key[1]
    if "deletionTimestamp" not in namespace["metadata"]:
        _furnish(context, name)
        return
    left = 0
    for storage, bucket in list(context.cluster.store.buckets.items()):
        for record in list(bucket.scan(name)):
            if not record.deleting:
                context.delete(storage, record.key)
            left += context.cluster.store.get(storage, record.key) is not None
    if left == 0:
        namespace["spec"]["finalizers"] = []
        del namespace["spec"]["finalizers"]
        context.write(NAMESPACES, namespace, status=False)


def _furnish(context: Context, name: str) -> None:
    furniture: tuple[tuple[StorageKey, Object], ...] = (
        (("", "serviceaccounts"), {"metadata": {"name": "default", "namespace": name}}),
        (
            ("", "configmaps"),
            {
                "metadata": {
                    "name": "kube-root-ca.crt", "namespace": name,
                    "annotations": {"kubernetes.io/description": DESCRIPTION},
                },
                "data": {"ca.crt": ""},
            },
        ),
    )  # fmt: skip
    for storage, obj in furniture:
        if context.cluster.store.get(storage, (name, obj["metadata"]["name"])) is None:
            try:
                context.create(storage, obj)
            except problems.ApiError as error:
                if error.reason != "Forbidden":  # it began to terminate in between
                    raise


def content_gone(context: Context, name: str) -> None:
    """Looks again at a namespace that is being emptied, or that lost what it was furnished with."""
    record = context.cluster.store.get(NAMESPACES, ("", name))
    if record is not None:
        context.enqueue(reconcile, ("", name))
