"""What a project allows: one decision, for documents when they are read, and for objects before they are published.

The agent decides about places and kinds once more, by the same rule (`shared.limits`). Pure: whether a rule in CEL
holds is found out elsewhere (`hub.admission`), since to evaluate one may cost anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

import orjson

from hub.domain.documents import DEFAULT_PROJECT, Application, Project
from hub.domain.projects import PolicySpec, ProjectSpec, Quota
from hub.domain.rendering import Source
from hub.domain.rules import Rule, no_plain_secrets, rule_of
from hub.domain.selectors import Candidate, Selector, Verdict, matches, selecting
from hub.domain.urls import normalise, redact
from shared.limits import any_name, beyond
from shared.messages import Limits, to_json
from shared.model import ObjectRef

if TYPE_CHECKING:
    from hub.domain.fleet import FleetModel

ALL_KINDS = ("*",)
FLEET = "."
"""The fleet repository, as sources name it."""


@dataclass(frozen=True, slots=True)
class Fence:
    """What the objects of an application have to keep to on one cluster.

    `digest` names it: clusters with equal ones ask the same of the same objects. It is empty where nothing is asked,
    and then nothing has to be looked at.
    """

    limits: Limits | None = None
    rules: tuple[Rule, ...] = ()
    digest: str = ""


OPEN = Fence()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An object that a project may not have, and why. `number` is its place among those asked about."""

    number: int
    ref: ObjectRef
    reason: str


# --- from documents --------------------------------------------------------------------------------------------------


def limits_of(name: str, project: Project | None) -> Limits | None:
    """Where objects of a project may be, and of which kinds; None when anywhere and of any."""
    if project is None:
        return None
    spec = project.spec
    everything = ALL_KINDS if name == DEFAULT_PROJECT else ()
    cluster_scoped = spec.cluster_scoped if spec.cluster_scoped is not None else everything
    found = Limits(name, spec.namespaces, spec.kinds.allow, spec.kinds.deny, cluster_scoped)
    return None if found == Limits(name, cluster_scoped=ALL_KINDS) else found


class Fences:
    """The fences of one application in one fleet; clusters that are asked the same share one."""

    def __init__(self, application: Application, fleet: FleetModel) -> None:
        name = application.spec.project
        project = fleet.projects.get(name)
        self._fleet = fleet
        self._limits = limits_of(name, project)
        own = _rules(project.spec, f"project {name}") if project is not None else ()
        common = (each for key, policy in fleet.policies.items() for each in _rules(policy.spec, f"policy {key}"))
        self._rules = [*own, *common]
        self._known: dict[tuple[int, ...], Fence] = {}

    def on(self, cluster: str, facts: Mapping[str, object] | None = None) -> Fence:
        """What is asked on a cluster. A rule of which that cannot be told yet, for want of a fact, is among it."""
        if not self._rules and self._limits is None:
            return OPEN
        candidate = self._fleet.candidate(cluster, facts) if self._rules else Candidate(cluster)
        numbers = tuple(number for number, (means_it, _) in enumerate(self._rules) if means_it(candidate))
        if numbers not in self._known:
            rules = tuple(self._rules[number][1] for number in numbers)
            limits = self._limits
            asked = [to_json(limits) if limits is not None else None, [to_json(rule) for rule in rules]]
            named = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
            self._known[numbers] = Fence(limits, rules, named if rules or limits is not None else "")
        return self._known[numbers]


def _rules(spec: ProjectSpec | PolicySpec, origin: str) -> Iterator[tuple[Callable[[Candidate], bool], Rule]]:
    """The rules of a document, each with whether it is about a cluster."""
    if spec.plaintext_secrets is not None:
        yield _meaning(Selector()), no_plain_secrets(spec.plaintext_secrets, origin)
    for each in spec.objects:
        yield _meaning(each.when), rule_of(each, origin)


def _meaning(selector: Selector) -> Callable[[Candidate], bool]:
    """Whether a selector means a cluster, or would if more were known of it."""

    def may_mean(candidate: Candidate) -> bool:
        verdict = matches(selector, candidate)
        return verdict.selected or verdict.undecided

    return may_mean if selector.uses_facts else selecting(selector)


def admits(spec: ProjectSpec, candidate: Candidate) -> Verdict:
    """Whether applications of a project may be on a cluster, with the reasons."""
    verdict = matches(spec.clusters, candidate)
    if not spec.environments:
        return verdict
    there = matches(Selector(environments=spec.environments), candidate)
    if not there.selected:
        return there
    return verdict


def trespasses(application: Application, fleet: FleetModel) -> Iterator[tuple[str, str]]:
    """What an application's own document asks for that its project does not allow: (field, message)."""
    spec = application.spec
    project = fleet.projects.get(spec.project)
    if project is None:
        return
    rules = project.spec
    for at, source in _sources(application):
        if reason := source_refused(rules, source):
            yield f"{at}.{'chart' if source.chart else 'repo'}", f"project {spec.project}: {reason}"
    if rules.namespaces and not any_name(rules.namespaces, spec.namespace):
        listed = ", ".join(rules.namespaces)
        yield "spec.namespace", f"project {spec.project} may have the namespaces {listed}, not {spec.namespace}"
    for number, name in enumerate(spec.placement.environments):
        if rules.environments and name not in rules.environments:
            listed = ", ".join(rules.environments)
            at = f"spec.placement.environments[{number}]"
            yield at, f"project {spec.project} may be in the environments {listed}, not in {name}"
    for number, name in enumerate(spec.placement.clusters):
        verdict = admits(rules, fleet.candidate(name)) if name in fleet.clusters else None
        if verdict is not None and not verdict.selected and not verdict.undecided:
            why = "; ".join(verdict.reasons)
            yield f"spec.placement.clusters[{number}]", f"project {spec.project} may not be on {name}: {why}"


def _sources(application: Application) -> Iterator[tuple[str, Source]]:
    """All sources, each with its place in the document."""
    spec = application.spec
    if not spec.sources or "source" in spec.model_fields_set:
        yield "spec.source", spec.source
    for number, source in enumerate(spec.sources):
        yield f"spec.sources[{number}]", source


# --- before it is published ------------------------------------------------------------------------------------------


def refused(limits: Limits | None, refs: Iterable[ObjectRef]) -> Iterator[Refusal]:
    """The objects that the project may not have."""
    if limits is not None:
        for number, ref in enumerate(refs):
            if reason := beyond(limits, ref):
                yield Refusal(number, ref, reason)


# --- sources ---------------------------------------------------------------------------------------------------------


def source_refused(spec: ProjectSpec, source: Source) -> str:
    """Why a project may not take what a source holds; empty when it may."""
    if source.chart:
        return address_refused(spec, source.repo, source.chart)
    return address_refused(spec, source.repo)


def address_refused(spec: ProjectSpec, repo: str, chart: str = "") -> str:
    """As `source_refused`, of a repository, or of a chart in one.

    The fleet repository itself may always be used: who writes there says which project an application is in, anyway.
    """
    if repo == FLEET or not (spec.sources or spec.charts):
        return ""
    if chart and spec.charts:
        address, allowed, what = f"{repo.rstrip('/')}/{chart}", spec.charts, "charts"
    else:
        address, allowed, what = repo, spec.sources, "sources"
    if any(means(pattern, address) for pattern in allowed):
        return ""
    return f"{redact(address)} is not among its {what}: {', '.join(allowed) or 'it lists none'}"


def means(pattern: str, address: str) -> bool:
    """Whether a pattern means an address. One that names a scheme means addresses of that scheme only.

    `*` is any one step of a path, or a part of it; `**` any number of steps. An address with steps that lead upwards,
    written in whatever way, is meant by none.
    """
    scheme, _, _ = pattern.rpartition("://")
    if scheme and scheme.lower() != address.strip().partition("://")[0].lower():
        return False
    steps = _key(address).split("/")
    if any(unquote(step) in (".", "..") or "\\" in unquote(step) for step in steps[1:]):
        return False
    return _steps_match(_key(pattern).split("/"), steps)


def _key(address: str) -> str:
    """What addresses and patterns are compared by: host and path, in whatever form they are written."""
    text = address.strip()
    if text.lower().startswith("oci://"):
        text = f"https://{text[6:]}"
    return normalise(text) or text.rpartition("://")[2].rstrip("/").removesuffix(".git").lower()


def _steps_match(pattern: list[str], steps: list[str]) -> bool:
    """By a table of what fits up to where: no pattern can make it take long."""
    fits = {0}
    for wanted in pattern:
        if wanted == "**":
            fits = set(range(min(fits), len(steps) + 1)) if fits else set()
        else:
            fits = {at + 1 for at in fits if at < len(steps) and any_name((wanted,), steps[at])}
    return len(steps) in fits


# --- how much --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """How much a project has: applications, units, and objects in them."""

    applications: int = 0
    units: int = 0
    objects: int = 0


def over_quota(project: str, quota: Quota, used: Usage) -> str:
    """What of a quota is exceeded; empty when nothing is."""
    pairs = (
        (quota.applications, used.applications, "applications"),
        (quota.units, used.units, "units"),
        (quota.objects, used.objects, "objects"),
    )
    over = [f"{have} {what}, its quota is {most}" for most, have, what in pairs if most is not None and have > most]
    return f"project {project} has {'; '.join(over)}" if over else ""


def rationed(
    project: str, quota: Quota, others: Usage, have: Mapping[str, int], wanted: Mapping[str, int]
) -> dict[str, str]:
    """The clusters on which an application must not get what it wants, as its project would have too much, and why.

    What is there already is never taken away for it, and what grows smaller always goes.

    Args:
        project: its name.
        quota: of the project.
        others: all that the project has without this application.
        have: objects of the application by cluster, as they are given now.
        wanted: objects by cluster as they should be.
    """
    refused_there: dict[str, str] = {}
    if not have and quota.applications is not None and others.applications >= quota.applications:
        return dict.fromkeys(wanted, _full(project, others.applications, "applications", quota.applications))
    units = others.units + len(have)
    objects = others.objects + sum(have.values())
    for cluster in sorted(wanted, key=lambda name: (name not in have, name)):
        new, more = cluster not in have, wanted[cluster] - have.get(cluster, 0)
        if new and quota.units is not None and units >= quota.units:
            refused_there[cluster] = _full(project, units, "units", quota.units)
        elif more > 0 and quota.objects is not None and objects + more > quota.objects:
            refused_there[cluster] = _full(project, objects, "objects", quota.objects)
        else:
            units, objects = units + new, objects + more
    return refused_there


def _full(project: str, have: int, what: str, most: int) -> str:
    return f"project {project} has {have} {what} already, its quota is {most}"
