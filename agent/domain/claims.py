"""Whether an object that already exists may be taken over, judged from its labels and annotations."""

from __future__ import annotations

from typing import Literal

from agent.domain import applyset
from shared.model import Manifest

_OWNER_ANNOTATIONS = {
    "meta.helm.sh/release-name": "Helm release {}",
    "argocd.argoproj.io/tracking-id": "Argo CD ({})",
}
_OWNER_LABELS = {
    "kustomize.toolkit.fluxcd.io/name": "Flux Kustomization {}",
    "helm.toolkit.fluxcd.io/name": "Flux HelmRelease {}",
    "objectset.rio.cattle.io/hash": "Rancher Fleet ({})",
}


def other_owner(live: Manifest, set_id: str) -> str:
    """Who else claims the object, as a phrase; empty when nobody does."""
    metadata = live.get("metadata") or {}
    member_of = applyset.part_of(live)
    if member_of and member_of != set_id:
        return f"ApplySet {member_of}"
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for names, texts in ((_OWNER_ANNOTATIONS, annotations), (_OWNER_LABELS, labels)):
        for name, phrase in names.items():
            if texts.get(name):
                return phrase.format(texts[name])
    controller = controlled_by(live)
    return f"its controller {controller}" if controller else ""


def controlled_by(live: Manifest) -> str:
    """`Kind name` of the controlling owner reference, empty when there is none."""
    for owner in (live.get("metadata") or {}).get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner.get('kind')} {owner.get('name')}"
    return ""


def is_ours(live: Manifest, set_id: str) -> bool:
    """Whether the object is in our inventory."""
    return applyset.part_of(live) == set_id


def may_not_take(live: Manifest, set_id: str, adopt: Literal["ifUnowned", "always", "never"]) -> str:
    """Why an existing object is left alone; empty when it is ours or may be taken over."""
    if is_ours(live, set_id) or adopt == "always":
        return ""
    owner = other_owner(live, set_id)
    if owner:
        return f"exists and belongs to {owner}: remove it there, or set sync.adopt to always"
    if adopt == "never":
        return "exists and was not made by this application: delete it, or set sync.adopt to ifUnowned"
    return ""
