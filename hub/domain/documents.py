"""The documents of a fleet repository (DESIGN section 3): their schema, nothing about how they fit together.

Every kind is one pydantic model: strict, immutable, camelCase. `hub.domain.reading` turns YAML into them and errors
into findings with file, line and field; `hub.domain.fleet` joins them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from hub.domain.fields import CountOrPercent, Duration, Model, Name, Variables
from hub.domain.generating import ApplicationSetSpec
from hub.domain.projects import PolicySpec, ProjectSpec
from hub.domain.rendering import FurtherSource, Image, Patch, Render, Replicas, RepositoryPath, Source, ValueFile
from hub.domain.schedules import Freeze, Window
from hub.domain.selectors import Selector, Term
from hub.domain.staging import Pick, Strategy

API_GROUP = "yardarm.dev"
API_VERSION = f"{API_GROUP}/v1alpha1"
SUBSTITUTE = f"{API_GROUP}/substitute"
"""Annotation that limits `${variables}`: see `hub.domain.variables`."""
DEFAULT_PROJECT = "default"
"""The project of applications that name none; it exists without a document, and allows everything until it has one."""


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


class EnvironmentSpec(Model):
    """A set of clusters by label or name, its place in promotion, what they share, and when they take changes."""

    order: int = 0
    clusters: tuple[Name, ...] = ()
    where: tuple[Term, ...] = ()
    exclude: tuple[Name, ...] = ()
    variables: Variables = Field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    freezes: tuple[Freeze, ...] = ()

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


class Placement(Selector):
    """Which clusters an application goes to, and what happens on those it leaves."""

    pick: Pick | None = None
    tolerate: tuple[str, ...] = ()
    on_leave: Literal["delete", "orphan"] = "delete"


class Override(Model):
    """What is different on the clusters that `when` selects. Later overrides win.

    `path`, `ref` and `version` take the place of the source's. Values merge and value files are added after those
    before, patches follow those before; an image or a number of replicas takes the place of one of the same name.
    """

    when: Selector = Selector()
    path: RepositoryPath | None = None
    ref: str | None = None
    version: str | None = None
    values: dict[str, Any] = Field(default_factory=dict)
    value_files: tuple[ValueFile, ...] = ()
    secret_values: tuple[ValueFile, ...] = ()
    variables: Variables = Field(default_factory=dict)
    patches: tuple[Patch, ...] = ()
    images: tuple[Image, ...] = ()
    replicas: tuple[Replicas, ...] = ()


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


def _inline_or_name(value: Any) -> str:
    return "inline" if isinstance(value, dict | Strategy) else "name"


class Elsewhere(Selector):
    """An application that has to be healthy on the clusters selected, wherever who depends on it goes."""

    application: Name


def _name_or_elsewhere(value: Any) -> str:
    return "elsewhere" if isinstance(value, dict | Elsewhere) else "name"


Dependency = Annotated[
    Annotated[Name, Tag("name")] | Annotated[Elsewhere, Tag("elsewhere")], Discriminator(_name_or_elsewhere)
]
"""Another application: by name, on the same cluster."""


class ApplicationSpec(Model):
    """A source, a way to render it, where it goes, what differs there, and how it is kept.

    Applications with the same `release_set` move over the stages of their rollouts together.
    """

    project: Name = DEFAULT_PROJECT
    source: Source = Source()
    sources: tuple[FurtherSource, ...] = ()
    render: Render = Render()
    namespace: Name = "default"
    placement: Placement = Placement()
    overrides: tuple[Override, ...] = ()
    sync: Sync = Sync()
    health: tuple[HealthRule, ...] = ()
    depends_on: tuple[Dependency, ...] = ()
    release_set: Name | None = None
    rollout: (
        Annotated[Annotated[Name, Tag("name")] | Annotated[Strategy, Tag("inline")], Discriminator(_inline_or_name)]
        | None
    ) = None

    @property
    def beside(self) -> tuple[str, ...]:
        """The applications that it depends on where both are on a cluster."""
        return tuple(each for each in self.depends_on if isinstance(each, str))

    @property
    def elsewhere(self) -> tuple[Elsewhere, ...]:
        """Those that it depends on on certain clusters."""
        return tuple(each for each in self.depends_on if isinstance(each, Elsewhere))

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The names of all of them, in the order written."""
        return tuple(each if isinstance(each, str) else each.application for each in self.depends_on)


_COMMIT = re.compile(r"[0-9a-f]{40}")


class Pin(Model):
    """What an environment has: a commit of the application's own first source, whole; of a chart, its version."""

    commit: Annotated[str, Field(pattern=f"^({_COMMIT.pattern})?$")] = ""
    version: str = ""

    @model_validator(mode="after")
    def _one_of(self) -> Pin:
        if bool(self.commit) == bool(self.version):
            raise ValueError("a pin is a commit or, for a chart, a version")
        return self


class PromotionSpec(Model):
    """Pins by environment; in environments without one the source says what is meant."""

    environments: dict[Name, Pin] = Field(default_factory=dict)


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


class ApplicationSet(_Resource):
    """Many applications from one document."""

    kind: Literal["ApplicationSet"]
    spec: ApplicationSetSpec


class RolloutStrategy(_Resource):
    """A strategy with a name, for several applications."""

    kind: Literal["RolloutStrategy"]
    spec: Strategy


class Project(_Resource):
    """Tenancy: a fence around applications."""

    kind: Literal["Project"]
    spec: ProjectSpec = ProjectSpec()


class FleetPolicy(_Resource):
    """What the whole fleet demands of objects, before anything is published."""

    kind: Literal["Policy"]
    spec: PolicySpec


class Promotion(_Resource):
    """Which commit of the application of the same name each environment has. Written by people, or by the hub."""

    kind: Literal["Promotion"]
    spec: PromotionSpec


class Notification(_Resource):
    """Tells people what happens."""

    kind: Literal["Notification"]
    spec: NotificationSpec


Resource = (
    Cluster
    | Environment
    | Application
    | ApplicationSet
    | RolloutStrategy
    | Promotion
    | Project
    | FleetPolicy
    | Notification
)

KINDS: dict[str, type[Resource]] = {
    "Cluster": Cluster,
    "Environment": Environment,
    "Application": Application,
    "ApplicationSet": ApplicationSet,
    "RolloutStrategy": RolloutStrategy,
    "Promotion": Promotion,
    "Project": Project,
    "Policy": FleetPolicy,
    "Notification": Notification,
}
