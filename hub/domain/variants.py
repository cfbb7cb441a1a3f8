"""Variants: the effective render inputs of an application for one cluster. Clusters with equal inputs share a render.

Only what can reach the result counts: of the variables, those whose names occur in the manifests, once a render has
told which these are. What a render finds in Git or in a chart is named by `tree`, its content's digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from hub.domain.documents import Application, Override
from hub.domain.fleet import FleetModel
from hub.domain.rendering import Patch, Render, Source
from hub.domain.selectors import matches
from hub.domain.variables import Scope, scope
from shared.messages import DeletionPolicy, HealthRule, IgnoreRule, Policy


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that decides what is rendered. Treat the maps as immutable."""

    application: str
    namespace: str
    source: Source
    path: str
    render: Render
    values: Mapping[str, Any]
    patches: tuple[Patch, ...]
    variables: Scope


@dataclass(frozen=True, slots=True)
class Variant:
    """Inputs, named by their SHA-256: equal digests render to equal bundles, and variants compare by it.

    `origins` says for each value, by path, where it is from. `undecided` names the overrides (from 1) of which nobody
    can say whether they apply, because the cluster has not reported the facts they ask for: what it has should stay.
    """

    digest: str
    inputs: Inputs = field(compare=False)
    origins: Mapping[str, str] = field(compare=False, repr=False)
    undecided: tuple[int, ...] = field(compare=False, default=())


def variant(
    application: Application,
    cluster: str,
    fleet: FleetModel,
    *,
    facts: Mapping[str, Any] | None = None,
    tree: str = "",
    used_names: Collection[str] | None = None,
) -> Variant:
    """The inputs of an application for a cluster.

    Args:
        application: what to render.
        cluster: a cluster of the fleet.
        fleet: of the same commit.
        facts: what the cluster has reported; None when it has not.
        tree: digest of the content the source has at this commit.
        used_names: the variable names that occur in it, as the last render of the same tree told; None when it is not
            known, and then every variable counts.
    """
    overrides, undecided = _applying(application, cluster, fleet, facts)
    spec = application.spec
    origins: dict[str, str] = {}
    values: dict[str, Any] = {}
    if spec.render.helm is not None:
        values = _merged({}, spec.render.helm.values, f"application {application.name}", "values", origins)
    path = spec.source.path
    patches: list[Patch] = []
    origins["path"] = f"application {application.name}"
    for number, override in overrides:
        origin = f"override {number + 1} of {application.name}"
        values = _merged(values, override.values, origin, "values", origins)
        if override.path is not None:
            path, origins["path"] = override.path, origin
        for patch in override.patches:
            origins[f"patches[{len(patches)}]"] = origin
            patches.append(patch)
    variables = scope(application, cluster, fleet, overrides)
    origins.update((f"variables.{name}", origin) for name, origin in variables.origins.items())
    inputs = Inputs(application.name, spec.namespace, spec.source, path, spec.render, values, tuple(patches), variables)
    return Variant(_digest(inputs, tree, used_names), inputs, origins, undecided)


def policy_of(application: Application, fleet: FleetModel) -> Policy:
    """How its bundles are applied and kept, as the agent is told."""
    project = fleet.projects.get(application.spec.project)
    sync = application.spec.sync
    return Policy(
        drift=sync.drift,
        prune=sync.prune,
        ignore=tuple(
            IgnoreRule(rule.kind, rule.group, rule.name, rule.namespace, rule.fields, rule.managers)
            for rule in sync.ignore
        ),
        timeout=sync.timeout,
        create_namespace=sync.create_namespace,
        adopt=sync.adopt,
        deletion=DeletionPolicy(str(sync.deletion.budget), sync.deletion.on_delete),
        depends_on=application.spec.depends_on,
        health=tuple(HealthRule(rule.kind, rule.healthy, rule.failed) for rule in application.spec.health),
        service_account=project.spec.service_account if project is not None else "",
    )


def _applying(
    application: Application, cluster: str, fleet: FleetModel, facts: Mapping[str, Any] | None
) -> tuple[Sequence[tuple[int, Override]], tuple[int, ...]]:
    candidate = fleet.candidate(cluster, facts)
    verdicts = [matches(override.when, candidate) for override in application.spec.overrides]
    applying = [
        (number, override)
        for number, (override, verdict) in enumerate(zip(application.spec.overrides, verdicts, strict=True))
        if verdict.selected
    ]
    return applying, tuple(number for number, verdict in enumerate(verdicts, 1) if verdict.undecided)


def _merged(
    below: Mapping[str, Any], above: Mapping[str, Any], origin: str, path: str, origins: dict[str, str]
) -> dict[str, Any]:
    """Maps merge, everything else is replaced, as Helm does with values. A null stays: Helm takes it as removal."""
    result = dict(below)
    for key, value in above.items():
        here, inner = f"{path}.{key}", below.get(key)
        if isinstance(value, dict) != isinstance(inner, dict):
            for replaced in [known for known in origins if known == here or known.startswith(f"{here}.")]:
                del origins[replaced]
        if isinstance(value, dict):
            result[key] = _merged(inner if isinstance(inner, dict) else {}, value, origin, here, origins)
        else:
            result[key] = value
            origins[here] = origin
    return result


def _digest(inputs: Inputs, tree: str, used_names: Collection[str] | None) -> str:
    variables = inputs.variables
    names = variables.known if used_names is None else variables.known.intersection(used_names)
    content = {
        "application": inputs.application,
        "namespace": inputs.namespace,
        "source": inputs.source.model_dump(mode="json"),
        "path": inputs.path,
        "tree": tree,
        "render": inputs.render.model_dump(mode="json"),
        "values": inputs.values,
        "patches": [patch.model_dump(mode="json") for patch in inputs.patches],
        # A name that is ours but has no value here differs from one that is nobody's: the first is an error.
        "variables": {name: variables.values.get(name) for name in names},
    }
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
