"""The bundles of checks by a Job: rendered as the application's own manifests are, with its variables, on each cluster.

The Job is at a path of the application's repository, at the commit that is rolled out or a later one that changes
nothing of the application. One that is a chart has no repository: its checks are in the fleet repository.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Sequence

import msgspec
import orjson

from hub.bundles import Bundles, Evaluation, Outcome, Render
from hub.domain.blending import Part, blend
from hub.domain.documents import Application, Deletion, Override, Sync
from hub.domain.jobchecks import JobRun, job_manifest
from hub.domain.rendering import Plain, Source
from hub.domain.rendering import Render as Rendering
from hub.domain.variants import Inputs
from hub.metrics import Metrics
from hub.render.job import Rendered, RenderedObject, RenderError
from hub.render.parts import PlainFiles, Supplies
from hub.render.select import CHART, KUSTOMIZATIONS
from hub.turns import Turns
from shared.bundle import Pack, canonical_line
from shared.errors import DocumentError
from shared.manifests import ref_of
from shared.model import Problem
from shared.tasks import Clock


async def job_bundles(
    evaluation: Evaluation, run: JobRun, clusters: tuple[str, ...], metrics: Metrics, clock: Clock
) -> Outcome:
    """What the check's unit (`check_unit`) is to be given on each of the clusters.

    A cluster for which there is none is in `kept`, and `problems` say why; they name the application.

    Raises:
        Unavailable: a source or a worker was lost; trying again may help.
    """
    made = Bundles(_refuse_large, Turns(clock), metrics, clock)
    application = _application(evaluation.application, run)
    checking = dataclasses.replace(evaluation, application=application, render=_one_job(evaluation.render, run))
    outcome = await made.make(checking, clusters)
    outcome.problems = [_about(problem, evaluation) for problem in outcome.problems]
    return outcome


def _about(problem: Problem, evaluation: Evaluation) -> Problem:
    """The finding as one about a check: what has no place of its own is about the strategy, not about the source."""
    fleet, name = evaluation.fleet, evaluation.name
    own = problem.place is not None and problem.place != fleet.place("Application", name, "spec.source")
    where = problem.place if own else fleet.place("Application", name, "spec.rollout")
    said = f"a check cannot be run: {problem.message}" if problem.severity == "error" else problem.message
    return msgspec.structs.replace(problem, message=said, place=where)


def _application(application: Application, run: JobRun) -> Application:
    """An application that is nothing but the Job: same name, so that `${application}` means what it says."""
    main = blend(application).main.source
    folder, file = posixpath.split(run.path)
    source = Source(path=folder or ".") if main.chart else Source(repo=main.repo, ref=main.ref, path=folder or ".")
    plain = Plain(recurse=False, include=(file,), exclude=(*sorted(KUSTOMIZATIONS), CHART))
    overrides = tuple(
        Override(when=each.when, ref=None if main.chart else each.ref, variables=each.variables, images=each.images)
        for each in application.spec.overrides
    )
    # A Job that somebody deletes must not run a second time, and a namespace goes with the application alone.
    kept = {"drift": "report", "create_namespace": False, "deletion": Deletion(budget="100%")}
    sync = Sync().model_copy(update={**kept, "timeout": application.spec.sync.timeout})
    changed = {
        "source": source,
        "sources": (),
        "render": Rendering(plain=plain),
        "overrides": overrides,
        "sync": sync,
        "health": (),
        "depends_on": (),
    }
    return application.model_copy(update={"spec": application.spec.model_copy(update=changed)})


def _one_job(render: Render, run: JobRun) -> Render:
    """Renders as `render` does, and makes one Job of the result."""

    async def rendered(inputs: Inputs, supplies: Supplies) -> Rendered:
        try:
            await _there(inputs.blend.main, run, supplies)
            found = await render(inputs, supplies)
            manifest = job_manifest([orjson.loads(line) for line in found.lines], run, inputs.namespace)
        except DocumentError as error:
            raise RenderError((Problem("error", error.message, error.place, error.hint),)) from None
        job = RenderedObject(ref_of(manifest, inputs.namespace), canonical_line(manifest), found.objects[0].place)
        return msgspec.structs.replace(found, objects=(job,))

    return rendered


async def _there(part: Part, run: JobRun, supplies: Supplies) -> None:
    """Looks for the file, since a path is easily misspelt.

    Raises:
        DocumentError: it is not there.
    """
    materials = await supplies.materials(part)
    if isinstance(materials, PlainFiles) and not materials.files and materials.jsonnet is None:
        raise DocumentError(f"there is no {run.path} in the repository")


async def _refuse_large(packs: Sequence[Pack]) -> None:
    raise DocumentError(f"its Job is too large: it comes to {sum(pack.ref.size for pack in packs)} bytes")
