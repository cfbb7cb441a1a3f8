"""Variants: the effective render inputs of an application for one cluster. Clusters with equal inputs share a render.

Only what can reach the result counts: of the variables, those whose names occur in the manifests, once a render has
told which these are; of what a cluster reports, nothing unless a chart asks. What a render finds in Git or in a chart
is named by the key of its content.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hub.domain.blending import Blend, Numbered, blend, digest_of
from hub.domain.documents import Application
from hub.domain.fleet import FleetModel
from hub.domain.selectors import matches
from hub.domain.tenancy import limits_of
from hub.domain.variables import Scope, scope
from shared.messages import DeletionPolicy, HealthRule, IgnoreRule, Policy


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a cluster says of its API: its version (`v1.30.1`), and a digest that stands for the list of its APIs."""

    kube_version: str = ""
    apis: str = ""


@dataclass(frozen=True, slots=True)
class ContentKey:
    """Names what a part reads: equal keys, equal content. `capabilities`: it asks what the cluster's API can do."""

    key: str
    capabilities: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that decides what is rendered."""

    application: str
    namespace: str
    blend: Blend
    variables: Scope
    capabilities: Capabilities | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """Inputs, named by their SHA-256: equal digests render to equal bundles, and variants compare by it.

    `undecided` says why nobody can know yet what the cluster should have: it has not reported the facts that some
    override or chart asks for. What it has should stay. `contents` are the keys of what its parts read.
    """

    digest: str
    inputs: Inputs = field(compare=False)
    origins: Mapping[str, str] = field(compare=False, repr=False)
    undecided: tuple[str, ...] = field(compare=False, default=())
    contents: tuple[str, ...] = field(compare=False, default=())

    @property
    def kind(self) -> str:
        """Names all that decides the result but the variables: those of one kind mostly use the same ones."""
        return " ".join((self.inputs.blend.digest, *self.contents))

    def by(self, used_names: Collection[str]) -> str:
        """The digest when these variables count and no others."""
        return _digest(self.inputs, self.contents, used_names)


class Variants:
    """The variants of one application in one fleet; what clusters have in common is worked out once."""

    def __init__(self, application: Application, fleet: FleetModel) -> None:
        self._application = application
        self._fleet = fleet
        self._blends: dict[tuple[int, ...], Blend] = {}

    def blend(self, cluster: str, facts: Mapping[str, Any] | None = None) -> Blend:
        """The application with the overrides that apply to a cluster."""
        return self._blend(self._applying(cluster, facts)[0])

    def of(
        self,
        cluster: str,
        *,
        facts: Mapping[str, Any] | None = None,
        contents: Mapping[str, ContentKey] | None = None,
        used_names: Collection[str] | None = None,
    ) -> Variant:
        """The inputs of the application for a cluster.

        Args:
            cluster: a cluster of the fleet.
            facts: what the cluster has reported; None when it has not.
            contents: what its parts read, by footing.
            used_names: the variable names that occur in what is rendered, as the last render of the same contents told;
                None when it is not known, and then every variable counts.
        """
        contents = contents or {}
        overrides, undecided = self._applying(cluster, facts)
        blend = self._blend(overrides)
        variables = scope(self._application, cluster, self._fleet, overrides)
        keys = [contents.get(part.footing, ContentKey("")) for part in blend.parts]
        capabilities = None
        if any(key.capabilities for key in keys):
            capabilities = _capabilities(facts or {})
            if not (capabilities.kube_version and capabilities.apis):
                undecided = (*undecided, "a chart asks what its API can do")
        inputs = Inputs(self._application.name, self._application.spec.namespace, blend, variables, capabilities)
        origins = {**blend.origins, **{f"variables.{name}": origin for name, origin in variables.origins.items()}}
        named = tuple(key.key for key in keys)
        return Variant(_digest(inputs, named, used_names), inputs, origins, undecided, named)

    def _applying(self, cluster: str, facts: Mapping[str, Any] | None) -> tuple[Sequence[Numbered], tuple[str, ...]]:
        candidate = self._fleet.candidate(cluster, facts)
        overrides = self._application.spec.overrides
        verdicts = [matches(override.when, candidate) for override in overrides]
        applying = [
            (number, override)
            for number, (override, verdict) in enumerate(zip(overrides, verdicts, strict=True))
            if verdict.selected
        ]
        undecided = [
            f"override {number} asks for facts" for number, verdict in enumerate(verdicts, 1) if verdict.undecided
        ]
        return applying, tuple(undecided)

    def _blend(self, overrides: Sequence[Numbered]) -> Blend:
        numbers = tuple(number for number, _ in overrides)
        known = self._blends.get(numbers)
        if known is None:
            known = self._blends[numbers] = blend(self._application, overrides)
        return known


def variant(
    application: Application,
    cluster: str,
    fleet: FleetModel,
    *,
    facts: Mapping[str, Any] | None = None,
    contents: Mapping[str, ContentKey] | None = None,
    used_names: Collection[str] | None = None,
) -> Variant:
    """One variant of an application: see `Variants.of`."""
    return Variants(application, fleet).of(cluster, facts=facts, contents=contents, used_names=used_names)


def policy_of(application: Application, fleet: FleetModel) -> Policy:
    """How its bundles are applied and kept, as the agent is told."""
    project = fleet.projects.get(application.spec.project)
    sync = application.spec.sync
    limits = limits_of(application.spec.project, project)
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
        depends_on=application.spec.beside,
        health=tuple(HealthRule(rule.kind, rule.healthy, rule.failed) for rule in application.spec.health),
        service_account=project.spec.service_account if project is not None else "",
        limits=limits if limits is not None else msgspec.UNSET,
    )


def _capabilities(facts: Mapping[str, Any]) -> Capabilities:
    return Capabilities(str(facts.get("kubernetes", "")), str(facts.get("apis", "")))


def _digest(inputs: Inputs, contents: Sequence[str], used_names: Collection[str] | None) -> str:
    variables = inputs.variables
    wanted = inputs.blend.names.union(used_names) if used_names is not None else variables.known
    capabilities = inputs.capabilities
    return digest_of(
        {
            "application": inputs.application,
            "namespace": inputs.namespace,
            "blend": inputs.blend.digest,
            "contents": contents,
            "capabilities": [capabilities.kube_version, capabilities.apis] if capabilities is not None else None,
            # A name that is ours but has no value here differs from one that is nobody's: the first is an error.
            "variables": {name: variables.values.get(name) for name in variables.known.intersection(wanted)},
        }
    )
