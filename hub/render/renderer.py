"""From an application's inputs to its objects, in two steps.

The template step turns charts and kustomizations into YAML files; it is done once for all clusters that agree in what
it depends on. The object step, once per variant, turns files into objects: patches, images, replicas, variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hub.domain import rendering as written
from hub.domain.blending import Part, digest_of, lender
from hub.domain.rendering import Helm, Jsonnet, Kustomize
from hub.domain.sealing import SealedDocument
from hub.domain.variables import filled
from hub.domain.variants import Inputs
from hub.render.job import (
    Additions,
    File,
    HelmJob,
    Image,
    JsonnetArgument,
    JsonnetJob,
    KustomizeJob,
    Patch,
    PlainJob,
    Rendered,
    RenderError,
    Replicas,
    Selection,
    Target,
    Templated,
    TemplateJob,
)
from hub.render.parts import ChartFiles, JsonnetFiles, KustomizeFiles, PlainFiles, Supplies
from hub.render.programs import Programs
from hub.render.templates import Templates
from shared.errors import DocumentError
from shared.model import Problem

GENERATION = "1"
"""Part of the name of every template step: to be raised when the same inputs come out differently than before."""


class Worker(Protocol):
    """Who does object steps: a pool of processes, or this one."""

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
    sealed: list[SealedDocument] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Renderer:
    """See the module."""

    def __init__(
        self, workers: Worker, templates: Templates, apis: Callable[[str], tuple[str, ...]], programs: Programs
    ) -> None:
        """`apis` are the APIs that a cluster serves, by the digest that its facts name."""
        self._workers = workers
        self._templates = templates
        self._apis = apis
        self._programs = programs

    async def render(self, inputs: Inputs, supplies: Supplies) -> Rendered:
        """All objects of an application for one variant.

        Raises:
            RenderError: something is wrong with what people wrote.
            Unavailable: a source cannot be had now.
        """
        gathered = _Gathered()
        try:
            for part in inputs.blend.parts:
                if part.rendered:
                    await self._gather(inputs, part, supplies, gathered)
        except DocumentError as error:
            problem = Problem("error", error.message, error.place, error.hint, inputs.application)
            raise RenderError((problem,)) from None
        return await self._workers.render(_objects_job(inputs, gathered))

    async def _gather(self, inputs: Inputs, part: Part, supplies: Supplies, gathered: _Gathered) -> None:
        reading = await supplies.reading(part)
        if reading.way in ("helm", "kustomize"):
            made = await self._template(inputs, part, supplies)
            gathered.made += made.files
            gathered.sealed += made.sealed
            gathered.problems += made.warnings
            return
        materials = await supplies.materials(part)
        if not isinstance(materials, PlainFiles):
            return
        gathered.problems += materials.problems
        if materials.jsonnet is not None:
            made = await self._jsonnet(inputs, part, reading.content.key, materials.jsonnet)
            gathered.made += made.files
            gathered.problems += made.warnings
        if part is inputs.blend.main:
            gathered.files, gathered.selection = list(materials.files), materials.selection
        else:
            gathered.made += materials.files

    async def _template(self, inputs: Inputs, part: Part, supplies: Supplies) -> Templated:
        reading = await supplies.reading(part)
        values, problems = filled(dict(part.values), inputs.variables)
        wrong = [problem for problem in problems if problem.severity == "error"]
        if wrong:
            raise RenderError(tuple(wrong))
        lenders = {name for name, _ in map(lender, part.value_files) if name}
        lent = [(await supplies.reading(each)).content.key for each in inputs.blend.parts if each.name in lenders]
        if reading.way == "kustomize":
            what: list[object] = [part.footing, reading.content.key, (await self._programs.kustomize()).version]
        else:
            able = inputs.capabilities if reading.content.capabilities else None
            # What was drawn at random stays, whichever Helm is used.
            helm = "" if reading.varies else (await self._programs.helm()).version
            what = [
                part.footing, reading.content.key, values, lent, inputs.namespace, _release(inputs, part),
                [able.kube_version, able.apis] if able else None, helm,
            ]  # fmt: skip

        async def job() -> TemplateJob:
            materials = await supplies.materials(part)
            if isinstance(materials, KustomizeFiles):
                return await self._kustomize_job(inputs, part, materials)
            if isinstance(materials, ChartFiles):
                files = await _value_files(inputs, part, materials, supplies)
                return self._helm_job(inputs, part, materials, files, values, (await self._programs.helm()).path)
            raise DocumentError(f"it is no {reading.way}")

        return await self._templates.of(digest_of([GENERATION, reading.way, what]), job, keep=reading.varies)

    async def _jsonnet(self, inputs: Inputs, part: Part, content: str, found: JsonnetFiles) -> Templated:
        given = part.render.plain.jsonnet if part.render.plain is not None else Jsonnet()

        async def job() -> TemplateJob:
            return JsonnetJob(
                application=inputs.application,
                files=found.files,
                entries=found.entries,
                folders=found.folders,
                ext_vars=tuple(JsonnetArgument(each.name, each.value, each.code) for each in given.ext_vars),
                tlas=tuple(JsonnetArgument(each.name, each.value, each.code) for each in given.tlas),
                problems=found.problems,
            )

        return await self._templates.of(digest_of([GENERATION, "jsonnet", part.footing, content]), job)

    def _helm_job(
        self,
        inputs: Inputs,
        part: Part,
        chart: ChartFiles,
        files: tuple[File, ...],
        values: dict[str, Any],
        program: str,
    ) -> HelmJob:
        helm = part.render.helm or Helm()
        able = inputs.capabilities
        return HelmJob(
            application=inputs.application,
            namespace=inputs.namespace,
            release=_release(inputs, part),
            chart=chart.chart,
            archive=chart.archive,
            value_files=files,
            values=values,
            kube_version=helm.kube_version or (able.kube_version if able else ""),
            api_versions=helm.api_versions or (self._apis(able.apis) if able else ()),
            skip_crds=helm.skip_crds,
            secret_files=part.secret_files,
            program=program,
        )

    async def _kustomize_job(self, inputs: Inputs, part: Part, found: KustomizeFiles) -> KustomizeJob:
        return KustomizeJob(
            application=inputs.application,
            path=found.path,
            files=found.files,
            kustomizations=found.kustomizations,
            command=(await self._programs.kustomize()).command,
            links=found.links,
            additions=_additions(part.render.kustomize or Kustomize(), inputs.application),
            remotes=found.remotes,
            outside=found.outside,
            problems=found.problems,
        )


async def _value_files(inputs: Inputs, part: Part, chart: ChartFiles, supplies: Supplies) -> tuple[File, ...]:
    """The value files of a chart in order, its own and those that it borrows.

    Raises:
        DocumentError: one is not there, or it is borrowed from nobody.
    """
    optional = part.render.helm is not None and part.render.helm.ignore_missing_value_files
    found: list[File] = []
    for text in part.value_files:
        name, path = lender(text)
        data = (await _lent(inputs, name, text, supplies)).get(path) if name else chart.own.get(text)
        if data is not None:
            found.append(File(text, data, path if name else text))
        elif not optional:
            raise DocumentError(f"there is no value file {text!r}")
    return tuple(found)


async def _lent(inputs: Inputs, name: str, text: str, supplies: Supplies) -> Mapping[str, bytes]:
    part = next((each for each in inputs.blend.parts if each.name == name), None)
    if part is None:
        known = ", ".join(each.name for each in inputs.blend.parts if each.name) or "none has a name"
        raise DocumentError(f"the value file {text!r} is of a source {name!r}, which is not among `sources` ({known})")
    return (await supplies.materials(part)).lent


def _release(inputs: Inputs, part: Part) -> str:
    helm = part.render.helm
    return (helm.release if helm is not None else "") or inputs.application


def _additions(kustomize: Kustomize, application: str) -> Additions:
    return Additions(
        images=_images(kustomize.images),
        replicas=_replicas(kustomize.replicas),
        name_prefix=kustomize.name_prefix,
        name_suffix=kustomize.name_suffix,
        namespace=kustomize.namespace,
        labels=kustomize.labels,
        annotations=kustomize.annotations,
        components=kustomize.components,
        patches=_patches(kustomize.patches, f"render.kustomize of {application}, patch"),
    )


def _objects_job(inputs: Inputs, gathered: _Gathered) -> PlainJob:
    return PlainJob(
        application=inputs.application,
        namespace=inputs.namespace,
        files=tuple(gathered.files),
        made=tuple(gathered.made),
        selection=gathered.selection,
        variables=dict(inputs.variables.values),
        known=tuple(sorted(inputs.variables.known)),
        patches=_patches(inputs.blend.patches, "patch"),
        images=_images(inputs.blend.images),
        replicas=_replicas(inputs.blend.replicas),
        sealed=tuple(gathered.sealed),
        problems=tuple(gathered.problems),
    )


def _patches(patches: Iterable[written.Patch], origin: str) -> tuple[Patch, ...]:
    return tuple(
        Patch(each.patch, Target(**each.target.model_dump()) if each.target is not None else None, f"{origin} {number}")
        for number, each in enumerate(patches, 1)
    )


def _images(images: Iterable[written.Image]) -> tuple[Image, ...]:
    return tuple(Image(**image.model_dump()) for image in images)


def _replicas(replicas: Iterable[written.Replicas]) -> tuple[Replicas, ...]:
    return tuple(Replicas(each.name, each.count) for each in replicas)
