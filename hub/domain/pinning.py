"""Environments that a Promotion pins: the application with one more override for each, after all others. Pure.

A pin takes the place of the `ref` (of a chart: the `version`) of the application's own first source, on the clusters
whose first environment it is. Where promotion is written to Git (`promotion` of a strategy), the first of its
environments follows the source; the others have what is pinned, and one that is not pinned yet keeps what it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hub.domain.documents import Application, Override, Pin, Promotion
from hub.domain.selectors import Selector
from hub.domain.staging import Promote


class PinOverride(Override):
    """What a pin comes to. No document can say `environment`."""

    environment: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """`application` is `plain` with the pins of `promotion`; `guests` as they were when it was made."""

    plain: Application
    promotion: Promotion
    guests: Mapping[str, tuple[str, ...]]
    application: Application


def guests(membership: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """By environment, the clusters in it that have another one first: they go with that one."""
    found: dict[str, list[str]] = {}
    for cluster, environments in membership.items():
        for name in environments[1:]:
            found.setdefault(name, []).append(cluster)
    return {name: tuple(clusters) for name, clusters in found.items()}


def pinned(
    plain: Application, promotion: Promotion, others: Mapping[str, tuple[str, ...]], before: Pinned | None
) -> Pinned:
    """The application with its pins; the very same object as before where nothing differs.

    Args:
        plain: as its document, or its set, has it.
        promotion: the document that pins.
        others: see `guests`.
        before: what this came to the last time.
    """
    if before is not None and before.plain is plain and before.promotion is promotion and before.guests == others:
        return before
    pins = tuple(
        PinOverride(
            when=Selector(environments=(name,), exclude=others.get(name, ())),
            ref=pin.commit or None,
            version=pin.version or None,
            environment=name,
        )
        for name, pin in promotion.spec.environments.items()
        if fits(plain, pin)
    )
    spec = plain.spec.model_copy(update={"overrides": (*plain.spec.overrides, *pins)})
    return Pinned(plain, promotion, others, plain.model_copy(update={"spec": spec}))


def fits(application: Application, pin: Pin) -> bool:
    """Whether a pin is of the kind that the application's first source has: a version for a chart, else a commit."""
    return bool(pin.version) == is_chart(application)


def is_chart(application: Application) -> bool:
    """Whether the application's own first source is a chart."""
    spec = application.spec
    alone = bool(spec.sources) and "source" not in spec.model_fields_set
    return bool((spec.sources[0] if alone else spec.source).chart)


def pins_of(application: Application) -> dict[str, str]:
    """What counts of the pins of an application: commit or version, by environment."""
    pins = (override for override in application.spec.overrides if isinstance(override, PinOverride))
    return {pin.environment: pin.ref or pin.version or "" for pin in pins}


def awaiting(application: Application, promote: Promote | None) -> frozenset[str]:
    """The environments whose clusters keep what they have until the application is promoted there."""
    if promote is None:
        return frozenset()
    return frozenset(promote.environments[1:]) - pins_of(application).keys()
