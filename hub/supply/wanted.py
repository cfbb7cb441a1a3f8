"""What a repository says only once it is rendered: charts and kustomizations that make definitions of other tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from hub.domain.blending import candidates
from hub.domain.documents import API_VERSION, SUBSTITUTE
from hub.domain.fleet import build_fleet, cluster_document
from hub.domain.reading import Rejected, parse_document
from hub.domain.variants import Inputs, Variants
from hub.domain.yamldoc import Document
from hub.importing.files import shown
from hub.importing.notes import Want
from hub.render.job import Rendered, RenderError
from hub.render.parts import Supplies as AnySupplies
from hub.supply.pinned import Supplies
from shared.errors import DocumentError, Unavailable
from shared.model import Place, Problem

_CLUSTER = "any"
_NAME = "definitions"

Render = Callable[[Inputs, AnySupplies], Awaitable[Rendered]]


async def rendered(want: Want, supplies: Supplies, render: Render) -> tuple[Document, ...] | Problem:
    """The objects that a directory renders to, or why it does not.

    They are what every cluster would get: charts see Helm's own idea of a cluster, and no variables are put in.

    Raises:
        Unavailable: a worker was lost; trying again may help.
    """
    document = parse_document(_application(want))
    if isinstance(document, Rejected):
        return document.problems[0]
    fleet = build_fleet([document], registered=[cluster_document(_CLUSTER, {})])
    application = fleet.applications[_NAME]
    try:
        await supplies.prepare(candidates(application))
        made = await render(Variants(application, fleet).of(_CLUSTER).inputs, supplies)
    except RenderError as error:
        if error.transient:
            raise Unavailable(str(error)) from error
        return error.problems[0]
    except DocumentError as error:
        return Problem("error", error.message, error.place or Place(shown(want.path)), error.hint)
    return tuple(Document(shown(want.path), 0, orjson.loads(each.line)) for each in made.objects)


def _application(want: Want) -> Document:
    render = want.spec
    if want.release:
        render["helm"] = {"release": want.release, **render.get("helm", {})}
    spec: dict[str, Any] = {"source": {"path": shown(want.path)}, "render": render}
    if want.namespace:
        spec["namespace"] = want.namespace
    metadata = {"name": _NAME, "annotations": {SUBSTITUTE: "disabled"}}
    value = {"apiVersion": API_VERSION, "kind": "Application", "metadata": metadata, "spec": spec}
    return Document(shown(want.path), 0, value)
