"""Circles of applications that wait for each other. Pure.

Release sets count as one: what a member waits for, the set waits for, as no member goes ahead of the others.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hub.domain.documents import Application


@dataclass(frozen=True, slots=True)
class Circle:
    """Who waits for whom, the last for the first. `members` are the applications whose `dependsOn` make it."""

    way: tuple[str, ...]
    members: tuple[str, ...]

    def way_from(self, member: str) -> str:
        """The whole way round, told from one of those on it, or as it is."""
        at = self.way.index(member) if member in self.way else 0
        return " → ".join([*self.way[at:], *self.way[:at], self.way[at]])


def circles(applications: Mapping[str, Application]) -> Iterator[Circle]:
    """Every circle; those by way of release sets among what is in no other."""
    edges = {
        name: sorted(set(application.spec.dependencies) & applications.keys())
        for name, application in applications.items()
        if application.spec.depends_on
    }
    while (circle := _circle(edges)) is not None:
        yield Circle(tuple(circle), tuple(circle))
        for name in circle:
            del edges[name]
    if any(application.spec.release_set for application in applications.values()):
        yield from _of_sets(applications, edges)


def _of_sets(applications: Mapping[str, Application], edges: Mapping[str, list[str]]) -> Iterator[Circle]:
    who: dict[str, dict[str, list[str]]] = {}
    for name, needed in edges.items():
        mine = _node(applications, name)
        for other in (_node(applications, each) for each in needed):
            if other != mine:
                who.setdefault(mine, {}).setdefault(other, []).append(name)
    while (circle := _circle({node: sorted(others) for node, others in who.items()})) is not None:
        steps = list(zip(circle, [*circle[1:], circle[0]], strict=True))
        yield Circle(tuple(circle), tuple(dict.fromkeys(name for first, then in steps for name in who[first][then])))
        for first, then in steps:
            del who[first][then]


def _node(applications: Mapping[str, Application], name: str) -> str:
    together = applications[name].spec.release_set
    return f"release set {together}" if together else name


def _circle(edges: Mapping[str, list[str]]) -> list[str] | None:
    """A circle in the graph, in the direction of its edges; None when there is none."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        names: list[str] = error.args[1]
        return names[:0:-1]
    return None
