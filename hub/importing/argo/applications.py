"""An Argo CD Application as ours."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.domain.documents import SUBSTITUTE
from hub.importing.argo.clusters import placement_of
from hub.importing.argo.sources import About, Part, part_of
from hub.importing.argo.syncing import sync_of
from hub.importing.drafts import Draft, Key
from hub.importing.fields import Fields, Foreign
from hub.importing.home import Origins
from hub.importing.names import token
from hub.importing.scene import Scene
from hub.importing.words import compact

DEFAULT_PROJECT = "default"
WAVE = "argocd.argoproj.io/sync-wave"


@dataclass(slots=True)
class Translated:
    """An Application and what must be known of it to see what is behind it. `main` is its first rendered source."""

    draft: Draft
    main: Part
    parts: list[Part] = field(default_factory=list)
    wave: int = 0


def key_of(application: Foreign) -> Key:
    """What an Application is known by."""
    return ("argocd", "Application", application.namespace, application.name)


def sources_of(spec: Fields) -> list[Fields]:
    """All sources of an Application, whether it has one, several, or a hydrator."""
    if "sources" in spec:
        spec.needless("source")
        return spec.items("sources")
    if "source" in spec:
        return [spec.map("source")]
    hydrator = spec.map("sourceHydrator")
    if "drySource" in hydrator:
        spec.differs("sourceHydrator", "the dry source is rendered; nothing is pushed to a branch")
        return [hydrator.map("drySource")]
    return []


def translate(application: Foreign, origins: Origins, servers: Mapping[str, str], scene: Scene) -> Translated | None:
    """An Application; None when it cannot be carried over at all, which is noted."""
    spec = scene.fields(application)
    destination = spec.map("destination")
    namespace = destination.text("namespace") or "default"
    about = About(application.name, namespace, spec.text("project") or DEFAULT_PROJECT)
    parts = [part_of(source, about, origins, scene) for source in sources_of(spec)]
    rendered = [part for part in parts if part.rendered]
    if not rendered or not all(part.usable for part in parts):
        if not rendered:
            scene.left(application, "it has no source that is rendered", "spec")
        return None
    main, others = rendered[0], [part for part in parts if part is not rendered[0]]
    made = compact(
        {
            "project": token(about.project) if about.project != DEFAULT_PROJECT else "",
            "source": main.source,
            "sources": [_further(part) for part in others],
            "render": main.render,
            "namespace": token(namespace),
            "placement": placement_of(destination, servers),
            "sync": sync_of(spec, application),
        }
    )
    spec.needless("info", "revisionHistoryLimit", "sourceHydrator")
    spec.finish()
    # Argo CD puts in no variables: ${cluster} in a script of theirs is not our builtin.
    draft = Draft(
        "Application",
        (application.name, f"{application.namespace or 'argocd'}-{application.name}"),
        made,
        application,
        _labels(application),
        {SUBSTITUTE: "disabled"},
        key=key_of(application),
        release=application.name,
        helm=main.helm,
    )
    return Translated(draft, main, parts, _wave(application, scene))


def _further(part: Part) -> dict[str, Any]:
    made = {"name": part.name, **part.source}
    if part.rendered and not {"path", "chart"} & made.keys():
        made["path"] = "."
    return compact({**made, "render": part.render})


def _labels(application: Foreign) -> dict[str, str]:
    return {key: text for key, text in application.labels().items() if "argocd.argoproj.io/" not in key}


def _wave(application: Foreign, scene: Scene) -> int:
    text = application.annotation(WAVE)
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        scene.left(application, f"{WAVE}: {text!r} is not a number", "metadata.annotations")
        return 0


def in_waves(siblings: list[Translated], scene: Scene) -> None:
    """Applications of later waves wait for those of the wave before, among those that belong together."""
    waves = sorted({each.wave for each in siblings})
    for before, wave in itertools.pairwise(waves):
        earlier = tuple(each.draft.key for each in siblings if each.wave == before)
        for each in siblings:
            if each.wave == wave:
                each.draft.needs = (*each.draft.needs, *earlier)
                scene.differs(
                    each.draft.origin,
                    f"{WAVE}: it waits until the applications of wave {before} are healthy on the same cluster",
                    "metadata.annotations",
                )
