"""What goes into a render and what comes out: the values that cross to a worker process.

A job is a tagged union. A `PlainJob` makes objects of YAML files; a template job makes YAML files of something else
(a chart), and what comes out of it goes into a plain job; a `RulesJob` holds objects against rules. The results are
tagged the same way.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hub.domain.fields import Scalar
from hub.domain.rules import Rule
from hub.domain.sealing import SealedDocument
from shared.errors import YardarmError
from shared.model import ObjectRef, Place, Problem, Value


class File(Value, frozen=True):
    """A file of the source; `path` is relative to the application's path. `shown` is its path in the repository.

    `by_chart`: a chart made it, and what is in it need not be in the repository.
    """

    path: str
    data: bytes
    shown: str = ""
    by_chart: bool = False

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


class Image(Value, frozen=True):
    """What takes the place of the image `name`, as in a kustomization; empty parts stay as they are.

    `name` is a regular expression without the tag, as Kustomize takes it.
    """

    name: str
    new_name: str = ""
    new_tag: str = ""
    digest: str = ""


class Replicas(Value, frozen=True):
    """How many pods the workload `name` runs."""

    name: str
    count: int


class PlainJob(Value, frozen=True, tag="plain"):
    """One plain render.

    `made` are files of objects that a template step made, or that further sources hold. `known` are the variable names
    that are the fleet's, with a value in `variables` or without. `sealed` are the encrypted documents whose secrets are
    tokens in `made`. `problems` were met while the files were read: an error among them fails the render.
    """

    application: str
    namespace: str
    files: tuple[File, ...]
    made: tuple[File, ...] = ()
    selection: Selection = Selection()
    variables: dict[str, Scalar] = msgspec.field(default_factory=dict)
    known: tuple[str, ...] = ()
    patches: tuple[Patch, ...] = ()
    images: tuple[Image, ...] = ()
    replicas: tuple[Replicas, ...] = ()
    sealed: tuple[SealedDocument, ...] = ()
    problems: tuple[Problem, ...] = ()


class HelmJob(Value, frozen=True, tag="helm"):
    """One chart to template, as `helm template` does.

    `archive` is the chart with its dependencies, a gzipped tar; `chart` is what messages call it. Values are those of
    the chart, then each of `value_files` in order, then `values`; a later map is merged into an earlier one, anything
    else replaces it, and null removes the chart's default. Without `kube_version` it is the library's own;
    `api_versions` are added to those every cluster has. `secret_files` are the paths of value files that have to be
    encrypted. `program` is a helm executable to use in place of the library.
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
    secret_files: tuple[str, ...] = ()
    program: str = ""


class Additions(Value, frozen=True):
    """What an application adds to its kustomization, as `kustomize edit` would write it there.

    `labels` are put on objects only; with `label_templates` on the templates of pods too, with `label_selectors` on
    selectors as well, which `kustomize edit add label` does when it is not asked otherwise. `components` are
    directories, relative to the kustomization's.
    """

    images: tuple[Image, ...] = ()
    replicas: tuple[Replicas, ...] = ()
    name_prefix: str = ""
    name_suffix: str = ""
    namespace: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    label_templates: bool = False
    label_selectors: bool = False
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    components: tuple[str, ...] = ()
    patches: tuple[Patch, ...] = ()


class RemoteContent(Value, frozen=True):
    """What a kustomization names outside its repository by `text`: the directory or file `path` of `files`."""

    text: str
    path: str
    files: tuple[File, ...]
    kustomizations: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


class KustomizeJob(Value, frozen=True, tag="kustomize"):
    """One build of the kustomization in the directory `path`.

    Paths of `files` are from the repository's root and lead through no links; `links` says which paths lead to them
    besides. `kustomizations` are the paths of kustomization files, first that of `path`. `command` is the program with
    what comes before the directory: `("/usr/bin/kubectl", "kustomize")`. `outside`: files above a kustomization's own
    directory may be read. `seconds` and `memory` (bytes) are the program's limits. `problems` were met while the files
    were gathered: an error among them fails the render.
    """

    application: str
    path: str
    files: tuple[File, ...]
    kustomizations: tuple[str, ...]
    command: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    additions: Additions = Additions()
    remotes: tuple[RemoteContent, ...] = ()
    outside: bool = False
    seconds: float = 30.0
    memory: int = 512 * 1024**2
    problems: tuple[Problem, ...] = ()


class JsonnetArgument(Value, frozen=True):
    """A value handed to Jsonnet: text, or with `code` an expression."""

    name: str
    value: str
    code: bool = False


class JsonnetJob(Value, frozen=True, tag="jsonnet"):
    """Jsonnet files to evaluate. Paths are from the repository's root.

    `entries` are those of `files` that come to objects; the others are imported by them, looked up beside the importing
    file and then in `folders`. `problems` were met while the files were gathered: an error among them fails the render.
    """

    application: str
    files: tuple[File, ...]
    entries: tuple[str, ...]
    folders: tuple[str, ...] = ()
    ext_vars: tuple[JsonnetArgument, ...] = ()
    tlas: tuple[JsonnetArgument, ...] = ()
    problems: tuple[Problem, ...] = ()


TemplateJob = HelmJob | KustomizeJob | JsonnetJob
"""Jobs that make YAML files."""


class RulesJob(Value, frozen=True, tag="rules"):
    """Rules to hold objects against; `objects` are canonical lines. `most`: findings to stop at."""

    application: str
    objects: tuple[bytes, ...]
    rules: tuple[Rule, ...]
    most: int = 100


Job = PlainJob | TemplateJob | RulesJob


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
    """What a template job made: YAML files in the order of their paths, those that hold nothing left out.

    `sealed` are the encrypted documents whose secrets are tokens in them.
    """

    files: tuple[File, ...]
    warnings: tuple[Problem, ...] = ()
    sealed: tuple[SealedDocument, ...] = ()


class Broken(Value, frozen=True):
    """A rule that does not hold of an object, both by number. `reason`: it could not be said, and why; or empty."""

    object: int
    rule: int
    reason: str = ""


class Judged(Value, frozen=True, tag="judged"):
    """What came of a rules job."""

    broken: tuple[Broken, ...]


Result = Rendered | Templated | Judged


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
