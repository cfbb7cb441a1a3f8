"""What is deleted only with a person's word, and what never: the same for the agent, which acts, and for previews.

Pure rules over what is to leave one unit; budgets over a fleet's applications and clusters are the hub's.
"""

from __future__ import annotations

from shared.manifests import notes
from shared.messages import Policy
from shared.model import Manifest

PROTECTED = frozenset({"Namespace", "CustomResourceDefinition.apiextensions.k8s.io", "PersistentVolumeClaim"})
"""Kinds (`Kind.group`) whose deletion takes other things, or data, with it."""

BUDGET_FLOOR = 5
"""A percentage does not hold back fewer deletions than this."""

CONFIRM = "needs `yardarm confirm`"

SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
_KEEPING = {
    "kustomize.toolkit.fluxcd.io/prune": ("disabled",),
    "helm.sh/resource-policy": ("keep",),
    "client.lifecycle.config.k8s.io/deletion": ("detach",),
    "cli-utils.sigs.k8s.io/on-remove": ("keep",),
}


def sync_options(manifest: Manifest) -> set[str]:
    """What Argo CD's annotation for options lists."""
    return {part.strip() for part in str(notes(manifest).get(SYNC_OPTIONS) or "").split(",")}


def keep(manifest: Manifest) -> str:
    """Why the object is never deleted, empty when it may be."""
    noted = notes(manifest)
    for name, values in _KEEPING.items():
        if str(noted.get(name, "")).lower() in values:
            return f"its annotation {name} says {noted[name]}"
    if {"Prune=false", "Delete=false"} & sync_options(manifest):
        return f"its annotation {SYNC_OPTIONS} says {noted[SYNC_OPTIONS]}"
    return ""


def kept(manifest: Manifest, policy: Policy) -> str:
    """Why an object that left the bundle stays; empty when it goes."""
    return keep(manifest) or ("" if policy.prune else "sync.prune is false")


def protected(group_kind: str) -> str:
    """Why an object of this kind is only deleted with a person's word; empty when it goes by itself."""
    return f"deleting a {group_kind.partition('.')[0]} {CONFIRM}" if group_kind in PROTECTED else ""


def over_budget(leaving: int, members: int, policy: Policy, *, empty: bool) -> str:
    """Why this many deletions wait for a person; empty when they may go ahead. `empty`: the bundle holds nothing."""
    if leaving == 0:
        return ""
    if empty:
        return f"the bundle is empty, {leaving} objects would be deleted: {CONFIRM}"
    text = policy.deletion.budget.strip()
    percent = text.endswith("%")
    allowed = float(text.rstrip("%")) * (members / 100 if percent else 1)
    if leaving <= allowed or (percent and leaving < BUDGET_FLOOR):
        return ""
    return f"{leaving} of {members} objects would be deleted, the budget is {text}: {CONFIRM}"
