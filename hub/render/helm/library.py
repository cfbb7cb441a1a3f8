"""Helm itself, as a library: the only module that knows it. Loading it costs 70 MB and a quarter of a second.

Only loading a chart, its metadata and rendering are used. Rendering is asked for beneath the library's own Python
method, which does not pass on the cluster's versions.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from typing import Any

import helm_python
from helm_python import _native

from hub.render.helm.archive import pack
from hub.render.helm.chart import Chart, refusal
from hub.render.helm.errors import HelmFailure
from hub.render.helm.output import Output
from hub.render.job import HelmJob

_STDERR = 2
_MOST_LOGGED = 64 * 1024


def render(job: HelmJob, values: dict[str, Any]) -> Output:
    """The chart's rendered templates and its definitions.

    Raises:
        DocumentError: the chart is not one to render.
        HelmFailure: Helm refuses.
    """
    options: dict[str, Any] = {"name": job.release, "namespace": job.namespace}
    if job.kube_version:
        options["kube_version"] = job.kube_version
    if job.api_versions:
        options["api_versions"] = job.api_versions
    start = os.fstat(_STDERR).st_size
    try:
        helm_python.validate_release_name(job.release)
        with helm_python.Chart.load_archive(job.archive) as loaded:
            chart = _chart(loaded)
            if (refused := refusal(chart, job.kube_version or _own_kubernetes())) is not None:
                raise refused
            rendered = _render(loaded, values, options)
            # Only now: rendering takes out the sub-charts that the values switch off, and their definitions with them.
            crds = tuple((str(crd["filename"]), str(crd["data"])) for crd in loaded.crds)
    except helm_python.HelmError as error:
        raise HelmFailure(str(error)) from None
    return Output(rendered, crds, _logged(start), chart.deprecated)


def _logged(start: int) -> str:
    """What has been written to standard error from `start` on; nothing where that is no file that can be read.

    It is in a worker, and the library logs nowhere else.
    """
    with contextlib.suppress(OSError):
        return os.pread(_STDERR, _MOST_LOGGED, start).decode(errors="replace")
    return ""


def _render(loaded: helm_python.Chart, values: dict[str, Any], options: dict[str, Any]) -> dict[str, str]:
    text = _native.call_string("helm_render", loaded._raw(), json.dumps(values), json.dumps(options))
    rendered: dict[str, str] = json.loads(text)
    return rendered


def _chart(loaded: helm_python.Chart) -> Chart:
    metadata = loaded.metadata
    return Chart(
        name=metadata["name"],
        version=metadata["version"],
        format=metadata["apiVersion"],
        kind=metadata.get("type", ""),
        kube_version=metadata.get("kubeVersion", ""),
        deprecated=metadata.get("deprecated", False),
        declared=tuple(each["name"] for each in metadata.get("dependencies", ())),
        present=tuple(each["name"] for each in loaded.dependencies),
    )


@functools.cache
def _own_kubernetes() -> str:
    """The version of Kubernetes that a chart sees when none is given."""
    asking = {
        "Chart.yaml": b"apiVersion: v2\nname: x\nversion: 0.0.1\n",
        "templates/x.yaml": b"{{ .Capabilities.KubeVersion.Version }}",
    }
    with helm_python.Chart.load_archive(pack("x", asking)) as loaded:
        return _render(loaded, {}, {"name": "x", "namespace": "x"})["x/templates/x.yaml"]
