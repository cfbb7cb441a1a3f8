"""The ordered steps of a plan: which objects are sent when, and what each has to wait for.

Pure. Which objects need to be sent is the plan's decision; this puts them in line with everything that stands already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.domain import hints, hooks, order
from agent.domain.desired import Desired, Key
from agent.domain.hooks import Hook, Moment, Run, Stand
from agent.domain.order import Gate, Item, Need, Order, Spot
from shared.model import Value


class Step(Value, frozen=True):
    """Objects that may be sent at the same time, after those of the steps before; each when its own gates are up."""

    objects: tuple[Desired, ...]
    gates: Mapping[Key, tuple[Gate, ...]] = {}
    anew: frozenset[Key] = frozenset()
    """Those of which an old one is deleted first."""


class Line(Value, frozen=True):
    """All objects of a unit in order. `after` is for when everything else is applied and what left is gone."""

    steps: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    errors: Mapping[Key, str] = {}
    """What cannot be put in order, and why."""


def line_up(
    main: Sequence[Desired],
    found: Sequence[Hook],
    to_send: frozenset[Key],
    absent: frozenset[Key],
    run: Run,
    *,
    unconditional: frozenset[Key] = frozenset(),
    overdue: bool = False,
) -> Line:
    """The steps that send `to_send` (hooks: those that have yet to be made).

    `absent` are objects that somebody else looks after. `unconditional` ones were applied before as they are now:
    putting them back waits for no wave. `overdue`: nothing waits for backends any more.
    """
    if not to_send and not any(hints.depends_on(each.manifest) for each in main):
        return Line()
    items = [Item(each.ref, each.manifest) for each in main]
    items += [Item(hook.each.ref, hook.each.manifest, stage_of(hook.moment), hook=True) for hook in found]
    arranged = order.arrange(items, absent)
    by_spot: dict[Spot, Desired | Hook] = {(0, each.ref.key): each for each in main}
    by_spot |= {(stage_of(hook.moment), hook.each.ref.key): hook for hook in found}
    sides: dict[bool, list[Step]] = {False: [], True: []}
    for group in arranged.groups:
        objects: list[Desired] = []
        gates: dict[Key, tuple[Gate, ...]] = {}
        anew: set[Key] = set()
        for spot in group:
            key, one = spot[1], by_spot[spot]
            if key not in to_send or (isinstance(one, Hook) and not one.to_make):
                continue
            objects.append(hooks.to_send(one, run) if isinstance(one, Hook) else one)
            needed = _needed(arranged, spot, only_essential=key in unconditional, overdue=overdue)
            if needed:
                gates[key] = needed
            if isinstance(one, Hook) and one.stand is Stand.STALE:
                anew.add(key)
        if objects:
            sides[group[0][0] > 0].append(Step(tuple(objects), gates, frozenset(anew)))
    return Line(tuple(sides[False]), tuple(sides[True]), {spot[1]: why for spot, why in arranged.errors.items()})


def stage_of(moment: Moment) -> int:
    """The stage of a hook beside the objects that are kept; hooks of other moments are lined up for themselves."""
    return int(moment) if moment in hooks.ON_THE_WAY else 0


def _needed(arranged: Order, spot: Spot, *, only_essential: bool, overdue: bool) -> tuple[Gate, ...]:
    return tuple(
        gate
        for gate in arranged.gates.get(spot, ())
        if gate.need is Need.EXISTENCE or not (only_essential or (overdue and gate.need is Need.BACKEND))
    )


def backwards(found: Iterable[Item]) -> list[tuple[Key, ...]]:
    """In which groups objects are deleted: dependants first."""
    items = list(found)
    if not items:
        return []
    arranged = order.arrange(items)
    groups = [tuple(spot[1] for spot in group) for group in reversed(arranged.groups)]
    # Whose annotations make no sense goes first: nothing can be said to need it.
    lost = tuple(spot[1] for spot in arranged.errors)
    return [lost, *groups] if lost else groups
