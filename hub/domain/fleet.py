"""The fleet model: all documents of one commit, joined and checked.

`build_fleet` never fails. What is wrong becomes findings, and what was wrong keeps its last good version: a document
that does not parse stays as it was, an application whose references do not hold is blocked, which means that nobody
moves what it has. Only a document that is gone from files that otherwise parse is removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hub.domain import references
from hub.domain.documents import (
    API_VERSION,
    SUBSTITUTE,
    Application,
    Cluster,
    Environment,
    Notification,
    Project,
    RolloutStrategy,
)
from hub.domain.fields import Scalar
from hub.domain.reading import FleetDocument, Parsed, Rejected, parse_document
from hub.domain.selectors import Candidate, matches
from hub.domain.staging import Strategy
from hub.domain.yamldoc import Document
from shared.errors import DocumentError
from shared.model import Place, Problem

Key = tuple[str, str]
"""(kind, name) of a document."""

Facts = Mapping[str, Mapping[str, Any]]
"""What agents reported, by cluster; a cluster that is not in it has not reported."""


@dataclass(frozen=True, slots=True)
class FleetModel:
    """What the fleet is meant to be at one commit.

    `environments` are in order of promotion. `membership` names the environments of each cluster, first one first.
    `blocked` are applications with an error: what they have stays, nothing new is planned for them. `kept` are the
    documents that are at an earlier version because the present one is wrong. `problems` is everything found.
    """

    documents: Mapping[Key, FleetDocument]
    registered: tuple[FleetDocument, ...]
    clusters: Mapping[str, Cluster]
    environments: Mapping[str, Environment]
    applications: Mapping[str, Application]
    strategies: Mapping[str, RolloutStrategy]
    projects: Mapping[str, Project]
    notifications: Mapping[str, Notification]
    membership: Mapping[str, tuple[str, ...]]
    variable_names: frozenset[str]
    blocked: frozenset[str]
    kept: frozenset[Key]
    problems: tuple[Problem, ...]
    reading_problems: tuple[Problem, ...]

    def candidate(self, cluster: str, facts: Mapping[str, Any] | None = None) -> Candidate:
        """A cluster as selectors see it."""
        labels = self.clusters[cluster].metadata.labels
        return Candidate(cluster, labels, self.membership.get(cluster, ()), facts or {})

    def environment_of(self, cluster: str) -> str:
        """The environment a cluster is shown in: the first in order; empty when it is in none."""
        return next(iter(self.membership.get(cluster, ())), "")

    def strategy_of(self, application: Application) -> Strategy | None:
        """The rollout strategy, inline or by name; None: all at once."""
        rollout = application.spec.rollout
        if isinstance(rollout, Strategy) or rollout is None:
            return rollout
        named = self.strategies.get(rollout)
        return named.spec if named is not None else None

    def place(self, kind: str, name: str, field: str = "") -> Place | None:
        """Where a document or one of its fields is written."""
        document = self.documents.get((kind, name))
        return document.place(field) if document is not None else None


def build_fleet(
    parsed: Iterable[Parsed], previous: FleetModel | None = None, registered: Iterable[FleetDocument] = ()
) -> FleetModel:
    """The model of one commit.

    Args:
        parsed: every fleet document of the commit, good and bad.
        previous: the model before, for the last good versions.
        registered: clusters that are known from elsewhere than Git (joined, or given on the command line).
    """
    good: dict[Key, list[FleetDocument]] = {}
    rejected: list[Rejected] = []
    for item in parsed:
        if isinstance(item, Rejected):
            rejected.append(item)
        else:
            good.setdefault((item.kind, item.name), []).append(item)
    problems = [problem for item in rejected for problem in item.problems]
    documents = {}
    for key, versions in good.items():
        documents[key], doubled = _one_of(versions, previous)
        problems += doubled
    kept = _last_good(rejected, documents, previous)
    in_order = tuple(sorted(problems, key=_in_reading_order))
    return _assemble({**documents, **kept}, frozenset(kept), in_order, tuple(registered))


def with_clusters(fleet: FleetModel, registered: Iterable[FleetDocument]) -> FleetModel:
    """The same documents with other clusters from elsewhere than Git. Where both name a cluster, Git wins."""
    return _assemble(fleet.documents, fleet.kept, fleet.reading_problems, tuple(registered))


def implicit_fleet(path: str, name: str = "", registered: Iterable[FleetDocument] = ()) -> FleetModel:
    """The model for a directory of manifests without fleet documents: one application on every cluster.

    Args:
        path: the directory inside the repository, `.` for its root.
        name: what to call the application when the directory has no name of its own.
        registered: the clusters.
    """
    last = path.strip("./").rpartition("/")[2]
    token = re.sub(r"[^a-z0-9]+", "-", (last or name).lower()).strip("-")[:63].strip("-") or "app"
    # Its manifests were not written for Yardarm: ${namespace} in a script of theirs is not our builtin.
    metadata = {"name": token, "annotations": {SUBSTITUTE: "variables"}}
    application = _document("Application", metadata, {"source": {"path": path}}, file=path)
    warning = Problem(
        "warning",
        f"no fleet documents here: all manifests are taken as one application, {token!r}, for every cluster",
        Place(path),
        "add a document of kind Application to say more",
        token,
    )
    return _assemble({("Application", token): application}, frozenset(), (warning,), tuple(registered))


def cluster_document(
    name: str,
    labels: Mapping[str, str],
    variables: Mapping[str, Scalar] | None = None,
    file: str = "registered clusters",
) -> FleetDocument:
    """A cluster that is not written down in Git.

    Raises:
        DocumentError: the name, a label or a variable is not valid.
    """
    metadata = {"name": name, "labels": dict(labels)}
    return _document("Cluster", metadata, {"variables": dict(variables or {})}, file=file)


def _document(kind: str, metadata: Mapping[str, Any], spec: Mapping[str, Any], file: str) -> FleetDocument:
    value = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
    parsed = parse_document(Document(file, 0, value))
    if isinstance(parsed, Rejected):
        problem = parsed.problems[0]
        raise DocumentError(problem.message, problem.place, problem.hint)
    return parsed


def _one_of(versions: list[FleetDocument], previous: FleetModel | None) -> tuple[FleetDocument, list[Problem]]:
    """The version that counts of a name written more than once: the one where it was before, else the first."""
    versions = sorted(versions, key=lambda document: (document.file, document.origin.line))
    chosen = versions[0]
    before = previous.documents.get((chosen.kind, chosen.name)) if previous is not None else None
    if before is not None:
        chosen = next((document for document in versions if document.file == before.file), chosen)
    application = chosen.name if chosen.kind == "Application" else ""
    problems = [
        Problem(
            "error",
            f"{other.kind} {other.name!r} is defined twice: also at {chosen.place()}, which counts",
            other.place("metadata.name"),
            "remove one of the two, or rename it",
            application,
        )
        for other in versions
        if other is not chosen
    ]
    return chosen, problems


def _last_good(
    rejected: list[Rejected], documents: Mapping[Key, FleetDocument], previous: FleetModel | None
) -> dict[Key, FleetDocument]:
    """What the bad documents stood for before; where that cannot be told, all that their file defined."""
    if previous is None:
        return {}
    kept: dict[Key, FleetDocument] = {}
    unclear: set[str] = set()
    for item in rejected:
        key = (item.kind, item.name)
        before = previous.documents.get(key)
        if before is not None:
            kept[key] = before
        elif key not in documents:
            unclear.add(item.file)
    if unclear:
        kept.update((key, before) for key, before in previous.documents.items() if before.file in unclear)
    return {key: before for key, before in kept.items() if key not in documents}


T = TypeVar("T")


def _assemble(
    documents: Mapping[Key, FleetDocument],
    kept: frozenset[Key],
    reading_problems: tuple[Problem, ...],
    registered: tuple[FleetDocument, ...],
) -> FleetModel:
    ordered = dict(sorted(documents.items()))

    def of(kind: type[T]) -> dict[str, T]:
        return {name: item.resource for (_, name), item in ordered.items() if isinstance(item.resource, kind)}

    clusters, merge_problems = _merged(of(Cluster), ordered, registered)
    found = of(Environment)
    environments = {name: found[name] for name in sorted(found, key=lambda name: (found[name].spec.order, name))}
    applications = of(Application)
    membership = {name: _environments_of(cluster, environments) for name, cluster in clusters.items()}
    model = FleetModel(
        documents=ordered,
        registered=registered,
        clusters=clusters,
        environments=environments,
        applications=applications,
        strategies=of(RolloutStrategy),
        projects=of(Project),
        notifications=of(Notification),
        membership=membership,
        variable_names=frozenset(_variable_names(clusters, environments)),
        blocked=frozenset(),
        kept=kept,
        problems=(),
        reading_problems=reading_problems,
    )
    checked = references.check(model)
    problems = sorted((*reading_problems, *merge_problems, *checked), key=_in_reading_order)
    blocked = frozenset(problem.application for problem in checked if problem.severity == "error") - {""}
    return replace(model, problems=tuple(problems), blocked=blocked)


def _in_reading_order(problem: Problem) -> tuple[str, int, str]:
    place = problem.place
    return (place.file, place.line, problem.message) if place is not None else ("", 0, problem.message)


def _variable_names(clusters: Mapping[str, Cluster], environments: Mapping[str, Environment]) -> Iterator[str]:
    for cluster in clusters.values():
        yield from cluster.spec.variables
    for environment in environments.values():
        yield from environment.spec.variables


def _merged(
    in_git: dict[str, Cluster], documents: Mapping[Key, FleetDocument], registered: tuple[FleetDocument, ...]
) -> tuple[dict[str, Cluster], list[Problem]]:
    clusters, problems = dict(in_git), []
    for document in registered:
        if not isinstance(document.resource, Cluster):
            continue
        if document.name in in_git:
            message = f"cluster {document.name!r} is also in {document.file}: what is written here counts"
            problems.append(Problem("warning", message, documents["Cluster", document.name].place()))
        else:
            clusters[document.name] = document.resource
    return dict(sorted(clusters.items())), problems


def _environments_of(cluster: Cluster, environments: Mapping[str, Environment]) -> tuple[str, ...]:
    candidate = Candidate(cluster.name, cluster.metadata.labels)
    return tuple(
        name for name, environment in environments.items() if matches(environment.spec.selector, candidate).selected
    )
