"""What clusters of a certain version of Kubernetes would say of manifests: API versions that are gone, wrong fields.

Fields are checked against the schemas of Kubernetes where those are installed (`pip install 'yardarm[schemas]'`).
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hub.cli.trouble import usage
from hub.domain import deprecations
from hub.domain.deprecations import Minor
from hub.domain.preview.states import Made
from shared.model import Problem
from shared.sealed import without_seal

if TYPE_CHECKING:
    from hub.domain.fleet import FleetModel
    from hub.domain.preview.states import State


def versions(given: Sequence[str], fleet: FleetModel) -> dict[str, str]:
    """The version of each cluster as the command line gives it: `1.31`, `prod=1.30`, `prod-eu-1=1.29`.

    The name of a cluster counts for more than that of its environment, and that for more than none.
    """
    named: dict[str, str] = {}
    for text in given:
        name, _, version = text.rpartition("=")
        if deprecations.minor(version) is None:
            usage(f"{version!r} is no version of Kubernetes: write 1.31, or prod=1.31 for an environment or cluster")
        if name and name not in fleet.clusters and name not in fleet.environments:
            usage(f"there is no environment and no cluster {name!r}")
        named[name] = version.removeprefix("v")
    places = {cluster: (cluster, fleet.environment_of(cluster), "") for cluster in fleet.clusters}
    return {
        cluster: next(named[name] for name in names if name in named)
        for cluster, names in places.items()
        if any(name in named for name in names)
    }


def minors(given: Sequence[str], fleet: FleetModel) -> dict[str, Minor]:
    """As `versions`, as far as versions of Kubernetes matter to what an API serves."""
    return {cluster: _minor(version) for cluster, version in versions(given, fleet).items()}


def problems(state: State, known: Mapping[str, str]) -> Iterator[Problem]:
    """What is wrong with the objects of a state on clusters of these versions; equal objects are looked at once."""
    seen: set[tuple[str, str]] = set()
    for name in sorted(state.units):
        for cluster, key in sorted(state.units[name].items()):
            made, version = state.results[key], known.get(cluster, "")
            if (key, version) in seen or not isinstance(made, Made):
                continue
            seen.add((key, version))
            yield from _of(made, version, name)


def _of(made: Made, version: str, application: str) -> Iterator[Problem]:
    for key, (ref, line) in made.objects.items():
        place = made.places.get(key)
        found = deprecations.finding(ref, deprecations.minor(version), place)
        if found is not None:
            yield Problem(found.severity, found.message, found.place, found.hint, application)
        elif version and _schemas(version):
            wrong = _wrong_field(without_seal(json.loads(line)), version)
            if wrong:
                message = f"{ref}: {wrong} (Kubernetes {'.'.join(map(str, _minor(version)))})"
                yield Problem("error", message, place, application=application)


@functools.cache
def _schemas(version: str) -> bool:
    """Whether the schemas of that version are here."""
    if importlib.util.find_spec("kubernetes_validate") is None:
        return False
    from kubernetes_validate.utils import all_versions

    known = [_minor(each) for each in all_versions()]
    return min(known) <= _minor(version) <= max(known)


def _wrong_field(manifest: dict[str, Any], version: str) -> str:
    """The first field that the schema refuses, empty when none is or there is no schema for the kind."""
    import kubernetes_validate

    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path).lstrip(".")
        return f"{path}: {error.message[:300]}" if path else error.message[:300]
    except kubernetes_validate.SchemaNotFoundError:
        return ""
    return ""


def _minor(version: str) -> Minor:
    return deprecations.minor(version) or (0, 0)
