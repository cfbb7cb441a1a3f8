"""API versions that Kubernetes gives up, among the objects that a change brings or alters: on which clusters. Pure.

What was there before and stays as it is, is no matter of the change: it is only counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hub.domain import deprecations
from hub.domain.deprecations import DEPRECATIONS, Deprecation, Minor, Standing
from hub.domain.fleet import Facts
from hub.domain.preview.model import Outdated, OutdatedOn
from hub.domain.preview.states import Key, Made
from shared.model import ObjectRef, Place

Versions = Mapping[str, Minor]
"""The version of Kubernetes of each cluster, as far as it is known."""

_WORST_FIRST: tuple[Standing, ...] = ("removed", "deprecated", "unknown")


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object in an API version that is given up, on clusters that get it. `touched`: the change is about it."""

    application: str
    ref: ObjectRef
    clusters: tuple[str, ...]
    touched: bool
    place: Place | None = None


def versions(facts: Facts) -> dict[str, Minor]:
    """What clusters have reported that they run."""
    found = {name: deprecations.minor(str(each.get("kubernetes", ""))) for name, each in facts.items()}
    return {name: version for name, version in found.items() if version is not None}


def sightings(
    application: str, made: Made, touched: Collection[Key], clusters: Collection[str], known: Versions
) -> Iterator[Sighting]:
    """Those of the objects that all these clusters get; clusters that serve one gladly are left out."""
    for key, (ref, _) in made.objects.items():
        deprecation = DEPRECATIONS.get((ref.api_version, ref.kind))
        if deprecation is None:
            continue
        concerned = tuple(name for name in clusters if deprecations.standing(deprecation, known.get(name)))
        if concerned:
            yield Sighting(application, ref, concerned, key in touched, made.places.get(key))


def outdated(seen: Iterable[Sighting], known: Versions) -> tuple[tuple[Outdated, ...], int]:
    """The objects to speak of, each once with all its clusters, and how many there are besides that stay as they are.

    An object that the change is about on some clusters alone is told for those.
    """
    shown: dict[tuple[str, ObjectRef], Sighting] = {}
    others: set[tuple[str, ObjectRef]] = set()
    for each in seen:
        name = each.application, each.ref
        if not each.touched:
            others.add(name)
            continue
        earlier = shown.get(name)
        shown[name] = replace(earlier, clusters=earlier.clusters + each.clusters) if earlier is not None else each
    told = tuple(_told(each, known) for _, each in sorted(shown.items(), key=_order))
    return told, len(others - shown.keys())


def _order(item: tuple[tuple[str, ObjectRef], Sighting]) -> tuple[str, Key, str]:
    (application, ref), _ = item
    return application, ref.key, ref.api_version


def _told(sighting: Sighting, known: Versions) -> Outdated:
    deprecation = DEPRECATIONS[sighting.ref.api_version, sighting.ref.kind]
    return Outdated(
        application=sighting.application,
        object=sighting.ref,
        deprecated=deprecations.written(deprecation.deprecated),
        removed=deprecations.written(deprecation.removed),
        instead=deprecation.instead,
        place=sighting.place,
        where=tuple(_grouped(deprecation, sighting.clusters, known)),
    )


def _grouped(deprecation: Deprecation, clusters: Iterable[str], known: Versions) -> Iterator[OutdatedOn]:
    by_standing: dict[Standing | None, list[str]] = {}
    for name in sorted(clusters):
        by_standing.setdefault(deprecations.standing(deprecation, known.get(name)), []).append(name)
    for standing in _WORST_FIRST:
        if standing in by_standing:
            names = by_standing[standing]
            minors = sorted({known[name] for name in names if name in known})
            yield OutdatedOn(standing, tuple(names), tuple(map(deprecations.written, minors)))
