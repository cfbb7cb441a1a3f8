"""`render.helmReleases: expand`: HelmReleases among an application's objects, put in place by what their charts make.

It stands around the renderer: what that makes is looked through once variables are in, and each chart that is asked for
is rendered like an application of its own, in the namespace of its release.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson

from hub.domain.blending import blend
from hub.domain.documents import API_VERSION, Application
from hub.domain.reading import FleetDocument, parse_document
from hub.domain.variables import Scope
from hub.domain.variants import Inputs
from hub.domain.yamldoc import Document
from hub.importing.flux.expanding import NestedChart, expand
from hub.render.job import Rendered, RenderedObject, RenderError
from hub.render.parts import Supplies
from shared.bundle import canonical_line
from shared.model import Place, Problem

Render = Callable[[Inputs, Supplies], Awaitable[Rendered]]
_MOST = 200
"""HelmReleases of one application."""


class Expanding:
    """Renders as `render` does, and expands HelmReleases where the application says so."""

    def __init__(self, render: Render) -> None:
        self._render = render

    async def render(self, inputs: Inputs, supplies: Supplies) -> Rendered:
        """See `Renderer.render`."""
        made = await self._render(inputs, supplies)
        if all(part.render.helm_releases != "expand" for part in inputs.blend.parts):
            return made
        by_place = dict(enumerate(made.objects))
        found = expand([_document(number, each) for number, each in by_place.items()])
        problems = [_placed(problem, by_place, inputs.application) for problem in found.problems]
        if len(found.charts) > _MOST:
            problems.append(Problem("error", f"more than {_MOST} HelmReleases", application=inputs.application))
        if any(problem.severity == "error" for problem in problems):
            raise RenderError(tuple(problems))
        objects = {by_place[each.line].ref.key: by_place[each.line] for each in found.remaining}
        warnings, used = [*made.warnings, *problems], set(made.used)
        for chart in found.charts:
            rendered = await self._render(_inputs(chart, inputs), supplies)
            warnings += rendered.warnings
            for each in rendered.objects:
                if each.ref.key in objects:
                    message = f"{each.ref} comes out of HelmRelease {chart.name}, and is there already"
                    raise RenderError((Problem("error", message, each.place, application=inputs.application),))
                objects[each.ref.key] = _in_namespace(each, inputs.namespace)
        ordered = tuple(objects[key] for key in sorted(objects))
        return Rendered(ordered, tuple(sorted(used)), tuple(dict.fromkeys(warnings)))


def _document(number: int, found: RenderedObject) -> Document:
    """An object that says its namespace. Its number stands for its place."""
    value = orjson.loads(found.line)
    if found.ref.namespace:
        value["metadata"].setdefault("namespace", found.ref.namespace)
    return Document("", number, value)


def _placed(problem: Problem, objects: dict[int, RenderedObject], application: str) -> Problem:
    known = objects.get(problem.place.line) if problem.place is not None else None
    place = Place(known.place.file, known.place.line, problem.place.field) if known and problem.place else None
    return msgspec.structs.replace(problem, place=place, application=application)


def _inputs(chart: NestedChart, around: Inputs) -> Inputs:
    """A chart as an application of its own. Variables are in its values already: what is left is not ours.

    Raises:
        RenderError: it is no valid application.
    """
    helm: dict[str, Any] = {"release": chart.release, "values": chart.values, "skipCRDs": not chart.crds}
    helm |= {"valueFiles": chart.value_files, "ignoreMissingValueFiles": chart.ignore_missing_value_files}
    spec = {
        "source": chart.source,
        "render": {"helm": helm},
        "namespace": chart.namespace,
        "overrides": [{"patches": chart.patches, "images": chart.images}],
    }
    value = {"apiVersion": API_VERSION, "kind": "Application", "metadata": {"name": around.application}, "spec": spec}
    found = parse_document(Document(f"HelmRelease {chart.name}", 0, value))
    if not isinstance(found, FleetDocument) or not isinstance(found.resource, Application):
        raise RenderError(() if isinstance(found, FleetDocument) else found.problems)
    whole = blend(found.resource, [*enumerate(found.resource.spec.overrides)])
    return Inputs(around.application, chart.namespace, whole, Scope(), around.capabilities)


def _in_namespace(found: RenderedObject, usual: str) -> RenderedObject:
    """The object with its namespace in it, where it is not that of the application."""
    if found.ref.namespace in ("", usual):
        return found
    value = orjson.loads(found.line)
    value["metadata"].setdefault("namespace", found.ref.namespace)
    return msgspec.structs.replace(found, line=canonical_line(value))
