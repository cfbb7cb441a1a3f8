"""The fleet model: all documents of one commit, joined and checked.

Building it never fails. What is wrong becomes findings, and what was wrong keeps its last good version: a document
that does not parse stays as it was, an application whose references do not hold is blocked, which means that nobody
moves what it has. Only a document that is gone from files that otherwise parse is removed.

A model is made from the one before: as long as clusters, environments and the like stay, only applications that changed
are looked at, and everything else is the very same object as before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import orjson

from hub.domain import references
from hub.domain.documents import (
    API_VERSION,
    Application,
    ApplicationSet,
    Cluster,
    Environment,
    FleetPolicy,
    Notification,
    Project,
    Promotion,
    RolloutStrategy,
)
from hub.domain.fields import Scalar
from hub.domain.items import Surroundings
from hub.domain.joining import Files, Joined, Key, by_file, join
from hub.domain.listing import Listings
from hub.domain.pinning import Pinned, awaiting, guests, pinned
from hub.domain.reading import FleetDocument, Parsed, Rejected, parse_document
from hub.domain.references import Checked
from hub.domain.selectors import Candidate, matches
from hub.domain.sets import Sets, expand_all, moved
from hub.domain.staging import Promote, Strategy
from hub.domain.yamldoc import Document
from shared.errors import DocumentError
from shared.model import Place, Problem

Facts = Mapping[str, Mapping[str, Any]]
"""What agents reported, by cluster; a cluster that is not in it has not reported."""


@dataclass(frozen=True, slots=True)
class FleetModel:
    """What the fleet is meant to be at one commit.

    `environments` are in order of promotion. `membership` names the environments of each cluster, first one first.
    `applications` are those with documents of their own and those that sets make; `sets` says which, and `listings`
    what generators found in repositories. Those that a Promotion pins have their pins in them (`pinned`).
    `shape` names everything that any application may depend on: clusters, environments, projects, policies, and in
    which environments strategies have an application wait. `blocked` are applications with an error, and those that
    their sets cannot make now: what they have stays, nothing new is planned for them. `problems` is everything found;
    `reading_problems` are those of documents by themselves, `notes` what there is to say about reading none.
    """

    joined: Joined
    registered: tuple[FleetDocument, ...]
    clusters: Mapping[str, Cluster]
    environments: Mapping[str, Environment]
    applications: Mapping[str, Application]
    strategies: Mapping[str, RolloutStrategy]
    projects: Mapping[str, Project]
    policies: Mapping[str, FleetPolicy]
    notifications: Mapping[str, Notification]
    membership: Mapping[str, tuple[str, ...]]
    variable_names: frozenset[str]
    shape: str
    reading_problems: tuple[Problem, ...]
    merging_problems: tuple[Problem, ...]
    checked: Checked
    sets: Sets = field(default_factory=Sets)
    pinned: Mapping[str, Pinned] = field(default_factory=dict, repr=False)
    listings: Listings = field(default_factory=dict, repr=False)
    notes: tuple[Problem, ...] = ()
    blocked: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()

    @property
    def documents(self) -> Mapping[Key, FleetDocument]:
        """The documents that count, sorted by kind and name."""
        return self.joined.documents

    @property
    def kept(self) -> frozenset[Key]:
        """The documents that are at an earlier version because the present one is wrong."""
        return self.joined.kept

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

    def awaiting(self, application: Application) -> frozenset[str]:
        """The environments whose clusters keep what they have until the application is promoted there."""
        strategy = self.strategy_of(application)
        return awaiting(application, strategy.promotion if strategy is not None else None)

    def promotion_of(self, application: str) -> Promotion | None:
        """The document that pins environments of an application."""
        found = self.documents.get(("Promotion", application))
        return found.resource if found is not None and isinstance(found.resource, Promotion) else None

    def place(self, kind: str, name: str, path: str = "") -> Place | None:
        """Where a document or one of its fields is written; of an application of a set, where the template is."""
        document = self.documents.get((kind, name))
        if document is not None:
            return document.place(path)
        made = self.sets.made.get(name) if kind == "Application" else None
        return self.sets.expansions[made.set].place(path) if made is not None else None

    def may_be_made(self, name: str) -> bool:
        """Whether a set may have an application of this name that it cannot make now: it must not be taken for gone."""
        return any(expansion.may_have(name) for expansion in self.sets.expansions.values())


def fleet_of(
    files: Files,
    previous: FleetModel | None = None,
    registered: Iterable[FleetDocument] = (),
    listings: Listings | None = None,
) -> FleetModel:
    """The model of one commit.

    Args:
        files: every fleet document of the commit, good and bad, by file; files that did not change hold the very same
            tuples as those of `previous`.
        previous: the model before, for the last good versions and for all that did not change.
        registered: clusters that are known from elsewhere than Git (joined, or given on the command line).
        listings: what the sets of these documents find in repositories (`lookups_of`); None: as before.
    """
    before = previous.joined if previous is not None else Joined()
    return _assemble(join(files, before), tuple(registered), previous, listings)


def build_fleet(
    parsed: Iterable[Parsed],
    previous: FleetModel | None = None,
    registered: Iterable[FleetDocument] = (),
    listings: Listings | None = None,
    notes: tuple[Problem, ...] = (),
) -> FleetModel:
    """As `fleet_of`, from documents in any order. `notes` are findings of where they come from."""
    before = previous.joined if previous is not None else Joined()
    return _assemble(join(by_file(parsed), before), tuple(registered), previous, listings, notes)


def with_clusters(
    fleet: FleetModel, registered: Iterable[FleetDocument], listings: Listings | None = None
) -> FleetModel:
    """The same documents with other clusters from elsewhere than Git. Where both name a cluster, Git wins."""
    return _assemble(fleet.joined, tuple(registered), fleet, listings, fleet.notes)


def touched(fleet: FleetModel, previous: FleetModel | None) -> frozenset[str] | None:
    """The applications that came, or whose document or standing differs from the model before. None: look at all.

    Those that are gone are not among them.
    """
    if previous is None or previous.shape != fleet.shape:
        return None
    before = previous.applications
    changed = {name for name, application in fleet.applications.items() if before.get(name) is not application}
    return frozenset(changed | (fleet.blocked ^ previous.blocked) & fleet.applications.keys())


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


T = TypeVar("T")


def _assemble(
    joined: Joined,
    registered: tuple[FleetDocument, ...],
    previous: FleetModel | None,
    listings: Listings | None,
    notes: tuple[Problem, ...] = (),
) -> FleetModel:
    """The model of documents; from the one before when only applications and sets differ."""
    if listings is None:
        listings = previous.listings if previous is not None else {}
    changed = _changed(joined, previous.joined) if previous is not None else frozenset()
    if previous is None or previous.registered != registered or any(kind not in _MAKING for kind, _ in changed):
        model = _whole(joined, registered, listings, previous)
    elif joined is previous.joined and notes == previous.notes and listings == previous.listings:
        return previous
    else:
        model = _next(joined, previous, listings, {name for kind, name in changed if kind != "ApplicationSet"})
    problems = (*model.reading_problems, *model.merging_problems, *model.checked.problems, *model.sets.problems, *notes)
    in_order = tuple(sorted(problems, key=_in_reading_order))
    return replace(model, notes=notes, problems=in_order, blocked=model.checked.blocked | model.sets.held)


_MAKING = ("Application", "ApplicationSet", "Promotion")
"""The kinds of documents that make applications what they are, and nothing that all of them depend on."""


def _changed(joined: Joined, before: Joined) -> frozenset[Key]:
    """The documents that came, went, or became others."""
    if joined is before:
        return frozenset()
    old, new = before.documents, joined.documents
    return frozenset({key for key, document in new.items() if old.get(key) is not document} | (old.keys() - new.keys()))


def _whole(
    joined: Joined, registered: tuple[FleetDocument, ...], listings: Listings, previous: FleetModel | None
) -> FleetModel:
    def of(kind: type[T]) -> dict[str, T]:
        return {name: item.resource for (_, name), item in documents.items() if isinstance(item.resource, kind)}

    documents = joined.documents
    clusters, merging = _merged(of(Cluster), documents, registered)
    found = of(Environment)
    environments = {name: found[name] for name in sorted(found, key=lambda name: (found[name].spec.order, name))}
    projects, policies, strategies = of(Project), of(FleetPolicy), of(RolloutStrategy)
    model = FleetModel(
        joined=joined,
        registered=registered,
        clusters=clusters,
        environments=environments,
        applications=of(Application),
        strategies=strategies,
        projects=projects,
        policies=policies,
        notifications=of(Notification),
        membership={name: _environments_of(cluster, environments) for name, cluster in clusters.items()},
        variable_names=frozenset(_variable_names(clusters, environments)),
        shape=_shape(clusters, environments, projects, policies, _promotions(strategies)),
        reading_problems=tuple(sorted(joined.problems, key=_in_reading_order)),
        merging_problems=tuple(merging),
        checked=Checked(),
        listings=listings,
    )
    sets = _expanded(model, previous.sets if previous is not None else Sets())
    made = {name: each.application for name, each in sets.made.items()}
    applications = _sorted({**model.applications, **made}) if made else dict(model.applications)
    pins = _pinned(model, applications, applications, previous.pinned if previous is not None else {})
    model = replace(model, sets=sets, applications=applications, pinned=pins)
    return replace(model, checked=references.check(model))


def _next(joined: Joined, previous: FleetModel, listings: Listings, changed: set[str]) -> FleetModel:
    """The model when nothing but sets and these applications differs from before."""
    applications = dict(previous.applications)
    for name in changed:
        document = joined.documents.get(("Application", name))
        if document is not None and isinstance(document.resource, Application):
            applications[name] = document.resource
    reading = tuple(sorted(joined.problems, key=_in_reading_order))
    model = replace(previous, joined=joined, listings=listings, reading_problems=reading)
    sets = _expanded(model, previous.sets)
    again = changed | moved(sets, previous.sets)
    for name in again:
        made = sets.made.get(name)
        if made is not None:
            applications[name] = made.application
        elif ("Application", name) not in joined.documents:
            applications.pop(name, None)
    if applications.keys() != previous.applications.keys():
        applications = _sorted(applications)
    pins = _pinned(model, applications, again, previous.pinned)
    model = replace(model, sets=sets, applications=applications, pinned=pins)
    return replace(model, checked=references.check_again(model, previous, frozenset(again)))


def _pinned(
    model: FleetModel, applications: dict[str, Application], names: Iterable[str], before: Mapping[str, Pinned]
) -> Mapping[str, Pinned]:
    """Puts the pins into those of the applications that are named, which come without; the others have theirs."""
    pins = {name: each for name, each in before.items() if name in applications}
    others = guests(model.membership)
    for name in names:
        promotion, plain = model.promotion_of(name), applications.get(name)
        if promotion is None or plain is None:
            pins.pop(name, None)
        else:
            pins[name] = pinned(plain, promotion, others, before.get(name))
            applications[name] = pins[name].application
    return pins


def _expanded(model: FleetModel, before: Sets) -> Sets:
    """What the sets of a model come to."""
    documents = [each for each in model.documents.values() if isinstance(each.resource, ApplicationSet)]
    if not documents:
        return Sets() if before.expansions else before
    written = {name: document for (kind, name), document in model.documents.items() if kind == "Application"}
    around = Surroundings(model.shape, model.clusters, model.environments, model.membership, model.listings)
    return expand_all(documents, written, around, before)


def _sorted(applications: Mapping[str, Application]) -> dict[str, Application]:
    return dict(sorted(applications.items(), key=lambda item: item[0]))


def _promotions(strategies: Mapping[str, RolloutStrategy]) -> dict[str, Promote]:
    """The strategies that say which environments wait."""
    return {name: each.spec.promotion for name, each in strategies.items() if each.spec.promotion is not None}


def _shape(*maps: Mapping[str, Cluster | Environment | Project | FleetPolicy | Promote]) -> str:
    documents = [{name: item.model_dump(mode="json") for name, item in each.items()} for each in maps]
    return hashlib.sha256(orjson.dumps(documents, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _in_reading_order(problem: Problem) -> tuple[str, int, str, str]:
    place = problem.place
    file, line = (place.file, place.line) if place is not None else ("", 0)
    return file, line, problem.message, problem.application


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
