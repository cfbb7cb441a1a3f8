"""What a repository without fleet documents means, with everything rendered that has to be to tell.

Charts and kustomizations may make definitions of other tools, which may name such charts and kustomizations again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson

from hub.domain.blending import candidates
from hub.domain.documents import API_VERSION, SUBSTITUTE
from hub.domain.fleet import build_fleet, cluster_document
from hub.domain.reading import Rejected, parse_document
from hub.domain.tree import Tree
from hub.domain.variants import Inputs, Variants
from hub.domain.yamldoc import Document
from hub.importing.files import shown
from hub.importing.notes import Want
from hub.importing.recognising import ROUNDS, Question, Recognised, answer
from hub.importing.survey import Memo
from hub.render.job import Rendered, RenderError
from hub.render.parts import Supplies as AnySupplies
from hub.supply.pinned import Supplies
from shared.errors import DocumentError, Unavailable
from shared.model import Place, Problem

_CLUSTER = "any"
_NAME = "definitions"

Render = Callable[[Inputs, AnySupplies], Awaitable[Rendered]]


class Read(Protocol):
    """Reads the repository at the commit in question, on whatever thread that has to be."""

    async def __call__(self, call: Callable[[Tree], Recognised]) -> Recognised:
        """The result of `call`."""


async def recognised(question: Question, read: Read, supplies: Supplies, render: Render) -> Recognised:
    """The answer to a question.

    Args:
        question: what is asked.
        read: reads the repository.
        supplies: what applications of this repository, at this commit, are made of.
        render: see `Renderer.render`.

    Raises:
        DocumentError: there is nothing at the path, or far too much.
        Unavailable: a worker was lost, or a repository cannot be had now; trying again may help.
    """
    memo: Memo = {}
    renders: dict[Want, tuple[Document, ...] | Problem] = {}

    def ask(tree: Tree) -> Recognised:
        return answer(tree, question, renders, memo)

    found = await read(ask)
    for _ in range(ROUNDS):
        if not found.wants:
            break
        for want in found.wants:
            renders[want] = await rendered(want, supplies, render)
        found = await read(ask)
    if found.wants:
        endless = Problem("error", f"definitions make definitions, more than {ROUNDS} times over")
        renders |= dict.fromkeys(found.wants, endless)
        found = await read(ask)
    return found


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
