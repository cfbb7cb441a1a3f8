"""Which files of a directory are manifests: by name alone, so that others need not even be read. Pure.

Patterns are relative to the application's path (`hub.domain.patterns.loose`): hidden files are manifests only where a
pattern spells them out.
"""

from __future__ import annotations

from hub.domain.patterns import loose
from hub.render.job import Selection

SUFFIXES = (".yaml", ".yml", ".json", ".jsonnet")
KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
CHART = "Chart.yaml"


def is_marker(path: str) -> bool:
    """Whether the file says that its directory is not plain YAML but a kustomization or a chart."""
    name = path.rpartition("/")[2]
    return name in KUSTOMIZATIONS or name == CHART


def is_selected(path: str, selection: Selection) -> bool:
    """Whether the file at `path` is to be read."""
    if not selection.recurse and "/" in path:
        return False
    if any(loose(pattern).match(path) for pattern in selection.exclude):
        return False
    if is_marker(path):
        return not _hidden(path)
    if not path.endswith(SUFFIXES):
        return False
    if selection.include:
        return any(loose(pattern).match(path) for pattern in selection.include)
    return not _hidden(path)


def _hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path
