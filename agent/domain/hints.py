"""What annotations on an object ask of the one who applies it, in the dialects of Argo CD, Flux, Helm and kubectl.

Only reading: what follows from a hint is for plan and applier to decide.
"""

from __future__ import annotations

from shared.deletion import sync_options
from shared.manifests import notes
from shared.model import Manifest

DEPENDS_ON = "config.kubernetes.io/depends-on"
SSA = "kustomize.toolkit.fluxcd.io/ssa"
_RECONCILE = "kustomize.toolkit.fluxcd.io/reconcile"
_WAVE = "argocd.argoproj.io/sync-wave"
_ARGO_HOOK = "argocd.argoproj.io/hook"
_HELM_HOOK = "helm.sh/hook"
_HELM_WEIGHT = "helm.sh/hook-weight"


def hooks(manifest: Manifest) -> tuple[str, ...]:
    """The hook names an object carries; those of Argo CD win over those of Helm, as they do there.

    `crd-install`, from before Helm 3, is left out: such a definition is kept like any other.
    """
    noted = notes(manifest)
    text = noted.get(_ARGO_HOOK) or noted.get(_HELM_HOOK)
    if not text:
        return ()
    names = (part.strip() for part in str(text).split(","))
    return tuple(name for name in names if name and name.lower() != "crd-install")


def is_hook(manifest: Manifest) -> bool:
    """Whether the object is a step that is run rather than a state that is kept."""
    return bool(hooks(manifest))


def not_applied(manifest: Manifest) -> str:
    """Why the object is not applied at all, empty when it is."""
    noted = notes(manifest)
    for name, value in ((SSA, "ignore"), (_RECONCILE, "disabled")):
        if noted.get(name, "").lower() == value:
            return f"its annotation {name} says {noted[name]}"
    return ""


def depends_on(manifest: Manifest) -> tuple[str, ...]:
    """The objects it wants to come after, as they are written."""
    text = str(notes(manifest).get(DEPENDS_ON) or "")
    return tuple(part.strip() for part in text.split(",") if part.strip())


def wave(manifest: Manifest) -> int:
    """The sync wave (Argo CD) or hook weight (Helm); 0 when absent or no number."""
    noted = notes(manifest)
    text = noted.get(_WAVE) or (noted.get(_HELM_WEIGHT) if _HELM_WEIGHT in noted and is_hook(manifest) else None)
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        return 0


def create_only(manifest: Manifest) -> bool:
    """Whether an object that exists is left as it is."""
    return notes(manifest).get(SSA, "").lower() == "ifnotpresent"


def recreate(manifest: Manifest) -> bool:
    """Whether it may be deleted and created anew when a change is refused because a field is immutable."""
    enabled = notes(manifest).get("kustomize.toolkit.fluxcd.io/force", "").lower() in ("enabled", "true")
    return enabled or bool({"Force=true", "Replace=true"} & sync_options(manifest)) or is_hook(manifest)


def vanishes(manifest: Manifest) -> bool:
    """Whether its absence is no drift once it was applied: hooks, and Jobs that clean up after themselves."""
    spec = manifest.get("spec")
    own_end = isinstance(spec, dict) and spec.get("ttlSecondsAfterFinished") is not None
    return is_hook(manifest) or (manifest.get("kind") == "Job" and own_end)
