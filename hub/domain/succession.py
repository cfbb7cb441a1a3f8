"""Which unit takes the place of which: an application that moved to another namespace, or was renamed.

The old one stays until the new one stands on the same cluster, so that a move is no outage. Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping

from hub.domain.publishing import Body, Given
from hub.domain.records import SourceInfo
from shared.model import UnitKey


class Stay(enum.Enum):
    """Whether a unit that is to go has to wait."""

    GO = "go"
    WAIT = "wait"
    OVERDUE = "overdue"
    """It waited as long as the new one may take to get healthy: from here on a person decides."""


def renames(gone: Mapping[str, SourceInfo], new: Mapping[str, SourceInfo]) -> dict[str, str]:
    """Old name → new name, where exactly one application that is gone and one that is new have the same source."""
    result = {}
    for old, source in gone.items():
        heirs = [name for name, other in new.items() if other == source]
        rivals = [name for name, other in gone.items() if other == source]
        if len(heirs) == 1 and len(rivals) == 1:
            result[old] = heirs[0]
    return result


def predecessors(unit: UnitKey, mine: Mapping[UnitKey, Given], others: Mapping[UnitKey, Given]) -> tuple[str, ...]:
    """The units (`namespace/application`) on the same cluster whose place `unit` takes.

    `mine` are the units of its own application, `others` those of the application that it was renamed from.
    """
    return tuple(
        sorted(
            f"{old.namespace}/{old.application}"
            for old, given in {**mine, **others}.items()
            if old.cluster == unit.cluster and old != unit and not given.removed
        )
    )


def stay(
    heir: UnitKey, body: Body, given: Given | None, ready: Callable[[UnitKey, str], bool], waited: float | None
) -> Stay:
    """Whether the old unit has to wait for `heir`, which should have `body`.

    `ready` says whether a unit is applied and healthy with a digest; `waited` is the seconds since the heir was
    assigned it, None when it was not.
    """
    if given is None or given.removed or given.digest != body.digest or waited is None:
        return Stay.WAIT
    if ready(heir, body.digest):
        return Stay.GO
    return Stay.OVERDUE if waited > body.policy.timeout else Stay.WAIT


def heir_of(old: UnitKey, wanted: Collection[UnitKey]) -> UnitKey | None:
    """The unit among `wanted` that takes the place of `old`: the one on the same cluster."""
    return next((unit for unit in wanted if unit.cluster == old.cluster), None)
