"""Documents that were made, as the files of a fleet directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hub.domain.yamltext import to_yaml
from hub.importing.notes import Made

_TOGETHER = {"Cluster": "clusters.yaml", "Environment": "environments.yaml", "Project": "projects.yaml"}
"""Kinds that are written into one file; every other document gets its own."""
APPLICATIONS = "applications"
_IN_GIT = ("directories", "files")


def files_of(documents: Sequence[Made]) -> dict[str, str]:
    """The text of each file, by its path below the directory."""
    found: dict[str, list[Made]] = {}
    for each in documents:
        name = _TOGETHER.get(each.kind, f"{APPLICATIONS}/{_file(each, documents)}.yaml")
        found.setdefault(name, []).append(each)
    return {name: text_of(group) for name, group in sorted(found.items())}


def _file(made: Made, documents: Iterable[Made]) -> str:
    """Its name, and its kind where another document of another kind is called alike."""
    alike = {each.kind for each in documents if each.name == made.name and each.kind not in _TOGETHER}
    return made.name if len(alike) == 1 or made.kind == "Application" else f"{made.name}-{made.kind.lower()}"


def text_of(documents: Iterable[Made]) -> str:
    """Documents as one file, each under a line that says what it was made of."""
    return "---\n".join(f"# made of {each.origin}, {each.place}\n{to_yaml(dict(each.value))}" for each in documents)


def elsewhere(made: Made, repo: str, ref: str = "") -> Made:
    """The document for a fleet repository that is another one: what was `repo: "."` is `repo` at `ref`."""
    value = dict(made.value)
    spec = dict(value.get("spec") or {})
    if made.kind == "Application":
        spec = _named(spec, repo, ref)
    elif made.kind == "ApplicationSet":
        template = dict(spec["template"])
        spec["template"] = {**template, "spec": _named(template.get("spec") or {}, repo, ref)}
        spec["forEach"] = [
            {key: _at(each, repo, ref) if key in _IN_GIT else each for key, each in generator.items()}
            for generator in spec["forEach"]
        ]
    return replace(made, value={**value, "spec": spec})


def _named(spec: Mapping[str, Any], repo: str, ref: str) -> dict[str, Any]:
    made = {**spec, "source": _at(spec.get("source") or {}, repo, ref)}
    if "sources" in spec:
        made["sources"] = [_at(each, repo, ref) for each in spec["sources"]]
    return made


def _at(source: Mapping[str, Any], repo: str, ref: str) -> dict[str, Any]:
    if source.get("repo", ".") != ".":
        return dict(source)
    return {
        "repo": repo,
        **({"ref": ref} if ref else {}),
        **{key: value for key, value in source.items() if key != "repo"},
    }
