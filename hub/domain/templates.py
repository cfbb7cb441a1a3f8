"""Applications made of items by the template of a set. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from hub.domain.documents import API_VERSION, Application, ApplicationSet
from hub.domain.filling import Complaint, fill, is_reference
from hub.domain.listing import Fields
from hub.domain.reading import FleetDocument, described
from hub.domain.scalars import Unquoted
from hub.domain.yamldoc import Document, child_path

DESCRIBED = 100
"""Items of one set for which it is worked out what is wrong with them; thousands of wrong ones have one cause."""

ALSO = Complaint("", "wrong as well")
"""Stands for what is wrong with the others."""


@dataclass(frozen=True, slots=True)
class Made:
    """An application that the set of this name made of an item."""

    set: str
    item: Fields
    application: Application


@dataclass(frozen=True, slots=True)
class Filled:
    """What an item comes to; no application when there are complaints. The name is empty where it cannot be told."""

    name: str
    made: Made | None
    complaints: tuple[Complaint, ...] = ()


def alike(one: FleetDocument, other: FleetDocument) -> bool:
    """Whether two versions of a set make the same of the same item."""
    return _same(template_of(one), template_of(other)) and places_itself(one) == places_itself(other)


def template_of(document: FleetDocument) -> Any:
    """As it is written: with what tells values in quotes from others."""
    return document.origin.value["spec"]["template"]


def _same(one: Any, other: Any) -> bool:
    """Whether two templates are equal, quotes included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


class Filler:
    """Makes applications of items by one template."""

    def __init__(self, document: FleetDocument, known: Mapping[bytes, Filled]) -> None:
        self._set = document.name
        self._template = template_of(document)
        self._to_cluster = places_itself(document)
        self._known = known
        self._quoted: frozenset[str] | None = None
        self._described = 0

    def filled(self, item: Fields, key: bytes) -> Filled:
        """What an item comes to; what is known of equal items, by `key_of`, is used again."""
        known = self._known.get(key)
        return known if known is not None and ALSO not in known.complaints else self._fill(item)

    def _fill(self, item: Fields) -> Filled:
        value, complaints = fill(self._template, item)
        known = not any(complaint.field == "metadata.name" for complaint in complaints)
        name = str(value["metadata"].get("name", "")) if known else ""
        if complaints:
            return Filled(name, None, complaints)
        spec = value.get("spec", {})
        if self._to_cluster:
            spec = {**spec, "placement": {"clusters": [item["cluster"]]}}
        value = {"apiVersion": API_VERSION, "kind": "Application", "metadata": value["metadata"], "spec": spec}
        try:
            application = Application.model_validate_json(orjson.dumps(value))
        except ValidationError as error:
            return Filled(name, None, tuple(self._complaints(error, value)))
        except orjson.JSONEncodeError as error:
            return Filled(name, None, (Complaint("", f"cannot be written as JSON: {error}"),))
        return Filled(name, Made(self._set, item, application))

    def _complaints(self, error: ValidationError, value: Any) -> Iterator[Complaint]:
        self._described += 1
        if self._described > DESCRIBED:
            yield ALSO
            return
        for problem in described(error, Application, Document("", 0, value)):
            path = problem.place.field if problem.place is not None else ""
            hint = "without quotes it keeps the type that it has in the item" if path in self._in_quotes() else ""
            yield Complaint(path, problem.message, hint or problem.hint)

    def _in_quotes(self) -> frozenset[str]:
        """The fields that are one reference in quotes, and so are strings."""
        if self._quoted is None:
            self._quoted = frozenset(path for path, text in _texts(self._template, "") if is_reference(text))
        return self._quoted


def key_of(item: Fields) -> bytes:
    """Equal for equal items."""
    return hashlib.sha256(orjson.dumps(item, option=orjson.OPT_SORT_KEYS)).digest()


def places_itself(document: FleetDocument) -> bool:
    """Whether the applications of a set go to the clusters of their items, because its template does not say where."""
    resource = document.resource
    return isinstance(resource, ApplicationSet) and (
        "placement" not in resource.spec.template.spec
        and any(generator.clusters is not None for generator in resource.spec.for_each)
    )


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and not isinstance(value, Unquoted):
        yield path, value
    elif isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(inner, child_path(path, step))
