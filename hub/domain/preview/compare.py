"""Compares two states of the fleet. Equal changes are found once and named with all clusters that they happen on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from hub.domain.preview import holding
from hub.domain.preview.model import ApplicationChange, FieldChange, Finding, Held, ObjectChange, Preview, Unclear
from hub.domain.preview.objects import Change, changes, field_changes
from hub.domain.preview.outdated import Sighting, Versions, outdated, sightings
from hub.domain.preview.states import About, Failed, Made, Result, State, Unseen, names, origin
from shared.model import Place, Problem

Pair = tuple[str | None, str | None]
"""Keys of a unit's results before and after; None where it is not."""

NOT_BEFORE = "it could not be rendered before, so that it is not known what is there"
NOT_NOW = "it cannot be rendered any more: what is there stays"


def compare(before: State, after: State, versions: Versions | None = None) -> Preview:
    """All that changes. The results that `differing` names must be there; `versions` are of now, where known."""
    results, known = {**before.results, **after.results}, versions or {}
    compared = [_Comparison(name, before, after, results, known) for name in names(before, after)]
    found = tuple(change for each in compared if (change := each.change()) is not None)
    affected = {cluster for each in found for cluster in each.clusters}
    environments = {**before.environments, **after.environments}
    old, new = _problems(before, results), _problems(after, results)
    told, untold = outdated((each for one in compared for each in one.seen), known)
    return Preview(
        from_=before.side,
        to=after.side,
        fleet=len(environments),
        applications=found,
        held=holding.together([*(held for each in compared for held in each.held), *holding.of_fleet(before, after)]),
        new=_only(new, old),
        mended=_only(old, new),
        outdated=told,
        outdated_before=untold,
        environments={cluster: environments.get(cluster, "") for cluster in sorted(affected)},
    )


@dataclass
class _Comparison:
    """Of one application. `held` and `seen` are known once `change` was asked for."""

    name: str
    before: State
    after: State
    results: Mapping[str, Result]
    versions: Versions
    held: list[Held] = field(default_factory=list)
    seen: list[Sighting] = field(default_factory=list)
    _grouped: dict[bytes, tuple[Change, list[str]]] = field(default_factory=dict)
    _unclear: dict[str, list[str]] = field(default_factory=dict)

    def change(self) -> ApplicationChange | None:
        """What happens to it, None when nothing does."""
        old = origin(self.name, self.after)
        was, will = self.before.applications.get(old), self.after.applications.get(self.name)
        had, gets = self.before.units.get(old, {}), self.after.units.get(self.name, {})
        for pair, alike in _pairs(had, gets).items():
            self._look(pair, alike, will or was)
        for cluster, reason in self.after.unmoved.get(self.name, {}).items():
            self._unclear.setdefault(reason, []).append(cluster)
        settings = _settings(was, will)
        clusters = set(gets if settings else ()) | (had.keys() ^ gets.keys())
        clusters.update(name for _, named in self._grouped.values() for name in named)
        clusters.update(name for named in self._unclear.values() for name in named)
        if not clusters and (was is None) == (will is None) and old == self.name:
            return None
        return ApplicationChange(
            name=self.name,
            action="added" if was is None else "removed" if will is None else "changed",
            clusters=tuple(sorted(clusters)),
            placed=tuple(sorted(gets.keys() - had.keys())),
            left=tuple(sorted(had.keys() - gets.keys())),
            settings=settings,
            objects=tuple(_shown(each, named) for each, named in sorted(self._grouped.values(), key=_order)),
            unclear=tuple(Unclear(reason, tuple(sorted(named))) for reason, named in sorted(self._unclear.items())),
            renamed_from=old if old != self.name else "",
        )

    def _look(self, pair: Pair, clusters: list[str], about: About | None) -> None:
        """Takes in what changes on clusters that go from one result to another."""
        had, gets = (self.results[key] if key is not None else None for key in pair)
        reason = _obscured(had, gets)
        if reason:
            self._unclear.setdefault(reason, []).extend(clusters)
        if isinstance(gets, Failed | Unseen):
            return
        old = had.objects if isinstance(had, Made) else {}
        new = gets.objects if gets is not None else {}
        found = list(changes(old, new))
        if gets is not None:
            # Of what nobody could see before, everything is new.
            touched = {each.ref.key for each in found}
            self.seen += sightings(self.name, gets, touched, clusters, self.versions)
        if isinstance(had, Failed | Unseen):
            return
        if about is not None:
            held = holding.reasons(old, new, found, about, leaving=gets is None)
            self.held += [Held(reason, self.name, tuple(clusters)) for reason in held]
            found = list(holding.noted(found, about, leaving=gets is None))
        for change in found:
            self._grouped.setdefault(change.print, (change, []))[1].extend(clusters)


def _pairs(had: Mapping[str, str], gets: Mapping[str, str]) -> dict[Pair, list[str]]:
    """The clusters of each pair of different results."""
    found: dict[Pair, list[str]] = {}
    for cluster in sorted(had.keys() | gets.keys()):
        pair = had.get(cluster), gets.get(cluster)
        if pair[0] != pair[1]:
            found.setdefault(pair, []).append(cluster)
    return found


def _obscured(had: Result | None, gets: Result | None) -> str:
    """Why it cannot be told what changes; empty when it can, or when nothing does."""
    for result in (gets, had):
        if isinstance(result, Unseen):
            return result.reason
    if isinstance(gets, Failed):
        return "" if had is None else NOT_NOW
    return NOT_BEFORE if isinstance(had, Failed) else ""


def _settings(was: About | None, will: About | None) -> tuple[FieldChange, ...]:
    if was is None or will is None:
        return ()
    return field_changes(dict(was.settings), dict(will.settings))


def _order(item: tuple[Change, list[str]]) -> tuple[tuple[str, ...], str, list[str], bytes]:
    change, clusters = item
    return change.ref.key, change.action, sorted(clusters), change.print


def _shown(change: Change, clusters: Iterable[str]) -> ObjectChange:
    return ObjectChange(change.ref, change.action, tuple(sorted(clusters)), change.fields, change.manifest, change.note)


# --- problems ---------------------------------------------------------------------------------------------------------

Problems = dict[tuple[str, ...], tuple[Problem, set[str]]]
"""By what makes two problems the same: each with its clusters."""


def _problems(state: State, results: Mapping[str, Result]) -> Problems:
    found: Problems = {}
    for problem in state.problems:
        found.setdefault(_identity(problem), (problem, set()))
    for application, clusters in state.units.items():
        for cluster, key in clusters.items():
            for problem in _of_result(results.get(key)):
                about = problem if problem.application else msgspec.structs.replace(problem, application=application)
                found.setdefault(_identity(about), (about, set()))[1].add(cluster)
    return found


def _of_result(result: Result | None) -> tuple[Problem, ...]:
    return result.problems if isinstance(result, Failed) else result.warnings if isinstance(result, Made) else ()


def _identity(problem: Problem) -> tuple[str, ...]:
    """The same problem wherever its line has moved to."""
    place = problem.place or Place("")
    return problem.severity, problem.application, place.file, place.field, problem.message


def _only(these: Problems, others: Problems) -> tuple[Finding, ...]:
    """The problems, or clusters of a problem, that the others do not have."""
    found = []
    for identity, (problem, clusters) in sorted(these.items()):
        known = others.get(identity)
        left = clusters - known[1] if known is not None else clusters
        if known is None or left:
            found.append(Finding(problem, tuple(sorted(left))))
    return tuple(found)
