"""An application with those of its overrides that apply: what clusters with the same overrides have in common. Pure.

Later overrides win; every value knows where it is from, for `yardarm explain`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from hub.domain.documents import Application, Override
from hub.domain.pinning import PinOverride
from hub.domain.rendering import Image, Patch, Render, Replicas, Source
from hub.domain.variables import names_in

MAIN = ""
"""The name of the part that `spec.source` describes."""

Numbered = tuple[int, Override]
"""An override with its number, from 0."""


@dataclass(frozen=True, slots=True)
class Part:
    """One source of an application, as certain overrides leave it. Treat the maps as immutable.

    `lent` are files of its repository that other parts name as value files (`$name/file`); a part that is not
    `rendered` is there for these only. `footing` names all that decides which files it reads, apart from what the
    repository holds: parts with equal footings read the same from equal commits.
    """

    name: str
    source: Source
    render: Render
    values: Mapping[str, Any]
    value_files: tuple[str, ...]
    rendered: bool
    lent: tuple[str, ...]
    footing: str
    secret_files: tuple[str, ...] = ()
    """Those of `value_files` that must be encrypted."""


@dataclass(frozen=True, slots=True)
class Blend:
    """What an application and its overrides come to.

    `origins` says for each value, by path, where it is from. `names` are the variables that its values ask for.
    """

    parts: tuple[Part, ...]
    patches: tuple[Patch, ...]
    images: tuple[Image, ...]
    replicas: tuple[Replicas, ...]
    origins: Mapping[str, str]
    names: frozenset[str]
    digest: str

    @property
    def main(self) -> Part:
        """The part that overrides of path, ref, version and values are about."""
        return self.parts[0]


def blend(application: Application, overrides: Sequence[Numbered] = ()) -> Blend:
    """The application with these overrides."""
    making = _Making(application)
    for number, override in overrides:
        making.add(override, override_origin(application, number))
    return making.made()


def override_origin(application: Application, number: int) -> str:
    """What the override of this number, from 0, is called where the origins of values are told."""
    override = application.spec.overrides[number]
    if isinstance(override, PinOverride):
        return f"promotion of {application.name} to {override.environment}"
    return f"override {number + 1} of {application.name}"


def candidates(application: Application) -> tuple[Part, ...]:
    """The parts that any combination of its overrides may be made of, roughly: those of none and of each one alone.

    Whatever changes what some combination reads changes what one of these reads.
    """
    alone = [blend(application), *(blend(application, [each]) for each in enumerate(application.spec.overrides))]
    return tuple({part.footing: part for each in alone for part in each.parts}.values())


def digest_of(content: Any) -> str:
    """The SHA-256 of anything that JSON can say."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class _Files:
    """Value files in order, and which of them have to be encrypted."""

    all: tuple[str, ...]
    secret: tuple[str, ...]


class _Making:
    def __init__(self, application: Application) -> None:
        spec = application.spec
        origin = f"application {application.name}"
        alone = bool(spec.sources) and "source" not in spec.model_fields_set
        # `sources` without `source`: their first takes its place.
        self._first = spec.sources[0] if alone else None
        self._further = spec.sources[1:] if alone else spec.sources
        self._source = plain_source(self._first) if self._first is not None else spec.source
        self._render = self._first.render if self._first is not None else spec.render
        self._changes: dict[str, str] = {}
        self._patches: list[Patch] = []
        self._images: dict[str, Image] = {}
        self._replicas: dict[str, Replicas] = {}
        self._files: list[str] = []
        self._secret_files: list[str] = []
        self.origins = dict.fromkeys(("version",) if self._source.chart else ("path", "ref"), origin)
        helm = self._render.helm
        self._values = merged({}, helm.values if helm else {}, origin, "values", self.origins)
        self._add_files(helm.value_files if helm else (), origin)
        self._add_secret_files(helm.secret_values if helm else (), origin)

    def add(self, override: Override, origin: str) -> None:
        self._values = merged(self._values, override.values, origin, "values", self.origins)
        for key in ("path", "ref", "version"):
            value = getattr(override, key)
            if value is not None:
                self._changes[key], self.origins[key] = value, origin
        self._add_files(override.value_files, origin)
        self._add_secret_files(override.secret_values, origin)
        for patch in override.patches:
            self.origins[f"patches[{len(self._patches)}]"] = origin
            self._patches.append(patch)
        for image in override.images:
            self._images[image.name], self.origins[f"images.{image.name}"] = image, origin
        for each in override.replicas:
            self._replicas[each.name], self.origins[f"replicas.{each.name}"] = each, origin

    def _add_files(self, files: Sequence[str], origin: str) -> None:
        for file in files:
            self.origins[f"valueFiles[{len(self._files)}]"] = origin
            self._files.append(file)

    def _add_secret_files(self, files: Sequence[str], origin: str) -> None:
        self._add_files(files, origin)
        self._secret_files += files

    def made(self) -> Blend:
        parts = self._parts()
        images, replicas = tuple(self._images.values()), tuple(self._replicas.values())
        digest = digest_of(
            {
                "parts": [[part.name, part.footing, part.values, part.rendered] for part in parts],
                "patches": [patch.model_dump(mode="json") for patch in self._patches],
                "images": [image.model_dump(mode="json") for image in images],
                "replicas": [each.model_dump(mode="json") for each in replicas],
            }
        )
        names = frozenset(name for part in parts for name in names_in(part.values))
        return Blend(parts, tuple(self._patches), images, replicas, self.origins, names, digest)

    def _parts(self) -> tuple[Part, ...]:
        source = self._source.model_copy(update=self._changes) if self._changes else self._source
        lent = _lent([*self._files, *(file for each in self._further for file in _files_of(each.render))])
        name = (self._first.name or MAIN) if self._first is not None else MAIN
        files = _Files(tuple(self._files), tuple(self._secret_files))
        main = _part(name, source, self._render, self._values, files, lent)
        further = [
            _part(
                each.name or f"source {number}",
                plain_source(each),
                each.render,
                each.render.helm.values if each.render.helm else {},
                _Files(_files_of(each.render), each.render.helm.secret_values if each.render.helm else ()),
                lent,
                rendered=each.rendered,
            )
            for number, each in enumerate(self._further, 2)
        ]
        return (main, *further)


def plain_source(source: Source) -> Source:
    """The source alone, where a document says more of it."""
    return Source.model_construct(**{key: getattr(source, key) for key in Source.model_fields})


def lender(file: str) -> tuple[str, str]:
    """The source that a value file is borrowed from, and its path there; no source when it is the chart's own."""
    if not file.startswith("$"):
        return "", file
    name, _, path = file[1:].partition("/")
    return name, path


def _files_of(render: Render) -> tuple[str, ...]:
    return (*render.helm.value_files, *render.helm.secret_values) if render.helm is not None else ()


def _lent(files: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """The files that are borrowed, by the name of the source they are in."""
    found: dict[str, list[str]] = {}
    for name, path in map(lender, files):
        if name and path not in found.setdefault(name, []):
            found[name].append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def _part(
    name: str,
    source: Source,
    render: Render,
    values: Mapping[str, Any],
    files: _Files,
    lent: Mapping[str, tuple[str, ...]],
    *,
    rendered: bool = True,
) -> Part:
    how = render.model_dump(mode="json")
    if how["helm"] is not None:
        how["helm"] |= {"values": None, "value_files": None}
        del how["helm"]["secret_values"]
    mine = lent.get(name, ()) if name else ()
    named = [source.model_dump(mode="json"), how, files.all, mine, rendered, *([files.secret] if files.secret else [])]
    return Part(name, source, render, values, files.all, rendered, mine, digest_of(named), files.secret)


def merged(
    below: Mapping[str, Any], above: Mapping[str, Any], origin: str, path: str, origins: dict[str, str]
) -> dict[str, Any]:
    """Maps merge, everything else is replaced, as Helm does with values. A null stays: Helm takes it as removal.

    `origins` gets, for each value below `path`, where it is from.
    """
    result = dict(below)
    for key, value in above.items():
        here, inner = f"{path}.{key}", below.get(key)
        if isinstance(value, dict) != isinstance(inner, dict):
            for replaced in [known for known in origins if known == here or known.startswith(f"{here}.")]:
                del origins[replaced]
        if isinstance(value, dict):
            result[key] = merged(inner if isinstance(inner, dict) else {}, value, origin, here, origins)
        else:
            result[key] = value
            origins[here] = origin
    return result
