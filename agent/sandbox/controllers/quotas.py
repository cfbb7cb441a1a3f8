"""ResourceQuotas: their status, and another try for who was refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from agent.sandbox import admission
from agent.sandbox.controllers.loop import Context
from agent.sandbox.store import NameKey

Object = dict[str, Any]
QUOTAS = admission.QUOTAS


def pods_changed(context: Context, namespace: str) -> None:
    """Counts again."""
    bucket = context.cluster.store.buckets.get(QUOTAS)
    for record in bucket.scan(namespace) if bucket else ():
        context.enqueue(reconcile, record.key)


def reconcile(context: Context, key: NameKey) -> None:
    """One quota."""
    quota = context.get(QUOTAS, key)
    if quota is None:
        return
    hard = quota["spec"].get("hard") or {}
    taken = admission.used(context.cluster, key[0])
    used = dict.fromkeys(hard, "0")
    for name, field in admission.tracked(hard).items():
        used[name] = admission.text_of(taken.get(field, Fraction(0)), str(hard[name]))
    quota["status"] = {"hard": hard, "used": used}
    context.write(QUOTAS, quota)
