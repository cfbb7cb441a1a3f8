"""What a Kustomization's path holds: its objects, as far as they can be known before it is rendered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hub.importing.closure import closure, kustomization
from hub.importing.fields import Foreign, foreign_of
from hub.importing.files import KUSTOMIZATIONS, MANIFESTS, inside, kustomization_in, last
from hub.importing.notes import want
from hub.importing.scene import Scene
from hub.importing.survey import manifests_in, tool_of
from shared.manifests import CLUSTER_SCOPED
from shared.model import Problem

TOOLKIT = ".toolkit.fluxcd.io"
_MARK = b"toolkit.fluxcd.io/"
_COMPONENTS = "gotk-components.yaml"
SYNC = "gotk-sync.yaml"


@dataclass(slots=True)
class Content:
    """`objects` is None when only rendering would tell what they are.

    `speaks` says that there are objects of Flux among them; `kustomized` that the path is a kustomization; `nested` are
    kustomizations below a path that is none; `bootstrap` directories hold Flux itself. `problem` is why it does
    not render.
    """

    objects: tuple[Foreign, ...] | None = None
    speaks: bool = False
    kustomized: bool = False
    nested: tuple[str, ...] = ()
    bootstrap: tuple[str, ...] = ()
    namespace: str = ""
    texts: list[str] = field(default_factory=list)
    problem: Problem | None = None
    written: tuple[Foreign, ...] = ()
    """The objects as its files have them, before a kustomization changes them."""


def content_of(scene: Scene, path: str, render: dict[str, Any], *, changed: bool) -> Content:
    """The content of a path in this repository.

    Args:
        scene: where it is read.
        path: the Kustomization's path.
        render: its `spec.render`, for the case that it has to be rendered.
        changed: the Kustomization itself changes its objects.
    """
    return (
        _kustomized(scene, path, render, changed=changed) if kustomization_in(scene.tree, path) else _plain(scene, path)
    )


def _kustomized(scene: Scene, path: str, render: dict[str, Any], *, changed: bool) -> Content:
    found = closure(scene.tree, path)
    resources = list(dict.fromkeys(resource for resource, _, _ in found.resources))
    speaks = _speaks(scene, resources)
    made = Content(speaks=speaks, kustomized=True, texts=_texts(scene, [*resources, *found.files]))
    made.namespace = str(kustomization(scene.tree, path).get("namespace") or "")
    made.written = _objects(scene, resources)
    if not found.changes and not found.incomplete and not changed:
        made.objects = made.written
    elif speaks:
        rendered = scene.rendered(want(path, render))
        if isinstance(rendered, tuple):
            made.objects = tuple(each for document in rendered if (each := foreign_of(document)) is not None)
        elif isinstance(rendered, Problem):
            made.problem = rendered
    return made


def _plain(scene: Scene, path: str) -> Content:
    survey = scene.look(path)
    nested = [each for each in survey.kustomizations if each != path]
    nested = [each for each in nested if not any(inside(each, other) and each != other for other in nested)]
    bootstrap = [each for each in nested if _COMPONENTS in scene.tree.names(each)]
    files = [each for each in manifests_in(survey, path) if each.endswith((".yaml", ".yml"))]
    files = [each for each in files if last(each) != _COMPONENTS]
    sync = [f"{each}/{SYNC}" for each in bootstrap if SYNC in scene.tree.names(each)]
    inner = [content_of(scene, each, {}, changed=False) for each in nested if each not in bootstrap]
    made = Content(
        objects=_objects(scene, [*files, *sync]),
        speaks=_speaks(scene, [*files, *sync]) or any(each.speaks for each in inner),
        nested=tuple(each for each in nested if each not in bootstrap),
        bootstrap=tuple(bootstrap),
        texts=_texts(scene, files),
    )
    made.written = made.objects or ()
    for each in inner:
        made.texts += each.texts
        made.written += each.written
        if each.objects is None:
            made.objects, made.problem = (None if each.speaks else made.objects), made.problem or each.problem
        elif made.objects is not None:
            made.objects += each.objects
    return made


def _speaks(scene: Scene, files: Iterable[str]) -> bool:
    return any(_MARK in scene.data(path) and any(map(_is_flux, scene.objects(path))) for path in files)


def _is_flux(found: Foreign) -> bool:
    return tool_of(found) == "flux"


def _objects(scene: Scene, files: Iterable[str]) -> tuple[Foreign, ...]:
    return tuple(found for path in files for found in scene.objects(path))


def _texts(scene: Scene, files: Iterable[str]) -> list[str]:
    return [
        scene.data(path).decode(errors="replace")
        for path in files
        if path.endswith(MANIFESTS) or last(path) not in KUSTOMIZATIONS
    ]


def home_namespace(content: Content) -> str:
    """The one namespace that all objects are in, empty when there is none: what says no namespace is in `default`."""
    if content.namespace:
        return content.namespace
    found = {
        each.namespace
        for each in content.objects or ()
        if not each.group.endswith(TOOLKIT)
        and (f"{each.kind}.{each.group}" if each.group else each.kind) not in CLUSTER_SCOPED
    }
    return next(iter(found)) if len(found) == 1 else ""
