"""What documents say of one another: names that nobody has, cycles, selections without a cluster."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hub.domain import releases, tenancy
from hub.domain.circles import circles
from hub.domain.documents import DEFAULT_PROJECT, Application
from hub.domain.jobchecks import PREFIX, is_check
from hub.domain.pinning import fits, is_chart
from hub.domain.rules import ObjectRule
from hub.domain.selectors import Candidate, Selector, matches
from hub.domain.staging import Strategy
from hub.domain.yamldoc import child_path
from shared import expressions
from shared.model import Problem

if TYPE_CHECKING:
    from hub.domain.fleet import FleetModel
    from hub.domain.reading import FleetDocument

GUESSES = 50
"""How many wrong names of one check are compared with all that exist: the same slip in each of thousands is one."""

QUOTA_HINT = "what is there stays, nothing new comes: remove something, or have the quota raised"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. `applications` holds what is wrong with each by itself, `circles` those that wait for each other.

    `release_sets` is about members that do not fit together, `general` about everything else. Only applications with
    something to say are in it.
    """

    general: tuple[Problem, ...] = ()
    applications: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    circles: tuple[Problem, ...] = ()
    release_sets: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of it."""
        own = (problem for problems in self.applications.values() for problem in problems)
        return (*self.general, *own, *self.circles, *self.release_sets)

    @property
    def blocked(self) -> frozenset[str]:
        """The applications with an error."""
        own = (problem for problems in self.applications.values() for problem in problems)
        return frozenset(each.application for each in (*own, *self.circles) if each.severity == "error") - {""}


def check(fleet: FleetModel) -> Checked:
    """Everything that is wrong between documents. Errors that concern one application name it."""
    checks = _Checks(fleet)
    found = {name: tuple(checks.application(name, each)) for name, each in fleet.applications.items()}
    own = {name: problems for name, problems in found.items() if problems}
    return Checked(tuple(checks.general()), own, tuple(_cycles(fleet)), tuple(checks.release_sets()))


def check_again(fleet: FleetModel, before: FleetModel, changed: frozenset[str]) -> Checked:
    """As `check`, when nothing but these applications differs from `before`: only what they touch is looked at."""
    checks, known = _Checks(fleet), before.checked
    names = fleet.applications.keys() ^ before.applications.keys()
    again = set(changed)
    if names:
        # Whoever waits for one of these names, and whoever has been told of names that come close.
        again |= known.applications.keys()
        again |= {name for name, each in fleet.applications.items() if not names.isdisjoint(each.spec.dependencies)}
    # Whoever waits for one of these on clusters to which it may not go any more.
    again |= {name for name, each in fleet.applications.items() if _depends_elsewhere(each, changed)}
    own = dict(known.applications)
    for name in again:
        application = fleet.applications.get(name)
        problems = tuple(checks.application(name, application)) if application is not None else ()
        if problems:
            own[name] = problems
        else:
            own.pop(name, None)
    stirred = names or _promotions(fleet) != _promotions(before) or _changed_project(fleet, before, again)
    general = tuple(checks.general()) if stirred else known.general
    waits = any(_waits(fleet, name) != _waits(before, name) for name in again)
    # A circle is told where it is written, so a document that moved has to be looked at as well.
    circles = tuple(_cycles(fleet)) if waits or _in_circle(known, again) else known.circles
    in_sets = any(_in_set(fleet, name) or _in_set(before, name) for name in again)
    return Checked(general, own, circles, tuple(checks.release_sets()) if in_sets else known.release_sets)


def _count(fleet: FleetModel, project: str) -> int:
    return sum(each.spec.project == project for each in fleet.applications.values())


def _changed_project(fleet: FleetModel, before: FleetModel, names: Iterable[str]) -> bool:
    pairs = [(fleet.applications.get(name), before.applications.get(name)) for name in names]
    return any(now and then and now.spec.project != then.spec.project for now, then in pairs)


def _promotions(fleet: FleetModel) -> dict[str, FleetDocument]:
    return {name: document for (kind, name), document in fleet.documents.items() if kind == "Promotion"}


def _waits(fleet: FleetModel, name: str) -> tuple[str | None, ...] | None:
    """Its release set and what it waits for, as far as it exists; None when it does not itself."""
    application = fleet.applications.get(name)
    if application is None:
        return None
    spec = application.spec
    return (spec.release_set, *(on for on in spec.dependencies if on in fleet.applications))


def _depends_elsewhere(application: Application, names: frozenset[str]) -> bool:
    return any(each.application in names for each in application.spec.elsewhere)


def _in_set(fleet: FleetModel, name: str) -> bool:
    application = fleet.applications.get(name)
    return application is not None and application.spec.release_set is not None


def _in_circle(known: Checked, names: set[str]) -> bool:
    return any(problem.application in names for problem in known.circles)


class _Checks:
    """One pass over documents; what is asked often is remembered."""

    def __init__(self, fleet: FleetModel) -> None:
        self._fleet = fleet
        self._guesses: dict[tuple[str, str], str] = {}
        self._selecting: dict[str, bool] = {}

    def general(self) -> Iterator[Problem]:
        """Environments, strategies, projects and notifications."""
        fleet = self._fleet
        yield from self._environments()
        for name, strategy in fleet.strategies.items():
            yield from self._stages("RolloutStrategy", name, strategy.spec, "spec")
        for name, project in fleet.projects.items():
            yield from self._selector("Project", name, project.spec.clusters, "spec.clusters")
            yield from self._selector("Project", name, Selector(environments=project.spec.environments), "spec")
            yield from self._rules("Project", name, project.spec.objects)
            if over := tenancy.over_quota(name, project.spec.quota, tenancy.Usage(_count(fleet, name))):
                yield self._problem("Project", name, "spec.quota.applications", over, QUOTA_HINT)
        for name, policy in fleet.policies.items():
            yield from self._rules("Policy", name, policy.spec.objects)
        for name, notification in fleet.notifications.items():
            yield from self._selector("Notification", name, notification.spec.when, "spec.when")
            yield from self._known("Notification", name, "spec.applications", notification.spec.applications)
        for name in _promotions(fleet).keys() - fleet.applications.keys():
            hint = self._closest("application", name, fleet.applications)
            message = f"there is no application {name!r}, at least not yet: a Promotion is named after its application"
            yield self._problem("Promotion", name, "metadata.name", message, hint, warning=True)
        for name in fleet.notifications:
            yield self._problem("Notification", name, "spec", "notifications are not sent yet", warning=True)

    def _rules(self, kind: str, name: str, rules: Iterable[ObjectRule]) -> Iterator[Problem]:
        for number, rule in enumerate(rules):
            yield from self._selector(kind, name, rule.when, f"spec.objects[{number}].when")

    def application(self, name: str, application: Application) -> Iterator[Problem]:
        """One application; circles are looked for over all of them."""
        fleet, spec = self._fleet, application.spec
        if is_check(name):
            message = f"names that begin with {PREFIX} are those of checks by a Job"
            yield self._problem("Application", name, "metadata.name", message, "choose another name")
        yield from self._selector("Application", name, spec.placement, "spec.placement")
        for number, override in enumerate(spec.overrides):
            yield from self._selector("Application", name, override.when, f"spec.overrides[{number}].when")
        yield from self._dependencies(name, application)
        yield from self._health_rules(name, application)
        yield from self._pins(name, application)
        if spec.project not in fleet.projects and spec.project != DEFAULT_PROJECT:
            hint = self._closest("project", spec.project, fleet.projects)
            yield self._problem("Application", name, "spec.project", f"there is no project {spec.project!r}", hint)
        for at, message in tenancy.trespasses(application, fleet):
            written = fleet.place("Project", spec.project)
            hint = f"use what it allows, or have the Project allow this: {written}"
            yield self._problem("Application", name, at, message, hint)
        if isinstance(spec.rollout, Strategy):
            yield from self._stages("Application", name, spec.rollout, "spec.rollout")
        elif spec.rollout is not None and spec.rollout not in fleet.strategies:
            hint = self._closest("strategy", spec.rollout, fleet.strategies)
            message = f"there is no RolloutStrategy {spec.rollout!r}"
            yield self._problem("Application", name, "spec.rollout", message, hint)
        if fleet.clusters and not self._selects_any(spec.placement):
            message = "the placement selects no cluster"
            hint = f"`yardarm explain {name} --cluster NAME` says why not"
            yield self._problem("Application", name, "spec.placement", message, hint, warning=True)

    def _dependencies(self, name: str, application: Application) -> Iterator[Problem]:
        """What it waits for that nobody has, or that does not go where it waits for it."""
        fleet = self._fleet
        for number, entry in enumerate(application.spec.depends_on):
            at = child_path("spec.dependsOn", number)
            if isinstance(entry, str):
                yield from self._exists("Application", name, at, entry)
                continue
            yield from self._exists("Application", name, f"{at}.application", entry.application)
            yield from self._selector("Application", name, entry, at)
            other = fleet.applications.get(entry.application)
            if other is not None and fleet.clusters and not self._selects_any(other.spec.placement, entry):
                message = f"{entry.application} goes to none of these clusters: {name} would wait for ever"
                hint = f"`yardarm explain {entry.application}` lists where it goes"
                yield self._problem("Application", name, at, message, hint, warning=True)

    def release_sets(self) -> Iterator[Problem]:
        """Members that nothing moves with, that lack stages of others, or that have them in another order."""
        fleet = self._fleet
        sets = releases.members(fleet.applications)
        alone = {name for name, members in sets.items() if len(members) == 1}
        for name, members in sets.items():
            stages = {member: _stages_of(fleet, member) for member in members}
            if name in alone:
                hint = self._closest("release set", name, sets.keys() - alone)
                message = f"nothing else is in release set {name!r}"
                yield self._problem("Application", members[0], "spec.releaseSet", message, hint, warning=True)
            together = dict.fromkeys(stage for names in stages.values() for stage in names)
            for member, own in stages.items():
                lacking = [stage for stage in together if stage not in own]
                if lacking:
                    has = next(each for each in members if lacking[0] in stages[each])
                    message = f"release set {name!r}: {has} has a stage {lacking[0]!r}, and {member} has none"
                    hint = "stages wait for each other by name: let all members have the same strategy"
                    yield self._problem("Application", member, "spec.releaseSet", message, hint, warning=True)
            crossed = sorted(releases.order(stages.values()).contradictions())
            if crossed:
                message = (
                    f"release set {name!r}: its members have the stages {' and '.join(crossed)} in different orders"
                )
                hint = "these do not wait for each other: let all members have the same strategy"
                yield self._problem("Application", members[0], "spec.releaseSet", message, hint, warning=True)

    def _pins(self, name: str, application: Application) -> Iterator[Problem]:
        """Pins that pin nothing."""
        promotion = self._fleet.promotion_of(name)
        for environment, pin in promotion.spec.environments.items() if promotion is not None else ():
            at = f"spec.environments.{environment}"
            if not fits(application, pin):
                wanted = "is a chart: pin a version" if is_chart(application) else "is from Git: pin a commit"
                place = self._fleet.place("Promotion", name, at)
                yield Problem("error", f"the source of {name!r} {wanted}", place, application=name)
            if environment not in self._fleet.environments:
                hint = self._closest("environment", environment, self._fleet.environments)
                message = f"there is no environment {environment!r}: nothing is pinned by this"
                yield self._problem("Promotion", name, at, message, hint, warning=True)

    def _problem(
        self, kind: str, name: str, at: str, message: str, hint: str = "", *, warning: bool = False
    ) -> Problem:
        application = name if kind == "Application" else ""
        place = self._fleet.place(kind, name, at)
        return Problem("warning" if warning else "error", message, place, hint, application)

    def _environments(self) -> Iterator[Problem]:
        fleet = self._fleet
        used = {name for names in fleet.membership.values() for name in names}
        for name, environment in fleet.environments.items():
            spec = environment.spec
            yield from self._clusters("Environment", name, "spec.clusters", spec.clusters)
            yield from self._clusters("Environment", name, "spec.exclude", spec.exclude)
            if fleet.clusters and name not in used:
                message = f"environment {name!r} has no cluster: none matches"
                yield self._problem("Environment", name, "spec.where", message, warning=True)
        for cluster, names in fleet.membership.items():
            if len(names) > 1:
                message = (
                    f"cluster {cluster!r} is in {len(names)} environments ({', '.join(names)}): {names[0]!r} is shown"
                )
                yield self._problem("Environment", names[1], "spec.where", message, warning=True)

    def _health_rules(self, name: str, application: Application) -> Iterator[Problem]:
        """Expressions that no agent could evaluate, and rules that an earlier one hides."""
        seen: set[str] = set()
        for number, rule in enumerate(application.spec.health):
            at = f"spec.health[{number}]"
            for part, expression in (("healthy", rule.healthy), ("failed", rule.failed)):
                wrong = expressions.problem(expression) if expression else ""
                if wrong:
                    message = f"the health rule for {rule.kind} cannot be used: {part}: {wrong}"
                    hint = "a CEL expression over `object`, such as object.status.phase == 'Ready'"
                    yield self._problem("Application", name, f"{at}.{part}", message, hint)
            if rule.kind in seen:
                message = f"there is an earlier health rule for {rule.kind}, which counts"
                yield self._problem("Application", name, f"{at}.kind", message, "join the two", warning=True)
            seen.add(rule.kind)

    def _selects_any(self, *selectors: Selector) -> bool:
        """Whether a cluster is selected by all of them, or could be once it reports the facts asked for."""
        key = "\n".join(each.model_dump_json() for each in selectors)
        known = self._selecting.get(key)
        if known is None:
            candidates = [self._fleet.candidate(name) for name in self._fleet.clusters]
            known = any(all(_may_select(each, candidate) for each in selectors) for candidate in candidates)
            self._selecting[key] = known
        return known

    def _stages(self, kind: str, name: str, strategy: Strategy, at: str) -> Iterator[Problem]:
        seen: set[str] = set()
        if strategy.promotion is not None:
            order = Selector(environments=strategy.promotion.environments)
            yield from self._selector(kind, name, order, f"{at}.promotion")
        for number, stage in enumerate(strategy.stages):
            here = f"{at}.stages[{number}]"
            yield from self._selector(kind, name, stage, here)
            if stage.name in seen:
                yield self._problem(kind, name, f"{here}.name", f"two stages are called {stage.name!r}", "rename one")
            seen.add(stage.name)

    def _selector(self, kind: str, name: str, selector: Selector, at: str) -> Iterator[Problem]:
        for number, environment in enumerate(selector.environments):
            if environment not in self._fleet.environments:
                hint = self._closest("environment", environment, self._fleet.environments)
                message = f"there is no environment {environment!r}"
                yield self._problem(kind, name, child_path(f"{at}.environments", number), message, hint)
        yield from self._clusters(kind, name, f"{at}.clusters", selector.clusters)
        yield from self._clusters(kind, name, f"{at}.exclude", selector.exclude)

    def _clusters(self, kind: str, name: str, at: str, clusters: Iterable[str]) -> Iterator[Problem]:
        """Only a warning: a cluster may join later."""
        for number, cluster in enumerate(clusters):
            if cluster not in self._fleet.clusters:
                message = f"there is no cluster {cluster!r}, at least not yet"
                hint = self._closest("cluster", cluster, self._fleet.clusters)
                yield self._problem(kind, name, child_path(at, number), message, hint, warning=True)

    def _known(self, kind: str, name: str, at: str, applications: Iterable[str]) -> Iterator[Problem]:
        for number, application in enumerate(applications):
            yield from self._exists(kind, name, child_path(at, number), application)

    def _exists(self, kind: str, name: str, at: str, application: str) -> Iterator[Problem]:
        if application not in self._fleet.applications:
            hint = self._closest("application", application, self._fleet.applications)
            yield self._problem(kind, name, at, f"there is no application {application!r}", hint)

    def _closest(self, among: str, word: str, known: Iterable[str]) -> str:
        """What was probably meant."""
        if (among, word) not in self._guesses and len(self._guesses) < GUESSES:
            close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
            self._guesses[among, word] = f"did you mean {close[0]!r}?" if close else ""
        return self._guesses.get((among, word), "")


def _stages_of(fleet: FleetModel, name: str) -> tuple[str, ...]:
    strategy = fleet.strategy_of(fleet.applications[name])
    return tuple(stage.name for stage in strategy.stages) if strategy is not None else ()


def _may_select(selector: Selector, candidate: Candidate) -> bool:
    verdict = matches(selector, candidate)
    return verdict.selected or verdict.undecided


def _cycles(fleet: FleetModel) -> Iterator[Problem]:
    """Circles of applications that wait for each other; each of them is named at each of its members."""
    for circle in circles(fleet.applications):
        by_sets = not set(circle.way) <= fleet.applications.keys()
        hint = "remove one of these dependencies"
        for name in circle.members:
            message = f"dependsOn goes in a circle: {circle.way_from(name)}"
            if by_sets:
                hint = "a release set moves as one: remove one of these dependencies, or make it one set"
            yield Problem("error", message, fleet.place("Application", name, "spec.dependsOn"), hint, name)
