"""Whether a unit stands, and what a rollout sees of it: what its agent last said, if it is about what is assigned."""

from __future__ import annotations

from hub.domain.runs import Sight, Target, Verdict
from hub.domain.status import Have, Want, counts_for
from hub.view.core import View
from hub.view.records import UnitRecord
from shared.messages import Phase
from shared.model import Health, UnitKey


def stands(view: View, unit: UnitKey, digest: str) -> bool:
    """Whether the unit is applied and healthy with this digest, as its agent says."""
    record = unit_record(view, unit)
    if record is None or record.want is None or record.have is None or record.want.digest != digest:
        return False
    fine = record.have.phase is Phase.APPLIED and record.have.health in (Health.HEALTHY, Health.SUSPENDED)
    return fine and counts_for(record.want, record.have)


def sight(view: View, unit: UnitKey, expected: Target, since: float) -> Sight:
    """What can be seen of a unit that should have `expected`. `since`: since when it is waited for, if never heard."""
    cluster = view.clusters.get(unit.cluster)
    silent = since if cluster is None or cluster.heard is None else cluster.heard if cluster.silent else None
    record = unit_record(view, unit)
    if record is None or record.want is None:
        if not expected.digest:
            return Sight(expected, Verdict.HEALTHY, silent=silent)  # it was to go, and is gone
        return Sight(None, silent=silent)
    want = record.want
    target = Target(unit.namespace, "" if want.removed else want.digest)
    if record.have is None or not counts_for(want, record.have):
        return Sight(target, Verdict.UNKNOWN, silent=silent)
    return Sight(target, *_verdict(want, record.have), silent=silent)


def _verdict(want: Want, have: Have) -> tuple[Verdict, str]:
    if have.phase is Phase.FAILED or (have.phase is Phase.APPLIED and have.health is Health.DEGRADED):
        return Verdict.FAILING, have.reason or str(have.health).lower()
    if not want.removed and have.phase is Phase.APPLIED and have.health in (Health.HEALTHY, Health.SUSPENDED):
        return Verdict.HEALTHY, ""
    return Verdict.PROGRESSING, have.reason or str(have.phase).lower()


def assigned_at(view: View, unit: UnitKey, digest: str) -> float | None:
    """When the unit was assigned this digest, None if it is not what it has to have."""
    record = unit_record(view, unit)
    return record.want.at if record is not None and record.want is not None and record.want.digest == digest else None


def unit_record(view: View, unit: UnitKey) -> UnitRecord | None:
    """What is remembered of a unit."""
    cluster = view.clusters.get(unit.cluster)
    return cluster.units.get((unit.cluster, unit.namespace, unit.application)) if cluster is not None else None
