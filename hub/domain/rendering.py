"""Where an application's manifests come from and how they are made: the parts of a document that say so."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from hub.domain.fields import Model, Name


def _path(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts:
        raise ValueError(f"{text!r} leaves the repository: write a path inside it, without '..'")
    return "/".join(parts) or "."


RepositoryPath = Annotated[str, AfterValidator(_path)]
"""A path inside a repository, without leading or trailing slash; `.` is the root."""


class Source(Model):
    """Where manifests come from: a path in a Git repository, or a chart. `repo` "." is the fleet repository itself.

    An empty `ref` is the repository's default branch, or, for ".", the commit the document itself is from. An empty
    `version` is the chart's newest one that is no pre-release.
    """

    repo: Annotated[str, Field(min_length=1)] = "."
    ref: str = ""
    path: RepositoryPath = "."
    chart: str = ""
    version: str = ""

    @model_validator(mode="after")
    def _one_of(self) -> Source:
        if self.chart and self.repo == ".":
            raise ValueError("a chart needs repo: the https:// or oci:// address it is found at")
        if self.chart and (self.ref or self.path != "."):
            raise ValueError("ref and path are for Git, chart and version for chart repositories: keep one pair")
        if self.version and not self.chart:
            raise ValueError("version is for charts: for Git, write ref")
        return self


_VALUE_FILE = re.compile(r"(\$[a-z0-9]([a-z0-9-]*[a-z0-9])?/)?[^\\\0]+")


def _value_file(text: str) -> str:
    if _VALUE_FILE.fullmatch(text) and "://" not in text:
        return text
    raise ValueError(f"{text!r} is not a value file: a path from the chart, /path from the repository, or $source/path")


ValueFile = Annotated[str, AfterValidator(_value_file)]
"""`values.yaml` from the chart's directory, `/values/prod.yaml` from its repository, `$config/prod.yaml` from the
source named `config`."""


class Helm(Model):
    """Rendering of a Helm chart. An empty release is the application's name.

    Value files come first, later ones win; then `secret_values`, files that SOPS has encrypted and that only the
    cluster opens; then `values`. `kube_version` and `api_versions` stand in for what the
    cluster reports. The release is in the application's namespace.
    """

    release: str = ""
    values: dict[str, Any] = Field(default_factory=dict)
    value_files: tuple[ValueFile, ...] = ()
    secret_values: tuple[ValueFile, ...] = ()
    ignore_missing_value_files: bool = False
    skip_crds: Annotated[bool, Field(alias="skipCRDs")] = False
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()


class Image(Model):
    """An image to put in place of another, as in a kustomization."""

    name: Annotated[str, Field(min_length=1)]
    new_name: str = ""
    new_tag: str = ""
    digest: str = ""


class Replicas(Model):
    """How many pods the workload of this name runs, as in a kustomization."""

    name: Annotated[str, Field(min_length=1)]
    count: Annotated[int, Field(ge=0)]


class PatchTarget(Model):
    """Which objects a patch is for; empty parts match everything, names are regular expressions as in Kustomize."""

    group: str = ""
    version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    label_selector: str = ""
    annotation_selector: str = ""


def _patch(value: Any) -> Any:
    if isinstance(value, str | dict | list) and value:
        return value
    raise ValueError("a patch is text, a map (strategic merge) or a list of operations (JSON 6902)")


class Patch(Model):
    """A change to rendered objects."""

    target: PatchTarget | None = None
    patch: Annotated[
        Any, PlainValidator(_patch), WithJsonSchema({"type": ["string", "object", "array"], "minLength": 1})
    ]


class Kustomize(Model):
    """What is added on top of a kustomization, as `kustomize edit` would write it there."""

    images: tuple[Image, ...] = ()
    replicas: tuple[Replicas, ...] = ()
    name_prefix: str = ""
    name_suffix: str = ""
    namespace: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    components: tuple[str, ...] = ()
    patches: tuple[Patch, ...] = ()


class JsonnetArgument(Model):
    """A value handed to Jsonnet: text, or with `code` an expression."""

    name: Annotated[str, Field(min_length=1)]
    value: str
    code: bool = False


class Jsonnet(Model):
    """How `*.jsonnet` files are evaluated. `libs` are folders of the repository that imports are looked up in."""

    tlas: tuple[JsonnetArgument, ...] = ()
    ext_vars: tuple[JsonnetArgument, ...] = ()
    libs: tuple[RepositoryPath, ...] = ()


class Plain(Model):
    """Which files of a directory are manifests; patterns are relative to it and know `*`, `**` and `?`."""

    recurse: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    jsonnet: Jsonnet = Jsonnet()


class Render(Model):
    """How a source becomes manifests; at most one way. None: detected from the files.

    `helm_releases` says what becomes of Flux's HelmRelease objects among them: applied as they are, for Flux to act
    upon, or put in place by what their charts render to.
    """

    helm: Helm | None = None
    kustomize: Kustomize | None = None
    plain: Plain | None = None
    helm_releases: Literal["apply", "expand"] = "apply"

    @model_validator(mode="after")
    def _one_of(self) -> Render:
        given = [name for name in ("helm", "kustomize", "plain") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot be used together: keep one")
        return self


class FurtherSource(Source):
    """One more source of an application.

    With a `name` its files can be value files of the others (`$name/path`). It is rendered, and its objects join,
    when it has a `path` or `chart`; a name alone is for value files only.
    """

    name: Name | None = None
    render: Render = Render()

    @property
    def rendered(self) -> bool:
        """Whether it has objects of its own, and is not only there for its files."""
        return self.name is None or bool(self.model_fields_set & {"path", "chart"})
