"""From an application's inputs to its objects: gathers what each of its sources reads and has the workers render it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hub.domain.blending import Part
from hub.domain.variants import Inputs
from hub.render.job import File, Patch, PlainJob, Rendered, RenderError, Selection, Target
from hub.render.parts import Materials, Reading, selection_of
from shared.model import Problem


class Supplies(Protocol):
    """What the sources of one application hold, all as of one moment."""

    async def reading(self, part: Part) -> Reading:
        """What a part reads.

        Raises:
            DocumentError: its source cannot be used as it is.
            Unavailable: its source cannot be had now.
        """

    async def materials(self, part: Part) -> Materials:
        """The files of a part.

        Raises:
            DocumentError: as `reading`.
            Unavailable: as `reading`.
        """


class Worker(Protocol):
    """Who renders: a pool of processes, or this one."""

    async def render(self, job: PlainJob) -> Rendered:
        """The result of a job.

        Raises:
            RenderError: the input is refused.
        """


@dataclass
class _Gathered:
    files: list[File] = field(default_factory=list)
    made: list[File] = field(default_factory=list)
    selection: Selection = field(default_factory=Selection)
    problems: list[Problem] = field(default_factory=list)


class Renderer:
    """See the module."""

    def __init__(self, workers: Worker) -> None:
        self._workers = workers

    async def render(self, inputs: Inputs, supplies: Supplies) -> Rendered:
        """All objects of an application for one variant.

        Raises:
            RenderError: something is wrong with what people wrote.
            Unavailable: a source cannot be had now.
        """
        gathered = _Gathered()
        for part in inputs.blend.parts:
            if part.rendered:
                await self._gather(inputs, part, supplies, gathered)
        return await self._workers.render(_objects_job(inputs, gathered))

    async def _gather(self, inputs: Inputs, part: Part, supplies: Supplies, gathered: _Gathered) -> None:
        found = await supplies.reading(part)
        if found.way != "plain":
            wanted = "a chart" if part.source.chart else "Helm" if found.way == "helm" else "Kustomize"
            message = f"it asks for {wanted}: this version renders plain YAML only"
            raise RenderError((Problem("error", message, application=inputs.application),))
        materials = await supplies.materials(part)
        root = "" if part.source.path in ("", ".") else f"{part.source.path}/"
        files = [File(path, data, root + path) for path, data in materials.files]
        if part is inputs.blend.main:
            gathered.files, gathered.selection = files, selection_of(part)
        else:
            gathered.made += files
        gathered.problems += materials.problems


def _objects_job(inputs: Inputs, gathered: _Gathered) -> PlainJob:
    return PlainJob(
        application=inputs.application,
        namespace=inputs.namespace,
        files=tuple(gathered.files),
        made=tuple(gathered.made),
        selection=gathered.selection,
        variables=dict(inputs.variables.values),
        known=tuple(sorted(inputs.variables.known)),
        patches=tuple(
            Patch(
                patch.patch,
                Target(**patch.target.model_dump()) if patch.target is not None else None,
                f"patch {number} of {inputs.application}",
            )
            for number, patch in enumerate(inputs.blend.patches, 1)
        ),
        problems=tuple(gathered.problems),
    )
