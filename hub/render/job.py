"""What goes into a render and what comes out: the values that cross to a worker process.

A job is a tagged union. A `PlainJob` makes objects of YAML files; a template job makes YAML files of something else
(a chart), and what comes out of it goes into a plain job. The results are tagged the same way.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hub.domain.fields import Scalar
from shared.errors import YardarmError
from shared.model import ObjectRef, Place, Problem, Value


class File(Value, frozen=True):
    """A file of the source; `path` is relative to the application's path. `shown` is its path in the repository."""

    path: str
    data: bytes
    shown: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.shown or self.path


class Selection(Value, frozen=True):
    """Which files are manifests. `explicit` says that the application asks for plain rendering by name."""

    recurse: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    explicit: bool = False


class Target(Value, frozen=True):
    """Which objects a patch is for. Empty parts match everything; names are anchored regular expressions."""

    group: str = ""
    version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    label_selector: str = ""
    annotation_selector: str = ""


class Patch(Value, frozen=True):
    """A change to rendered objects: a strategic merge (a map), JSON 6902 operations (a list), or either as YAML text.

    `origin` says in messages where the patch was written. Without a target a strategic merge names its object itself.
    """

    patch: Any
    target: Target | None = None
    origin: str = "a patch"


class PlainJob(Value, frozen=True, tag="plain"):
    """One plain render.

    `made` are files of objects that a template step made, or that further sources hold. `known` are the variable names
    that are the fleet's, with a value in `variables` or without. `problems` were met while the files were read: an
    error among them fails the render.
    """

    application: str
    namespace: str
    files: tuple[File, ...]
    made: tuple[File, ...] = ()
    selection: Selection = Selection()
    variables: dict[str, Scalar] = msgspec.field(default_factory=dict)
    known: tuple[str, ...] = ()
    patches: tuple[Patch, ...] = ()
    problems: tuple[Problem, ...] = ()


class HelmJob(Value, frozen=True, tag="helm"):
    """One chart to template, as `helm template` does.

    `archive` is the chart with its dependencies, a gzipped tar; `chart` is what messages call it. Values are those of
    the chart, then each of `value_files` in order, then `values`; a later map is merged into an earlier one, anything
    else replaces it, and null removes the chart's default. Without `kube_version` it is the library's own;
    `api_versions` are added to those every cluster has. `program` is a helm executable to use in place of the library.
    """

    application: str
    namespace: str
    release: str
    chart: str
    archive: bytes
    value_files: tuple[File, ...] = ()
    values: dict[str, Any] = msgspec.field(default_factory=dict)
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    skip_crds: bool = False
    program: str = ""


TemplateJob = HelmJob
"""Jobs that make YAML files: a union as soon as there is another."""

Job = PlainJob | TemplateJob


class RenderedObject(Value, frozen=True):
    """An object in its canonical line. `place` is where it was written."""

    ref: ObjectRef
    line: bytes
    place: Place


class Rendered(Value, frozen=True, tag="rendered"):
    """A whole result, ordered by reference, so that moving a manifest between files changes nothing.

    `used` are the variable names that occur in it: variants that differ only in others are equal.
    """

    objects: tuple[RenderedObject, ...]
    used: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def lines(self) -> tuple[bytes, ...]:
        """The body of the bundle."""
        return tuple(each.line for each in self.objects)

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        """The objects' references, in the order of `lines`."""
        return tuple(each.ref for each in self.objects)


class Templated(Value, frozen=True, tag="templated"):
    """What a template job made: YAML files in the order of their paths, those that hold nothing left out."""

    files: tuple[File, ...]
    warnings: tuple[Problem, ...] = ()


Result = Rendered | Templated


class RenderError(YardarmError):
    """A render failed as a whole. `problems` lists everything that was found, warnings included.

    `transient` says that trying again may help: the worker was killed, not the input refused.
    """

    def __init__(self, problems: tuple[Problem, ...], *, transient: bool = False) -> None:
        self.problems = problems
        self.transient = transient
        errors = [str(problem) for problem in problems if problem.severity == "error"]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0] if errors else 'nothing could be rendered'}{more}")
