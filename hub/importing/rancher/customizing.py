"""What differs between the clusters of a bundle, targetCustomizations as overrides, and which of them get it at all."""

from __future__ import annotations

from typing import Any

from hub.importing.fields import Fields
from hub.importing.files import join
from hub.importing.rancher.bundles import Bundle, Chart, chart_of, helm_of
from hub.importing.rancher.overlays import Unreadable, kustomize_images, kustomize_patches, overlay_patches
from hub.importing.rancher.targets import Groups, targets_of
from hub.importing.scene import Scene
from hub.importing.selecting import Target, but_not, selector
from hub.importing.words import compact

_SELECTS = ("name", "clusterName", "clusterSelector", "clusterGroup", "clusterGroupSelector", "doNotDeploy")


def overrides_of(options: Fields, bundle: Bundle, groups: Groups, scene: Scene, way: str) -> list[dict[str, Any]]:
    """An override for each customization. In Fleet only the first that matches counts; here all that match do."""
    first_only = options.text("targetCustomizationMode", "FirstMatch") == "FirstMatch"
    made: list[dict[str, Any]] = []
    before: list[Target] = []
    for each in options.items("targetCustomizations"):
        targets = targets_of(each, groups)
        chosen = but_not(targets, before, groups.environments) if first_only else list(targets)
        before += targets
        changed = changes_of(each, bundle, scene, way)
        _finish(each)
        when = selector(chosen) if chosen is not None else None
        if not changed or each.flag("doNotDeploy") or not targets or chosen == []:
            continue
        if when is None:
            each.left("", "which clusters it means, and none before it did, takes more than one selector to say")
            continue
        made.append({**({"when": when} if when else {}), **changed})
    return made


def kustomized(options: Fields, groups: Groups) -> list[Target]:
    """Whom the customizations mean that name a kustomization of their own."""
    entries = [each for each in options.items("targetCustomizations") if each.map("kustomize").text("dir")]
    return [target for each in entries for target in targets_of(each, groups)]


def changes_of(options: Fields, bundle: Bundle, scene: Scene, way: str) -> dict[str, Any]:
    """What a fleet.yaml, or one of its customizations, changes of the bundle's objects."""
    made: dict[str, Any] = {}
    directory = join(bundle.directory, options.map("kustomize").text("dir"))
    kustomized = bool(options.map("kustomize").text("dir")) and directory is not None
    customization = bool(options.path)
    try:
        if way == "helm" and kustomized:
            made["patches"] = kustomize_patches(scene, directory or "")
            made["images"] = kustomize_images(scene, directory or "")
        elif kustomized and customization:
            made["path"] = directory
        overlays = options.map("yaml").texts("overlays")
        if overlays and way == "plain":
            made["patches"] = [patch for name in overlays for patch in overlay_patches(scene, bundle.directory, name)]
        elif overlays:
            options.left("yaml", "overlays are for plain manifests")
    except Unreadable as reason:
        options.left("kustomize" if kustomized else "yaml", str(reason))
    if customization:
        made |= _helm(options.map("helm"), bundle, scene, way)
    return compact(made)


def _helm(helm: Fields, bundle: Bundle, scene: Scene, way: str) -> dict[str, Any]:
    version = helm.text("version")
    if helm.text("chart") or helm.text("repo") or helm.text("releaseName"):
        helm.left("chart", "another chart or release for some clusters", "make an application of it, placed on them")
    local = chart_of(helm, bundle, scene).local if not helm.text("chart") else None
    told = helm_of(helm, bundle, Chart(local=local, there=True), scene)
    return compact(
        {
            "version": version,
            "values": told.get("values", {}),
            "valueFiles": told.get("valueFiles", []),
        }
        if way == "helm"
        else {}
    )


def _finish(entry: Fields) -> None:
    entry.needless(*_SELECTS, "helm", "kustomize", "yaml", "forceSyncGeneration")
    for name in ("namespace", "defaultNamespace"):
        entry.left_if(name, "an application is in one namespace", "make an application of it, placed on these clusters")
    for name in ("namespaceLabels", "namespaceAnnotations"):
        entry.left_if(name, "the namespace is made without them", "add a Namespace manifest")
    for name in ("correctDrift", "diff", "keepResources", "ignore"):
        entry.left_if(name, "it is the same on all clusters of an application")
    entry.left_if("serviceAccount", "the account is that of the Project")
    entry.finish()


def placement_of(
    options: Fields, bundle: Bundle, groups: Groups, targets: list[Target] | None, scene: Scene
) -> tuple[dict[str, Any], bool | None]:
    """(`placement`, …): the second is None when no cluster at all is meant."""
    if "overrideTargets" in options:
        entries = options.items("overrideTargets")
        targets = [target for each in entries for target in targets_of(each, groups)]
        for each in entries:
            each.needless("name")
            each.finish()
    denied = [
        target
        for each in options.items("targetCustomizations")
        if each.flag("doNotDeploy")
        for target in targets_of(each, groups)
    ]
    if targets == []:
        scene.left(bundle.about, "no cluster is meant by its targets: it is not imported")
        return {}, None
    chosen = but_not(targets or [Target()], denied, groups.environments)
    made = selector(chosen) if chosen is not None else None
    if made is None:
        scene.left(
            bundle.about,
            "which clusters it goes to takes more than one selector to say: it is placed on none",
            hint="write placement, or label these clusters",
        )
        return {"clusters": [f"{bundle.directory.replace('/', '-')}-placement"[:60]]}, True
    return made, True
