"""From files to fleet documents: what is wrong is named with file, line, field and, if it can be guessed, the cure."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from hub.domain.documents import API_GROUP, API_VERSION, KINDS, Resource
from hub.domain.encoding import UTF16_MARKS, decode
from hub.domain.fields import Mistake
from hub.domain.suggesting import bare_label, selector_hint
from hub.domain.yamldoc import DEFAULT_LIMITS, Document, Limits, child_path, scan_documents
from hub.domain.yamltext import to_flow
from shared.errors import DocumentError
from shared.model import Place, Problem


@dataclass(frozen=True, slots=True)
class FleetDocument:
    """A good document and where it was written."""

    resource: Resource
    origin: Document

    @property
    def kind(self) -> str:
        """Cluster, Application and so on."""
        return self.resource.kind

    @property
    def name(self) -> str:
        """metadata.name."""
        return self.resource.metadata.name

    @property
    def key(self) -> tuple[str, str]:
        """Kind and name: what there may be one of."""
        return self.resource.kind, self.resource.metadata.name

    @property
    def file(self) -> str:
        """The file it is in."""
        return self.origin.file

    def place(self, field: str = "") -> Place:
        """Where a field of it is."""
        return self.origin.place(field)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document that cannot be used. `kind` and `name` are empty when not even they could be read."""

    file: str
    kind: str
    name: str
    problems: tuple[Problem, ...]


Parsed = FleetDocument | Rejected

_FLEET = re.compile(rf"apiVersion[\"']?\s*:\s*[\"']?{re.escape(API_GROUP)}/")
_FLEET_BYTES = re.compile(_FLEET.pattern.encode())


def read_documents(data: bytes | str, *, file: str, limits: Limits = DEFAULT_LIMITS) -> list[Parsed]:
    """The fleet documents of a file, good and bad. Other YAML is left alone, even where it is not valid YAML."""
    plainly_fleet = isinstance(data, str) or _FLEET_BYTES.search(data) is not None
    if not plainly_fleet and data[:2] not in UTF16_MARKS:
        return []
    try:
        text = decode(data, file=file, limit=limits.size)
    except DocumentError as error:
        return [Rejected(file, "", "", (problem_of(error),))] if plainly_fleet else []
    if not _FLEET.search(text):
        return []
    found: list[Parsed] = []
    for document in scan_documents(text, file=file, limits=limits, positions=True):
        if isinstance(document, DocumentError):
            found.append(Rejected(file, "", "", (problem_of(document),)))
        elif is_fleet_document(document.value):
            found.append(parse_document(document))
    return found


def problem_of(error: DocumentError) -> Problem:
    """The error as a finding."""
    return Problem("error", error.message, error.place, error.hint)


def is_fleet_document(value: Any) -> bool:
    """Whether a decoded document is meant for Yardarm."""
    return isinstance(value, dict) and str(value.get("apiVersion", "")).startswith(f"{API_GROUP}/")


def parse_document(document: Document) -> Parsed:
    """A document as its model, or everything that is wrong with it."""
    value = document.value
    kind, metadata = value.get("kind"), value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if value.get("apiVersion") != API_VERSION:
        problems = [_wrong(document, "apiVersion", f"this version of Yardarm reads {API_VERSION} only", "")]
    elif known is None:
        message = "kind is missing" if kind is None else f"{kind!r} is not a kind of fleet document"
        problems = [_wrong(document, "kind", message, _closest(str(kind or ""), KINDS) or f"one of {', '.join(KINDS)}")]
    else:
        try:
            return FleetDocument(known.model_validate_json(orjson.dumps(value)), document)
        except ValidationError as error:
            problems = described(error, known, document)
        except orjson.JSONEncodeError as error:
            problems = [_wrong(document, "", f"cannot be written as JSON: {error}", "")]
    return Rejected(
        document.file,
        kind if isinstance(kind, str) else "",
        name if isinstance(name, str) else "",
        tuple(problems),
    )


def _wrong(document: Document, field: str, message: str, hint: str) -> Problem:
    return Problem("error", message, document.place(field), hint, _application_of(document.value))


def _application_of(value: Any) -> str:
    """The application a document defines, as far as it can be told."""
    metadata = value.get("metadata") if value.get("kind") == "Application" else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def described(error: ValidationError, model: type[BaseModel], document: Document) -> list[Problem]:
    """What a model says against a document, as findings with their places."""
    found: dict[tuple[str, str], Problem] = {}
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_is_below(other["loc"], detail["loc"]) for other in details):
            continue  # of a list whose entries are wrong, pydantic says that it has none as well
        steps = _real_steps(detail["loc"], document.value)
        field = ""
        for step in steps:
            field = child_path(field, step)
        message, hint = _words(detail, steps, model)
        found.setdefault((field, message), _wrong(document, field, message, hint))
    return sorted(found.values(), key=lambda problem: (problem.place.line if problem.place else 0, problem.message))


def _is_below(location: Sequence[str | int], above: Sequence[str | int]) -> bool:
    return len(location) > len(above) and tuple(location[: len(above)]) == tuple(above)


def _real_steps(location: Sequence[str | int], value: Any) -> list[str | int]:
    """The steps that exist in the document: pydantic adds names of union members. The last may be a missing field."""
    steps: list[str | int] = []
    for number, step in enumerate(location):
        inside = isinstance(value, dict) and step in value
        if inside or (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            steps.append(step)
            value = value[step]
        elif number == len(location) - 1 and isinstance(value, dict) and isinstance(step, str):
            steps.append(step)
    return steps


def _words(detail: Any, steps: list[str | int], model: type[BaseModel]) -> tuple[str, str]:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    last = steps[-1] if steps else ""
    models, rest = _nearest(model, steps)
    meant = selector_hint(models, rest, kind, given)
    if kind == "extra_forbidden":
        fields = _fields_at(model, steps[:-1])
        known = [f"known here: {', '.join(fields)}"] if fields else []
        label = bare_label(models, rest, given)
        return f"unknown field {last!r}", meant or _closest(str(last), fields) or "; ".join(
            [*known, *filter(None, [label])]
        )
    if kind == "missing":
        return f"{last} is required", ""
    if kind == "literal_error":
        allowed = context.get("expected", "")
        return f"{given!r} is not one of {allowed}", _closest(str(given), re.findall(r"'([^']*)'", allowed))
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}, not {_shown(given)}", meant or _type_hint(kind, given)
    if kind == "value_error":
        error = context.get("error", detail["msg"])
        return str(error), error.hint if isinstance(error, Mistake) else meant
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}: {_shown(given)}", ""


_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
}


def _type_hint(kind: str, given: Any) -> str:
    if kind == "string_type" and isinstance(given, bool | int | float):
        return "put it in quotes"
    if kind == "tuple_type" and isinstance(given, str):
        return f"write {to_flow([given])}"
    return ""


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    return orjson.dumps(value).decode()[:80]


def _closest(word: str, known: Iterable[str]) -> str:
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f"did you mean {by_folded[close[0]]!r}?" if close else ""


def _fields_at(model: type[BaseModel], steps: Sequence[str | int]) -> list[str]:
    """The names a document may use at a place, empty when anything goes."""
    current = [model]
    for step in steps:
        if isinstance(step, str):
            current = _models_in(_annotation(current, step))
    return [info.alias or name for found in current for name, info in found.model_fields.items()]


def _nearest(model: type[BaseModel], steps: Sequence[str | int]) -> tuple[list[type[BaseModel]], list[str | int]]:
    """The models of the innermost place on the way that has any, and the steps from there; an entry is its list."""
    found, rest = _models_in(model), list(steps)
    current = found
    for number, step in enumerate(steps):
        if isinstance(step, str):
            current = _models_in(_annotation(current, step))
            if current:
                found, rest = current, list(steps[number + 1 :])
    while rest and isinstance(rest[0], int):
        rest.pop(0)
    return found, rest


def _annotation(models: Sequence[type[BaseModel]], field: str) -> Any:
    """The type of a field that a document may write, None when there is no such field."""
    for model in models:
        for name, info in model.model_fields.items():
            if (info.alias or name) == field:
                return info.annotation
    return None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation: in unions, tuples and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (tuple, list, typing.Union, types.UnionType, typing.Annotated):
        return [model for argument in typing.get_args(annotation) for model in _models_in(argument)]
    return []
