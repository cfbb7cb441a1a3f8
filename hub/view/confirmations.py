"""What waits for a person's word, over the whole fleet: deletions that agents hold back, removals that the hub does.

Equal deletions on many clusters are one entry with many units.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hub.domain.records import Consent, Pending
from hub.view.core import View
from hub.view.items import Item, reference
from hub.view.records import UnitRecord
from hub.view.standing import unit_record
from hub.view.visible import Visible
from shared.messages import Awaiting
from shared.model import UnitKey


class Held(msgspec.Struct, frozen=True):
    """One thing that waits: the deletions of one unit (`unit`), or removals that the hub holds back."""

    application: str
    awaiting: Awaiting | None = None
    unit: UnitKey | None = None
    generation: int = 0
    digest: str = ""
    pending: Pending | None = None

    @property
    def token(self) -> str:
        """What has to be sent to confirm it."""
        return self.awaiting.token if self.awaiting is not None else self.pending.token if self.pending else ""

    def names(self, application: str, units: Iterable[str]) -> bool:
        """Whether it is of this application and one of these units (`cluster/namespace/application`)."""
        applications = self.pending.items if self.pending and self.pending.kind == "applications" else ()
        wanted = set(units)
        return (not application or application in (self.application, *applications)) and (
            not wanted or str(self.unit) in wanted
        )

    def consent(self, actor: str, reason: str, at: float) -> Consent:
        """The word that lets it go ahead."""
        if self.unit is None:
            kind = self.pending.kind if self.pending is not None else "applications"
            return Consent(kind, self.token, actor, at, reason, self.application)
        return Consent(
            "objects", self.token, actor, at, reason, self.application, self.unit, self.generation, self.digest
        )


def held(view: View, seen: Visible | None = None) -> list[Held]:
    """Everything that waits, in a stable order; of a caller who sees a part, what is in that part as a whole."""
    seen = seen or Visible(view)
    found = [Held("", pending=each) for each in view.fleet.pending] if seen.everything else []
    for name in sorted(filter(seen.everywhere, view.applications)):
        found += [Held(name, pending=each) for each in view.applications[name].pending]
    for key in sorted(filter(seen.unit, view.awaiting)):
        record = unit_record(view, UnitKey(*key))
        if record is not None and record.want is not None and _current(record):
            want = record.want
            found.append(Held(key[2], view.awaiting[key], UnitKey(*key), want.generation, want.digest))
    return found


def items(found: Iterable[Held]) -> list[Item]:
    """As the API shows them, equal deletions together."""
    result: list[Item] = []
    groups: dict[tuple[object, ...], Item] = {}
    for each in found:
        if each.awaiting is None or each.unit is None:
            if each.pending is not None:
                result.append(_removals(each.application, each.pending))
            continue
        same = (each.application, each.unit.namespace, each.awaiting.count, each.awaiting.objects)
        if same not in groups:
            groups[same] = _deletions(each.unit, each.awaiting)
            result.append(groups[same])
        group = groups[same]
        group["since"] = min(group["since"], each.awaiting.since)
        group["units"].append(
            {
                "cluster": each.unit.cluster,
                "namespace": each.unit.namespace,
                "application": each.application,
                "token": each.token,
            }
        )
    return result


def _current(record: UnitRecord) -> bool:
    """Whether the last report is about what is assigned now."""
    want, have = record.want, record.have
    return want is not None and have is not None and (have.generation, have.digest) == (want.generation, want.digest)


def _deletions(unit: UnitKey, awaiting: Awaiting) -> Item:
    return {
        "kind": "objects",
        "application": unit.application,
        "namespace": unit.namespace,
        "count": awaiting.count,
        "objects": [reference(ref) for ref in awaiting.objects],
        "items": [],
        "reason": awaiting.reason,
        "since": awaiting.since,
        "token": None,
        "units": [],
    }


def _removals(application: str, pending: Pending) -> Item:
    return {
        "kind": pending.kind,
        "application": application,
        "namespace": "",
        "count": len(pending.items),
        "objects": [],
        "items": list(pending.items),
        "reason": pending.reason,
        "since": pending.since,
        "token": pending.token,
        "units": [],
    }
