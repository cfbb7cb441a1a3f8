"""Why an application is on a cluster or not, and where each of its values comes from, for `yardarm explain`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from hub.domain.fleet import Facts, FleetModel
from hub.domain.placement import explain
from hub.domain.rendering import Image
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
    source, blend = inputs.blend.main.source, inputs.blend
    match re.split(r"[.\[]", head)[0]:
        case "path" | "ref" | "version":
            return getattr(source, head)
        case "variables":
            return inputs.variables.values.get(rest)
        case "valueFiles":
            return blend.main.value_files[int(head[len("valueFiles[") : -1])]
        case "patches":
            return blend.patches[int(head[len("patches[") : -1])].patch
        case "images":
            return next(_image(image) for image in blend.images if image.name == rest)
        case "replicas":
            return next(each.count for each in blend.replicas if each.name == rest)
        case _:
            return _below(blend.main.values, rest)


def _below(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _image(image: Image) -> str:
    tag = f":{image.new_tag}" if image.new_tag else ""
    return f"{image.new_name or image.name}{tag}" + (f"@{image.digest}" if image.digest else "")


def _some(names: Mapping[str, Any], limit: int = 10) -> str:
    shown = ", ".join(sorted(names)[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "") if names else "none"
