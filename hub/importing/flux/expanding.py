"""HelmReleases among rendered objects: the charts they ask for, to be rendered in place.

For `render.helmReleases: expand`: takes the objects of one application at once, because releases name their sources and
value ConfigMaps among them. Variables must be in the HelmReleases already: they may decide what a chart renders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.domain.yamldoc import Document
from hub.importing.fields import Foreign, foreign_of
from hub.importing.flux.releases import Release, decoded, release_of
from hub.importing.flux.sources import Index, Sources, Unknown
from hub.importing.home import Home, Origins
from hub.importing.notes import Notes
from shared.model import Place, Problem, Value

_HELM = "helm.toolkit.fluxcd.io"
_SOURCES = ("source.toolkit.fluxcd.io", "source.extensions.fluxcd.io")
_TOOLKIT = ".toolkit.fluxcd.io"


class NestedChart(Value, frozen=True):
    """A chart to render in place of a HelmRelease.

    `source` is a `spec.source`: `repo`, `chart` and `version`, or `repo`, `ref` and `path` in Git (without `repo`: this
    repository at the same commit). `value_files` are as in `render.helm.valueFiles`. `patches` and `images` are applied
    to what comes out. `crds` says what becomes of the chart's CRDs.
    """

    name: str
    source: dict[str, str]
    release: str
    namespace: str
    values: dict[str, Any]
    value_files: tuple[str, ...] = ()
    ignore_missing_value_files: bool = False
    crds: bool = True
    patches: tuple[dict[str, Any], ...] = ()
    images: tuple[dict[str, Any], ...] = ()
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Expanded:
    """`remaining` are the objects that stay, as they came; `problems` are errors that fail the render, and warnings."""

    remaining: tuple[Document, ...]
    charts: tuple[NestedChart, ...]
    problems: tuple[Problem, ...] = field(default=())


def expand(documents: Sequence[Document], home: Home | None = None) -> Expanded:
    """The charts among rendered objects, and all other objects.

    Args:
        documents: each holds one object; variables are put in.
        home: this repository, for GitRepositories that mean it; unknown by default.
    """
    found = [(document, foreign_of(document)) for document in documents]
    index, notes = Index(), Notes()
    index.learn(each for _, each in found if each is not None)
    sources = Sources(index.find, Origins(home or Home()), notes)
    remaining, charts, problems = [], [], list[Problem]()
    for document, each in found:
        if each is None or not (each.group.endswith(_TOOLKIT) or each.group in _SOURCES):
            remaining.append(document)
        elif each.group == _HELM:
            chart = _chart(each, sources, problems)
            if chart is not None:
                charts.append(chart)
        elif each.group not in _SOURCES:
            problems.append(
                Problem("warning", f"{each.subject}: left out, Flux itself is not at work here", each.place())
            )
    problems += [note.problem() for note in notes.all()]
    return Expanded(tuple(remaining), tuple(charts), tuple(dict.fromkeys(problems)))


def _chart(definition: Foreign, sources: Sources, problems: list[Problem]) -> NestedChart | None:
    def data(kind: str, namespace: str, name: str) -> Mapping[str, str] | None:
        found = sources.find(kind, namespace, name)
        return decoded(kind, found.document.value) if found is not None else None

    spec = definition.document.value.get("spec")
    if isinstance(spec, dict) and spec.get("suspend"):
        message = f"{definition.subject} is suspended: its chart is left out"
        problems.append(Problem("warning", message, definition.place("spec.suspend")))
        return None
    try:
        read = release_of(definition, sources, data, sources.notes)
    except Unknown as reason:
        problems.append(Problem("error", f"{definition.subject}: {reason}", definition.place("spec.chart")))
        return None
    for what in read.missing:
        hint = "have it among the objects, or make valuesFrom optional"
        problems.append(Problem("error", f"{definition.subject}: no {what}", definition.place("spec.valuesFrom"), hint))
    return None if read.missing else _nested(definition, read)


def _nested(definition: Foreign, read: Release) -> NestedChart:
    return NestedChart(
        name=definition.name,
        source={key: str(value) for key, value in read.source.items()},
        release=read.release,
        namespace=read.namespace,
        values=read.values,
        value_files=tuple(read.value_files),
        ignore_missing_value_files=read.ignore_missing,
        crds=read.crds,
        patches=tuple(read.patches),
        images=tuple(read.images),
        place=definition.place(),
    )
