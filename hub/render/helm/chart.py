"""What a chart says about itself, and the reasons not to render it. Pure.

Helm's library renders without these checks; `helm template` makes them, in this order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hub.domain import semver
from shared.errors import DocumentError

_KUBERNETES = re.compile(r"\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_FORMATS = ("v1", "v2")


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart's own words: `format` is its `apiVersion`, `kind` its `type`.

    `declared` are the names of its dependencies, `present` those of the charts in it.
    """

    name: str
    version: str
    format: str = "v2"
    kind: str = ""
    kube_version: str = ""
    deprecated: bool = False
    declared: tuple[str, ...] = ()
    present: tuple[str, ...] = ()


def refusal(chart: Chart, kubernetes: str) -> DocumentError | None:
    """Why this chart is not rendered for that version of Kubernetes, None when it is."""
    if chart.format not in _FORMATS:
        return DocumentError(
            f"{chart.name} is written as `apiVersion: {chart.format}`, which Helm does not render",
            hint=f"charts are {' or '.join(_FORMATS)}",
        )
    if chart.kind not in ("", "application"):
        return DocumentError(
            f"{chart.name} is a {chart.kind} chart, which holds templates for other charts and no manifests",
            hint="name a chart that depends on it",
        )
    missing = [name for name in chart.declared if name not in chart.present]
    if missing:
        return DocumentError(
            f"{chart.name} depends on {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not in it",
            hint="declare where it is with `repository`, or put it into the chart's charts/ directory",
        )
    if chart.kube_version and not is_compatible(chart.kube_version, kubernetes):
        return DocumentError(f"{chart.name} {chart.version} asks for Kubernetes {chart.kube_version}, not {kubernetes}")
    return None


def is_compatible(wanted: str, kubernetes: str) -> bool:
    """Whether a chart's `kubeVersion` takes that version; what a provider has put after its numbers does not count."""
    numbers = _KUBERNETES.match(kubernetes)
    version = semver.parse(".".join(part or "0" for part in numbers.groups())) if numbers is not None else None
    try:
        return version is not None and semver.parse_range(wanted).holds(version)
    except DocumentError:
        return False
