"""Some of many clusters: so many, evenly over a label, and the same ones again the next time. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping

from hub.domain.staging import Pick

Labels = Mapping[str, Mapping[str, str]]
"""Labels by cluster."""


def picked(
    pick: Pick, application: str, candidates: Labels, fixed: Collection[str] = (), previous: Collection[str] = ()
) -> dict[str, str]:
    """The clusters that are taken, each with the reason.

    First what cannot be moved, then what is there, then the others; each time from the value of the spread label that
    has the fewest so far, and among equals by a rank that differs from application to application.

    Args:
        pick: how many, and over which label.
        application: whose rank decides among equals.
        candidates: the clusters to take from, with their labels.
        fixed: those of the candidates that are taken whatever `pick` says.
        previous: clusters that were taken before.
    """
    label = pick.spread
    groups = {name: labels.get(label, "") if label else "" for name, labels in candidates.items()}
    taken: dict[str, str] = dict.fromkeys(sorted(fixed), "kept: it does not change now")
    count = Counter(groups[name] for name in taken)
    queues: dict[str, list[tuple[bool, str, str]]] = {}
    for name in candidates:
        if name not in taken:
            queues.setdefault(groups[name], []).append((name not in previous, _rank(application, name), name))
    for queue in queues.values():
        queue.sort(reverse=True)
    while queues and len(taken) < pick.count:
        newcomer, _, _, group = min(
            (queue[-1][0], count[group], queue[-1][1], group) for group, queue in queues.items()
        )
        *_, name = queues[group].pop()
        if not queues[group]:
            del queues[group]
        count[group] += 1
        taken[name] = _words(pick, group) if newcomer else "kept: it was picked before"
    return taken


def not_picked(pick: Pick, taken: int) -> str:
    """Why a candidate was left out."""
    spread = f", spread over {pick.spread}" if pick.spread else ""
    return f"not picked: {taken} of {pick.count} wanted are elsewhere{spread}"


def _rank(application: str, cluster: str) -> str:
    """An order that spreads applications over clusters and does not change when others come or go."""
    return hashlib.sha256(f"{application}/{cluster}".encode()).hexdigest()


def _words(pick: Pick, group: str) -> str:
    spread = f" for {pick.spread} {group!r}" if pick.spread else ""
    return f"picked{spread}: {pick.count} wanted"
