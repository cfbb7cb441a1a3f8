"""What goes into a render and what comes out: the values that cross to a worker process."""

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


class PlainJob(Value, frozen=True):
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


class RenderedObject(Value, frozen=True):
    """An object in its canonical line. `place` is where it was written."""

    ref: ObjectRef
    line: bytes
    place: Place


class Rendered(Value, frozen=True):
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
