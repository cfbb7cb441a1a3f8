"""Whether a unit stands: what the agent last said of it is about what is assigned, and good."""

from __future__ import annotations

from hub.domain.status import counts_for
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


def assigned_at(view: View, unit: UnitKey, digest: str) -> float | None:
    """When the unit was assigned this digest, None if it is not what it has to have."""
    record = unit_record(view, unit)
    return record.want.at if record is not None and record.want is not None and record.want.digest == digest else None


def unit_record(view: View, unit: UnitKey) -> UnitRecord | None:
    """What is remembered of a unit."""
    cluster = view.clusters.get(unit.cluster)
    return cluster.units.get((unit.cluster, unit.namespace, unit.application)) if cluster is not None else None
