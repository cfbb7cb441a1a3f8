"""Why an application is on a cluster or not, and where each of its values comes from, for `yardarm explain`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from hub.domain.blending import override_origin
from hub.domain.documents import Application, Override
from hub.domain.fleet import Facts, FleetModel
from hub.domain.pinning import PinOverride
from hub.domain.placement import LEAVING, explain, place
from hub.domain.rendering import Image
from hub.domain.selectors import matches
from hub.domain.templates import Made
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
        """As `explanation`, from what is known now.

        Raises:
            LookupError: there is no such application or cluster, or no fleet has been read yet.
        """
        return explanation(application, cluster, self._fleet(), self._facts(), self._previous(application))

    def placement(self, application: str) -> dict[str, Any]:
        """As `overview`, from what is known now.

        Raises:
            LookupError: there is no such application, or no fleet has been read yet.
        """
        return overview(application, self._fleet(), self._facts(), self._previous(application))

    def _fleet(self) -> FleetModel:
        fleet = self._model()
        if fleet is None:
            raise LookupError("this hub has not read the fleet repository yet")
        return fleet

    def _previous(self, application: str) -> set[str]:
        return {unit.cluster for unit, given in self._units(application).items() if not given.removed}


def overview(application: str, fleet: FleetModel, facts: Facts, previous: Collection[str] = ()) -> dict[str, Any]:
    """Which clusters get an application, and why, and why not the others. Arguments as of `explanation`.

    `{application, written, clusters: [{cluster, environment, selected, reasons}]}`, clusters by name.

    Raises:
        LookupError: there is no such application.
    """
    found = place(_wanted(application, fleet), fleet, facts, previous)
    reasons = {**found.selected, **found.rejected}
    return {
        "application": application,
        "written": _written(fleet, "Application", application, "spec.placement"),
        "clusters": [
            {
                "cluster": cluster,
                "environment": fleet.environment_of(cluster),
                "selected": cluster in found.selected,
                "reasons": [*why, *([LEAVING] if cluster in found.rejected and cluster in previous else [])],
            }
            for cluster, why in sorted(reasons.items())
        ],
    }


def explanation(
    application: str, cluster: str, fleet: FleetModel, facts: Facts, previous: Collection[str] = ()
) -> dict[str, Any]:
    """Why a cluster gets an application or does not, and where each value comes from, for programs and people.

    `{application, cluster, environment, selected, verdict, reasons, overrides: [{number, applies, reasons, written}],
    values: [{path, value, from, written}], set: {name, item, written} or None, written, problems}`.

    Args:
        application: its name.
        cluster: a cluster's name.
        fleet: of now.
        facts: what agents have reported.
        previous: the clusters that have the application now.

    Raises:
        LookupError: there is no such application or cluster.
    """
    wanted = _wanted(application, fleet)
    if cluster not in fleet.clusters:
        raise LookupError(f"there is no cluster {cluster!r}; there are {_some(fleet.clusters)}")
    verdict, *reasons = explain(wanted, cluster, fleet, facts, previous)
    made = variant(wanted, cluster, fleet, facts=facts.get(cluster))
    by_set = fleet.sets.made.get(application)
    about = [problem for problem in fleet.problems if problem.application == application]
    if by_set is not None:
        about += fleet.sets.expansions[by_set.set].problems
    return {
        "application": application,
        "cluster": cluster,
        "environment": fleet.environment_of(cluster),
        "selected": "not selected" not in verdict,
        "verdict": verdict,
        "reasons": reasons,
        "overrides": [
            _override(number, override, wanted, cluster, fleet, facts)
            for number, override in enumerate(wanted.spec.overrides)
        ],
        "values": [
            {"path": path, "value": _value(made.inputs, path), "from": origin, "written": _written(fleet, *where)}
            for path, origin in sorted(made.origins.items())
            for where in [_where(path, origin, wanted, cluster, fleet)]
        ],
        "set": _set(by_set, fleet) if by_set is not None else None,
        "written": _written(fleet, "Application", application),
        "problems": [to_json(problem) for problem in about],
    }


def _wanted(application: str, fleet: FleetModel) -> Application:
    wanted = fleet.applications.get(application)
    if wanted is None:
        raise LookupError(_missing(application, fleet))
    return wanted


def _missing(application: str, fleet: FleetModel) -> str:
    """What to say of an application that there is not, or not yet."""
    for name, expansion in fleet.sets.expansions.items():
        if expansion.may_have(application):
            why = next((problem.message for problem in expansion.problems), "it cannot be evaluated now")
            return f"there is no application {application!r} yet; ApplicationSet {name!r} may have it: {why}"
    return f"there is no application {application!r}; there are {_some(fleet.applications)}"


def _override(
    number: int, override: Override, application: Application, cluster: str, fleet: FleetModel, facts: Facts
) -> dict[str, Any]:
    verdict, pin = matches(override.when, fleet.candidate(cluster, facts.get(cluster))), _pin(override)
    where = (
        ("Promotion", application.name, pin) if pin else ("Application", application.name, f"spec.overrides[{number}]")
    )
    return {
        "number": number + 1,
        "applies": verdict.selected,
        "reasons": list(verdict.reasons),
        "written": _written(fleet, *where),
    }


def _pin(override: Override) -> str:
    """The field that a pin is written at, in a Promotion; empty for what the application says itself."""
    return f"spec.environments.{override.environment}" if isinstance(override, PinOverride) else ""


def _set(made: Made, fleet: FleetModel) -> dict[str, Any]:
    return {
        "name": made.set,
        "item": dict(made.item),
        "written": _written(fleet, "ApplicationSet", made.set),
    }


def _where(path: str, origin: str, application: Application, cluster: str, fleet: FleetModel) -> tuple[str, str, str]:
    """The document and field that a value is written at: kind, name, field; empty for what is ours."""
    for number in range(len(application.spec.overrides)):
        if origin == override_origin(application, number):
            # Images and the like are found by name: their places in lists are not told by their paths.
            pin = _pin(application.spec.overrides[number])
            if pin:
                return "Promotion", application.name, pin
            inner = path if re.match(r"(values|variables)\.|(path|ref|version)$", path) else re.split(r"[.\[]", path)[0]
            return "Application", application.name, f"spec.overrides[{number}].{inner}"
    if origin == f"cluster {cluster}":
        return "Cluster", cluster, f"spec.{path}"
    for name in fleet.membership.get(cluster, ()):
        if origin == f"environment {name}":
            return "Environment", name, f"spec.{path}"
    if origin == f"application {application.name}":
        head = path.partition(".")[0]
        inner = f"spec.source.{path}" if head in ("path", "ref", "version") else f"spec.render.helm.{path}"
        return "Application", application.name, inner
    return "", "", ""


def _written(fleet: FleetModel, kind: str, name: str, field: str = "") -> str:
    place = fleet.place(kind, name, field) if kind else None
    return str(place) if place is not None else ""


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
