"""How much may be taken away at once without a person's word, over the fleet and over an application's clusters.

What an agent deletes inside one unit has its own budget there. Pure decisions; who asked for what, and what was
confirmed, comes in as values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from hub.domain.records import Pending

FLOOR = 2
"""One application, or one of an application's clusters, always goes without asking."""
HALF = "50%"
"""Of the fleet's applications."""
SHOWN = 5


def exceeds(leaving: int, total: int, budget: str) -> bool:
    """Whether `leaving` of `total` is more than the budget: `50%`, or a number."""
    text = budget.strip()
    allowed = total * float(text[:-1]) / 100 if text.endswith("%") else float(text)
    return leaving >= FLOOR and leaving > allowed


def applications(leaving: Collection[str], staying: Collection[str], now: float) -> Pending | None:
    """What holds back the removal of so many applications at once; None when it may go ahead."""
    total = len(leaving) + len(staying)
    if not exceeds(len(leaving), total, HALF):
        return None
    items = tuple(sorted(leaving))
    reason = f"{len(items)} of {total} applications would be removed at once ({some(items)}), more than half"
    return Pending("applications", token("applications", "", items), items, reason, now)


def clusters(application: str, leaving: Collection[str], had: int, budget: str, now: float) -> Pending | None:
    """What holds back taking an application from so many of its clusters at once; None when it may go ahead."""
    if not exceeds(len(leaving), had, budget):
        return None
    items = tuple(sorted(leaving))
    reason = f"{application} would leave {len(items)} of its {had} clusters at once ({some(items)}), the budget is "
    return Pending("clusters", token("clusters", application, items), items, reason + budget, now)


def token(kind: str, subject: str, items: Iterable[str]) -> str:
    """Stands for exactly these items of this kind: a confirmation never covers more than a person saw."""
    text = "\n".join((kind, subject, *sorted(items)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def since_first(pending: Pending, known: Iterable[Pending]) -> Pending:
    """The same as was known already, if it was: it has waited since then."""
    return next((one for one in known if one.token == pending.token), pending)


def some(names: Collection[str]) -> str:
    """The first few names and the number of the others."""
    shown = ", ".join(sorted(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
