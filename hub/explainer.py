"""Why an application is on a cluster or not, and where each of its values comes from, for `yardarm explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hub.domain.fleet import Facts, FleetModel
from hub.domain.placement import explain
from hub.domain.variants import Inputs, variant
from shared.messages import to_json
from shared.model import UnitKey


class FleetExplainer:
    """Explains from the fleet model as it is now."""

    def __init__(
        self,
        model: Callable[[], FleetModel | None],
        facts: Callable[[], Facts],
        units: Callable[[str], Mapping[UnitKey, Any]],
    ) -> None:
        """`units` gives what the units of an application were told last."""
        self._model = model
        self._facts = facts
        self._units = units

    def explain(self, application: str, cluster: str) -> dict[str, Any]:
        """`{application, cluster, selected, reasons, values: [{path, value, from}], problems}`.

        Raises:
            LookupError: there is no such application or cluster, or no fleet has been read yet.
        """
        fleet = self._model()
        if fleet is None:
            raise LookupError("this hub has not read the fleet repository yet")
        wanted = fleet.applications.get(application)
        if wanted is None:
            raise LookupError(f"there is no application {application!r}; there are {_some(fleet.applications)}")
        if cluster not in fleet.clusters:
            raise LookupError(f"there is no cluster {cluster!r}; there are {_some(fleet.clusters)}")
        facts = self._facts()
        previous = {u.cluster for u, given in self._units(application).items() if not given.removed}
        verdict, *reasons = explain(wanted, cluster, fleet, facts, previous)
        made = variant(wanted, cluster, fleet, facts=facts.get(cluster))
        place = fleet.place("Application", application)
        return {
            "application": application,
            "cluster": cluster,
            "environment": fleet.environment_of(cluster),
            "selected": "not selected" not in verdict,
            "verdict": verdict,
            "reasons": reasons,
            "values": [
                {"path": path, "value": _value(made.inputs, path), "from": origin}
                for path, origin in sorted(made.origins.items())
            ],
            "written": str(place) if place is not None else "",
            "problems": [to_json(problem) for problem in fleet.problems if problem.application == application],
        }


def _value(inputs: Inputs, path: str) -> Any:
    head, _, rest = path.partition(".")
    if head == "path":
        return inputs.path
    if head == "variables":
        return inputs.variables.values.get(rest)
    if head != "values":
        return None
    value: Any = inputs.values
    for step in rest.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _some(names: Mapping[str, Any], limit: int = 10) -> str:
    shown = ", ".join(sorted(names)[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "") if names else "none"
