"""Whether an object that already exists may be taken over, judged from its labels, annotations and managedFields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from agent.domain import applyset
from shared.model import Manifest

Adopt = Literal["ifUnowned", "always", "never"]
HELM_RELEASE = "meta.helm.sh/release-name"
INSTANCE = "app.kubernetes.io/instance"


class Owner(NamedTuple):
    """Who claims an object: as a phrase, and how to make it let go without deleting anything."""

    name: str
    release: str


def owner_of(live: Manifest, set_id: str, neighbours: Mapping[str, str] | None = None) -> Owner | None:
    """Who else claims the object; None when nobody does.

    `neighbours` are the agent's units by the id of their ApplySet.
    """
    metadata = live.get("metadata") or {}
    member_of = applyset.part_of(live)
    if member_of and member_of != set_id:
        if neighbour := (neighbours or {}).get(member_of):
            return Owner(f"application {neighbour}", "remove it from that one")
        return Owner(
            f"ApplySet {member_of}",
            "remove it from that set (of another application, or `kubectl apply --applyset`)",
        )
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for claim in _CLAIMS:
        if (found := claim(labels, annotations, live)) is not None:
            return found
    controller = controlled_by(live)
    return Owner(f"its controller {controller}", "remove it from Git, or the controller") if controller else None


def other_owner(live: Manifest, set_id: str) -> str:
    """Who else claims the object, as a phrase; empty when nobody does."""
    owner = owner_of(live, set_id)
    return owner.name if owner is not None else ""


_Claim = Callable[[dict[str, Any], dict[str, Any], Manifest], Owner | None]


def _flux(labels: dict[str, Any], _: dict[str, Any], __: Manifest) -> Owner | None:
    for kind, group in (("Kustomization", "kustomize"), ("HelmRelease", "helm")):
        if name := labels.get(f"{group}.toolkit.fluxcd.io/name"):
            namespace = labels.get(f"{group}.toolkit.fluxcd.io/namespace")
            full = f"{namespace}/{name}" if namespace else name
            how = "suspend it, set prune: false and delete it" if kind == "Kustomization" else "suspend it"
            return Owner(f"Flux {kind} {full}", f"in Flux {how}")
    return None


def _helm(_: dict[str, Any], annotations: dict[str, Any], __: Manifest) -> Owner | None:
    name = annotations.get(HELM_RELEASE)
    if not name:
        return None
    namespace = annotations.get("meta.helm.sh/release-namespace")
    full = f"{namespace}/{name}" if namespace else name
    return Owner(f"Helm release {full}", "delete the release's Secret sh.helm.release.v1… (not the release) afterwards")


def _argo(labels: dict[str, Any], annotations: dict[str, Any], live: Manifest) -> Owner | None:
    how = "delete the Application without cascade (`argocd app delete --cascade=false`)"
    if tracking := annotations.get("argocd.argoproj.io/tracking-id"):
        return Owner(f"Argo CD application {str(tracking).partition(':')[0]}", how)
    if name := labels.get("argocd.argoproj.io/instance"):
        return Owner(f"Argo CD application {name}", how)
    managed = (live.get("metadata") or {}).get("managedFields") or ()
    # Many charts set this label too: only with Argo CD among the writers does it mean tracking by label.
    argo = any(str(entry.get("manager", "")).startswith("argocd-") for entry in managed)
    if argo and (name := labels.get(INSTANCE)):
        return Owner(f"Argo CD application {name}", how)
    return None


def _rancher(labels: dict[str, Any], annotations: dict[str, Any], _: Manifest) -> Owner | None:
    name = labels.get("objectset.rio.cattle.io/hash") or annotations.get("objectset.rio.cattle.io/id")
    return Owner(f"Rancher Fleet ({name})", "set keepResources: true there and delete the GitRepo") if name else None


_CLAIMS: tuple[_Claim, ...] = (_flux, _argo, _helm, _rancher)


def controlled_by(live: Manifest) -> str:
    """`Kind name` of the controlling owner reference, empty when there is none."""
    for owner in (live.get("metadata") or {}).get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner.get('kind')} {owner.get('name')}"
    return ""


def is_ours(live: Manifest, set_id: str) -> bool:
    """Whether the object is in our inventory."""
    return applyset.part_of(live) == set_id


def may_not_take(live: Manifest, set_id: str, adopt: Adopt, neighbours: Mapping[str, str] | None = None) -> str:
    """Why an existing object is left alone; empty when it is ours or may be taken over.

    What another owner claims is taken on the user's word only, even when that owner seems to be gone. `neighbours` as
    for `owner_of`.
    """
    if is_ours(live, set_id) or adopt == "always":
        return ""
    owner = owner_of(live, set_id, neighbours)
    if owner is not None:
        return f"exists and belongs to {owner.name}: to take it over set sync.adopt to always, and {owner.release}"
    if adopt == "never":
        return "exists and was not made by this application: delete it, or set sync.adopt to ifUnowned"
    return ""
