"""A Flux Kustomization as an Application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hub.domain.documents import SUBSTITUTE
from hub.domain.fields import BUILTINS
from hub.importing.drafts import Draft, Key
from hub.importing.fields import Fields, Foreign
from hub.importing.files import kustomization_in, shown
from hub.importing.flux.content import TOOLKIT, Content, content_of, home_namespace
from hub.importing.flux.health import health_of
from hub.importing.flux.releases import Data
from hub.importing.flux.sources import Sources, Unknown, Where
from hub.importing.flux.substitution import Substitution, names_in, substitution_of, variables_for
from hub.importing.kustomizing import images_of, patches_of
from hub.importing.names import token
from hub.importing.scene import Scene
from hub.importing.words import compact, duration

FORCE = "kustomize.toolkit.fluxcd.io/force"
EVERYTHING = {"kind": ".*"}
OBJECTS = "objects"
"""What a Kustomization's own application is known by: waiting for the Kustomization is waiting for its releases too."""


@dataclass(slots=True)
class Kustomized:
    """A Kustomization, what it holds, and the variables that are put in before its HelmReleases are read."""

    draft: Draft
    where: Where
    content: Content
    substitution: Substitution
    variables: dict[str, Any] = field(default_factory=dict)


def key_of(kind: str, namespace: str, name: str) -> Key:
    """What an object of Flux is known by."""
    return ("flux", kind, namespace, name)


def translate(definition: Foreign, sources: Sources, data: Data, scene: Scene) -> Kustomized | None:
    """A Kustomization; None when it cannot be carried over at all, which is noted."""
    spec = scene.fields(definition)
    if spec.flag("suspend"):
        scene.left(definition, "suspended: it is not imported, what it has made stays", "spec.suspend")
        return None
    ref = spec.map("sourceRef")
    try:
        where = sources.directory(
            ref.text("kind"), ref.text("namespace") or definition.namespace, ref.text("name"), spec.text("path")
        )
    except Unknown as reason:
        scene.left(definition, str(reason), "spec.sourceRef")
        return None
    ref.needless("apiVersion")
    ref.finish()
    if where.local and scene.tree.kind(where.path) != "directory":
        scene.left(definition, f"there is no directory {shown(where.path)} in this repository", "spec.path")
        return None
    return _translated(definition, spec, where, data, scene)


def _translated(definition: Foreign, spec: Fields, where: Where, data: Data, scene: Scene) -> Kustomized:
    plain = where.local and not kustomization_in(scene.tree, where.path)
    kustomize, after = _changes(spec, where, plain=plain, scene=scene)
    render = {"kustomize": kustomize} if kustomize else {}
    changed = bool(kustomize)
    content = content_of(scene, where.path, render, changed=changed) if where.local else Content(objects=None)
    substitution = substitution_of(spec, definition, data)
    variables = variables_for(substitution, names_in(content.texts), spec) if substitution.on else {}
    if variables:
        after = {"variables": variables, **after}
    namespace = spec.text("targetNamespace") or home_namespace(content)
    made = compact(
        {
            "source": where.spec(),
            "sources": [{"path": each} for each in content.nested],
            "render": {**render, **_plain_render(where, content)},
            "namespace": token(namespace) if namespace else "",
            "overrides": [after] if after else [],
            "sync": _sync(spec),
            "health": health_of(spec),
        }
    )
    _rest(spec)
    draft = Draft(
        "Application",
        (definition.name, f"{definition.namespace}-{definition.name}"),
        made,
        definition,
        {key: text for key, text in definition.labels().items() if TOOLKIT not in key},
        _annotations(substitution, names_in(content.texts)),
        key=key_of(OBJECTS, definition.namespace, definition.name),
        needs=tuple(
            key_of("Kustomization", each.text("namespace") or definition.namespace, each.text("name"))
            for each in spec.items("dependsOn")
        ),
    )
    return Kustomized(draft, where, content, substitution, variables)


def _annotations(substitution: Substitution, names: dict[str, bool]) -> dict[str, str]:
    if not substitution.on:
        return {SUBSTITUTE: "disabled"}
    return {} if BUILTINS & names.keys() else {SUBSTITUTE: "variables"}


def _plain_render(where: Where, content: Content) -> dict[str, Any]:
    """Directories that are kustomizations of their own, or Flux itself, are no manifests of the rest."""
    if not where.local or content.kustomized:
        return {}
    exclude = sorted(each[len(where.path) :].lstrip("/") for each in (*content.nested, *content.bootstrap))
    return {"plain": {"exclude": exclude}} if exclude else {}


def _changes(spec: Fields, where: Where, *, plain: bool, scene: Scene) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what Kustomize is told, what is done to the objects afterwards)."""
    common = spec.map("commonMetadata")
    metadata = compact({"labels": common.strings("labels"), "annotations": common.strings("annotations")})
    common.finish()
    if spec.flag("force"):
        metadata.setdefault("annotations", {})[FORCE] = "enabled"
    patches, images, target = patches_of(spec), images_of(spec), spec.text("targetNamespace")
    last = [{"target": EVERYTHING, "patch": {"metadata": metadata}}] if metadata else []
    names = {key: spec.text(key) for key in ("namePrefix", "nameSuffix")}
    components = spec.texts("components")
    spec.left_if("ignoreMissingComponents", "a component that is not there is an error")
    if not plain:
        made = {**names, "images": images, "namespace": target, "components": components, "patches": patches}
        if not where.local and compact(made):
            spec.differs("path", "it is taken for a kustomization, because it is changed like one")
        return compact(made), compact({"patches": last})
    for key, value in {**names, "components": components}.items():
        if value:
            spec.left(key, "only a kustomization has it", f"add a kustomization.yaml to {shown(where.path)}")
    if target and _elsewhere(scene, where.path, target):
        spec.differs("targetNamespace", f"objects that say another namespace than {target!r} stay there")
    return {}, compact({"patches": [*patches, *last], "images": images})


def _elsewhere(scene: Scene, path: str, namespace: str) -> bool:
    objects = content_of(scene, path, {}, changed=False).objects or ()
    return any(each.namespace not in ("", namespace) for each in objects)


def _sync(spec: Fields) -> dict[str, Any]:
    prune = spec.flag("prune")
    policy = spec.text("deletionPolicy", "MirrorPrune")
    made: dict[str, Any] = {} if prune else {"prune": False}
    timeout = duration(spec.text("timeout"))
    if timeout:
        made["timeout"] = timeout
    if policy == "Orphan" or (policy == "MirrorPrune" and not prune):
        made["deletion"] = {"onDelete": "orphan"}
    return made


def _rest(spec: Fields) -> None:
    for each in spec.items("dependsOn"):
        each.left_if("readyExpr", "an application is ready when it is applied and healthy")
    spec.left_if("kubeConfig", "the cluster's own agent applies here", "place it on the cluster by name")
    spec.left_if("serviceAccountName", "the account is that of the Project", "write a Project with serviceAccount")
    spec.left_if(
        "decryption",
        "each cluster decrypts with a key of its own",
        "encrypt the files for the clusters (docs/SECRETS.md)",
    )
    spec.left_if("buildMetadata", "objects get no annotations about where they come from")
    spec.left_if("ignore", "write sync.ignore")
    spec.needless("interval", "retryInterval", "wait", "healthChecks", "validation")
    spec.finish()
