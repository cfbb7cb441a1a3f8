"""In which waves a new revision reaches clusters: the stages of a strategy filled with clusters. Pure.

A stage takes the clusters that it selects and that no earlier stage took; with `pick` only some of them, and the others
are left for later ones. Clusters that no stage takes form a last one, so that nobody is forgotten. A cluster that has
not reported the facts that a stage asks for is not taken by it: it comes later rather than sooner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hub.domain.fields import portion
from hub.domain.picking import picked
from hub.domain.selectors import Candidate, selecting
from hub.domain.staging import Stage, Strategy

REST = "rest"
"""The stage of the clusters that no other one took."""
ALL = "all"
"""What that stage is called where there is no other one."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A stage and its clusters, in the order in which they are assigned. A stage may have none.

    `at_once` clusters at the most are between assigned and healthy, and at most `max_failures` may fail. `stage` is
    what the document says: None for the last one, which no document names.
    """

    name: str
    clusters: tuple[str, ...]
    at_once: int
    max_failures: int = 0
    stage: Stage | None = None

    @property
    def turns(self) -> tuple[tuple[str, ...], ...]:
        """The clusters as they come if each takes as long as the other."""
        return tuple(self.clusters[at : at + self.at_once] for at in range(0, len(self.clusters), self.at_once))


def waves(strategy: Strategy | None, application: str, clusters: Iterable[Candidate]) -> tuple[Wave, ...]:
    """Every cluster in exactly one wave.

    Args:
        strategy: None means all at once.
        application: decides, with `pick`, who goes first among equals.
        clusters: those that are to get the revision, in any order.
    """
    left = {candidate.name: candidate for candidate in sorted(clusters, key=lambda each: each.name)}
    result = []
    for stage in strategy.stages if strategy is not None else ():
        taken = _taken(stage, application, list(left.values()))
        for name in taken:
            del left[name]
        result.append(_wave(stage, taken))
    if left:
        result.append(Wave(REST if result else ALL, tuple(left), len(left)))
    return tuple(result)


def _taken(stage: Stage, application: str, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    chosen = {each.name: each.labels for each in filter(selecting(stage), candidates)}
    names = picked(stage.pick.of(len(chosen)), application, chosen) if stage.pick is not None else chosen
    return tuple(sorted(names, key=lambda name: (_rank(chosen[name].get(stage.order)), name)))


def _rank(value: str | None) -> tuple[bool, bool, float, str]:
    """Numbers by size, then words, then those without."""
    try:
        number = float(value) if value is not None else 0.0
    except ValueError:
        return (value is None, True, 0.0, value or "")
    return (value is None, False, number, "")


def _wave(stage: Stage, clusters: tuple[str, ...]) -> Wave:
    total = len(clusters)
    at_once = max(1, portion(stage.max_concurrent, total))
    return Wave(stage.name, clusters, at_once, portion(stage.max_failures, total), stage)
