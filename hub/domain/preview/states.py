"""A state of the fleet, as far as a preview needs it: what every application is on every cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.domain.preview.model import Side
from shared.messages import Policy
from shared.model import ObjectRef, Place, Problem

Units = Mapping[str, Mapping[str, str]]
"""Something about each application on each of its clusters."""

Key = tuple[str, str, str, str]
"""`ObjectRef.key`."""


@dataclass(frozen=True, slots=True)
class Made:
    """Objects, each as its canonical line of JSON."""

    objects: Mapping[Key, tuple[ObjectRef, bytes]]
    warnings: tuple[Problem, ...] = ()
    places: Mapping[Key, Place] = field(default_factory=dict)
    """Where each was written, as far as it is known."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be rendered: whatever a cluster has, it keeps."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Unseen:
    """What it is cannot be told here."""

    reason: str


Result = Made | Failed | Unseen


@dataclass(frozen=True, slots=True)
class About:
    """What an application's document says about keeping it.

    `settings` is shown when it changes; `policy` decides what is deleted; `on_leave` and `policy.deletion.on_delete`
    say what becomes of the objects where the application leaves.
    """

    policy: Policy
    settings: Mapping[str, Any] = field(default_factory=dict)
    on_leave: str = "delete"


@dataclass(frozen=True, slots=True)
class State:
    """One state.

    `units` gives for each application on each cluster the key of its result: equal keys, equal results, also between
    states. `results` has them by key; it may lack those that both states have. `renamed` are applications that take
    the place of one of the state before, by their new name. `unmoved` are units that keep what they have although
    something else is written, with the reason.
    """

    side: Side
    units: Units = field(default_factory=dict)
    results: Mapping[str, Result] = field(default_factory=dict)
    applications: Mapping[str, About] = field(default_factory=dict)
    environments: Mapping[str, str] = field(default_factory=dict)
    """Of every cluster that is looked at; empty for one in none."""
    problems: tuple[Problem, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    unmoved: Units = field(default_factory=dict)


def differing(before: State, after: State) -> tuple[frozenset[str], frozenset[str]]:
    """The keys whose results are needed to compare the two: of `before`, and of `after`."""
    old, new = set[str | None](), set[str | None]()
    for name in names(before, after):
        had, gets = before.units.get(origin(name, after), {}), after.units.get(name, {})
        for cluster in had.keys() | gets.keys():
            pair = had.get(cluster), gets.get(cluster)
            if pair[0] != pair[1]:
                old.add(pair[0])
                new.add(pair[1])
    return frozenset(key for key in old if key is not None), frozenset(key for key in new if key is not None)


def names(before: State, after: State) -> list[str]:
    """The applications of either state, those that another one takes the place of under the new name."""
    return sorted((before.applications.keys() | after.applications.keys()) - set(after.renamed.values()))


def origin(application: str, after: State) -> str:
    """The application of the state before that this one goes on from: itself, unless it was renamed."""
    return after.renamed.get(application, application)
