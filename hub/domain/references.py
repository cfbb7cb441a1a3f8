"""What documents say of one another: names that nobody has, cycles, selections without a cluster."""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from hub.domain.documents import DEFAULT_PROJECT, Application
from hub.domain.selectors import Selector, matches
from hub.domain.staging import Strategy
from hub.domain.yamldoc import child_path
from shared import expressions
from shared.model import Problem

if TYPE_CHECKING:
    from hub.domain.fleet import FleetModel


def check(fleet: FleetModel) -> list[Problem]:
    """Everything that is wrong between documents. Errors that concern one application name it."""
    found: list[Problem] = []
    found += _environments(fleet)
    for name, application in fleet.applications.items():
        found += _application(fleet, name, application)
    for name, strategy in fleet.strategies.items():
        found += _stages(fleet, "RolloutStrategy", name, strategy.spec, "spec")
    for name, project in fleet.projects.items():
        found += _selector(fleet, "Project", name, project.spec.clusters, "spec.clusters")
    for name, notification in fleet.notifications.items():
        found += _selector(fleet, "Notification", name, notification.spec.when, "spec.when")
        found += _known(fleet, "Notification", name, "spec.applications", notification.spec.applications)
    found += _cycles(fleet)
    found += _without_effect(fleet)
    return found


def _without_effect(fleet: FleetModel) -> Iterator[Problem]:
    """What this version reads and checks but does not carry out: nobody may rely on it unknowingly."""
    for name, application in fleet.applications.items():
        if application.spec.rollout is not None:
            message = "rollouts do not act yet: a change goes to all clusters of the application at once"
            yield _problem(fleet, "Application", name, "spec.rollout", message, warning=True)
    for name, environment in fleet.environments.items():
        if environment.spec.windows:
            message = "windows do not act yet: changes are published at any time"
            yield _problem(fleet, "Environment", name, "spec.windows", message, warning=True)
    for name, project in fleet.projects.items():
        for field in ("sources", "namespaces", "kinds"):
            if getattr(project.spec, field):
                message = f"{field} of a project are not enforced yet: its clusters and service account are"
                yield _problem(fleet, "Project", name, f"spec.{field}", message, warning=True)
    for name in fleet.notifications:
        yield _problem(fleet, "Notification", name, "spec", "notifications are not sent yet", warning=True)


def _problem(
    fleet: FleetModel, kind: str, name: str, field: str, message: str, hint: str = "", *, warning: bool = False
) -> Problem:
    application = name if kind == "Application" else ""
    return Problem("warning" if warning else "error", message, fleet.place(kind, name, field), hint, application)


def _environments(fleet: FleetModel) -> Iterator[Problem]:
    used = {name for names in fleet.membership.values() for name in names}
    for name, environment in fleet.environments.items():
        spec = environment.spec
        yield from _clusters(fleet, "Environment", name, "spec.clusters", spec.clusters)
        yield from _clusters(fleet, "Environment", name, "spec.exclude", spec.exclude)
        if fleet.clusters and name not in used:
            message = f"environment {name!r} has no cluster: none matches"
            yield _problem(fleet, "Environment", name, "spec.where", message, warning=True)
    for cluster, names in fleet.membership.items():
        if len(names) > 1:
            message = f"cluster {cluster!r} is in {len(names)} environments ({', '.join(names)}): {names[0]!r} is shown"
            yield _problem(fleet, "Environment", names[1], "spec.where", message, warning=True)


def _application(fleet: FleetModel, name: str, application: Application) -> Iterator[Problem]:
    spec = application.spec
    yield from _selector(fleet, "Application", name, spec.placement, "spec.placement")
    for number, override in enumerate(spec.overrides):
        yield from _selector(fleet, "Application", name, override.when, f"spec.overrides[{number}].when")
    yield from _known(fleet, "Application", name, "spec.dependsOn", spec.depends_on)
    yield from _health_rules(fleet, name, application)
    if spec.project not in fleet.projects and spec.project != DEFAULT_PROJECT:
        hint = _closest(spec.project, fleet.projects)
        yield _problem(fleet, "Application", name, "spec.project", f"there is no project {spec.project!r}", hint)
    if isinstance(spec.rollout, Strategy):
        yield from _stages(fleet, "Application", name, spec.rollout, "spec.rollout")
    elif spec.rollout is not None and spec.rollout not in fleet.strategies:
        hint = _closest(spec.rollout, fleet.strategies)
        message = f"there is no RolloutStrategy {spec.rollout!r}"
        yield _problem(fleet, "Application", name, "spec.rollout", message, hint)
    if fleet.clusters and not _selects_any(fleet, spec.placement):
        message = "the placement selects no cluster"
        hint = f"`yardarm explain {name} --cluster NAME` says why not"
        yield _problem(fleet, "Application", name, "spec.placement", message, hint, warning=True)


def _health_rules(fleet: FleetModel, name: str, application: Application) -> Iterator[Problem]:
    """Expressions that no agent could evaluate, and rules that an earlier one hides."""
    seen: set[str] = set()
    for number, rule in enumerate(application.spec.health):
        at = f"spec.health[{number}]"
        for field, expression in (("healthy", rule.healthy), ("failed", rule.failed)):
            wrong = expressions.problem(expression) if expression else ""
            if wrong:
                message = f"the health rule for {rule.kind} cannot be used: {field}: {wrong}"
                hint = "a CEL expression over `object`, such as object.status.phase == 'Ready'"
                yield _problem(fleet, "Application", name, f"{at}.{field}", message, hint)
        if rule.kind in seen:
            message = f"there is an earlier health rule for {rule.kind}, which counts"
            yield _problem(fleet, "Application", name, f"{at}.kind", message, "join the two", warning=True)
        seen.add(rule.kind)


def _selects_any(fleet: FleetModel, selector: Selector) -> bool:
    """Whether a cluster is selected, or could be once it reports the facts asked for."""
    verdicts = (matches(selector, fleet.candidate(name)) for name in fleet.clusters)
    return any(verdict.selected or verdict.undecided for verdict in verdicts)


def _stages(fleet: FleetModel, kind: str, name: str, strategy: Strategy, field: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, stage in enumerate(strategy.stages):
        at = f"{field}.stages[{number}]"
        yield from _selector(fleet, kind, name, stage, at)
        if stage.name in seen:
            yield _problem(fleet, kind, name, f"{at}.name", f"two stages are called {stage.name!r}", "rename one")
        seen.add(stage.name)


def _selector(fleet: FleetModel, kind: str, name: str, selector: Selector, field: str) -> Iterator[Problem]:
    for number, environment in enumerate(selector.environments):
        if environment not in fleet.environments:
            at = child_path(f"{field}.environments", number)
            hint = _closest(environment, fleet.environments)
            yield _problem(fleet, kind, name, at, f"there is no environment {environment!r}", hint)
    yield from _clusters(fleet, kind, name, f"{field}.clusters", selector.clusters)
    yield from _clusters(fleet, kind, name, f"{field}.exclude", selector.exclude)


def _clusters(fleet: FleetModel, kind: str, name: str, field: str, clusters: Iterable[str]) -> Iterator[Problem]:
    """Only a warning: a cluster may join later."""
    for number, cluster in enumerate(clusters):
        if cluster not in fleet.clusters:
            message = f"there is no cluster {cluster!r}, at least not yet"
            hint = _closest(cluster, fleet.clusters)
            yield _problem(fleet, kind, name, child_path(field, number), message, hint, warning=True)


def _known(fleet: FleetModel, kind: str, name: str, field: str, applications: Iterable[str]) -> Iterator[Problem]:
    for number, application in enumerate(applications):
        if application not in fleet.applications:
            hint = _closest(application, fleet.applications)
            at = child_path(field, number)
            yield _problem(fleet, kind, name, at, f"there is no application {application!r}", hint)


def _closest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def _cycles(fleet: FleetModel) -> Iterator[Problem]:
    """Circles of applications that wait for each other; each of them is named at each of its members."""
    edges = {
        name: sorted(set(application.spec.depends_on) & fleet.applications.keys())
        for name, application in fleet.applications.items()
        if application.spec.depends_on
    }
    while (circle := _circle(edges)) is not None:
        for number, name in enumerate(circle):
            way = " → ".join([*circle[number:], *circle[:number], name])
            message, hint = f"dependsOn goes in a circle: {way}", "remove one of these dependencies"
            yield _problem(fleet, "Application", name, "spec.dependsOn", message, hint)
            del edges[name]


def _circle(edges: Mapping[str, list[str]]) -> list[str] | None:
    """A circle in the graph, in the direction of its edges; None when there is none."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        names: list[str] = error.args[1]
        return names[:0:-1]
    return None
