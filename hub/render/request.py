"""From an application's inputs and the files of its source to a job for the workers. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hub.domain.variants import Inputs
from hub.render.job import File, Patch, PlainJob, RenderError, Selection, Target
from shared.model import Problem


def selection_of(inputs: Inputs) -> Selection:
    """Which files of the source have to be read."""
    plain = inputs.render.plain
    if plain is None:
        return Selection()
    return Selection(plain.recurse, plain.include, plain.exclude, explicit=True)


def job_of(inputs: Inputs, files: Iterable[tuple[str, bytes]], problems: Iterable[Problem] = ()) -> PlainJob:
    """The render of `inputs` over `files` (path relative to the application's path, content).

    `problems` are what was met while the files were read.

    Raises:
        RenderError: the application asks for a way of rendering that this version does not have.
    """
    wanted = "a chart" if inputs.source.chart else ""
    wanted = wanted or ("Helm" if inputs.render.helm else "") or ("Kustomize" if inputs.render.kustomize else "")
    if wanted:
        message = f"it asks for {wanted}: this version renders plain YAML only"
        raise RenderError((Problem("error", message, application=inputs.application),))
    root = "" if inputs.path in ("", ".") else f"{inputs.path}/"
    return PlainJob(
        application=inputs.application,
        namespace=inputs.namespace,
        files=tuple(File(path, data, root + path) for path, data in files),
        selection=selection_of(inputs),
        variables=dict(inputs.variables.values),
        known=tuple(sorted(inputs.variables.known)),
        patches=tuple(
            Patch(
                patch.patch,
                Target(**patch.target.model_dump()) if patch.target is not None else None,
                f"patch {number} of {inputs.application}",
            )
            for number, patch in enumerate(inputs.patches, 1)
        ),
        problems=tuple(problems),
    )
