"""What the generators of a set yield: items, of which each becomes an application. Pure.

Several generators are multiplied: an item for each combination of theirs. What cannot be found out is never nothing: it
is said to be missing, and who asks keeps what there was.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.domain.documents import ApplicationSet, Cluster, Environment
from hub.domain.generating import Generator
from hub.domain.listing import Fields, Listings, Lookup
from hub.domain.reading import FleetDocument, Parsed
from hub.domain.selectors import Candidate, matches
from shared.model import Problem

MOST = 10_000
"""Items of one set."""

SHOWN_FIELDS = 4
SHOWN = 120


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What generators look at. `shape` names the clusters and environments, as long as they are equal.

    `listings` is what was found in repositories, or why it could not be looked for; what is not in it is not known yet.
    """

    shape: str = ""
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    environments: Mapping[str, Environment] = field(default_factory=dict)
    membership: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    listings: Listings = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Generated:
    """The items of a set.

    `unreadable` are files that would give more of them if they could be read. A set that is not `complete` has items
    that nobody knows: something could not be evaluated at all.
    """

    items: tuple[Fields, ...] = ()
    unreadable: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    complete: bool = True


def lookups(resource: ApplicationSet) -> Iterator[Lookup]:
    """What a set has to have looked for in repositories."""
    for generator in resource.spec.for_each:
        wanted = generator.directories or generator.files
        if wanted is not None:
            yield Lookup.of(wanted)


def lookups_of(documents: Iterable[Parsed]) -> tuple[Lookup, ...]:
    """What the sets among documents have to have looked for in repositories; each once."""
    found: dict[Lookup, None] = {}
    for document in documents:
        if isinstance(document, FleetDocument) and isinstance(document.resource, ApplicationSet):
            found.update(dict.fromkeys(lookups(document.resource)))
    return tuple(found)


def basis(resource: ApplicationSet, around: Surroundings) -> tuple[Any, ...]:
    """All that decides its items, apart from its document: equal ones give equal items."""
    uses_clusters = any(generator.clusters is not None for generator in resource.spec.for_each)
    return (around.shape if uses_clusters else "", *map(around.listings.get, lookups(resource)))


def generate(document: FleetDocument, around: Surroundings) -> Generated:
    """The items of a set."""
    if not isinstance(document.resource, ApplicationSet):
        return Generated()
    generators = document.resource.spec.for_each
    each = [_Yield(document, number, generator, around) for number, generator in enumerate(generators)]
    problems = [problem for one in each for problem in one.problems]
    unreadable = frozenset(path for one in each for path in one.unreadable)
    if not all(one.complete for one in each):
        return Generated((), unreadable, tuple(problems), complete=False)
    refusal = _refusal(document, each)
    if refusal is not None:
        return Generated((), unreadable, (*problems, refusal), complete=False)
    items = tuple(_joined(combination) for combination in itertools.product(*(one.items for one in each)))
    return Generated(items, unreadable, tuple(problems))


def text_of(item: Fields) -> str:
    """An item as messages call it: its first plain values."""
    plain = [(key, value) for key, value in item.items() if isinstance(value, str | int | float)]
    words = ", ".join(f"{key}: {value}" for key, value in plain[:SHOWN_FIELDS])
    return f"{{{words[:SHOWN]}{'…' if len(words) > SHOWN or len(plain) > SHOWN_FIELDS else ''}}}"


class _Yield:
    """What one generator yields."""

    def __init__(self, document: FleetDocument, number: int, generator: Generator, around: Surroundings) -> None:
        self.items: Sequence[Fields] = ()
        self.unreadable: tuple[str, ...] = ()
        self.problems: list[Problem] = []
        self.complete = True
        self._name = document.name
        self._place = document.place(f"spec.forEach[{number}]")
        if generator.list is not None:
            value = document.origin.value["spec"]["forEach"][number]["list"]  # as written, ${…} included
            self.items = value
        elif generator.clusters is not None:
            self.items = tuple(_clusters(generator, around))
            self._warn_of_nothing("no cluster is selected")
        elif (wanted := generator.directories or generator.files) is not None:
            self._look_up(Lookup.of(wanted), around)

    def _look_up(self, lookup: Lookup, around: Surroundings) -> None:
        found = around.listings.get(lookup) or Problem("warning", f"{lookup.repo} has not been looked into yet")
        if isinstance(found, Problem):
            message = f"ApplicationSet {self._name!r} cannot be evaluated, and what it has made stays: {found.message}"
            self.problems.append(Problem(found.severity, message, self._place, found.hint))
            self.complete = False
            return
        self.items = tuple(item for one in found.found for item in one.items)
        broken = [(one.path, one.error) for one in found.found if one.error is not None]
        self.unreadable = tuple(path for path, _ in broken)
        where = "" if lookup.repo == "." else f" of {lookup.repo}"
        for path, error in broken:
            message = f"{error.message}: what ApplicationSet {self._name!r} has made of {path}{where} stays as it is"
            self.problems.append(Problem("error", message, error.place, error.hint))
        if not broken:
            what = "file" if lookup.files else "directory"
            self._warn_of_nothing(f"no {what}{where} is meant by {lookup.pattern!r}")

    def _warn_of_nothing(self, message: str) -> None:
        if not self.items:
            self.problems.append(Problem("warning", f"{message}: no applications", self._place))


def _clusters(generator: Generator, around: Surroundings) -> Iterator[Fields]:
    for name, cluster in around.clusters.items():
        environments = around.membership.get(name, ())
        candidate = Candidate(name, cluster.metadata.labels, environments)
        if generator.clusters is None or not matches(generator.clusters, candidate).selected:
            continue
        variables: dict[str, Any] = {}
        for environment in environments:
            variables |= around.environments[environment].spec.variables
        yield {
            "cluster": name,
            "environment": next(iter(environments), ""),
            "labels": dict(cluster.metadata.labels),
            "variables": variables | cluster.spec.variables,
        }


def _refusal(document: FleetDocument, each: Sequence[_Yield]) -> Problem | None:
    """Why the generators cannot be multiplied."""
    place = document.place("spec.forEach")
    count = math.prod(len(one.items) for one in each)
    if count > MOST:
        message = (
            f"ApplicationSet {document.name!r} comes to {count:,} items, it may have {MOST:,}: what it has made stays"
        )
        return Problem("error", message, place, "an application goes to many clusters by its placement")
    seen: set[str] = set()
    for one in each:
        fields = {name for item in one.items for name in item}
        if fields & seen:
            twice = ", ".join(sorted(fields & seen))
            message = f"two generators of ApplicationSet {document.name!r} yield {twice}: what it has made stays"
            return Problem("error", message, place, "give the values of a list other names")
        seen |= fields
    return None


def _joined(combination: Sequence[Fields]) -> Fields:
    if len(combination) == 1:
        return combination[0]
    return {name: value for item in combination for name, value in item.items()}
