"""From a Helm job to files of manifests: the same whether the library or a helm executable does it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hub.render.helm import executable
from hub.render.helm.errors import HelmFailure, explained
from hub.render.helm.output import Output, templated
from hub.render.helm.values import combined
from hub.render.job import HelmJob, RenderError, Templated
from shared.errors import DocumentError
from shared.model import Problem


def template(job: HelmJob) -> Templated:
    """Render one chart.

    Raises:
        RenderError: the chart or its values are refused, or a template fails.
    """
    try:
        found = combined(job.value_files, job.values, job.secret_files)
        made = templated(_render(job, found.values), job)
        return replace(made, sealed=found.sealed)
    except DocumentError as error:
        problem = Problem("error", error.message, error.place, error.hint, job.application)
        raise RenderError((problem,)) from None
    except HelmFailure as failure:
        raise RenderError(explained(str(failure), job.chart, job.application)) from None


def _render(job: HelmJob, values: dict[str, Any]) -> Output:
    if job.program:
        return executable.render(job, values)
    from hub.render.helm import library

    return library.render(job, values)
