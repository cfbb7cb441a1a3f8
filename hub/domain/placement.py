"""Which clusters an application goes to, and why not to the others: pure, deterministic, and stable.

Stable means that a cluster that was chosen stays chosen while it matches: `pick` fills up from what is there, taints of
effect NoNew look at newcomers only, a paused cluster keeps what it has, and a cluster that has not reported the facts
that are asked for (the hub may have just started) keeps what it has as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hub.domain.documents import Application, Taint
from hub.domain.documents import Placement as PlacementSpec
from hub.domain.fleet import Facts, FleetModel
from hub.domain.picking import not_picked, picked
from hub.domain.selectors import matches
from hub.domain.tenancy import admits

LEAVING = "it has the application now, and will be asked to let it go"
"""What more is to be said of a cluster that is not selected any more."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Every cluster of the fleet is selected or rejected, with what speaks for it or against it, sorted by name.

    `frozen` are those of the selected that keep exactly what they have: they are paused, the application has an error,
    or it has not been promoted to their environment. Nothing new is to be given to them.
    """

    selected: Mapping[str, tuple[str, ...]]
    rejected: Mapping[str, tuple[str, ...]]
    frozen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Claim:
    """What can be said of one cluster before `pick`. A frozen one is not weighed against others."""

    wanted: bool
    reasons: tuple[str, ...]
    frozen: bool = False


def place(application: Application, fleet: FleetModel, facts: Facts, previous: Collection[str] = ()) -> Placement:
    """Where the application goes.

    Args:
        application: with its placement.
        fleet: of the same commit.
        facts: what agents have reported.
        previous: the clusters that have the application now.
    """
    has = frozenset(previous)
    waiting = fleet.awaiting(application)
    claims: dict[str, _Claim] = {}
    for name in fleet.clusters:
        claim = _claim(application, fleet, name, facts.get(name), has_it=name in has)
        environment = fleet.environment_of(name)
        if claim.wanted and not claim.frozen and environment in waiting:
            claim = _unpromoted(environment, has_it=name in has)
        claims[name] = claim
    pick = application.spec.placement.pick
    selected = {name: claim.reasons for name, claim in claims.items() if claim.wanted}
    rejected = {name: claim.reasons for name, claim in claims.items() if not claim.wanted}
    frozen = frozenset(name for name in selected if claims[name].frozen)
    if pick is not None:
        labels = {name: fleet.clusters[name].metadata.labels for name in selected}
        chosen = picked(pick, application.name, labels, frozen, has)
        for name in selected.keys() - chosen.keys():
            rejected[name] = (*selected.pop(name), not_picked(pick, len(chosen)))
        selected = {name: (*reasons, chosen[name]) for name, reasons in selected.items()}
    return Placement(dict(sorted(selected.items())), dict(sorted(rejected.items())), frozen)


def explain(
    application: Application, cluster: str, fleet: FleetModel, facts: Facts, previous: Collection[str] = ()
) -> tuple[str, ...]:
    """Why a cluster gets the application or does not, for a person: the verdict first, then its reasons."""
    name = application.name
    if cluster not in fleet.clusters:
        return (f"there is no cluster {cluster!r} in the fleet",)
    placement = place(application, fleet, facts, previous)
    selected = cluster in placement.selected
    verdict = f"{cluster} is {'selected' if selected else 'not selected'} for {name}"
    reasons = placement.selected[cluster] if selected else placement.rejected[cluster]
    written = fleet.place("Application", name, "spec.placement")
    where = (f"the placement is at {written}",) if written is not None and written.line else ()
    kept = (LEAVING,) if not selected and cluster in previous else ()
    return (verdict, *reasons, *kept, *where)


def _claim(
    application: Application, fleet: FleetModel, cluster: str, facts: Mapping[str, Any] | None, *, has_it: bool
) -> _Claim:
    placement, spec = application.spec.placement, fleet.clusters[cluster].spec
    if application.name in fleet.blocked:
        reason = "the application has an error: what is there stays, nothing new comes"
        return _Claim(has_it, (reason,), frozen=True)
    if spec.paused:
        return _Claim(has_it, (f"the cluster is paused{' and keeps what it has' if has_it else ''}",), frozen=True)
    candidate = fleet.candidate(cluster, facts)
    project = fleet.projects.get(application.spec.project)
    if project is not None:
        allowed = admits(project.spec, candidate)
        if not (allowed.selected or (allowed.undecided and has_it)):
            return _Claim(False, tuple(f"project {project.name}: {reason}" for reason in allowed.reasons))
    verdict = matches(placement, candidate)
    if verdict.undecided and has_it:
        return _Claim(True, (*verdict.reasons, "it keeps what it has until the facts are known"))
    if not verdict.selected:
        return _Claim(False, verdict.reasons)
    repelled = _repelled(placement, spec.taints, has_it=has_it)
    return _Claim(not repelled, repelled or verdict.reasons)


def _unpromoted(environment: str, *, has_it: bool) -> _Claim:
    kept = "what it has stays" if has_it else "nothing comes"
    return _Claim(has_it, (f"the application has not been promoted to {environment} yet: {kept}",), frozen=True)


def _repelled(placement: PlacementSpec, taints: tuple[Taint, ...], *, has_it: bool) -> tuple[str, ...]:
    return tuple(
        f"taint {taint.key} ({taint.effect}) is not tolerated"
        for taint in taints
        if taint.key not in placement.tolerate and not (taint.effect == "NoNew" and has_it)
    )
