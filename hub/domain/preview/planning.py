"""In which waves a change would reach clusters, and what stands before each. Pure.

Clusters that an application leaves do not wait for a wave, nor do those on which it stays as it is.
"""

from __future__ import annotations

from hub.domain.approvals import wanted
from hub.domain.fleet import Facts, FleetModel
from hub.domain.preview.model import ApplicationChange, Held, Preview, Side, Unclear
from hub.domain.staging import Stage
from hub.domain.waves import Wave, waves
from hub.domain.windows import conditions
from shared.model import Value


class PlannedWave(Value, frozen=True):
    """Clusters that get the change together, `at_once` at a time; `before` is what must have happened until then."""

    name: str
    clusters: tuple[str, ...]
    at_once: int
    max_failures: int = 0
    before: tuple[str, ...] = ()


class PlannedApplication(Value, frozen=True):
    """The way of one application's change. `leaving` are clusters that it leaves, at once."""

    name: str
    waves: tuple[PlannedWave, ...] = ()
    leaving: tuple[str, ...] = ()
    unclear: tuple[Unclear, ...] = ()


class Plan(Value, frozen=True):
    """The way of a change over the fleet."""

    from_: Side
    to: Side
    applications: tuple[PlannedApplication, ...] = ()
    held: tuple[Held, ...] = ()


def plan(preview: Preview, model: FleetModel, facts: Facts, now: float) -> Plan:
    """The waves of all that a preview says to change, by the strategies of `model`, the fleet after it.

    `now` (unix seconds) decides what is said of windows.
    """
    return Plan(
        from_=preview.from_,
        to=preview.to,
        applications=tuple(_application(change, model, facts, now) for change in preview.applications),
        held=preview.held,
    )


def _application(change: ApplicationChange, model: FleetModel, facts: Facts, now: float) -> PlannedApplication:
    application = model.applications.get(change.name)
    uncertain = {cluster for each in change.unclear for cluster in each.clusters}
    touched = [name for name in change.clusters if name not in change.left and name not in uncertain]
    if application is None:
        return PlannedApplication(change.name, (), change.left, change.unclear)
    candidates = [model.candidate(name, facts.get(name)) for name in touched if name in model.clusters]
    made = [wave for wave in waves(model.strategy_of(application), change.name, candidates) if wave.clusters]
    return PlannedApplication(
        change.name,
        tuple(
            _wave(wave, made[number - 1] if number else None, _open(wave, model, now))
            for number, wave in enumerate(made)
        ),
        change.left,
        change.unclear,
    )


def _wave(wave: Wave, earlier: Wave | None, opened: tuple[str, ...]) -> PlannedWave:
    before = []
    if earlier is not None:
        before.append(f"{earlier.name} is healthy" + (_soaked(earlier.stage) if earlier.stage is not None else ""))
    if earlier is not None and earlier.stage is not None and earlier.stage.checks:
        before.append(f"the checks of {earlier.name} hold")
    if wave.stage is not None and wave.stage.approve is not None:
        before.append(f"{wave.stage.approve.count} of {wanted(wave.stage.approve)} approve")
    return PlannedWave(wave.name, wave.clusters, wave.at_once, wave.max_failures, (*before, *opened))


def _open(wave: Wave, model: FleetModel, now: float) -> tuple[str, ...]:
    """The windows and freezes of the environments that the clusters of a wave are in."""
    names = {name for cluster in wave.clusters for name in model.membership.get(cluster, ())}
    environments = [model.environments[name] for name in model.environments if name in names]
    return tuple(told for each in environments for told in conditions(each.spec, now, each.name))


def _soaked(stage: Stage) -> str:
    return f" for {stage.soak:g} s" if stage.soak else ""
