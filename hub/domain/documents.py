"""The documents of a fleet repository (DESIGN section 3): their schema, nothing about how they fit together.

Every kind is one pydantic model: strict, immutable, camelCase. `hub.domain.reading` turns YAML into them and errors
into findings with file, line and field; `hub.domain.fleet` joins them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema, model_validator

from hub.domain.fields import CountOrPercent, Duration, Model, Name, Variables
from hub.domain.selectors import Selector, Term

API_GROUP = "yardarm.dev"
API_VERSION = f"{API_GROUP}/v1alpha1"
SUBSTITUTE = f"{API_GROUP}/substitute"
"""Annotation that limits `${variables}`: see `hub.domain.variables`."""
DEFAULT_PROJECT = "default"
"""The project of applications that name none; it exists without a document and allows everything."""


class Metadata(Model):
    """Name, labels and annotations. Only labels are selected by."""

    name: Name
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Taint(Model):
    """Keeps applications away that do not tolerate `key`. NoNew leaves what is there, NoRun moves it away."""

    key: Annotated[str, Field(min_length=1)]
    effect: Literal["NoNew", "NoRun"]


class ClusterSpec(Model):
    """What administrators say of a cluster. A paused cluster keeps what it has and gets nothing new."""

    variables: Variables = Field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    paused: bool = False


_CRON = re.compile(r"(\S+\s+){4}\S+")
_TIMEZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


class Window(Model):
    """When promotion into an environment is allowed: from each time of the cron line `allow`, for so long."""

    allow: Annotated[str, Field(pattern=_CRON.pattern)]
    for_: Annotated[Duration, Field(alias="for")]
    timezone: Annotated[str, Field(pattern=f"^{_TIMEZONE.pattern}$")] = "UTC"


class EnvironmentSpec(Model):
    """A set of clusters by label or name, its place in promotion, and what its clusters share."""

    order: int = 0
    clusters: tuple[Name, ...] = ()
    where: tuple[Term, ...] = ()
    exclude: tuple[Name, ...] = ()
    variables: Variables = Field(default_factory=dict)
    windows: tuple[Window, ...] = ()

    @model_validator(mode="after")
    def _no_facts(self) -> EnvironmentSpec:
        if any(term.facts for term in self.where):
            raise ValueError(
                "an environment cannot be chosen by facts: an agent could report itself into it; use labels"
            )
        return self

    @property
    def selector(self) -> Selector:
        """Its clusters."""
        return Selector(clusters=self.clusters, where=self.where, exclude=self.exclude)


def _path(text: str) -> str:
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or ".." in parts:
        raise ValueError(f"{text!r} leaves the repository: write a path inside it, without '..'")
    return "/".join(parts) or "."


RepositoryPath = Annotated[str, AfterValidator(_path)]
"""A path inside a repository, without leading or trailing slash; `.` is the root."""


class Source(Model):
    """Where manifests come from: a path in a Git repository, or a chart. `repo` "." is the fleet repository itself.

    An empty `ref` is the repository's default branch, or, for ".", the commit the document itself is from.
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


class Helm(Model):
    """Rendering of a Helm chart. An empty release is the application's name."""

    release: str = ""
    values: dict[str, Any] = Field(default_factory=dict)
    value_files: tuple[str, ...] = ()
    skip_crds: Annotated[bool, Field(alias="skipCRDs")] = False


class Image(Model):
    """An image to put in place of another, as in a kustomization."""

    name: Annotated[str, Field(min_length=1)]
    new_name: str = ""
    new_tag: str = ""
    digest: str = ""


class Kustomize(Model):
    """What is added on top of a kustomization."""

    images: tuple[Image, ...] = ()
    name_prefix: str = ""
    name_suffix: str = ""
    components: tuple[RepositoryPath, ...] = ()


class Plain(Model):
    """Which files of a directory are manifests; patterns are relative to it and know `*`, `**` and `?`."""

    recurse: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Render(Model):
    """How a source becomes manifests; at most one way. None: detected from the files."""

    helm: Helm | None = None
    kustomize: Kustomize | None = None
    plain: Plain | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Render:
        given = [name for name in ("helm", "kustomize", "plain") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot be used together: keep one")
        return self


class Pick(Model):
    """Take only `count` of the clusters that match, evenly over the values of the label `spread`."""

    count: Annotated[int, Field(ge=0)]
    spread: str = ""


class Placement(Selector):
    """Which clusters an application goes to, and what happens on those it leaves."""

    pick: Pick | None = None
    tolerate: tuple[str, ...] = ()
    on_leave: Literal["delete", "orphan"] = "delete"


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


class Override(Model):
    """What is different on the clusters that `when` selects. Later overrides win."""

    when: Selector = Selector()
    path: RepositoryPath | None = None
    values: dict[str, Any] = Field(default_factory=dict)
    variables: Variables = Field(default_factory=dict)
    patches: tuple[Patch, ...] = ()


def _pointer(text: str) -> str:
    if text.startswith("/"):
        return text
    raise ValueError(f"{text!r} is not a JSON pointer: write it like /spec/replicas")


class Ignore(Model):
    """Differences that are not drift. Empty parts match everything; a step of `*` in a field matches any one."""

    kind: str = ""
    group: str = ""
    name: str = ""
    namespace: str = ""
    fields: tuple[Annotated[str, AfterValidator(_pointer)], ...] = ()
    managers: tuple[str, ...] = ()


class Deletion(Model):
    """How much may be deleted without a person's word, and what becomes of the objects of a deleted application."""

    budget: CountOrPercent = "50%"
    on_delete: Literal["delete", "orphan"] = "delete"


class Sync(Model):
    """How an application is applied and kept. `timeout` is from assigned to healthy."""

    drift: Literal["correct", "report"] = "correct"
    prune: bool = True
    ignore: tuple[Ignore, ...] = ()
    timeout: Duration = 300.0
    create_namespace: bool = True
    adopt: Literal["ifUnowned", "always", "never"] = "ifUnowned"
    deletion: Deletion = Deletion()


_GROUP_KIND = re.compile(r"([a-z0-9][a-z0-9.-]*/)?[A-Z][A-Za-z0-9]*")


def _group_kind(text: str) -> str:
    if _GROUP_KIND.fullmatch(text):
        return text
    raise ValueError(f"{text!r} is not a kind: write group/Kind without a version, like example.com/Widget, or Pod")


class HealthRule(Model):
    """CEL expressions over `object` that say when objects of a kind (`group/Kind`) are healthy or have failed."""

    kind: Annotated[str, AfterValidator(_group_kind)]
    healthy: Annotated[str, Field(min_length=1)]
    failed: str = ""


class Check(Model):
    """Something that must hold for a time before a stage is done. One of prometheus, http and job."""

    prometheus: str = ""
    query: str = ""
    http: str = ""
    job: str = ""
    below: float | None = None
    above: float | None = None
    for_: Annotated[Duration, Field(alias="for")] = 0.0

    @model_validator(mode="after")
    def _one_of(self) -> Check:
        if sum(bool(way) for way in (self.prometheus, self.http, self.job)) != 1:
            raise ValueError("a check is one of prometheus, http and job")
        if bool(self.prometheus) != bool(self.query):
            raise ValueError("prometheus (the address) and query belong together")
        return self


class Approve(Model):
    """Who must agree before a stage starts, and how many of them."""

    by: Annotated[tuple[str, ...], Field(min_length=1)]
    count: Annotated[int, Field(ge=1)] = 1


class Stage(Selector):
    """A step of a rollout: the clusters it selects that no earlier stage took."""

    name: Name
    pick: Pick | None = None
    max_concurrent: CountOrPercent = "100%"
    max_failures: CountOrPercent = 0
    soak: Duration = 0.0
    checks: tuple[Check, ...] = ()
    approve: Approve | None = None


class Offline(Model):
    """When a cluster that does not answer leaves its slot in a rollout."""

    after: Duration = 120.0


class Strategy(Model):
    """How a new revision moves over the clusters. `deadline` is per cluster, from assigned to healthy."""

    stages: tuple[Stage, ...] = ()
    deadline: Duration = 600.0
    offline: Offline = Offline()
    on_failure: Literal["pause", "rollback", "continue"] = "pause"
    on_newer: Literal["supersede", "queue"] = "supersede"


def _inline_or_name(value: Any) -> str:
    return "inline" if isinstance(value, dict | Strategy) else "name"


class ApplicationSpec(Model):
    """A source, a way to render it, where it goes, what differs there, and how it is kept."""

    project: Name = DEFAULT_PROJECT
    source: Source = Source()
    render: Render = Render()
    namespace: Name = "default"
    placement: Placement = Placement()
    overrides: tuple[Override, ...] = ()
    sync: Sync = Sync()
    health: tuple[HealthRule, ...] = ()
    depends_on: tuple[Name, ...] = ()
    rollout: (
        Annotated[Annotated[Name, Tag("name")] | Annotated[Strategy, Tag("inline")], Discriminator(_inline_or_name)]
        | None
    ) = None


class ProjectSpec(Model):
    """What applications of a project may do; empty lists allow everything.

    `sources` and `namespaces` may hold `*`; `kinds` are `Kind` or `group/Kind`.
    """

    sources: tuple[str, ...] = ()
    clusters: Selector = Selector()
    namespaces: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    service_account: str = ""


class NotificationSpec(Model):
    """Which events go where. Empty lists mean all; `severity` is the least that is sent."""

    when: Selector = Selector()
    applications: tuple[Name, ...] = ()
    events: tuple[str, ...] = ()
    severity: Literal["info", "warning", "error"] = "info"
    to: Annotated[dict[str, Any], Field(min_length=1)]


class _Resource(Model):
    api_version: Literal["yardarm.dev/v1alpha1"]
    metadata: Metadata

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.metadata.name


class Cluster(_Resource):
    """One Kubernetes API with one agent."""

    kind: Literal["Cluster"]
    spec: ClusterSpec = ClusterSpec()


class Environment(_Resource):
    """A named, ordered set of clusters."""

    kind: Literal["Environment"]
    spec: EnvironmentSpec


class Application(_Resource):
    """What runs, and where."""

    kind: Literal["Application"]
    spec: ApplicationSpec


class RolloutStrategy(_Resource):
    """A strategy with a name, for several applications."""

    kind: Literal["RolloutStrategy"]
    spec: Strategy


class Project(_Resource):
    """Tenancy: a fence around applications."""

    kind: Literal["Project"]
    spec: ProjectSpec = ProjectSpec()


class Notification(_Resource):
    """Tells people what happens."""

    kind: Literal["Notification"]
    spec: NotificationSpec


Resource = Cluster | Environment | Application | RolloutStrategy | Project | Notification

KINDS: dict[str, type[Resource]] = {
    "Cluster": Cluster,
    "Environment": Environment,
    "Application": Application,
    "RolloutStrategy": RolloutStrategy,
    "Project": Project,
    "Notification": Notification,
}
