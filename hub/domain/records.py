"""What the hub knows of the fleet, as values: the planning loop writes them, the read model and the API show them.

Kept apart from the documents people write (`hub.domain.documents`) because these carry results: which commit, which
problems, when each step of its path was reached.
"""

from __future__ import annotations

from typing import Literal

from shared.model import Problem, UnitKey, Value


class Signature(Value, frozen=True):
    """Who signed a commit, or the tag that leads to it: as the list of allowed signers calls them, and with which key.

    `method` is ssh or openpgp.
    """

    by: str
    key: str
    method: str


class Commit(Value, frozen=True):
    """A commit as far as people want to see it. `at` is unix seconds.

    `signed` is None where nobody looks, or where it is not signed by somebody who may.
    """

    sha: str
    subject: str = ""
    author: str = ""
    at: float = 0.0
    signed: Signature | None = None
    email: str = ""
    """The author's."""

    @property
    def written_by(self) -> tuple[str, ...]:
        """Whose it is: the author as Git writes it (`Ann <ann@example.com>`), whom anybody can name, and the signer."""
        author = f"{self.author} <{self.email}>" if self.email else self.author
        return (author, self.signed.by) if self.signed is not None else (author,)


class ClusterInfo(Value, frozen=True):
    """A cluster of the fleet. `environment` is the first by order that selects it, empty if none does."""

    name: str
    labels: dict[str, str] = {}
    environment: str = ""
    environments: tuple[str, ...] = ()
    paused: bool = False
    origin: str = "git"
    """`git` for a Cluster document, `registered` for one that joined or came with --clusters."""


class EnvironmentInfo(Value, frozen=True):
    """An environment and its place in the order of promotion."""

    name: str
    order: int
    clusters: int = 0


class SourceInfo(Value, frozen=True):
    """Where an application comes from: a path of a Git repository, or a chart of a chart repository.

    `repo` has no credentials in it. `version` is the one that is asked for.
    """

    repo: str
    ref: str = ""
    path: str = ""
    chart: str = ""
    version: str = ""


class RepositoryInfo(Value, frozen=True):
    """A repository that the fleet is made of, as it was last looked at. Times are unix seconds.

    While `error` is set, what was fetched before stays in force; `since` says from when on it may be out of date.
    `available` is false as long as nothing was ever fetched. `moved` is when its newest commit was noticed.
    """

    name: str
    available: bool = True
    moved: float = 0.0
    error: str = ""
    since: float = 0.0


class PathTimes(Value, frozen=True, omit_defaults=True):
    """When a revision passed each step in the hub, unix seconds; what follows is in the units' reports."""

    committed: float | None = None
    detected: float | None = None
    planned: float | None = None
    rendered: float | None = None
    published: float | None = None


class Revision(Value, frozen=True, omit_defaults=True):
    """One revision of an application: what was published, why, and when."""

    revision: str
    commit: Commit
    traceparent: str = ""
    times: PathTimes = PathTimes()
    published: int = 0
    """Units that got a new assignment."""


class Pending(Value, frozen=True):
    """Removals that wait for a person: of applications, of an application's clusters, or of what it moved away from.

    `token` stands for exactly these `items`: applications, clusters, or `cluster/namespace/application`.
    """

    kind: Literal["applications", "clusters", "moves"]
    token: str
    items: tuple[str, ...]
    reason: str
    since: float


class Consent(Value, frozen=True, omit_defaults=True):
    """A person's word that deletions may go ahead. `unit` (with generation and digest) is of kind `objects` only."""

    kind: Literal["objects", "applications", "clusters", "moves"]
    token: str
    actor: str
    at: float
    reason: str = ""
    application: str = ""
    unit: UnitKey | None = None
    generation: int = 0
    digest: str = ""


class ApplicationInfo(Value, frozen=True):
    """An application with the result of its last evaluation. `history` is newest first, its head is current."""

    name: str
    namespace: str
    project: str = "default"
    labels: dict[str, str] = {}
    source: SourceInfo = SourceInfo("")
    clusters: tuple[str, ...] = ()
    """Where it is placed now."""
    problems: tuple[Problem, ...] = ()
    """Why its newest commit is not (wholly) in effect; warnings too."""
    commit: Commit | None = None
    """The newest commit that was evaluated, whether or not it changed anything."""
    history: tuple[Revision, ...] = ()
    timeout: float = 300.0
    pending: tuple[Pending, ...] = ()
    """What of it waits to be confirmed, apart from what its agents report."""


class Fleet(Value, frozen=True):
    """The fleet as the planning loop last saw it."""

    commit: Commit | None = None
    repo: str = ""
    clusters: tuple[ClusterInfo, ...] = ()
    environments: tuple[EnvironmentInfo, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Of fleet documents and sources as a whole; an application's own are on the application."""
    pending: tuple[Pending, ...] = ()
    """Applications that wait to be removed."""
    repositories: tuple[RepositoryInfo, ...] = ()
    """Where everything comes from, by name."""
