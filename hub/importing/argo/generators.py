"""The generators of ApplicationSets as entries of `forEach`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.domain.selectors import parse_requirement
from hub.importing.argo.templates import Untranslatable, converted, item
from hub.importing.fields import Fields
from hub.importing.home import Origins
from hub.importing.selecting import Requirements, Target, requirements_of, selector
from hub.importing.words import compact

_NOT_HERE = {
    "scmProvider": "repositories of an organisation are not looked for",
    "pullRequest": "pull requests make no applications; `yardarm plan` shows what one would do",
    "clusterDecisionResource": "clusters are chosen by Yardarm's own placement",
    "plugin": "generator plugins are not called",
}


@dataclass(slots=True)
class Generated:
    """One entry of `forEach`. `renames` turns the generator's parameters into ours, `clusters` is set for clusters."""

    entry: dict[str, Any]
    renames: dict[str, str] = field(default_factory=dict)
    prefixes: dict[str, str] = field(default_factory=dict)
    clusters: Requirements | None = None
    items: list[dict[str, Any]] | None = None

    def rename(self, name: str) -> str:
        """What stands for a parameter; empty when nothing does."""
        if name in self.renames:
            return self.renames[name]
        for prefix, ours in self.prefixes.items():
            if name.startswith(prefix):
                rest = name[len(prefix) :]
                return item(f"{ours}{rest}") if rest else ""
        return ""


def generated(generator: Fields, origins: Origins, *, go: bool) -> list[Generated]:
    """The entries a generator stands for.

    Raises:
        Untranslatable: nothing stands for it.
    """
    kinds = [key for key in generator.value if key != "selector"]
    if len(kinds) != 1:
        raise Untranslatable("a generator is one of list, clusters, git, matrix and merge")
    kind = kinds[0]
    if kind in _NOT_HERE:
        raise Untranslatable(f"generators.{kind}: {_NOT_HERE[kind]}")
    inner = generator.map(kind)
    if "template" in inner:
        raise Untranslatable(f"generators.{kind}.template: one set has one template here")
    made = _of_kind(kind, inner, origins, go=go)
    if "selector" in generator:
        _filter(made, requirements_of(generator.map("selector")))
    return made


def _of_kind(kind: str, inner: Fields, origins: Origins, *, go: bool) -> list[Generated]:
    match kind:
        case "list":
            made = [_list(inner)]
        case "clusters":
            made = [_clusters(inner, go=go)]
        case "git":
            made = [_git(inner, origins, go=go)]
        case "matrix":
            made = [each for part in inner.items("generators") for each in generated(part, origins, go=go)]
            if sum(each.clusters is not None for each in made) > 1:
                raise Untranslatable("generators.matrix: clusters twice")
        case "merge":
            made = [_merge(inner, origins, go=go)]
        case _:
            raise Untranslatable(f"generators.{kind} is not known to this version")
    inner.finish()
    return made


def _list(inner: Fields) -> Generated:
    if "elementsYaml" in inner:
        raise Untranslatable("generators.list.elementsYaml: write the elements into the document")
    items = [dict(each.value) for each in inner.items("elements")]
    return _of_items(items)


def _of_items(items: list[dict[str, Any]]) -> Generated:
    names = {name for each in items for name in each}
    nested = {name for each in items for name, value in each.items() if isinstance(value, dict)}
    renames = {name: item(name) for name in names}
    return Generated({"list": items}, renames, {f"{name}.": f"{name}." for name in nested}, items=items)


def _clusters(inner: Fields, *, go: bool) -> Generated:
    if inner.flag("flatList"):
        raise Untranslatable("generators.clusters.flatList: all clusters in one template")
    requirements = requirements_of(inner.map("selector"))
    chosen = selector([Target(requirements)]) or {}
    made = Generated(
        {"clusters": chosen},
        {"name": item("cluster"), "nameNormalized": item("cluster")},
        {"metadata.labels.": "labels."},
        clusters=requirements,
    )
    _values(made, inner, go=go)
    return made


def _git(inner: Fields, origins: Origins, *, go: bool) -> Generated:
    source = origins.source(inner.text("repoURL"), inner.text("revision"))
    inner.needless("requeueAfterSeconds")
    if inner.raw("pathParamPrefix"):
        raise Untranslatable("generators.git.pathParamPrefix: parameters have one name each")
    directories, files = inner.items("directories"), inner.items("files")
    kind = "directories" if directories else "files"
    wanted: list[str] = []
    unwanted: list[str] = []
    for each in directories or files:
        (unwanted if each.flag("exclude") else wanted).append(each.text("path").strip("/"))
        each.finish()
    if len(wanted) != 1:
        raise Untranslatable(f"generators.git.{kind}: one pattern per generator, here are {len(wanted)}")
    entry = {kind: compact({**source, "path": wanted[0], "exclude": unwanted})}
    made = Generated(entry, *(_DIRECTORIES if kind == "directories" else _FILES))
    if kind == "files" and go:
        made.prefixes = {**made.prefixes, "": ""}
    elif kind == "files":
        made.prefixes = {"path.": "", "path[": "", "": ""}
    _values(made, inner, go=go)
    return made


_DIRECTORIES: tuple[dict[str, str], dict[str, str]] = (
    {
        "path": item("path"),
        "path.path": item("path"),
        "path.basename": item("name"),
        "path.basenameNormalized": item("name"),
    },
    {"path.segments.": "segments.", "path.": "segments."},
)
_FILES: tuple[dict[str, str], dict[str, str]] = (
    {"path": item("directory"), "path.path": item("directory"), "path.filename": "", "path.basename": ""},
    {},
)
"""Where a file's map and the place of the file share names, the place is ours: `path`, `directory`, `name`."""


def _values(made: Generated, inner: Fields, *, go: bool) -> None:
    """`values` are fixed texts, which may name other parameters: put in where they are used."""
    for name, text in inner.strings("values").items():
        made.renames[f"values.{name}"] = converted(text, made.rename, go=go)


def _merge(inner: Fields, origins: Origins, *, go: bool) -> Generated:
    keys = inner.texts("mergeKeys")
    parts = [each for part in inner.items("generators") for each in generated(part, origins, go=go)]
    if any(part.items is None for part in parts) or not keys:
        raise Untranslatable("generators.merge: only lists are merged; use overrides of one application instead")
    base, *others = ([dict(each) for each in part.items or ()] for part in parts)
    for other in others:
        by_key = {tuple(str(each.get(key)) for key in keys): each for each in other}
        base = [{**each, **by_key.get(tuple(str(each.get(key)) for key in keys), {})} for each in base]
    return _of_items(base)


def _filter(made: list[Generated], requirements: Requirements) -> None:
    """A selector over the generated parameters: done at once for lists, refused elsewhere."""
    for each in made:
        if each.items is None:
            raise Untranslatable("generators.selector: select in the generator itself")
        kept = [found for found in each.items if not _fails(found, requirements)]
        each.items[:] = kept


def _fails(found: Mapping[str, Any], requirements: Requirements) -> bool:
    labels = {key: str(value) for key, value in found.items()}
    return any(parse_requirement(text).failure(labels) for text in requirements)
