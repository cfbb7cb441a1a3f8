"""Keeps projects within their quotas: newcomers wait when a project is full, what is there already goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hub.bundles import Evaluation
from hub.domain.projects import Quota
from hub.domain.publishing import Body, Claims
from hub.domain.tenancy import Usage, rationed
from hub.publisher import Publisher
from shared.model import Problem

_HINT = "remove something else of the project, or have its quota raised"


@dataclass(frozen=True)
class Refused:
    """Clusters that do not get what they would; `others` are the applications that have what there is."""

    clusters: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    others: frozenset[str] = field(default_factory=frozenset)


class Rations:
    """Counts what was given to clusters, and what is about to be."""

    def __init__(self, publisher: Publisher, claims: Claims) -> None:
        self._publisher = publisher
        self._claims = claims

    def refused(self, evaluation: Evaluation, bodies: Mapping[str, Body]) -> Refused:
        """What there is no room for of what an application is to have."""
        fleet, name = evaluation.fleet, evaluation.application.spec.project
        project = fleet.projects.get(name)
        if project is None or project.spec.quota == Quota():
            return Refused()
        others = {each for each, other in fleet.applications.items() if other.spec.project == name}
        others -= {evaluation.name, evaluation.renamed}
        used = [counts for each in others if (counts := self._has(each))]
        usage = Usage(len(used), sum(map(len, used)), sum(sum(counts.values()) for counts in used))
        have = self._has(evaluation.renamed) | self._has(evaluation.name)
        wanted = {cluster: body.objects for cluster, body in bodies.items()}
        found = rationed(name, project.spec.quota, usage, have, wanted)
        where = fleet.place("Project", name, "spec.quota")
        problems = [
            Problem("error", f"{reason}: {_some(clusters)} get nothing new", where, _HINT, evaluation.name)
            for reason, clusters in _by_reason(found).items()
        ]
        return Refused(frozenset(found), tuple(problems), frozenset(others))

    def _has(self, application: str) -> dict[str, int]:
        """Objects by cluster, as they are or are about to be."""
        if not application:
            return {}
        units = self._publisher.of_application(application)
        given = {unit.cluster: each.objects for unit, each in units.items() if not each.removed}
        return given | {cluster: body.objects for cluster, body in self._claims.held(application).items()}


def _by_reason(found: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for cluster, reason in found.items():
        reasons.setdefault(reason, []).append(cluster)
    return reasons


def _some(names: Iterable[str], limit: int = 5) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - limit} more clusters" if len(listed) > limit else ""
    return f"{', '.join(listed[:limit])}{more}"
